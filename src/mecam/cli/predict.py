"""`mecam predict`."""

import csv
import io
import json
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from mecam.cli.console import err, out, print_place, progress
from mecam.errors import DataError, ModelError

if TYPE_CHECKING:
    from mecam.serve.predictor import Prediction, Predictor

__all__ = ["predict"]

SHOWN = 50
"""Rows of a table; more go to a file or to --format csv or jsonl."""


class Format(str, Enum):
    """How predictions are written."""

    table = "table"
    csv = "csv"
    jsonl = "jsonl"


def predict(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Sentences, text files (one sentence a line), or stores.")
    ],
    model: Annotated[
        Path | None, typer.Option("--model", "-m", metavar="RUN", help="A run folder. [default: the newest in runs/]")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of a store: only this split.")] = None,
    format_: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.table,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write there: .csv or .jsonl.")] = None,
) -> None:
    """Predict sentences or a store with a trained model.

    Example: mecam predict "I would see it again tomorrow" --model runs/demo
    """
    chosen = model or _newest_run()
    from mecam.serve.predictor import load

    with progress(f"loading {chosen}"):
        predictor = load(chosen)
    if predictor.trained.checkpoint.synthetic:
        err.print("[yellow]This model learned from the built-in synthetic corpus: it is for trying the tool.[/]")
    results = _predict_all(predictor, inputs, split)
    if output is not None:
        kind = Format.csv if output.suffix == ".csv" else Format.jsonl
        _write(output, _as_csv(results) if kind is Format.csv else _as_jsonl(results))
        print_place(f"{len(results)} predictions", output)
    elif format_ is Format.table:
        out.print(_table(results[:SHOWN]))
        if len(results) > SHOWN:
            err.print(f"and {len(results) - SHOWN} more: write them with --output predictions.csv")
    else:
        # Not through the console, which breaks lines at the width of a terminal.
        typer.echo((_as_csv if format_ is Format.csv else _as_jsonl)(results), nl=False)


def _predict_all(predictor: "Predictor", inputs: Sequence[str], split: str | None) -> list["Prediction"]:
    from mecam.data.store import Store

    results: list[Prediction] = []
    sentences: list[str] = []
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            with progress(f"predicting {path}") as callback:
                results += predictor.predict_store(Store(path), split=split, progress=callback)
        elif path.is_file():
            sentences += _read_sentences(path)
        elif " " not in given.strip() and ("/" in given or path.suffix):
            raise DataError(f"there is no file {given!r}", fix="check the path; a sentence needs quotes around it")
        else:
            sentences.append(given)
    blank = [i for i, sentence in enumerate(sentences) if not sentence.strip()]
    if blank:
        raise DataError("a sentence is empty", where=f"sentence {blank[0] + 1}")
    return results + (predictor.predict(sentences) if sentences else [])


def _read_sentences(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError("this is not a text file in UTF-8", where=str(path)) from error
    except OSError as error:
        raise DataError(f"cannot read: {error.strerror}", where=str(path)) from error
    sentences = [line for line in lines if line.strip()]
    if not sentences:
        raise DataError("there is no sentence in this file", where=str(path))
    return sentences


def _newest_run() -> Path:
    runs = [path.parent.parent for path in Path("runs").glob("*/checkpoint/config.json")]
    if not runs:
        raise ModelError("there is no trained model in runs/", fix="name one with --model RUN, or train: `mecam demo`")
    return max(runs, key=lambda run: (run / "checkpoint" / "config.json").stat().st_mtime)


def _table(results: Sequence["Prediction"]) -> Table:
    table = Table()
    table.add_column("id")
    table.add_column("text (dim: filtered out)", ratio=1)
    table.add_column("says")
    scored = any(result.score is not None for result in results)
    table.add_column("score" if scored else "probability", justify="right")
    if scored:
        table.add_column("90 % interval", justify="right")
    shares = sorted({modality for result in results for modality in result.shares})
    for modality in shares:
        table.add_column(modality, justify="right")
    for result in results:
        cells: list[Any] = [result.id, _words(result), result.label]
        if result.score is not None:
            cells.append(f"{result.score:+.2f}")
            known = result.low is not None and result.high is not None
            cells.append(f"{result.low:+.2f} to {result.high:+.2f}" if known else "–")
        else:
            cells.append(f"{max(result.probabilities.values()):.2f}")
        table.add_row(*cells, *(f"{result.shares.get(modality, 0):.0%}" for modality in shares))
    return table


def _words(result: "Prediction") -> Text:
    words = (result.text or "").split()
    kept = result.kept.get("text", [])
    text = Text()
    for i, word in enumerate(words):
        text.append(word + " ", style="dim" if i < len(kept) and kept[i] < 0.5 else "")
    return text


def _as_jsonl(results: Sequence["Prediction"]) -> str:
    return "".join(json.dumps(r.to_json(), ensure_ascii=False, allow_nan=False) + "\n" for r in results)


def _as_csv(results: Sequence["Prediction"]) -> str:
    from mecam.data.cells import safe_cell

    rows = []
    for r in results:
        row: dict[str, Any] = {"id": safe_cell(r.id), "text": safe_cell(r.text or ""), "label": r.label}
        row |= {"score": r.score, "low": r.low, "high": r.high} if r.score is not None else {}
        row |= {f"prob_{name}": p for name, p in r.probabilities.items()}
        rows.append(row | {f"share_{m}": share for m, share in r.shares.items()})
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _write(path: Path, content: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(content, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise DataError(f"cannot write here: {error.strerror}", where=str(path)) from error
