"""Predictions for the terminal, as CSV and as JSON lines."""

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from mecam.prediction.result import Prediction, Watched
    from mecam.task import Task

__all__ = ["as_csv", "as_json", "as_jsonl", "failures_view", "predictions_view", "watched_view"]


def watched_view(watched: "Watched", task: "Task") -> Group:
    """A recording: the whole in a line, its utterances in a table, then what is absent or odd."""
    overall = watched.overall
    weights = " · ".join(f"{m} {share:.0%}" for m, share in overall.shares.items() if m not in watched.absent)
    head = Text.assemble(
        (watched.name, "bold"),
        f" · {watched.duration:.1f} s · ",
        (_says(overall), _colour(overall, task)),
        f" · {weights}" if weights else "",
    )
    table = Table()
    for heading in ("time", "text (dim: filtered out)", "says"):
        table.add_column(heading, ratio=1 if heading.startswith("text") else None)
    modalities = sorted({m for part in watched.parts for m in part.shares})
    for modality in modalities:
        table.add_column(modality, justify="right")
    doubted = any(part.contradicts for part in watched.parts)
    if doubted:
        table.add_column("contradicts", justify="right")
    for part in watched.parts:
        cells = [
            Text(f"{_clock(part.start)}–{_clock(part.stop)}"),
            _words(part),
            Text(_says(part), _colour(part, task)),
        ]
        for modality in modalities:
            alone = part.alone.get(modality)
            said = "" if alone is None else f" ({alone:+.2f})" if isinstance(alone, float) else f" ({alone})"
            style = "yellow" if modality in part.disagrees else ""
            cells.append(Text(_share(part, modality) + said, style))
        table.add_row(*cells, *([_contradicts(part)] if doubted else []))
    probabilities = [Text(_odds(overall))] if overall.probabilities else []
    return Group(head, *probabilities, table, *(Text(line) for line in _remarks(watched)), Text())


def _remarks(watched: "Watched") -> list[str]:
    lines = []
    if any(part.alone for part in watched.parts):
        other = "something else" if watched.overall.probabilities else "the opposite"
        lines.append(f"In brackets: what the model says of the modality alone; in colour, where that is {other}.")
    if any(part.contradicts for part in watched.parts):
        lines.append("contradicts: the modality that, in the model's view of all together, contradicts the others.")
    lines += [f"{m} is absent: {why}" for m, why in watched.absent.items()]
    faces = [row for row in watched.details.get("vision", ()) if row.get("frames")]
    if faces:
        seen, frames = sum(row["with_face"] for row in faces), sum(row["frames"] for row in faces)
        most = max(row["most_faces_at_once"] for row in faces)
        lines.append(f"a face in {seen / frames:.0%} of the pictures looked at, at most {most} at once")
    return [*lines, *watched.findings]


def failures_view(failures: Sequence[tuple[str, str]]) -> Table:
    """Recordings that could not be predicted, by name, and why."""
    table = Table(title=f"{len(failures)} could not be predicted", title_justify="left")
    table.add_column("file")
    table.add_column("reason", ratio=1)
    for name, reason in failures:
        table.add_row(Text(name), Text(reason))
    return table


def predictions_view(results: Sequence["Prediction"]) -> Table:
    """Predictions of sentences or of a store, one a row."""
    table = Table()
    table.add_column("id")
    table.add_column("text (dim: filtered out)", ratio=1)
    table.add_column("says")
    scored = any(result.score is not None for result in results)
    table.add_column("score" if scored else "probabilities", justify="right" if scored else "left")
    if scored:
        table.add_column("90 % interval", justify="right")
    shares = sorted({modality for result in results for modality in result.shares})
    for modality in shares:
        table.add_column(modality, justify="right")
    doubted = any(result.contradicts for result in results)
    if doubted:
        table.add_column("contradicts", justify="right")
    for result in results:
        cells: list[Any] = [Text(result.id), _words(result), result.label]
        if result.score is not None:
            cells.append(f"{result.score:+.2f}")
            known = result.low is not None and result.high is not None
            cells.append(f"{result.low:+.2f} to {result.high:+.2f}" if known else "–")
        else:
            cells.append(_odds(result))
        cells += [_share(result, modality) for modality in shares]
        table.add_row(*cells, *([_contradicts(result)] if doubted else []))
    return table


