"""A conversation that still goes on: sound, pictures and words as they come, and at any moment an answer.

An answer is of the last seconds, the window. It is made as that of a recording is (`mecam.prediction.panel`,
`mecam.prediction.recordings`), of rows that are measured once, as soon as all is there that they hear and see. Nothing
here grows with the session.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.data.operations.speakers import RELATIVE
from mecam.errors import ConfigError, ModelError
from mecam.features.audio.acoustics import RATE_HZ
from mecam.features.audio.heard_sound import GROWING, GrowingRows, HeardSound
from mecam.features.audio.whisper_encoder import MODEL, WhisperEncoder
from mecam.features.extractor import Extractor, Features
from mecam.features.people import People, Whose
from mecam.features.recording import NOTHING, Recipe
from mecam.features.text import join_words
from mecam.features.text.asr import ready, why_not
from mecam.features.text.live_speech import LiveSpeech
from mecam.features.vision.face_extractors import (
    CUES,
    MEASURES,
    SHAPES,
    Blendshapes,
    Expressions,
    FaceCues,
    View,
)
from mecam.features.vision.seen_people import SeenPeople
from mecam.prediction.built_in import BuiltIn
from mecam.prediction.live_answer import LiveAnswer, SeenPerson
from mecam.prediction.live_texts import LiveTexts
from mecam.prediction.live_window import Told, Window, told_by_built_in, told_by_trained
from mecam.prediction.panel_reading import EXTRACTORS
from mecam.prediction.predictor import Predictor
from mecam.prediction.recordings import recipe_of
from mecam.types import AUDIO, TEXT, VISION, Modality

__all__ = ["PICTURES_PER_S", "WINDOW_S", "Live", "recipe_for_live"]

WINDOW_S = (2.0, 30.0)
"""Shortest and longest window."""
PICTURES_PER_S = 5.0
LEAST_HOLD_S = 10.0
"""Seconds that are kept at least: what is usual for a voice and a face is learned from them."""
SEEN_S = 1.0
"""Seconds for which a face that is lost is still shown."""
AHEAD_S = 5.0
"""By how much a time may run ahead of our clock."""
LATEST_S = 1e7
"""No session lasts so long."""

VIEWS: Mapping[str, View] = {Expressions.name: MEASURES, Blendshapes.name: SHAPES, FaceCues.name: CUES}
"""Name of an extractor → how it looks at faces."""


def recipe_for_live(predictor: Predictor) -> Recipe:
    """How what comes in becomes what a model reads.

    Raises: ModelError if the model reads features that cannot be made while a conversation goes on.
    """
    if isinstance(predictor, BuiltIn):
        return Recipe(EXTRACTORS, people=True)
    inputs = predictor.backend.checkpoint.inputs
    for modality in predictor.backend.reads:
        spec = inputs.features.get(modality)
        if spec is not None and spec.extractor.endswith(RELATIVE):
            what = f"it reads {modality} relative to what is usual for the speaker, which takes a whole recording"
            raise _not_live(what, "train a model on the features as they were extracted")
    recipe = recipe_of(predictor.backend)
    for modality, made in recipe.made().items():
        if made.name not in GROWING and made.name not in VIEWS:
            fix = f"train a model on one of {', '.join((*GROWING, *VIEWS))}"
            raise _not_live(f"it reads {modality} through {made.name}", fix)
    return recipe


def _not_live(what: str, fix: str) -> ModelError:
    return ModelError(f"this model cannot be used live: {what}", fix=f"{fix}; or predict recordings with it")


class Live:
    """One session. For one thread at a time.

    Args:
        predictor: the model; the built-in one, or one whose features mecam makes.
        window_s: seconds that an answer is of.
        person: whose face is read: the speaker's, that of the most visible one who does not speak (`listener`), or
            that of the person with this number.
        asr: write down what is said, where nobody else does; None: where it can be done.
        language: of the speech; None: not known.
        rate: samples a second of the sound that comes in.
        clock: seconds since the session began; what claims to be much later than that is refused. None: any time is
            believed.

    Raises: ConfigError if an option is out of range; ModelError if the model cannot be used live.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        window_s: float = 10.0,
        person: Whose = "speaker",
        asr: bool | None = None,
        language: str | None = None,
        rate: int = RATE_HZ,
        clock: Callable[[], float] | None = None,
    ) -> None:
        if not WINDOW_S[0] <= window_s <= WINDOW_S[1]:
            bounds = f"give {WINDOW_S[0]:g} to {WINDOW_S[1]:g} seconds"
            raise ConfigError(f"a window cannot last {window_s:g} seconds", where="window_s", fix=bounds)
        if not RATES[0] <= rate <= RATES[1]:
            bounds = f"give {RATES[0]} to {RATES[1]}"
            raise ConfigError(f"the sound cannot have {rate} samples a second", where="sample_rate", fix=bounds)
        self._recipe = recipe_for_live(predictor)
        self._predictor, self._window_s, self._clock = predictor, window_s, clock
        self._person = Recipe((), person=person).person  # checked
        self._hold_s = max(window_s, LEAST_HOLD_S)
        self._sound = HeardSound(self._hold_s, rate)
        made = self._recipe.made()
        self._rows = GrowingRows(made[AUDIO].name, self._sound) if AUDIO in made else None
        encodes = isinstance(predictor, BuiltIn) and ready("en") == MODEL
        self._encoded = GrowingRows(WhisperEncoder.name, self._sound) if encodes else None
        self._seen = _seen(made[VISION], self._hold_s) if VISION in made else None
        self._reads_text = isinstance(predictor, BuiltIn) or TEXT in predictor.backend.reads
        self._texts = LiveTexts(predictor if self._reads_text else None)
        self._late_pictures = self._unusable = 0
        self._time = 0.0
        speaks = ready(language) if asr is not False and self._reads_text else None
        self._speech = LiveSpeech(speaks, language) if speaks is not None else None
        self._wants_speech = asr is not False

    @property
    def time(self) -> float:
        """Seconds since the session began of the latest that came in."""
        return self._time

    @property
    def heard(self) -> bool:
        """Whether any sound came in."""
        return self._sound.sound is not None

    @property
    def asr(self) -> str | None:
        """The speech model in use; None: nothing is written down."""
        return None if self._speech is None else self._speech.model

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes that belong to every answer."""
        notes = self._predictor.notes
        if self._seen is not None and not isinstance(self._predictor, BuiltIn):
            usual = (
                f"faces are looked at {PICTURES_PER_S:g} times a second, in recordings {Expressions().rate_hz:g} times"
            )
            notes = (*notes, f"Live, {usual}: answers may differ.")
        return notes

    def hear(self, time: float, samples: NDArray[np.int16]) -> None:
        """Take in sound; blocks follow each other in time.

        Args:
            time: seconds since the session began of its first sample.
            samples: 16-bit PCM, mono.
        """
        if len(samples) and self._usable(time):
            self._sound.add(time, samples.astype(np.float32) / np.float32(2**15))
            self._time = max(self._time, self._sound.duration)

    def see(self, time: float, image: NDArray[np.uint8]) -> bool:
        """Look at a picture; one that was taken before the last one is late, and left out.

        Args:
            time: seconds since the session began.
            image: H × W × 3 RGB.

        Returns: whether its time could be used.
        """
        if not self._usable(time):
            return False
        if self._seen is not None:
            if time <= self._seen.time:
                self._late_pictures += 1
                return False
            self._seen.see(time, image)
        self._time = max(self._time, time)
        return True

    def say(self, id: str, text: str, start: float, stop: float) -> None:
        """Take in words that are known to whoever sends them; the same id replaces, an empty text removes.

        Args:
            id: of the text.
            text: the words.
            start: seconds since the session began at which they begin.
            stop: seconds at which they end.
        """
        if self._speech is not None:
            self._texts.remove("asr")
        self._speech, self._wants_speech = None, False
        self._texts.say(id, text, start, stop)

    def answer(self) -> LiveAnswer:
        """What is said of the window that ends now."""
        self._write_down()
        stop = self._time
        start = max(0.0, stop - self._window_s)
        self._texts.forget(stop - self._hold_s)
        rows = self._rows.features() if self._rows is not None else None
        people = self._seen.people(self._sound) if self._seen is not None else None
        window = Window(start, stop, self._person, rows, people, self._texts.within(start, stop))
        if isinstance(self._predictor, BuiltIn):
            told = told_by_built_in(self._predictor, window, self._encoding)
        else:
            told = told_by_trained(self._predictor, self._recipe, window)
        return LiveAnswer(
            stop,
            start,
            stop,
            told.prediction,
            told.now,
            told.texts,
            self._people(people, told),
            told.gates,
            self._absent(window, told),
            (*told.findings, *(people.findings if people is not None else ()), *self._findings()),
            self._sound.late_s,
            self._late_pictures,
        )

    def close(self) -> None:
        """Wait for what goes on in a thread beside; nothing is asked after that."""
        if self._speech is not None:
            self._speech.wait()

    def _write_down(self) -> None:
        """Take in what speech to text has understood, and let it go on."""
        if self._speech is None:
            return
        for number, words in self._speech.sentences.items():
            text = join_words([word.text for word in words])
            self._texts.say(f"asr-{number}", text, words[0].start, words[-1].stop, source="asr", words=words)
        self._speech.listen(self._sound)

    def _encoding(self) -> Features | None:
        """What Whisper's encoder makes of the sound; while speech to text needs the model, of what came before."""
        if self._encoded is None:
            return None
        busy = None if self._speech is None else self._speech.busy
        if busy is None or self._encoded.known is None:
            return self._encoded.features()
        if not busy.acquire(blocking=False):
            return self._encoded.known
        try:
            return self._encoded.features()
        finally:
            busy.release()

    def _usable(self, time: float) -> bool:
        """Whether a time can be one of this session."""
        latest = LATEST_S if self._clock is None else self._clock() + AHEAD_S
        if math.isfinite(time) and 0 <= time <= latest:
            return True
        self._unusable += 1
        return False

    def _people(self, people: People | None, told: Told) -> tuple[SeenPerson, ...]:
        """Who was seen a moment ago."""
        found = []
        for one in people.persons if people is not None else ():
            time = float(one.intervals[-1, 0])
            if self._time - time <= SEEN_S:
                silent = AUDIO in told.now.absent
                box = tuple(map(float, one.box[-1]))
                found.append(SeenPerson(one.number, box, bool(one.speaking[-1]) and not silent, time))
        return tuple(found)

    def _absent(self, window: Window, told: Told) -> dict[Modality, str]:
        """Why there is nothing of a modality that the model reads."""
        reasons = {TEXT: self._no_words(), AUDIO: self._no_voice(window), VISION: self._no_face(window)}
        return {m: reasons.get(m, "all time steps are missing") for m in told.prediction.absent}

    def _no_words(self) -> str:
        if self._speech is not None:
            return self._speech.failed or "no words were understood"
        return "no words were sent" + (f"; {why_not()}" if self._wants_speech else "")

    def _no_voice(self, window: Window) -> str:
        if window.sound is None:
            return "no sound came in"
        if AUDIO in self._recipe.aligned and not any(text.words for text in window.texts):
            return "its features are aligned to words, and no words are known"
        rows = window.sound.between(window.start, window.stop).values
        return "nobody speaks" if np.isfinite(rows).any() else NOTHING[AUDIO]

    def _no_face(self, window: Window) -> str:
        if window.people is None:
            return "no picture came in"
        if VISION in self._recipe.aligned and not any(text.words for text in window.texts):
            return "its features are aligned to words, and no words are known"
        if isinstance(self._person, int):
            return f"the face of person {self._person} is not visible"
        return NOTHING[VISION]

    def _findings(self) -> tuple[str, ...]:
        """What was odd about what came in."""
        counts = {
            "{} blocks of sound or pictures had a time that cannot be: left out": self._unusable,
            "{} texts were too long, too many, or had a time that cannot be: left out": self._texts.refused,
        }
        return tuple(finding.format(count) for finding, count in counts.items() if count)


RATES = (8_000, 48_000)
"""Samples a second that may come in."""


def _seen(extractor: Extractor, hold_s: float) -> SeenPeople:
    """Who is seen, with the rows of an extractor."""
    options: Any = extractor if isinstance(extractor, Expressions) else getattr(extractor, "watching", None)
    return SeenPeople(options, VIEWS[extractor.name], hold_s=hold_s, rate_hz=PICTURES_PER_S)
