"""What an importer hands over: rows (one per utterance) and time lines (one per recording).

Every layout becomes a `Source` or a `Timeline`; `mecam.data.importing.importer` joins them by id, or by
recording and time, and writes the store. Nothing here cleans or decides: a row says what its file says.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.errors import DataError
from mecam.task import EMOTIONS
from mecam.types import AUDIO, SPLITS, TEXT, VISION, FeatureSpec, Modality, Word

__all__ = [
    "MAX_WORDS",
    "FileLayout",
    "Note",
    "PickleLayout",
    "Piece",
    "Row",
    "Source",
    "Timeline",
    "check_count",
    "column_of",
    "count_of",
    "data_set_name",
    "extractor_of",
    "make_id",
    "modality_of",
    "number_of",
    "scores_of",
    "split_ids",
    "split_in_name",
    "split_named",
    "splits_of",
    "text_of",
]

MAX_ID_CHARACTERS = 200

MAX_UTTERANCES = 500_000
"""Utterances that a file may hold: each takes about a kilobyte of memory, whatever it took in the file."""

MAX_WORDS = 3_000_000
"""Words that a file may hold, at about 250 bytes each."""

Note = tuple[str, str, int]
"""A finding that reading a file brings: its kind, an example, how often."""

_SPLIT_NAMES = {"train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid"}
_SPLIT_NAMES |= {"dev": "valid", "development": "valid", "test": "test", "testing": "test"}

_MODALITIES = {
    AUDIO: ("audio", "acoustic", "speech", "covarep", "opensmile", "mfcc", "egemaps", "voice"),
    VISION: ("vision", "video", "visual", "face", "facet", "openface", "au", "aus", "image"),
    TEXT: ("text", "glove", "language", "bert"),
}


@dataclass(frozen=True)
class Piece:
    """The rows of one modality of one utterance, padding removed.

    Attributes:
        values: T × D, as the file has them; T = 0 where the modality is absent.
        intervals: T × 2 seconds, where the file has them.
    """

    values: NDArray[Any]
    intervals: NDArray[np.float64] | None = None

    def chosen(self, rows: NDArray[np.bool_]) -> "Piece":
        """Some of the rows."""
        return Piece(self.values[rows], None if self.intervals is None else self.intervals[rows])


@dataclass(frozen=True)
class Row:
    """What one file says about one utterance, features apart.

    Attributes:
        id: `video_clip`.
        split: `train`, `valid`, `test` or empty.
        video: the recording, or empty.
        speaker: who speaks, or empty.
        text: the transcript, or None.
        words: the words, with times where known.
        labels: `score` (a number), `emotion`, `label` and `polarity` (class names), `happy` … (intensities).
        scored: True where the file says that its number is a score, and not the number of a class.
        unimodal: modality → score.
        interval: start and end in the recording in seconds, NaN where unknown.
        early: True where the file is known to give the word before the first and the last one instead.
    """

    id: str
    split: str = ""
    video: str = ""
    speaker: str = ""
    text: str | None = None
    words: tuple[Word, ...] = ()
    labels: Mapping[str, float | str] = field(default_factory=dict)
    unimodal: Mapping[Modality, float] = field(default_factory=dict)
    interval: tuple[float, float] = (math.nan, math.nan)
    early: bool = False
    scored: bool = False


@dataclass(frozen=True)
class Source:
    """One file, or a part of one, as rows.

    Attributes:
        layout: the layout's name, for the report.
        file: name of the file.
        rows: one per utterance, in file order.
        specs: the streams that `read` may give.
        read: features of the row at a position, modality → piece.
        release: gives memory back that reading has taken; called now and then.
        split_files: True for layouts that keep each split in a file of its own.
        form: how the file is written, for the report: encoding, separator, decimal mark.
        notes: what was unusual in it.
    """

    layout: str
    file: str
    rows: Sequence[Row]
    specs: Mapping[Modality, FeatureSpec] = field(default_factory=dict)
    read: Callable[[int], Mapping[Modality, Piece]] = lambda _: {}
    split_files: bool = False
    release: Callable[[], None] = lambda: None
    form: str = ""
    notes: Sequence[Note] = ()

    @property
    def role(self) -> str:
        """What the source is a part of: its file, or its layout over all files."""
        return self.layout if self.split_files else self.file


@dataclass(frozen=True)
class PickleLayout:
    """A layout of pickles, and of PyTorch's files, which are read as plain data first.

    Attributes:
        read: (content, name of the file) → its sources, or None where it has another layout.
        order: the lowest is asked first; those of plug-ins come last.
    """

    read: Callable[[object, str], list[Source] | None]
    order: int = 100


@dataclass(frozen=True)
class FileLayout:
    """A layout of files that are no pickles.

    Attributes:
        begins: whether the first 4096 bytes are those of such a file.
        read: the file → what is in it, or None where it has another layout after all.
        order: as in `PickleLayout`.
    """

    begins: Callable[[bytes], bool]
    read: "Callable[[Path], Sequence['Source | Timeline'] | None]"
    order: int = 100


@dataclass(frozen=True)
class Timeline:
    """Words or feature rows of whole recordings, to be cut into utterances by time.

    Attributes:
        layout: the layout's name, for the report.
        file: name of the file.
        videos: the recordings it covers.
        cut: the words and the feature rows that fall into an utterance's interval.
        specs: the streams that `cut` may give.
        settle: mends the interval of a row that is `early`; words only.
    """

    layout: str
    file: str
    videos: frozenset[str]
    cut: Callable[[Row], tuple[tuple[Word, ...], Mapping[Modality, Piece]]]
    specs: Mapping[Modality, FeatureSpec] = field(default_factory=dict)
    settle: Callable[[Row], Row] | None = None

    @property
    def role(self) -> str:
        """What the time line is a part of: its file."""
        return self.file


def text_of(value: object) -> str:
    """A string from a str, bytes (UTF-8, or Latin-1 where it is not) or NumPy string."""
    if isinstance(value, memoryview):
        value = bytes(value)
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("latin-1")
    if isinstance(value, str | int | float | np.number):
        return str(value)
    raise DataError(f"expected text, found a {type(value).__name__}")


def number_of(value: object) -> float:
    """A number from a number, a numeric string or an array of one; NaN where there is none."""
    if isinstance(value, np.ndarray):
        return number_of(value.reshape(-1)[0]) if value.size == 1 and not value.dtype.hasobject else math.nan
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan


def make_id(*parts: object) -> str:
    """Join the parts of an id (`video`, `clip`) in one form, whatever the file's own.

    `video$_$clip` and `video_clip` are the same utterance. A clip that is a time (`82.7645`) is
    written `82_7645`.

    Raises: DataError for an id that is empty, too long, or could be a path.
    """
    video, *clips = [text_of(part).strip() for part in parts]
    name = "_".join([video.replace("$_$", "_"), *(clip.replace(".", "_") for clip in clips)])
    if (
        not name
        or len(name) > MAX_ID_CHARACTERS
        or re.search(r"[/\\\x00-\x1f\x7f]|^\.+$", name)
        or not name.isprintable()
    ):
        raise DataError(
            f"{name[:40]!r} cannot be an utterance id",
            fix="ids are printable, at most 200 characters, and hold no slash",
        )
    return name


_SAYS_NOTHING = {
    *("aligned", "aligned_39", "aligned_50", "unaligned", "unaligned_39", "unaligned_50", "seq_length_20"),
    *("seq_length_50", "annotation", "annotations", "label", "labels", "transcript", "transcripts", "split", "splits"),
    *("audio", "video", "videos", "clip", "clips", "feature", "features", "raw", "processed", "file", "files", "media"),
    *("train", "valid", "test", "data", "dataset", "datasets", "input", "download", "downloads", "tmp"),
    *("csv", "flac", "mp3", "mp4", "npz", "pickle", "pickles", "pkl", "wav", "home", "root", "user", "users"),
}
"""Names of files and folders that many data sets use."""


def data_set_name(path: Path) -> str:
    """What a data set is called by default: its folder, `mosei` of `mosei/label.csv`, `ravdess` of `ravdess/flac`.

    A file in a folder whose name says nothing (`data/mosi.pkl`) gives its own name, where that says more.

    Args:
        path: a file or folder of the data set.
    """
    path = path.resolve()
    folder = path if path.is_dir() else path.parent
    own = path.name if path.is_dir() else path.stem
    names = [folder.name, own, *(parent.name for parent in folder.parents)]
    return next((name for name in names if name and name.lower() not in _SAYS_NOTHING), own or "data")


def split_ids(identifier: str) -> tuple[str, str]:
    """Take an id apart: `(video, clip)`; the clip is empty where the id has none."""
    for pattern in (r"(.+)\$_\$([^$]+)", r"(.+)\[(\d+)\]", r"(.+)_(\d+)"):
        if match := re.fullmatch(pattern, identifier):
            return match.group(1), match.group(2)
    return identifier, ""


def split_named(name: object) -> str:
    """`train`, `valid` or `test` from any of the names in use (`dev`, `val` …), or empty."""
    return _SPLIT_NAMES.get(text_of(name).strip().lower(), "") if isinstance(name, str | bytes) else ""


def splits_of(content: object) -> dict[str, dict[str, Any]]:
    """Split → its entries by name, of a pickle with a dictionary per split; {} where the content is something else."""
    if not isinstance(content, dict) or not content or not all(split_named(key) for key in content):
        return {}
    if not all(isinstance(part, dict) for part in content.values()):
        return {}
    return {split_named(name): {text_of(key): value for key, value in part.items()} for name, part in content.items()}


def split_in_name(stem: str) -> str:
    """The split that a file's name mentions, for layouts that say it nowhere else."""
    found = {split_named(part) for part in re.split(r"[^A-Za-z]+", stem)} & set(SPLITS)
    return found.pop() if len(found) == 1 else ""


