"""Predictions in a line, as tables of the terminal, and as the overview of a folder of pages."""

import datetime
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rich.console import Group
from rich.text import Text

from mecam.files import write_whole
from mecam.prediction.in_words import leading
from mecam.prediction.rows import tells_more
from mecam.report.format import capital, percent, plain, plural, signed
from mecam.report.recording_table import REMOVED, filtered, sentiment_tone, shaded_words, span_of, table_over_time
from mecam.report.table import STYLES, Cell, Table, Tone
from mecam.types import TEXT, VISION, Modality
from mecam.version import __version__

if TYPE_CHECKING:
    from mecam.prediction.result import Prediction, RecordingPrediction

MAX_NAME_BYTES = 200
"""Of a file name that a page keeps; file systems take 255."""


def kicker(command: str, about: Mapping[str, Any]) -> str:
    """What made a page, of which model, when: the small print above its heading."""
    learned = f", trained on {about['learned_from']}" if about.get("learned_from") else ""
    run = f" of run {about['run']}" if about.get("run") else ""
    model = f"model {about['model']}{run}{learned}"
    return " · ".join([command, model, datetime.date.today().isoformat(), f"mecam {__version__}"])


def says(given: "Prediction") -> str:
    """A prediction in one line of text."""
    if given.score is None:
        known = given.probabilities.get(given.label)
        return given.label if known is None else f"{given.label} ({percent(known, 0)})"
    return f"{given.label} {signed(given.score)}{ends_of(given.low, given.high)}"


def ends_of(low: float | None, high: float | None) -> str:
    """The interval of a score in brackets, where it has one."""
    return "" if low is None or high is None else f" ({signed(low)} to {signed(high)})"


def odds(given: "Prediction") -> str:
    """All probabilities, the highest first."""
    order = sorted(given.probabilities.items(), key=lambda pair: -pair[1])
    return " · ".join(f"{name} {percent(share, 0)}" for name, share in order)


def absence(recording: "RecordingPrediction", modality: Modality) -> str:
    """Why an utterance has nothing of a modality."""
    from mecam.features.recording import NOTHING  # brings the decoders, which `mecam --help` need not wait for

    return recording.absent.get(modality) or NOTHING.get(modality, "no data")


def absences(recording: "RecordingPrediction") -> list[str]:
    """What the whole recording has nothing of, and why, in sentences."""
    return [f"{capital(m)} is absent: {why}." for m, why in recording.absent.items()]


def faces_seen(recording: "RecordingPrediction") -> str:
    """How often a face was seen, in a sentence; empty where nobody looked."""
    rows = [row for row in recording.details.get(VISION, ()) if row.get("frames")]
    frames, seen = sum(row["frames"] for row in rows), sum(row["with_face"] for row in rows)
    most = max((row["most_faces_at_once"] for row in rows), default=0)
    return f"A face is visible in {seen} of {frames} pictures; at most {most} at once." if rows else ""


def remarks(recording: "RecordingPrediction") -> list[str]:
    """What is odd about a recording, in sentences."""
    told = [f"Language: {recording.language}."] if recording.language else []
    told += [capital(finding) for finding in recording.findings]
    from mecam.features.segmentation import SENTENCE_END

    return [line if line.endswith(tuple(SENTENCE_END)) else f"{line}." for line in told]


def text_first(modality: Modality) -> tuple[bool, Modality]:
    """A key to sort modalities by: text, then the others by name."""
    return modality != TEXT, modality


def recording_view(recording: "RecordingPrediction") -> Group:
    """A recording: the whole in a line, what is said over time in a table, then what is filtered, absent or odd."""
    overall = recording.overall
    more = tells_more(recording)
    weights = " · ".join(f"{m} {percent(share, 0)}" for m, share in overall.shares.items() if m not in recording.absent)
    head = Text.assemble(
        (recording.name, "bold"),
        f" · {recording.duration:.1f} s · ",
        (says(overall) or no_score(recording), STYLES.get(sentiment_tone(overall), "bold")),
        f" · {weights}" if weights else "",
        f" · {beside}" if (beside := beside_score(overall)) else "",
    )
    whole = [Text(odds(overall))] if overall.probabilities else []
    names = [span_of(part) for part in recording.parts]
    table = table_over_time(recording) if more else _table(recording.parts, "time", names).terminal()
    below = [*(filtered(recording) if more else []), *_told_below(recording)]
    return Group(head, *whole, table, *map(Text, below), Text())


def no_score(recording: "RecordingPrediction") -> str:
    """Why a recording has no score, where it has none."""
    why = absence(recording, TEXT).partition(";")[0] if TEXT in recording.absent else ""  # all of it stands below
    return f"no score: {why}" if why else "no score"


def beside_score(overall: "Prediction") -> str:
    """What is told beside a score: the emotions of the words, the voice, the face."""
    told = [f"{name} {percent(share, 0)}" for name, share in leading(overall.emotions)]
    if overall.voice is not None and overall.voice.activation is not None:
        told.append(f"activation {plain(overall.voice.activation, 2)}")
    if overall.face is not None:
        told += [f"face {name} {percent(share, 0)}" for name, share in leading(overall.face.expressions, 1)]
    return " · ".join(told)


