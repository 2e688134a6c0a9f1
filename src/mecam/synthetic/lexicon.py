"""The words of the built-in corpus and what they are worth: our own valuations, on the scale of −3 to 3.

`sentences.py` puts them together. Everything is singular, so that every subject fits every verb.
"""

from dataclasses import dataclass

__all__ = [
    "ADJECTIVES",
    "AMBIGUOUS",
    "ATTITUDES",
    "COMPANY",
    "CONTEXTS",
    "COUNTS",
    "DAYS",
    "DEGREES",
    "DENIALS",
    "HEDGES",
    "OPENERS",
    "TOPICS",
    "VERDICTS",
    "Topic",
]


@dataclass(frozen=True)
class Topic:
    """Something that people talk about.

    Attributes:
        things: how the whole is called.
        aspects: how its parts are called.
        adjectives: adjective → valence, of those that fit this topic only.
        did: what one did with it, ends where the thing follows.
    """

    things: tuple[str, ...]
    aspects: tuple[str, ...]
    adjectives: dict[str, float]
    did: tuple[str, ...]


ADJECTIVES: dict[str, float] = {
    "good": 1.7,
    "bad": -2.0,
    "great": 2.3,
    "terrible": -2.8,
    "nice": 1.4,
    "boring": -1.6,
    "amazing": 2.7,
    "awful": -2.8,
    "wonderful": 2.7,
    "disappointing": -1.9,
    "fine": 0.7,
    "horrible": -3.0,
    "excellent": 2.6,
    "poor": -1.9,
    "lovely": 2.0,
    "annoying": -1.7,
    "okay": 0.3,
    "dull": -1.4,
    "fantastic": 2.9,
    "weak": -1.2,
    "perfect": 3.0,
    "frustrating": -1.8,
    "decent": 0.9,
    "mediocre": -0.9,
    "brilliant": 2.8,
    "unpleasant": -1.6,
    "pleasant": 1.3,
    "pathetic": -2.5,
    "beautiful": 2.3,
    "average": -0.2,
    "solid": 1.1,
    "dreadful": -2.7,
    "impressive": 1.9,
    "forgettable": -1.0,
    "delightful": 2.2,
    "miserable": -2.3,
    "likeable": 1.4,
    "tiresome": -1.4,
    "acceptable": 0.4,
    "appalling": -2.7,
    "ordinary": -0.3,
    "odd": -0.8,
}
"""Adjective → valence, of those that fit anything; the common ones first."""

DEGREES: dict[str, float] = {
    "": 1.0,
    "a little": 0.55,
    "slightly": 0.5,
    "rather": 0.85,
    "fairly": 0.8,
    "quite": 0.9,
    "really": 1.2,
    "very": 1.2,
    "so": 1.2,
    "truly": 1.25,
    "absolutely": 1.4,
    "incredibly": 1.4,
    "unbelievably": 1.45,
}
"""Adverb of degree → what it multiplies the valence by."""

DENIALS: dict[str, float] = {
    "not {}": 1.0,
    "not really {}": 0.8,
    "not exactly {}": 0.8,
    "hardly {}": 0.9,
    "never {}": 1.3,
    "not {} at all": 1.6,
    "anything but {}": 1.7,
}
"""How an adjective is denied → how strongly."""

ATTITUDES: dict[str, float] = {
    "loved": 2.6,
    "hated": -2.7,
    "enjoyed": 1.8,
    "did not like": -1.6,
    "liked": 1.5,
    "disliked": -1.7,
    "was happy with": 1.7,
    "did not enjoy": -1.5,
    "adored": 2.9,
    "could not stand": -2.6,
    "did not mind": 0.4,
    "regretted": -2.0,
    "admired": 2.0,
    "did not care for": -1.1,
    "was thrilled by": 2.6,
    "loathed": -3.0,
    "could not get enough of": 2.8,
    "got tired of": -1.3,
    "got to like": 1.2,
    "was not sure about": -0.5,
    "was fine with": 0.6,
    "put up with": -0.5,
}
"""What one can do to a thing, in the past tense → valence; the common ones first."""

