"""English sentences that carry a given sentiment, or none.

A clause is a subject with a polarity word under a degree or a negation, an attitude, or a verdict; a sentence
joins clauses by addition or contrast and may hedge. Each construction has a stated effect on valence, and a
sentence for a wanted sentiment is found by drawing until the valence comes near it. The randomness is the
caller's generator; the same generator gives the same sentence.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from mecam.synthetic.lexicon import (
    ADJECTIVES,
    AMBIGUOUS,
    ATTITUDES,
    COMPANY,
    CONTEXTS,
    COUNTS,
    DAYS,
    DEGREES,
    DENIALS,
    HEDGES,
    OPENERS,
    TOPICS,
    VERDICTS,
    Topic,
)

__all__ = ["Reading", "ambiguous_sentence", "clear_sentence"]

_Item = TypeVar("_Item")

TRIES = 40
CLOSE = 0.2
"""A sentence this near to the wanted valence is taken at once; else the nearest of `TRIES`."""


class Reading(NamedTuple):
    """A piece of language and the sentiment in [−3, 3] that a careful reader takes from it."""

    text: str
    valence: float


class _Scene(NamedTuple):
    """What one sentence speaks of: one thing, in one tense."""

    topic: Topic
    thing: str
    verb: str


def clear_sentence(topic: str, sentiment: float, rng: np.random.Generator) -> Reading:
    """Draw a sentence on `topic`, a key of `TOPICS`, whose wording says `sentiment` in [−3, 3]."""
    scene = _draw_scene(topic, rng)
    best = _draw_sentence(scene, rng)
    for _ in range(TRIES):
        if abs(best.valence - sentiment) <= CLOSE:
            break
        other = _draw_sentence(scene, rng)
        best = min(best, other, key=lambda reading: abs(reading.valence - sentiment))
    return best


def ambiguous_sentence(topic: str, rng: np.random.Generator) -> Reading:
    """Draw a sentence on `topic` whose wording takes no side; its valence is 0."""
    scene = _draw_scene(topic, rng)
    text = _filled(_pick(AMBIGUOUS, rng), scene, rng)
    if rng.random() < 0.4 and not text.startswith("and "):
        text = f"{_filled(_pick(CONTEXTS, rng), scene, rng)}, and {text}"
    return Reading(_opened(text, rng), 0.0)


def _draw_scene(topic: str, rng: np.random.Generator) -> _Scene:
    return _Scene(TOPICS[topic], _pick(TOPICS[topic].things, rng), _pick(("was", "is"), rng))


def _draw_sentence(scene: _Scene, rng: np.random.Generator) -> Reading:
    form = rng.random()
    subjects = _draw_subjects(scene, rng)
    first = _draw_clause(scene, subjects[0], rng)
    if form < 0.25:
        reading = first
    elif form < 0.45:
        hedge, factor = _pick_entry(HEDGES, rng)
        reading = Reading(f"{hedge} {first.text}", factor * first.valence)
    else:
        second = _draw_clause(scene, subjects[1], rng)
        if form < 0.85 and first.valence * second.valence < 0:  # contrast is rarer than agreement
            second = _draw_clause(scene, subjects[1], rng)
        agree = first.valence * second.valence >= 0
        reading = _joined(first, second) if agree else _contrasted(first, second, rng)
    if rng.random() < 0.6:
        reading = _summed_up(reading, rng)
    text = reading.text
    if rng.random() < 0.2:
        text = f"{_filled(_pick(CONTEXTS, rng), scene, rng)}, and {text}"
    return Reading(_opened(text, rng), min(3.0, max(-3.0, reading.valence)))


def _draw_subjects(scene: _Scene, rng: np.random.Generator) -> tuple[str, str]:
    """Two different ones: the thing and a part of it, in either order, or two parts."""
    aspects = scene.topic.aspects
    place = int(rng.random() * len(aspects))
    one, other = aspects[place], aspects[(place + 1 + int(rng.random() * (len(aspects) - 1))) % len(aspects)]
    return _pick(((scene.thing, one), (one, scene.thing), (one, other)), rng)


def _draw_clause(scene: _Scene, subject: str, rng: np.random.Generator) -> Reading:
    form = rng.random()
    if form < 0.65:
        return _plain(scene, subject, rng)
    if form < 0.7:
        return _negated(scene, subject, rng)
    if form < 0.9:
        attitude, valence = _pick_common(ATTITUDES, rng)
        return Reading(f"I {attitude} {subject}", valence)
    verdict, valence = _pick_entry(VERDICTS, rng)
    return Reading(_filled(verdict, scene, rng), valence)


def _plain(scene: _Scene, subject: str, rng: np.random.Generator) -> Reading:
    degree, factor = _pick_entry(DEGREES, rng)
    adjective, valence = _adjective(scene, subject, rng)
    words = (subject, scene.verb, degree, adjective)
    return Reading(" ".join(word for word in words if word), factor * valence)


def _negated(scene: _Scene, subject: str, rng: np.random.Generator) -> Reading:
    """Deny an adjective: praise denied is mild blame, blame denied is milder praise; *at all* makes it strong."""
    adjective, valence = _adjective(scene, subject, rng)
    pattern, strength = _pick_entry(DENIALS, rng)
    weight = -0.7 if valence > 0 else -0.4
    return Reading(f"{subject} {scene.verb} {pattern.format(adjective)}", weight * strength * valence)


def _joined(first: Reading, second: Reading) -> Reading:
    """Join clauses that agree; two are a little stronger than their mean."""
    return Reading(f"{first.text}, and {second.text}", 0.55 * (first.valence + second.valence))


def _contrasted(first: Reading, second: Reading, rng: np.random.Generator) -> Reading:
    """Set one clause against another; what is not the concession weighs three times as much."""
    form = _pick(("{0}, but {1}", "although {0}, {1}", "{1}, even though {0}", "{0}, and yet {1}"), rng)
    return Reading(form.format(first.text, second.text), 0.25 * first.valence + 0.75 * second.valence)


def _summed_up(reading: Reading, rng: np.random.Generator) -> Reading:
    """Close with a word that says it again, if one that fits comes to mind."""
    for _ in range(4):
        attitude, valence = _pick_common(ATTITUDES, rng)
        ending = f"I {attitude} it"
        if rng.random() < 0.6:
            adjective, valence = _pick_common(ADJECTIVES, rng)
            ending = _pick(("just {}", "simply {}", "{} is the word", "in a word {}"), rng).format(adjective)
        if abs(valence - reading.valence) <= 1.0:
            return Reading(f"{reading.text}, {ending}", 0.6 * reading.valence + 0.4 * valence)
    return reading


def _adjective(scene: _Scene, subject: str, rng: np.random.Generator) -> tuple[str, float]:
    if subject == scene.thing and rng.random() < 0.25:
        return _pick_entry(scene.topic.adjectives, rng)
    return _pick_common(ADJECTIVES, rng)


def _filled(template: str, scene: _Scene, rng: np.random.Generator) -> str:
    return template.format(
        thing=scene.thing,
        aspect=_pick(scene.topic.aspects, rng),
        did=_pick(scene.topic.did, rng),
        day=_pick(DAYS, rng),
        company=_pick(COMPANY, rng),
        count=_pick(COUNTS, rng),
    )


def _opened(text: str, rng: np.random.Generator) -> str:
    opener = _pick(OPENERS, rng)
    return f"{opener}, {text}" if opener else text


def _pick(items: Sequence[_Item], rng: np.random.Generator) -> _Item:
    return items[int(rng.random() * len(items))]


def _pick_entry(entries: Mapping[str, float], rng: np.random.Generator) -> tuple[str, float]:
    return _pick(list(entries.items()), rng)


def _pick_common(entries: Mapping[str, float], rng: np.random.Generator) -> tuple[str, float]:
    """Pick early entries more often than late ones, as speech does with common words."""
    draw = rng.random()
    return list(entries.items())[int(draw * draw * draw * len(entries))]