def _contradicts(result: "Prediction") -> Text:
    """The modality that contradicts the others more probably than not, and how probably."""
    return Text(", ".join(f"{m} {result.doubts[m]:.0%}" for m in result.contradicts), "yellow")


def _share(result: "Prediction", modality: str) -> str:
    """The modality's part in the prediction; a dash where there is nothing of it."""
    return "–" if modality in result.absent else f"{result.shares.get(modality, 0):.0%}"


def _odds(result: "Prediction") -> str:
    """All probabilities, the highest first."""
    from mecam.report.recording.page import odds

    return odds(result)


def _words(result: "Prediction") -> Text:
    words = (result.text or "").split()
    kept = result.kept.get("text", [])
    text = Text()
    for i, word in enumerate(words):
        text.append(word + " ", style="dim" if i < len(kept) and (kept[i] or 0.0) < 0.5 else "")
    return text


def as_jsonl(watched: Sequence["Watched"], others: Sequence["Prediction"]) -> str:
    """One line a recording, with its utterances inside; one a prediction of anything else."""
    from mecam.cli.console import json_text

    results = [*(each.to_json() for each in watched), *(each.to_json() for each in others)]
    return "".join(json_text(result) + "\n" for result in results)


def as_json(watched: Sequence["Watched"], others: Sequence["Prediction"]) -> str:
    """The lines of `as_jsonl` as one list."""
    lines = as_jsonl(watched, others).rstrip("\n").split("\n")
    return "[\n" + ",\n".join(lines) + "\n]\n"


def as_csv(watched: Sequence["Watched"], others: Sequence["Prediction"]) -> str:
    """One row a prediction; those of recordings begin with the file and end with who disagrees."""
    from mecam.data.cells import safe_row

    rows = []
    for each in watched:
        for part in each.parts:
            place = {"file": each.name, "start": part.start, "stop": part.stop}
            note = {"note": " ".join(each.notes)} if each.notes else {}
            rows.append({**place, **_cells(part), "disagrees": " ".join(part.disagrees), **note})
    rows += [_cells(result) for result in others]
    buffer = io.StringIO(newline="")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(safe_row(columns))
    writer.writerows(safe_row(row.get(column, "") for column in columns) for row in rows)
    return buffer.getvalue()


def _cells(result: "Prediction") -> dict[str, Any]:
    row: dict[str, Any] = {"id": result.id, "text": result.text or "", "label": result.label}
    row |= {"score": result.score, "low": result.low, "high": result.high} if result.score is not None else {}
    row |= {f"prob_{name}": p for name, p in result.probabilities.items()}
    row |= {f"share_{m}": share for m, share in result.shares.items()}
    row |= {"absent": " ".join(result.absent)} if result.absent else {}
    row |= {f"doubt_{m}": doubt for m, doubt in result.doubts.items()}
    return row | ({"contradicts": " ".join(result.contradicts)} if result.doubts else {})


def _says(result: "Prediction") -> str:
    if result.score is None:
        return f"{result.label} ({max(result.probabilities.values(), default=0.0):.0%})"
    if result.low is None or result.high is None:
        return f"{result.label} {result.score:+.2f}"
    return f"{result.label} {result.score:+.2f} ({result.low:+.2f} to {result.high:+.2f})"


def _colour(result: "Prediction", task: "Task") -> str:
    if not task.is_score:
        return "bold"
    return {"positive": "bold blue", "negative": "bold red"}.get(result.label, "bold")


def _clock(seconds: float | None) -> str:
    minutes, rest = divmod(seconds or 0.0, 60)
    return f"{int(minutes)}:{rest:04.1f}"
