"""Leave with your data: a store as MMSA's pickle, as CSV, or as NPZ beside a `label.csv`.

What a format cannot hold is counted in the report. Files appear under their names only when they are whole.
"""

import csv
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.data.cells import safe_cell
from mecam.data.store import Store
from mecam.data.store.derive import Progress
from mecam.errors import DataError, ModelError
from mecam.files import whole_file, whole_folder, writing
from mecam.hub import loading_options, refusal, resolve_text_encoder
from mecam.types import AUDIO, SPLITS, TEXT, VISION, Modality

__all__ = ["ExportReport", "Tokenize", "bert_tokenizer", "export_csv", "export_mmsa", "export_npz"]

Tokenize = Callable[[list[str]], NDArray[np.int64]]
"""N texts → N × 3 × L: token ids, attention mask, token types."""

POLARITY = ("Negative", "Neutral", "Positive")


@dataclass
class ExportReport:
    """What was written, and what the format could not hold.

    Attributes:
        files: the files made.
        utterances: written.
        left_out: utterances without the split or label that the format demands.
        truncated: modality → utterances longer than the length asked for.
        filled: modality → missing values (NaN) written as 0.
        targets: labels that the format has no place for, by name.
    """

    files: list[str] = field(default_factory=list)
    utterances: int = 0
    left_out: int = 0
    truncated: dict[Modality, int] = field(default_factory=dict)
    filled: dict[Modality, int] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self)


def export_mmsa(
    store: Store,
    path: str | Path,
    *,
    tokenize: Tokenize | None = None,
    max_length: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Write MMSA's pickle: split → `raw_text`, `id`, features padded on the right with zeros, lengths, labels.

    The padded arrays of one split at a time are held in memory. An absent modality becomes one row of zeros.

    Args:
        store: of a regression task.
        path: the file to make.
        tokenize: makes `text_bert`, which MMSA's BERT models read.
        max_length: rows that a modality may have; by default those of its longest utterance.
        overwrite: replace an existing file.
        progress: called with utterances done.

    Raises: DataError if the task is another one, or the place is taken.
    """
    if not store.task.is_score:
        raise DataError(
            f"MMSA's layout holds scores, and the labels here are {store.task.answers}", fix="export to npz or csv"
        )
    report = ExportReport(files=[str(path)])
    splits, labels = store.column("split"), store.column("label")
    lengths = {m: min(int(store.lengths(m).max()), max_length or 1 << 62) for m in store.specs}
    content = {}
    for split in SPLITS:
        of = [i for i in range(len(store)) if splits[i] == split and labels[i] is not None]
        if of:
            content[split] = _mmsa_split(store, of, lengths, tokenize, report)
        report.utterances += len(of)
        if progress:
            progress(report.utterances, len(store))
    report.left_out = len(store) - report.utterances
    report.targets = [name for name in store.targets if name not in (store.target, TEXT, AUDIO, VISION)]
    with _new_file(Path(path), overwrite=overwrite) as partial, partial.open("wb") as file:
        pickle.dump(content, file, protocol=4)
    return report


def export_npz(
    store: Store,
    path: str | Path,
    *,
    max_length: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Write a folder with `label.csv`, `words.csv` and one `<modality>.npz` each, which `mecam data import` reads.

    An NPZ holds `id` (N), `<modality>` (N × D where every utterance has at most one row, else N × T × D, padded on
    the right with zeros) and `<modality>_lengths` (N). A missing value is NaN. The padded arrays of one modality at a
    time are held in memory.

    Args:
        store: what to export.
        path: the folder to make.
        max_length: rows that a modality may have; by default those of its longest utterance.
        overwrite: replace an existing export.
        progress: called with modalities done.

    Raises: DataError if the place is taken.
    """
    report = ExportReport(utterances=len(store))
    ids = np.array(store.column("id"))
    with _new_folder(Path(path), overwrite=overwrite) as folder:
        _write_labels(store, folder)
        for done, modality in enumerate(store.specs, 1):
            longest = min(int(store.lengths(modality).max()), max_length or 1 << 62)
            values, lengths = _padded(store, range(len(store)), modality, longest, report)
            arrays = {modality: values} if longest > 1 else {modality: values[:, 0]}
            if longest == 1:
                arrays[modality][lengths == 0] = np.nan
            np.savez(folder / f"{modality}.npz", id=ids, **arrays, **{f"{modality}_lengths": lengths})  # type: ignore[arg-type]
            if progress:
                progress(done, len(store.specs))
        report.files = [str(Path(path) / file.name) for file in sorted(folder.iterdir())]
    return report


def export_csv(
    store: Store, path: str | Path, *, overwrite: bool = False, progress: Progress | None = None
) -> ExportReport:
    """Write a folder of CSV files: `label.csv`, `words.csv`, and one `<modality>.csv` with a line per row.

    Numbers have the digits that give the same float32 again; a missing value is an empty cell. Text that a
    spreadsheet would run as a formula gets an apostrophe in front (`mecam.data.cells`).

    Args:
        store: what to export.
        path: the folder to make.
        overwrite: replace an existing export.
        progress: called with utterances done, over all modalities.

    Raises: DataError if the place is taken.
    """
    report = ExportReport(utterances=len(store))
    total = len(store) * len(store.specs)
    with _new_folder(Path(path), overwrite=overwrite) as folder:
        _write_labels(store, folder)
        for done, modality in enumerate(store.specs):
            spec = store.specs[modality]
            names = spec.names or [f"{modality}_{i}" for i in range(spec.width)]
            timed = ["start", "end"] if store.has_intervals(modality) else []
            lines = _feature_lines(store, modality, bool(timed), progress, done * len(store), total)
            _write_csv(folder / f"{modality}.csv", ["id", *timed, *map(safe_cell, names)], lines)
        report.files = [str(Path(path) / file.name) for file in sorted(folder.iterdir())]
    return report


def bert_tokenizer(name: str, length: int) -> Tokenize:
    """MMSA's `text_bert` from the tokenizer of a text encoder.

    Args:
        name: a name or folder, as `resolve_text_encoder` takes it.
        length: tokens per text, special ones included; the rest is cut.

    Raises: ModelError if it cannot be loaded.
    """
    from transformers import AutoTokenizer

    source = resolve_text_encoder(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **loading_options(source))
    except (OSError, ValueError) as error:
        raise ModelError(f"no tokenizer for {name!r} can be loaded: {refusal(source, error)}") from error

    def tokenize(texts: list[str]) -> NDArray[np.int64]:
        made = tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_token_type_ids=True)
        rows = [made["input_ids"], made["attention_mask"], made["token_type_ids"]]
        return np.stack([np.asarray(row, np.int64) for row in rows], axis=1)

    return tokenize


