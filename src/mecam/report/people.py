"""The people of a recording in a table: who speaks how long, who is seen, and what their faces show."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mecam.prediction.in_words import leading, strong_movements
from mecam.prediction.result import Face
from mecam.report.format import duration, percent, plain
from mecam.report.panel_strips import people_of
from mecam.report.table import Cell, Table

if TYPE_CHECKING:
    from mecam.prediction.result import Prediction, RecordingPrediction

__all__ = ["people_table"]

NOTE = (
    "Means over the utterances, each weighing as long as it lasts. Speaks: of the utterances whose speaker this person "
    "is taken for."
)


def people_table(recording: "RecordingPrediction") -> Table | None:
    """A row a person; None where people are not told apart."""
    rows = []
    for number in people_of(recording):
        parts = [part for part in (*recording.parts, *recording.listeners) if part.person == number]
        spoken = sum(_seconds(part) for part in parts if part.speaking)
        seen = [part for part in parts if part.face is not None]
        face = _mean_face(seen)
        shown = [f"{name} {percent(share, 0)}" for name, share in leading(face.expressions, 1)]
        moved = [f"{name.replace('_', ' ')} {plain(amount, 2)}" for name, amount in strong_movements(face)]
        rows.append(
            [
                str(number),
                duration(spoken) if spoken else Cell("listens", tone="muted"),
                percent(face.visible, 0),
                ", ".join(shown),
                ", ".join(moved),
            ]
        )
    head = ("person", "speaks", "seen", "expression", "movements")
    return Table(head, rows, note=NOTE, words=frozenset({0, 3, 4})).compact() if rows else None


def _mean_face(parts: Sequence["Prediction"]) -> Face:
    """The mean of faces over time; of nobody, one that is not seen."""
    faces = [(part.face, _seconds(part)) for part in parts if part.face is not None]
    total = sum(weight for _, weight in faces)

    def mean(value: Callable[[Face], float]) -> float:
        return sum(weight * value(face) for face, weight in faces) / total if total else 0.0

    expressions = dict.fromkeys(name for face, _ in faces for name in face.expressions)
    movements = dict.fromkeys(name for face, _ in faces for name in face.movements)
    return Face(
        mean(lambda face: face.visible),
        {name: mean(lambda face, name=name: face.expressions.get(name, 0.0)) for name in expressions},
        {name: mean(lambda face, name=name: face.movements.get(name, 0.0)) for name in movements},
    )


def _seconds(part: "Prediction") -> float:
    return max((part.stop or 0.0) - (part.start or 0.0), 1e-3)