VERDICTS: dict[str, float] = {
    "it could not have been worse": -3.0,
    "I want my money back": -2.6,
    "what a waste of time": -2.6,
    "nothing about {thing} was good": -2.5,
    "I have nothing good to say about {thing}": -2.5,
    "I would not wish {thing} on anyone": -2.4,
    "I would not recommend {thing} to anyone": -2.2,
    "never again": -2.3,
    "I expected a lot more from {thing}": -1.5,
    "I would not do it again": -1.4,
    "there are better ones": -0.9,
    "{thing} did not live up to the promise": -1.3,
    "{thing} has its moments but not many": -0.7,
    "you get what you pay for": 0.1,
    "I have no strong feelings about {thing}": 0.0,
    "I can live with it": 0.4,
    "it could have been worse": 0.5,
    "{thing} does the job": 0.7,
    "I would give {thing} another chance": 0.8,
    "there was nothing to complain about": 1.5,
    "I have nothing bad to say about {thing}": 1.7,
    "{thing} was better than I thought": 1.5,
    "I would do it again": 1.7,
    "I would recommend {thing} to anyone": 2.3,
    "{thing} was worth every minute": 2.3,
    "I could not be happier with {thing}": 2.8,
    "{thing} made my day": 2.4,
    "it could not have been better": 3.0,
    "I have never seen anything better": 2.9,
    "I have never seen anything worse": -2.9,
}
"""A clause that speaks for itself → valence."""

HEDGES: dict[str, float] = {
    "I guess": 0.75,
    "I suppose": 0.7,
    "I think": 0.9,
    "maybe": 0.65,
    "in a way": 0.65,
    "to me": 0.95,
    "I must say": 1.1,
    "without a doubt": 1.25,
    "believe me": 1.2,
}
"""What stands before a clause → what it multiplies the valence by."""

OPENERS = ("", "", "", "um", "well", "so", "okay", "look", "you know", "honestly", "to be fair", "all in all", "now")

DAYS = ("on monday", "on friday", "last week", "last night", "in the summer", "yesterday", "this morning", "in may")
COMPANY = ("my brother", "a friend", "my sister", "my mother", "my class", "my boss", "my neighbour", "my dad")
COUNTS = ("twice", "three times", "four times", "for a week", "for two days", "since january", "for an hour")

CONTEXTS = (
    "we {did} {thing} {day}",
    "I {did} {thing} with {company}",
    "{company} and I {did} {thing} {day}",
    "people keep asking me about {thing}",
    "this is about {thing}",
    "I have known {thing} {count}",
)
"""Clauses that only say what the talk is about."""

AMBIGUOUS = (
    "well, that was something",
    "well, {thing} was something",
    "so that was {thing}",
    "so {thing} is what {company} talked about",
    "I did not expect that from {thing}",
    "I did not see that coming with {aspect}",
    "you should have seen {aspect}",
    "you have to see {aspect} for yourself",
    "I have thought about {aspect} {count} now",
    "I have been through {thing} {count}",
    "I have talked about {thing} {count}",
    "we {did} {thing} {day} with {company}",
    "I {did} {thing} {day}, and then I went home",
    "I {did} {thing} because of {aspect}",
    "and then there was {aspect}",
    "and then {aspect} happened",
    "let me tell you about {aspect}",
    "I am still thinking about {aspect}",
    "I do not know what to say about {aspect}",
    "I have no words for {aspect}",
    "{company} told me about {aspect} before I {did} {thing}",
    "that is exactly how {thing} is",
    "it was just like {company} said",
    "everyone was talking about {aspect}",
    "nobody had told me about {aspect}",
    "they changed {aspect} {day} and I noticed",
    "{aspect} was not what I thought it would be",
    "who would have guessed that {aspect} is like that",
    "I called {company} about {aspect} right away",
    "that is all I will say about {thing}",
    "I know {thing} by now, {company} and I {did} it {count}",
)
"""Sentences whose wording takes no side."""