def _mmsa_split(
    store: Store,
    of: list[int],
    lengths: dict[Modality, int],
    tokenize: Tokenize | None,
    report: ExportReport,
) -> dict[str, Any]:
    columns = {name: store.column(name) for name in ("id", "video", "text", "label", "unimodal")}
    scores = np.array([columns["label"][i] for i in of], np.float32)
    texts = [columns["text"][i] or "" for i in of]
    part: dict[str, Any] = {
        "raw_text": np.array(texts, object),
        "id": [_mmsa_id(columns["id"][i], columns["video"][i]) for i in of],
        "regression_labels": scores,
        "classification_labels": (np.sign(scores) + 1).astype(np.float32),
        "annotations": np.array([POLARITY[int(sign) + 1] for sign in np.sign(scores)]),
    }
    for modality, letter in ((TEXT, "T"), (AUDIO, "A"), (VISION, "V")):
        each = np.array([(columns["unimodal"][i] or {}).get(modality, np.nan) for i in of], np.float32)
        if not np.isnan(each).all():
            part[f"regression_labels_{letter}"] = each
    if tokenize is not None:
        part["text_bert"] = tokenize(texts)
    for modality, longest in lengths.items():
        values, rows = _padded(store, of, modality, longest, report)
        report.filled[modality] = report.filled.get(modality, 0) + int(np.isnan(values).sum())
        part[modality] = np.nan_to_num(values, copy=False, nan=0.0)
        part[f"{modality}_lengths"] = np.maximum(rows, 1).tolist()
    return part


