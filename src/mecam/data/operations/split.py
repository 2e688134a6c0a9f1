"""Give the utterances of a store other splits: the official folds, disjoint groups, k folds, or a table's.

No recording ever lies in two splits. Every choice is drawn from a seed and depends on nothing else.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mecam.data.importing.official_folds import official_folds, recognise
from mecam.data.importing.sources.delimited import DelimitedTable
from mecam.data.store import Store
from mecam.data.store.derive import Progress, write_derived
from mecam.errors import DataError
from mecam.types import SPLITS

__all__ = [
    "Unit",
    "first_splits",
    "fold_splits",
    "groups_of",
    "official_splits",
    "random_splits",
    "table_splits",
    "write_splits",
]

SHARES, SEED = (0.7, 0.1, 0.2), 1111
"""Of the utterances in train, valid and test, where nobody says otherwise; of the draw."""
MIN_SPEAKERS = 5
"""From so many speakers on, utterances without a split are split by speaker."""

TABLE_KEYS = {"id": "id", "video_id": "video", "speaker": "speaker"}
"""Column of a table of splits → of a store: what says which utterance a row is about; the first of them counts."""

Unit = Literal["video", "speaker"]
"""What must not lie in two splits; `speaker` keeps recordings together too."""


def official_splits(store: Store) -> list[str]:
    """The official fold of every utterance, by its recording; one that is not in the folds keeps its split.

    Raises: DataError if the recordings are not CMU-MOSI's or CMU-MOSEI's.
    """
    videos = store.column("video")
    name = recognise(videos)
    if name is None:
        raise DataError(
            "the recordings are not those of a data set with official folds (CMU-MOSI, CMU-MOSEI)",
            where=str(store.path),
            fix="split by video or speaker instead",
        )
    folds = official_folds(name, videos)
    return [folds.get(video, split) for video, split in zip(videos, store.column("split"), strict=True)]


def random_splits(
    store: Store, *, unit: Unit = "video", shares: tuple[float, float, float] = SHARES, seed: int = SEED
) -> list[str]:
    """Draw train, valid and test so that no unit lies in two of them.

    Args:
        store: whose utterances.
        unit: `video` or `speaker`.
        shares: of the utterances, in the order train, valid, test; they are scaled to sum to 1. A share
            of 0 leaves that split out.
        seed: of the draw.

    Raises: DataError if there are fewer units than splits.
    """
    if not all(0 <= share < math.inf for share in shares) or shares[0] <= 0:
        raise DataError(f"shares {shares} make no split: train must be above 0, none below")
    wanted = {split: share / sum(shares) for split, share in zip(SPLITS, shares, strict=True) if share > 0}
    return _dealt(store, unit, wanted, seed)


def first_splits(videos: Sequence[str], speakers: Sequence[str]) -> tuple[list[str], str]:
    """Splits for utterances that come without any: the official folds of a known data set, else drawn.

    Drawn by speaker where all are known and there are enough of them, else by recording.

    Args:
        videos: the recording of each utterance.
        speakers: who speaks in it, or "".

    Returns: a split per utterance and how they came about; "" for all where there are too few recordings.
    """
    name = recognise(videos)
    if name is not None:
        folds = official_folds(name, videos)
        return [folds.get(video, "") for video in videos], f"the official folds of {name.upper()}"
    columns, unit = {"video": videos}, "recording"
    together = Counter(_groups({**columns, "speaker": speakers}))
    if all(speakers) and len(together) >= MIN_SPEAKERS and 2 * max(together.values()) <= len(speakers):
        columns, unit = {**columns, "speaker": speakers}, "speaker"
    groups = _groups(columns)
    if len(set(groups)) < len(SPLITS):
        return [""] * len(videos), f"none: {len(set(groups))} recordings are too few to be split"
    splits = _deal(groups, dict(zip(SPLITS, SHARES, strict=True)), SEED)
    counts = ", ".join(f"{splits.count(split)} {split}" for split in SPLITS)
    return splits, f"drawn by {unit} (seed {SEED}): {counts}"


def fold_splits(store: Store, *, folds: int, fold: int, unit: Unit = "video", seed: int = SEED) -> list[str]:
    """Cross-validation: fold `fold` is test, the next one valid, all others train.

    Args:
        store: whose utterances.
        folds: how many; every utterance is in test in exactly one of them.
        fold: which, from 0.
        unit: `video` or `speaker`.
        seed: of the draw; the same for all folds.

    Raises: DataError if there are fewer units than folds.
    """
    if folds < 3 or not 0 <= fold < folds:
        raise DataError(f"fold {fold} of {folds}: at least 3 folds are needed, counted from 0")
    dealt = _dealt(store, unit, {str(i): 1 / folds for i in range(folds)}, seed)
    names = {str(fold): "test", str((fold + 1) % folds): "valid"}
    return [names.get(part, "train") for part in dealt]


def table_splits(store: Store, path: str | Path) -> list[str]:
    """The splits of a CSV with the columns `id` (or `video_id`, or `speaker`) and `split` (or `mode`).

    Raises: DataError if the file cannot be read, names another split than train, valid and test, or
        leaves an utterance out.
    """
    table = DelimitedTable(Path(path))
    table.check_header()
    columns = set(table.header)
    key = next((name for name in TABLE_KEYS if name in columns), None)
    value = next((name for name in ("split", "mode") if name in columns), None)
    if key is None or value is None:
        raise DataError("the table needs the columns id (or video_id, or speaker) and split", where=str(path))
    given = {row[key].strip(): row[value].strip() for row in table}
    wrong = sorted({split for split in given.values() if split not in SPLITS}, key=str)
    if wrong:
        raise DataError(f"{wrong[0]!r} is no split", where=str(path), fix=f"use {', '.join(SPLITS)}")
    names = store.column(TABLE_KEYS[key])
    without = [name for name in names if name not in given]
    if without:
        raise DataError(f"{len(without)} utterances are not in the table, the first is {without[0]}", where=str(path))
    return [given[name] for name in names]


def write_splits(
    store: Store,
    path: str | Path,
    splits: Sequence[str],
    *,
    step: Mapping[str, Any],
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write the store anew with these splits, one per utterance; everything else stays.

    Raises: DataError if the place is taken.
    """
    changed = (replace(utterance, split=split) for utterance, split in zip(store, splits, strict=True))
    write_derived(path, changed, [store], step=step, overwrite=overwrite, progress=progress)