def modality_of(name: str) -> Modality:
    """The modality that a key or a sequence's name means; an unknown one becomes a modality of its own."""
    parts = [part for part in re.split(r"[^a-z0-9]+", name.lower()) if part]
    for modality, aliases in _MODALITIES.items():
        long = [alias for alias in aliases if len(alias) >= 5]
        if any(part in aliases for part in parts) or any(alias in name.lower() for alias in long):
            return modality
    plain = re.sub(r"^[^a-z]+", "", "_".join(parts))[:40]
    return plain or "features"


def extractor_of(name: str) -> str:
    """The feature extractor that a name mentions, or `unknown`."""
    known = ("covarep", "opensmile", "egemaps", "facet", "openface", "glove", "bert", "mfcc")
    return next((extractor for extractor in known if extractor in name.lower()), "unknown")


def check_count(count: int, *, most: int = MAX_UTTERANCES, what: str = "utterances") -> int:
    """A number of utterances, when there are not too many.

    Raises: DataError.
    """
    if count > most:
        raise DataError(f"{count:,} {what}, and at most {most:,} can be read from a file", fix="split the file")
    return count


def count_of(column: object, what: str) -> int:
    """The entries of an array or list along its first axis.

    Raises: DataError if it has none, being a single value, or too many.
    """
    if isinstance(column, list | tuple):
        return check_count(len(column))
    if isinstance(column, np.ndarray) and column.ndim:
        return check_count(column.shape[0])
    raise DataError(f"{what} is no list and no array", fix="the file is damaged or of another layout")


def column_of(column: Any, count: int, what: str) -> list[Any]:
    """The `count` entries of an array or list along its first axis.

    Raises: DataError if there are more or fewer.
    """
    if count_of(column, what) != count:
        raise DataError(f"{what} does not hold {count} entries", fix="the file is damaged; download it again")
    return column.tolist() if isinstance(column, np.ndarray) and column.ndim == 1 else list(column)


def scores_of(value: object) -> dict[str, float | str]:
    """Labels from one score, however it is wrapped, or from seven: sentiment, then MOSEI's emotions."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" and value.size == 1 + len(EMOTIONS):
        names, numbers = ("score", *EMOTIONS), value.reshape(-1).tolist()
        return dict(zip(names, map(float, numbers), strict=True))
    return {"score": number_of(value)}
