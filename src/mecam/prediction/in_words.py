"""A prediction in a few words, for captions, annotations and notebooks: plain ASCII numbers, without an interval."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mecam.prediction.result import Face, Prediction

__all__ = [
    "NOTABLE",
    "activation_of",
    "emotions_of",
    "face_of",
    "leading",
    "one_line",
    "sentiment_of",
    "strong_movements",
]

LIKELY = 0.5
"""A probability above which a name is told though another is more probable."""
NOTABLE = 0.3
"""A movement of the face above this, to either side, is worth telling."""


def leading(probabilities: Mapping[str, float], most: int = 2) -> Sequence[tuple[str, float]]:
    """The names above one half, at most so many, the most probable first; where there is none, the most probable."""
    order = sorted(probabilities.items(), key=lambda pair: -pair[1])
    return [pair for pair in order[:most] if pair[1] > LIKELY] or order[:1]


def strong_movements(face: "Face") -> Sequence[tuple[str, float]]:
    """The movements that are worth telling, the strongest first."""
    strong = [pair for pair in face.movements.items() if abs(pair[1]) >= NOTABLE]
    return sorted(strong, key=lambda pair: -abs(pair[1]))


def sentiment_of(part: "Prediction") -> str:
    """The label, and the score or the probability of the label; empty where there is nothing to go by."""
    known = part.probabilities.get(part.label)
    number = f"{part.score:+.1f}" if part.score is not None else "" if known is None else f"{known:.2f}"
    return f"{part.label} {number}".strip()


def emotions_of(part: "Prediction") -> str:
    """What the words express; empty where nothing is known."""
    return ", ".join(f"{name} {share:.2f}" for name, share in leading(part.emotions))


def activation_of(part: "Prediction") -> str:
    """How activated the voice is, from 0 to 1; empty where it is not known."""
    known = None if part.voice is None else part.voice.activation
    return "" if known is None else f"{known:.2f}"


def face_of(part: "Prediction") -> str:
    """The expression and the movements that stand out; empty where no face is seen."""
    if part.face is None:
        return ""
    shown = [*leading(part.face.expressions, 1), *strong_movements(part.face)]
    return ", ".join(f"{name.replace('_', ' ')} {share:.2f}" for name, share in shown)


def one_line(part: "Prediction") -> str:
    """All of them, such as `positive +1.8 · joy · activation 0.7 · face happy`; empty where nothing is known."""
    told = [sentiment_of(part), *(name for name, _ in leading(part.emotions, 1))]
    if part.voice is not None and part.voice.activation is not None:
        told.append(f"activation {part.voice.activation:.1f}")
    if part.face is not None:
        told += [f"face {name}" for name, _ in leading(part.face.expressions, 1)]
    return " · ".join(piece for piece in told if piece)