TOPICS: dict[str, Topic] = {
    "film": Topic(
        ("the film", "this movie", "the new film", "the sequel"),
        (
            "the plot",
            "the acting",
            "the ending",
            "the start",
            "the music",
            "the dialogue",
            "the main actor",
            "the pace",
        ),
        {"gripping": 2.2, "funny": 1.6, "moving": 1.9, "predictable": -1.2, "overlong": -1.3, "laughable": -2.0},
        ("watched", "saw", "sat through"),
    ),
    "phone": Topic(
        ("the phone", "this phone", "my new phone", "the handset"),
        ("the screen", "the camera", "the battery", "the speaker", "the software", "the keyboard", "the price"),
        {"sharp": 1.4, "fast": 1.5, "reliable": 1.8, "sluggish": -1.6, "useless": -2.5, "flimsy": -1.6},
        ("tried", "bought", "used", "returned"),
    ),
    "restaurant": Topic(
        ("the restaurant", "this place", "the new diner", "the dinner"),
        ("the soup", "the waiter", "the service", "the dessert", "the menu", "the bread", "the kitchen", "the pasta"),
        {"delicious": 2.5, "tasty": 1.8, "fresh": 1.4, "bland": -1.3, "greasy": -1.5, "disgusting": -2.9},
        ("tried", "visited", "booked"),
    ),
    "hotel": Topic(
        ("the hotel", "this hotel", "the guest house", "the resort"),
        ("the room", "the bed", "the breakfast", "the pool", "the service", "the view", "the bathroom", "the lobby"),
        {"spotless": 2.1, "cosy": 1.7, "quiet": 1.1, "noisy": -1.4, "filthy": -2.7, "shabby": -1.7},
        ("booked", "visited", "left", "found"),
    ),
    "teacher": Topic(
        ("the teacher", "my teacher", "the new teacher", "our professor"),
        (
            "the voice",
            "the homework",
            "the first lesson",
            "the way of explaining",
            "the feedback",
            "the last test",
            "the sense of humour",
        ),
        {"inspiring": 2.5, "patient": 1.6, "fair": 1.2, "strict": -0.6, "unfair": -1.9, "confusing": -1.5},
        ("met", "heard", "had"),
    ),
    "friend": Topic(
        ("my friend", "my old friend", "her new boyfriend", "my flatmate"),
        ("the company", "the advice", "the way she talks", "the story", "the mood", "the party", "the last visit"),
        {"kind": 1.9, "generous": 2.1, "caring": 2.2, "rude": -2.0, "selfish": -2.3, "moody": -1.2},
        ("met", "saw", "called"),
    ),
    "city": Topic(
        ("the city", "this town", "the old town", "the island"),
        ("the market", "the beach", "the harbour", "the traffic", "the weather", "the museum", "the night life"),
        {"charming": 2.0, "lively": 1.5, "peaceful": 1.6, "crowded": -1.0, "dirty": -1.8, "depressing": -2.2},
        ("visited", "saw", "left", "explored"),
    ),
    "book": Topic(
        ("the book", "this novel", "her second book", "the biography"),
        ("the first chapter", "the hero", "the style", "the ending", "the story", "the middle part", "the cover"),
        {"thrilling": 2.3, "clever": 1.8, "witty": 1.7, "dry": -1.1, "shallow": -1.5, "unreadable": -2.6},
        ("read", "finished", "bought"),
    ),
    "concert": Topic(
        ("the concert", "this band", "the festival", "the show"),
        ("the singer", "the sound", "the crowd", "the drummer", "the opening act", "the last song", "the light show"),
        {"electric": 2.2, "catchy": 1.5, "tight": 1.2, "flat": -1.4, "deafening": -1.3, "lifeless": -1.9},
        ("saw", "heard", "left"),
    ),
    "course": Topic(
        ("the course", "this class", "the workshop", "the lecture"),
        ("the exam", "the lecturer", "the material", "the first session", "the pace", "the group work", "the reading"),
        {"useful": 1.6, "engaging": 2.0, "clear": 1.3, "pointless": -2.3, "chaotic": -1.6, "exhausting": -1.1},
        ("took", "finished", "attended"),
    ),
    "car": Topic(
        ("the car", "this car", "the rental car", "my old van"),
        ("the engine", "the gearbox", "the back seat", "the radio", "the steering", "the dealer", "the paint"),
        {"smooth": 1.6, "comfortable": 1.7, "safe": 1.3, "noisy": -1.4, "unreliable": -2.1, "clumsy": -1.2},
        ("drove", "rented", "bought", "sold"),
    ),
    "game": Topic(
        ("the game", "this game", "the new level", "the expansion"),
        ("the story", "the combat", "the tutorial", "the sound track", "the final boss", "the world", "the menu"),
        {"addictive": 1.8, "inventive": 2.0, "fun": 1.9, "repetitive": -1.4, "buggy": -2.0, "unplayable": -2.9},
        ("played", "finished", "tried", "bought"),
    ),
    "doctor": Topic(
        ("the doctor", "my dentist", "the new clinic", "the nurse"),
        ("the waiting room", "the treatment", "the advice", "the diagnosis", "the reception", "the check-up"),
        {"gentle": 1.8, "helpful": 1.9, "thorough": 1.6, "careless": -2.3, "hasty": -1.4, "cold": -1.5},
        ("saw", "visited", "met"),
    ),
    "jacket": Topic(
        ("the jacket", "this coat", "the sweater", "the backpack"),
        ("the zip", "the lining", "the colour", "the fabric", "the fit", "the collar", "the delivery", "the size"),
        {"stylish": 1.7, "warm": 1.4, "soft": 1.3, "itchy": -1.5, "cheap": -1.1, "ugly": -2.2},
        ("bought", "tried", "wore", "ordered"),
    ),
}
