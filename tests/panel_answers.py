"""Answers as the built-in model gives them, made by hand: words, voice, faces, people, moments."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from mecam.prediction.result import Face, Prediction, RecordingPrediction, Voice
from mecam.types import Utterance, Word

__all__ = ["PART", "panel_recording", "utterance_of", "with_parts"]

EXPRESSIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")

SPOKEN = (
    (0.4, 2.6, "I really loved this film", 1.9, "joy", 0.71, "happy", 0.8),
    (3.0, 5.5, "but the end was a bit long", -0.4, "neutral", 0.35, "neutral", 0.1),
    (6.2, 9.4, "and nobody told me that it was sad", -1.6, "sadness", 0.22, "happy", 0.6),
)
"""Start, stop, words, score, emotion, activation, expression, smile of three utterances."""


def odds(names: tuple[str, ...], best: str, share: float) -> dict[str, float]:
    """A probability for each name; the others share the rest."""
    return {name: share if name == best else (1 - share) / (len(names) - 1) for name in names}


def label_of(score: float) -> str:
    """In words."""
    return "positive" if score > 0.5 else "negative" if score < -0.5 else "neutral"


def part_of(start: float, stop: float, text: str, score: float, *rest: object) -> Prediction:
    """One utterance with everything that can be said of it."""
    emotion, activation, expression, smile = rest
    assert isinstance(activation, float)
    assert isinstance(smile, float)
    return Prediction(
        f"clip_{start:g}",
        text,
        score,
        max(score - 1.1, -3.0),
        min(score + 1.2, 3.0),
        label_of(score),
        kept={"text": [0.9] * (len(text.split()) - 1) + [0.2], "audio": [0.9, 0.1, None], "vision": [1.0, 0.8]},
        start=start,
        stop=stop,
        emotions=odds(EMOTIONS, str(emotion), 0.62),
        voice=Voice(activation, activation - 0.12, activation + 0.1, 2.5, 182.0, 6.4, 0.12),
        face=Face(0.96, odds(EXPRESSIONS, str(expression), 0.7), {"smile": smile, "frown": 0.05, "mouth_open": 0.2}),
        person=1,
        contradicts=("vision",) if score < -1 and expression == "happy" else (),
    )


PART = part_of(*SPOKEN[0])


def utterance_of(part: Prediction) -> Utterance:
    """What an utterance was made from: words and rows with times."""
    start, stop = part.start or 0.0, part.stop or 0.0
    words = (part.text or "").split()
    edges = np.linspace(start, stop, len(words) + 1)
    times = {m: np.linspace(start, stop, n + 1) for m, n in (("audio", 3), ("vision", 2))}
    return Utterance(
        part.id,
        text=part.text,
        words=tuple(Word(word, float(a), float(b)) for word, a, b in zip(words, edges, edges[1:], strict=False)),
        streams={m: np.ones((len(edge) - 1, 2), np.float32) for m, edge in times.items()},
        intervals={m: np.stack([edge[:-1], edge[1:]], axis=1) for m, edge in times.items()},
    )


def with_parts(recording: RecordingPrediction, *parts: Prediction) -> RecordingPrediction:
    """The recording with these utterances instead."""
    return replace(recording, parts=parts, utterances=tuple(map(utterance_of, parts)), listeners=())


def listener_of(part: Prediction) -> Prediction:
    """The other person who is seen in an utterance."""
    face = Face(0.7, odds(EXPRESSIONS, "surprised", 0.5), {"smile": 0.1, "frown": 0.45})
    return Prediction(
        part.id, None, None, None, None, "", start=part.start, stop=part.stop, face=face, person=2, speaking=False
    )


def moment_of(parts: tuple[Prediction, ...], start: float) -> Prediction:
    """A second of the recording: a little different from its utterance."""
    middle = start + 0.5
    covering = [part for part in parts if (part.start or 0) <= middle < (part.stop or 0)]
    if not covering:
        return Prediction("", None, None, None, None, "", start=start, stop=start + 1, person=1, face=PART.face)
    (part,) = covering
    assert part.voice is not None
    assert part.voice.activation is not None
    moved = part.voice.activation + 0.1 * float(np.sin(3 * start))
    voice = replace(part.voice, activation=moved, low=moved - 0.1, high=moved + 0.1)
    words = " ".join((part.text or "").split()[:2])
    kept = {"text": [0.8], "audio": [0.3 if start == 4 else 0.9], "vision": [1.0]}
    return replace(part, text=words, start=start, stop=start + 1, voice=voice, kept=kept)


def panel_recording(path: Path, *, moments: bool = False, people: int = 2) -> RecordingPrediction:
    """A recording of ten seconds in which one person speaks three times, and another listens.

    Args:
        path: of the file, which need not be there.
        moments: it is told by seconds, too.
        people: 1, 2, or 0 where they are not told apart.
    """
    parts = tuple(part_of(*spoken) for spoken in SPOKEN)
    if people == 0:
        parts = tuple(replace(part, person=None) for part in parts)
    listeners = tuple(map(listener_of, parts)) if people == 2 else ()
    told = [moment_of(parts, float(start)) for start in range(10)] if moments else []
    other = replace(listener_of(parts[0]), id="")
    seen = [replace(other, start=one.start, stop=one.stop) for one in told] if people == 2 else []
    overall = replace(PART, id="clip", score=0.1, low=-0.9, high=1.2, label="neutral", start=0.0, stop=10.0, kept={})
    return RecordingPrediction(
        path,
        10.0,
        overall,
        parts,
        tuple(map(utterance_of, parts)),
        findings=("6.2 to 9.4 s: the words are negative, the face shows the expression 'happy'",),
        language="en",
        notes=("Built-in model: words: sentiment (MOSEI); voice: EmoDB.",),
        name=path.name,
        listeners=listeners,
        moments=tuple(one for pair in zip(told, seen, strict=True) for one in pair) if seen else tuple(told),
        model="the built-in model, research tier",
    )