def groups_of(store: Store, unit: Unit) -> list[int]:
    """A number per utterance; the same for two that may not be torn apart.

    Utterances of one recording belong together, and with `speaker` those of one speaker do too; so recordings
    that share a speaker do. An utterance without a recording stands alone.
    """
    return _groups({field: store.column(field) for field in (("video",) if unit == "video" else ("video", "speaker"))})


def _groups(columns: Mapping[str, Sequence[str]]) -> list[int]:
    """A number per place; the same for two that share a value of a column, or that others link."""
    links: dict[tuple[str, str], int] = {}
    parent = list(range(len(next(iter(columns.values())))))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for field, values in columns.items():
        for i, value in enumerate(values):
            if value:
                parent[root(i)] = root(links.setdefault((field, value), i))
    return [root(i) for i in range(len(parent))]


def _dealt(store: Store, unit: Unit, wanted: Mapping[str, float], seed: int) -> list[str]:
    if unit == "speaker" and not any(store.column("speaker")):
        raise DataError("the store names no speaker", where=str(store.path), fix="split by video instead")
    groups = groups_of(store, unit)
    if len(set(groups)) < len(wanted):
        raise DataError(
            f"{len(set(groups))} groups of utterances that belong together cannot make {len(wanted)} parts",
            where=str(store.path),
            fix="split by video instead of by speaker, or into fewer parts",
        )
    return _deal(groups, wanted, seed)


def _deal(groups: Sequence[int], wanted: Mapping[str, float], seed: int) -> list[str]:
    """Deal whole groups in random order, each to the part that lacks most; no part stays empty."""
    members: dict[int, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(i)
    parts = list(members.values())
    lacking = {part: share * len(groups) for part, share in wanted.items()}
    result = [""] * len(groups)
    empty = set(wanted)
    for dealt, place in enumerate(np.random.default_rng(seed).permutation(len(parts)).tolist()):
        open_to = empty if len(empty) >= len(parts) - dealt else lacking.keys()
        part = max(sorted(open_to), key=lambda name: lacking[name])
        lacking[part] -= len(parts[place])
        empty.discard(part)
        for i in parts[place]:
            result[i] = part
    return result
