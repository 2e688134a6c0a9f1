"""What is said of a recording over time, as a table of the terminal: words, sentiment, emotions, voice, faces."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table as TerminalTable

from mecam.prediction.in_words import leading, strong_movements
from mecam.prediction.rows import in_time
from mecam.report.format import clock, percent, plain, signed
from mecam.report.table import Cell, Table, Tone
from mecam.types import TEXT, Modality

if TYPE_CHECKING:
    from mecam.prediction.result import Face, Prediction, RecordingPrediction

__all__ = ["REMOVED", "filtered", "removed_share", "sentiment_tone", "shaded_words", "span_of", "table_over_time"]

HEAD = ("time", "person", "text", "sentiment", "emotions", "activation", "face")

REMOVED = 0.5
"""What has a gate below this is shown as filtered out."""
TOLD = 0.05
"""A part of a modality that is removed, from which on it is told."""


def table_over_time(recording: "RecordingPrediction") -> TerminalTable:
    """A row a moment, or an utterance, and a person; columns without content are left out.

    It has no lines between columns, of which there are many: it fits 100 columns of a terminal, and wraps below.
    """
    parts = in_time(recording)
    several = len({part.person for part in parts if part.person is not None}) > 1
    rows = [
        [
            Cell(span_of(part)),
            Cell("" if part.person is None or not several else str(part.person), tone="" if part.speaking else "muted"),
            _said(part, moment=bool(recording.moments)),
            _sentiment(part),
            Cell("\n".join(f"{name} {percent(share, 0)}" for name, share in leading(part.emotions))),
            _activation(part),
            Cell("\n".join(_shown(part.face)) if part.face is not None else ""),
        ]
        for part in parts
    ]
    dim = not recording.moments and any(removed_share(part.kept.get(TEXT, [])) for part in parts)
    note = "Dim words: removed by the filter." if dim else ""
    table = Table(HEAD, rows, note=note, words=frozenset(range(len(HEAD)))).compact().terminal()
    table.box, table.pad_edge, table.padding = SIMPLE_HEAD, False, (0, 1, 0, 0)
    for column in table.columns:
        column.no_wrap = str(column.header) in ("time", "person", "activation")
        column.min_width = len("contradicts") if str(column.header) == "text" else None
    return table


def span_of(part: "Prediction") -> str:
    """When an utterance begins and ends in its recording."""
    return f"{clock(part.start or 0.0)}–{clock(part.stop or 0.0)}"


def filtered(recording: "RecordingPrediction") -> list[str]:
    """What the filter removed of the whole recording, in a sentence; none where it is next to nothing."""
    parts = recording.parts
    names = dict.fromkeys(m for part in parts for m in part.kept)
    shares = {m: removed_share([gate for part in parts for gate in part.kept.get(m, [])]) for m in names}
    told = [f"{percent(share, 0)} of the {NAMES.get(m, m)}" for m, share in shares.items() if share >= TOLD]
    return [f"Removed by the filter: {', '.join(told)}."] if told else []


def removed_share(gates: Sequence[float | None]) -> float:
    """The part of the rows that are there which the filter removed."""
    known = [gate for gate in gates if gate is not None]
    return sum(gate < REMOVED for gate in known) / len(known) if known else 0.0


def shaded_words(part: "Prediction") -> Cell:
    """The words; dim where the filter removed them, struck where they are missing."""
    gates = part.kept.get(TEXT, [])
    pieces: list[tuple[str, Tone]] = []
    for i, word in enumerate((part.text or "").split()):
        gate = gates[i] if i < len(gates) else 1.0
        pieces.append((word, "missing" if gate is None else "muted" if gate < REMOVED else ""))
        pieces.append((" ", ""))
    return Cell.joined(pieces[:-1])


def sentiment_tone(part: "Prediction") -> Tone:
    """The colour of a score."""
    tones: dict[str, Tone] = {"positive": "positive", "negative": "negative"}
    return tones.get(part.label, "") if part.score is not None else "strong"


def _said(part: "Prediction", *, moment: bool) -> Cell:
    """The words, and below them who contradicts and what is removed.

    Args:
        part: its words are shaded by their gates; not those of a moment, which has only the mean of them.
        moment: it is one.
    """
    if part.listens:
        return Cell("listening", tone="muted")
    words = Cell(part.text or "") if moment else shaded_words(part)
    against = [f"{NAMES.get(m, m)} contradicts" for m in part.contradicts]
    marks = "\n".join([*against, *_removals(part, moment=moment)])
    pieces = words.pieces or [(words.text, "")]
    return Cell.joined([*pieces, ("\n" if words.text and marks else "", ""), (marks, "warning")])


def _sentiment(part: "Prediction") -> Cell:
    if part.score is None:
        known = part.probabilities.get(part.label)
        return Cell(part.label if known is None else f"{part.label} {percent(known, 0)}", tone=sentiment_tone(part))
    ends = "" if part.low is None or part.high is None else f"{signed(part.low, 1)}…{signed(part.high, 1)}"
    return Cell(f"{part.label} {signed(part.score, 1)}", under=ends, tone=sentiment_tone(part))


def _activation(part: "Prediction") -> Cell:
    voice = part.voice
    if voice is None or voice.activation is None:
        return Cell("")
    ends = "" if voice.low is None or voice.high is None else f"{plain(voice.low, 1)}…{plain(voice.high, 1)}"
    return Cell(plain(voice.activation, 2), under=ends)


def _shown(face: "Face") -> list[str]:
    """The expression, and what moves notably."""
    told = [f"{name} {percent(share, 0)}" for name, share in leading(face.expressions, 1)]
    return told + [f"{name.replace('_', ' ')} {plain(amount, 1)}" for name, amount in strong_movements(face)[:2]]


def _removals(part: "Prediction", *, moment: bool) -> list[str]:
    """Modalities of which the filter removed something, and how much; of an utterance, dim words say it of the text."""
    shares = {m: removed_share(gates) for m, gates in part.kept.items() if moment or m != TEXT}
    told = {m: f"{percent(share, 0)} " if share < 1 else "" for m, share in shares.items() if share >= TOLD}
    return [f"{NAMES.get(m, m)} {share}removed" for m, share in told.items()]


NAMES: dict[Modality, str] = {"text": "words", "audio": "voice", "vision": "face"}
"""What people call a modality of a recording."""