def predictions_table(results: Sequence["Prediction"]) -> Table:
    """Predictions of sentences or of a store, one a row."""
    return _table(results, "id", [result.id for result in results])


def failures_table(failures: Sequence[tuple[str, str]]) -> Table:
    """Recordings that could not be predicted, by name, and why."""
    return Table(("file", "reason"), failures, title=f"{len(failures)} could not be predicted", words=frozenset({0, 1}))


def _table(parts: Sequence["Prediction"], first: str, names: Sequence[str]) -> Table:
    """The predictions for utterances, one per line; empty columns are left out."""
    modalities = sorted({m for part in parts for m in part.shares}, key=text_first)
    head = [first, "text", "prediction", "score", "90 % interval", "probabilities", "emotions"]
    words = frozenset({0, 1, 2, 5, 6, 7 + len(modalities)})
    rows = [
        [
            Cell(name),
            shaded_words(part),
            Cell(part.label, tone=sentiment_tone(part)),
            Cell(signed(part.score)),
            Cell(ends_of(part.low, part.high).strip(" ()")),
            Cell(odds(part)),
            Cell(" · ".join(f"{name} {percent(share, 0)}" for name, share in leading(part.emotions))),
            *(_weight(part, m) for m in modalities),
            Cell(", ".join(f"{m} {percent(part.doubts.get(m), 0)}" for m in part.contradicts), tone="warning"),
        ]
        for name, part in zip(names, parts, strict=True)
    ]
    head += [*(f"{m} weight" for m in modalities), "contradicts"]
    return Table(head, rows, note=_note(parts), words=words).compact()


def _note(parts: Sequence["Prediction"]) -> str:
    """What the columns of the table in the terminal mean, as far as they are there."""
    gates = [gate for part in parts for gate in part.kept.get(TEXT, []) if part.text]
    lines = ["Dim words: removed by the filter."] if any(g is not None and g < REMOVED for g in gates) else []
    lines += ["Struck words: missing, not an input of the model."] if None in gates else []
    if any(part.alone for part in parts):
        other = "something else" if any(part.probabilities for part in parts) else "the opposite"
        lines.append(f"In brackets: the prediction from this modality alone; in colour where it is {other}.")
    if any(part.contradicts for part in parts):
        lines.append("Contradicts: the estimated probability that the modality contradicts the others.")
    return "\n".join(lines)


def _weight(part: "Prediction", modality: Modality) -> Cell:
    """The modality's part in the prediction, and the prediction from it alone."""
    if modality in part.absent:
        return Cell("absent", tone="muted")
    alone = part.alone.get(modality)
    said = "" if alone is None else f" ({signed(alone) if isinstance(alone, float) else alone})"
    tone: Tone = "warning" if modality in part.disagrees else ""
    return Cell(percent(part.shares.get(modality), 0) + said, tone=tone)


def _told_below(recording: "RecordingPrediction") -> list[str]:
    """What stands below the table: what is absent, faces, what was odd."""
    seen = faces_seen(recording)
    return [*absences(recording), *([seen] if seen else []), *remarks(recording)]


def page_names(names: Sequence[str], ending: str = ".html") -> list[str]:
    """Names of pages, or of files with another ending, that mirror the folders of the recordings; all are different.

    Args:
        names: of the recordings, with `/` between folders.
        ending: of the files.
    """
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        parts = [_short_name(part) for part in name.replace("\\", "_").split("/") if part not in ("", ".", "..")]
        made = f"{'/'.join(parts) or 'recording'}{ending}"
        number = 2
        while made.casefold() in taken or made.casefold() == "index.html":  # some file systems ignore capitals
            made = f"{'/'.join(parts) or 'recording'} ({number}){ending}"
            number += 1
        taken.add(made.casefold())
        found.append(made)
    return found


def write_index(
    path: Path, recordings: Sequence["RecordingPrediction"], pages: Sequence[str], about: Mapping[str, Any]
) -> Path:
    """Write the overview of pages that lie below it.

    Raises: DataError if it cannot be written.
    """
    rows = [
        [
            Cell(each.name, link=quote(os.fsencode(name))),
            says(each.overall) or no_score(each),
            ", ".join(each.absent) or "nothing",
            f"{each.duration:.1f} s",
        ]
        for each, name in zip(recordings, pages, strict=True)
    ]
    table = Table(("recording", "the whole", "absent", "length"), rows, words=frozenset({0, 1, 2}))
    notes = tuple(dict.fromkeys(note for each in recordings for note in each.notes))
    from mecam.report.page import page, section

    made = page(
        plural(len(recordings), "recording"),
        kicker=kicker("mecam predict", about),
        sections=[section("recordings", "Recordings", tables=[table])],
        badges=notes,
        styles=("recording.css",),
    )
    return write_whole(path, made)


def _short_name(name: str) -> str:
    """A part of a name that file systems take: one that is too long ends with a hash of itself."""
    data = os.fsencode(name)
    if len(data) <= MAX_NAME_BYTES:
        return name
    return f"{data[:MAX_NAME_BYTES].decode('utf-8', 'ignore')}-{hashlib.sha256(data).hexdigest()[:8]}"