def _padded(
    store: Store, of: Sequence[int], modality: Modality, longest: int, report: ExportReport
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """N × T × D with zeros on the right, and N lengths; longer utterances lose their end."""
    all_rows, lengths = store.rows(modality), store.lengths(modality)
    starts = np.cumsum(lengths) - lengths
    values = np.zeros((len(of), longest, all_rows.shape[1]), np.float32)
    for place, i in enumerate(of):
        kept = min(int(lengths[i]), longest)
        values[place, :kept] = all_rows[starts[i] : starts[i] + kept]
    chosen = lengths[list(of)]
    if truncated := int((chosen > longest).sum()):
        report.truncated[modality] = report.truncated.get(modality, 0) + truncated
    return values, np.minimum(chosen, longest)


def _mmsa_id(name: str, video: str) -> str:
    clip = _clip(name, video)
    return name if clip is None else f"{video}$_${clip}"


def _clip(name: str, video: str) -> str | None:
    """The clip of an id `video_clip`, or None where it is named otherwise."""
    return name[len(video) + 1 :] if video and name.startswith(f"{video}_") and len(name) > len(video) + 1 else None


def _write_labels(store: Store, folder: Path) -> None:
    """`label.csv` in the layout that importers of the field read, and `words.csv` where there are words."""
    names = ("id", "video", "speaker", "text", "split", "label", "targets", "unimodal", "words")
    columns = {name: store.column(name) for name in names}
    clips = [_clip(name, video) for name, video in zip(columns["id"], columns["video"], strict=True)]
    kinds = sorted({modality for scores in columns["unimodal"] for modality in scores or ()})
    letters = {TEXT: "T", AUDIO: "A", VISION: "V"}
    header = ["video_id", "clip_id"] if None not in clips else ["id", "video_id"]
    header += [name for name in ("speaker", "text") if any(value is not None for value in columns[name])]
    header += ["mode", *(store.task.names if store.task.several else ("label",))]
    others = {n: task for n, task in store.targets.items() if n != store.target and n not in kinds}
    header += [name for n, task in others.items() for name in (task.names if task.several else (n,))]
    header += [f"label_{letters.get(modality, modality)}" for modality in kinds]

    def lines() -> Iterator[list[Any]]:
        for i, clip in enumerate(clips):
            line: dict[str, Any] = {"id": columns["id"][i], "video_id": columns["video"][i], "clip_id": clip}
            line |= {"speaker": columns["speaker"][i], "text": columns["text"][i], "mode": columns["split"][i]}
            label, scores = columns["label"][i], columns["unimodal"][i] or {}
            for name, given in (*(columns["targets"][i] or {}).items(), ("label", label)):
                line |= given if isinstance(given, dict) else {name: given}
            line |= {f"label_{letters.get(modality, modality)}": scores.get(modality) for modality in kinds}
            yield [line.get(name) for name in header]

    _write_csv(folder / "label.csv", header, lines())
    if any(columns["words"]):
        spoken = (
            [name, text, start, stop]
            for name, words in zip(columns["id"], columns["words"], strict=True)
            for text, start, stop in words or ()
        )
        _write_csv(folder / "words.csv", ["id", "word", "start", "end"], spoken)


def _feature_lines(
    store: Store, modality: Modality, timed: bool, progress: Progress | None, before: int, total: int
) -> Iterator[list[Any]]:
    """Id, times, values of every row; a float32 is written by its shortest exact digits."""
    for done, utterance in enumerate(store, 1):
        values = utterance.streams.get(modality, np.empty((0, 0), np.float32))
        times = utterance.intervals.get(modality) if timed else None
        for row, numbers in enumerate(values):
            seconds = [] if times is None else [_or_empty(value) for value in times[row].tolist()]
            yield [utterance.id, *seconds, *map(_or_empty, numbers)]
        if progress:
            progress(before + done, total)


def _or_empty(value: Any) -> Any:
    return None if np.isnan(value) else value


def _write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for line in lines:
            writer.writerow(safe_cell(cell) if isinstance(cell, str) else cell for cell in line)


@contextmanager
def _new_file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary name that becomes `path` when the block succeeds."""
    _free(path, overwrite=overwrite)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        yield partial


@contextmanager
def _new_folder(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary folder that becomes `path` when the block succeeds."""
    _free(path, overwrite=overwrite)
    with whole_folder(path) as partial:
        yield partial


def _free(path: Path, *, overwrite: bool) -> None:
    """Refuse a place that is taken; only an earlier export of the same kind may be replaced."""
    is_export = path.is_file() or (path / "label.csv").is_file()
    if os.path.lexists(path) and not (overwrite and is_export):
        raise DataError(
            f"{path} exists already", where=str(path.resolve()), fix="choose another place, or add --overwrite"
        )
