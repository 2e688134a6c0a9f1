"""What is wrong with a store: leakage between splits, labels, missing and dead features, times.

Three levels: an *error* makes results wrong (a recording in two splits, an infinite value, a label out of range); a
*warning* may; a *note* is good to know. `mecam data check` exits with 1 when there is an error.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mecam.data.importing.official_folds import PUBLISHED_COUNTS, official_folds, recognise
from mecam.data.operations.columns import ColumnStats, column_stats
from mecam.data.operations.describe import Description, describe
from mecam.data.store import Store
from mecam.task import Task
from mecam.types import TEXT, Modality

__all__ = ["CheckReport", "Level", "Problem", "check"]

Progress = Callable[[int, int], None]
Level = Literal["error", "warning", "note"]

LONG_TEXT_WORDS = 4
"""A shorter text ("I see.") is said twice by chance."""

OUTLIER_SPREADS = 100.0
"""A value this many times the 5–95 % range away from it is an outlier: 330 standard deviations of a normal column."""

SCALE_RATIO = 1e6
"""Columns whose ranges differ by more drown each other unless they are normalised."""

PADDING_SHARE = 0.2
"""More utterances than this that end (or start) in a row of zeros look padded; silence alone makes few."""

EXAMPLES = 5


@dataclass(frozen=True)
class Problem:
    """One thing found.

    Attributes:
        level: error, warning or note.
        kind: its name, stable for scripts: `video-overlap`, `dead-columns` …
        count: how many (utterances, recordings, columns or values, as `message` says).
        message: what it means and what to do.
        examples: the first few.
    """

    level: Level
    kind: str
    count: int
    message: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckReport:
    """What `mecam data check` shows.

    Attributes:
        description: what the store holds.
        problems: errors first.
    """

    description: Description
    problems: tuple[Problem, ...]

    @property
    def failed(self) -> bool:
        """True when there is an error."""
        return any(problem.level == "error" for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        problems = [asdict(problem) for problem in self.problems]
        return {"failed": self.failed, "problems": problems, "description": self.description.to_json()}


def check(store: Store, *, progress: Progress | None = None) -> CheckReport:
    """Look for everything this module knows; reads every file once.

    Args:
        store: what to check.
        progress: called with (rows read, rows to read).
    """
    columns = {name: store.column(name) for name in ("id", "split", "video", "speaker", "text", "label")}
    problems = [
        *_identity(columns),
        *_overlaps(columns),
        *_texts(columns),
        *(p for name in store.targets for p in _labels(columns, store, name)),
        *_presence(store, columns),
        *_folds(columns),
        *_times(store, columns["id"]),
    ]
    total, before = sum(len(store.rows(modality)) for modality in store.specs), 0
    for modality, spec in store.specs.items():
        stats = column_stats(store, modality, progress=_after(before, total, progress))
        problems += _features(modality, stats, spec.names, columns["id"])
        before += stats.rows
    order = ("error", "warning", "note")
    return CheckReport(describe(store), tuple(sorted(problems, key=lambda problem: order.index(problem.level))))


def _identity(columns: dict[str, list[Any]]) -> Iterator[Problem]:
    seen: dict[str, int] = defaultdict(int)
    for name in columns["id"]:
        seen[name] += 1
    twice = [name for name, count in seen.items() if count > 1]
    yield from _problem("error", "duplicate-id", twice, "ids occur more than once")
    splits = set(columns["split"])
    if "train" not in splits:
        yield Problem(
            "warning", "no-train-split", 1, "nothing can be trained on: give it splits with `mecam data split`"
        )
    for name in ("valid", "test"):
        if "train" in splits and name not in splits:
            yield Problem("warning", f"no-{name}-split", 1, f"there is no {name} split: `mecam data split` makes one")
    without = [i for i, split in zip(columns["id"], columns["split"], strict=True) if not split]
    yield from _problem("warning", "no-split", without, "utterances belong to no split and are never used")


def _overlaps(columns: dict[str, list[Any]]) -> Iterator[Problem]:
    """Recordings and speakers that occur in several splits."""
    levels: tuple[tuple[str, Level, str], ...] = (
        ("video", "error", "recordings have utterances in several splits: test results will be too good"),
        ("speaker", "warning", "speakers occur in several splits: results do not hold for new speakers"),
    )
    for name, level, message in levels:
        yield from _problem(level, f"{name}-overlap", _in_several(columns[name], columns["split"]), message)


def _texts(columns: dict[str, list[Any]]) -> Iterator[Problem]:
    texts = [" ".join(text.casefold().split()) if text else None for text in columns["text"]]
    shared = _in_several(texts, columns["split"])
    long = [text for text in shared if len(text.split()) >= LONG_TEXT_WORDS]
    short = [text for text in shared if len(text.split()) < LONG_TEXT_WORDS]
    yield from _problem("warning", "duplicate-text", long, "texts of four words or more occur in several splits")
    yield from _problem("note", "duplicate-short-text", short, "short texts occur in several splits")
    empty = [i for i, text in zip(columns["id"], columns["text"], strict=True) if text is not None and not text.strip()]
    yield from _problem("warning", "empty-text", empty, "transcripts are empty")


def _labels(columns: dict[str, list[Any]], store: Store, target: str) -> Iterator[Problem]:
    """What is wrong with the labels of a target; of another one than the first, its name stands in front."""
    task, first = store.targets[target], next(iter(store.targets))
    for problem in _labels_of(columns, store.labels(target), task):
        yield problem if target == first else replace(problem, message=f"{target}: {problem.message}")


def _labels_of(columns: dict[str, list[Any]], labels: list[Any], task: Task) -> Iterator[Problem]:
    labelled = list(zip(columns["id"], labels, columns["split"], strict=True))
    without = [i for i, label, _ in labelled if label is None]
    yield from _problem("warning", "unlabelled", without, "utterances have no label and are not learned from")
    wrong = [f"{i} ({label!r})" for i, label, _ in labelled if label is not None and not task.fits(label)]
    yield from _problem("error", "label-kind", wrong, f"labels are not what the task ({task.kind}) says")
    labelled = [(i, label, split) for i, label, split in labelled if label is not None and task.fits(label)]
    if task.is_score:
        outside = [f"{i} ({label:g})" for i, label, _ in labelled if not task.low <= label <= task.high]
        yield from _problem("error", "label-range", outside, f"scores lie outside [{task.low:g}, {task.high:g}]")
    occurring: dict[str, set[Any]] = defaultdict(set)
    for _, label, split in labelled:
        occurring[split].update(task.present(label))
    unseen = [name for name in task.names if name not in occurring.get("train", task.names)]
    yield from _problem("warning", "label-unseen", unseen, "classes never occur in train")
    alone = [f"{split}: {values}" for split, values in occurring.items() if split and len(values) == 1]
    yield from _problem("warning", "label-constant", alone, "splits have the same label everywhere")


def _presence(store: Store, columns: dict[str, list[Any]]) -> Iterator[Problem]:
    """Modalities that utterances or whole splits lack."""
    ids, splits = np.array(columns["id"], object), np.array(columns["split"], object)
    present: dict[Modality, NDArray[np.bool_]] = {m: store.lengths(m) > 0 for m in store.specs}
    text = np.array([bool(text) for text in columns["text"]])
    if text.any():
        present[TEXT] = text | present.get(TEXT, False)
    anything = np.any(list(present.values()), axis=0) if present else np.zeros(len(ids), bool)
    yield from _problem("warning", "empty-utterance", ids[~anything].tolist(), "utterances have no modality at all")
    for modality, has in present.items():
        lacking = [name for name in sorted(set(splits)) if name and not has[splits == name].any()]
        if "train" in lacking:
            yield Problem("error", "modality-not-in-train", 1, f"{modality} is missing from train, present elsewhere")
        others = [name for name in lacking if name != "train"]
        yield from _problem("warning", "modality-not-in-split", others, f"splits lack {modality} altogether")
        some = ids[~has & ~np.isin(splits, lacking)].tolist()
        yield from _problem("note", "missing-modality", some, f"utterances have no {modality}")


def _folds(columns: dict[str, list[Any]]) -> Iterator[Problem]:
    """Compare with the official folds, where the recordings are known."""
    name = recognise(columns["video"])
    if name is None:
        return
    official = official_folds(name, columns["video"])
    moved = [
        f"{i}: {split or 'no split'} instead of {official[video]}"
        for i, video, split in zip(columns["id"], columns["video"], columns["split"], strict=True)
        if video in official and split != official[video]
    ]
    yield from _problem(
        "warning", "not-official-folds", moved, f"utterances are in another split than {name}'s official"
    )
    splits = columns["split"]
    counts = {split: splits.count(split) for split in ("train", "valid", "test")}
    published = PUBLISHED_COUNTS[name]
    shown = "/".join(str(count) for count in counts.values())
    if counts == published and not moved:
        yield Problem("note", "official-folds", len(splits), f"the official folds of {name}, complete: {shown}")
    elif counts != published:
        expected = "/".join(str(count) for count in published.values())
        message = f"{name} has {shown} utterances in train/valid/test, published are {expected}: compare with care"
        yield Problem("warning", "not-official-counts", abs(sum(counts.values()) - sum(published.values())), message)


def _times(store: Store, ids: list[str]) -> Iterator[Problem]:
    """Words and rows whose times run backwards, and rows that are not one per word where they should be."""
    words = [value or [] for value in store.column("words")]
    backwards = [
        i
        for i, spoken in zip(ids, words, strict=True)
        if any(start is not None and stop is not None and stop < start for _, start, stop in spoken)
    ]
    yield from _problem("warning", "bad-word-times", backwards, "utterances have words that end before they start")
    counts = np.array([len(spoken) for spoken in words])
    for modality, spec in store.specs.items():
        lengths = store.lengths(modality)
        off = (lengths != counts) & (lengths > 0) & (counts > 0) & spec.aligned
        message = f"utterances have another number of {modality} rows than of words, though they are said to be aligned"
        yield from _problem("warning", "misaligned", [ids[i] for i in np.flatnonzero(off).tolist()], message)


def _features(modality: Modality, stats: ColumnStats, names: Sequence[str], ids: list[str]) -> Iterator[Problem]:
    def named(which: NDArray[np.bool_]) -> list[str]:
        return [f"{modality}[{i}]" + (f" {names[i]}" if names else "") for i in np.flatnonzero(which).tolist()]

    if stats.infinite:
        yield Problem("error", "infinite", stats.infinite, f"values of {modality} are infinite; NaN means missing")
    if total := int(stats.missing.sum()):
        share = total / (stats.rows * len(stats.missing))
        worst = [f"{modality}[{i}] {stats.missing[i] / stats.rows:.1%}" for i in np.argsort(-stats.missing)[:EXAMPLES]]
        level: Level = "warning" if share > 0.5 else "note"
        yield Problem(
            level, "missing-values", total, f"values of {modality} are missing (NaN): {share:.2%}", tuple(worst)
        )
    dead = np.isnan(stats.low) | ((stats.low == 0) & (stats.high == 0))
    constant = (stats.low == stats.high) & ~dead
    yield from _problem(
        "warning", "dead-columns", named(dead), f"columns of {modality} are all zero or missing in train"
    )
    yield from _problem("warning", "constant-columns", named(constant), f"columns of {modality} never change in train")
    spread = (stats.q95 - stats.q05).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        far = np.fmax(stats.high.astype(np.float64) - stats.q95, stats.q05.astype(np.float64) - stats.low)
        outlying = (spread > 0) & np.isfinite(far) & (far > OUTLIER_SPREADS * spread)
    message = f"columns of {modality} hold values {OUTLIER_SPREADS:g} times their usual range away"
    yield from _problem("warning", "scale-outliers", named(outlying), message)
    live = spread[np.isfinite(spread) & (spread > 0)]
    if live.size and live.max() > SCALE_RATIO * live.min():
        ratio = live.max() / live.min()
        yield Problem("note", "mixed-scales", len(live), f"the ranges of {modality}'s columns differ by {ratio:.0e}")
    for side, at in (("start", stats.starts_zero), ("end", stats.stops_zero)):
        if len(at) > PADDING_SHARE * len(ids):
            message = f"utterances {side} in rows of zeros in {modality}: padding that was left in?"
            yield from _problem("warning", "padding", [ids[i] for i in at], message)


def _after(before: int, total: int, progress: Progress | None) -> Progress | None:
    """Progress of one modality as progress of all."""
    return None if progress is None else lambda done, _: progress(before + done, total)


def _in_several(values: Sequence[str | None], splits: Sequence[str]) -> list[str]:
    """The values that occur in more than one split, in order of first occurrence."""
    where: dict[str, set[str]] = {}
    for value, split in zip(values, splits, strict=True):
        if value and split:
            where.setdefault(value, set()).add(split)
    return [value for value, found in where.items() if len(found) > 1]


def _problem(level: Level, kind: str, found: Sequence[Any], message: str) -> Iterator[Problem]:
    """A problem that names its examples, if there is any."""
    if len(found):
        yield Problem(level, kind, len(found), message, tuple(str(example) for example in found[:EXAMPLES]))
