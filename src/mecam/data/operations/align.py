"""Align streams to words: row t of a stream becomes the mean of its rows during word t."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mecam.data.store import Store
from mecam.data.store.derive import Progress, write_derived
from mecam.errors import DataError
from mecam.types import Modality, Utterance

__all__ = ["AlignReport", "align", "mean_per_interval"]


@dataclass
class AlignReport:
    """What aligning met.

    Attributes:
        aligned: streams that now have one row per word.
        kept: streams that stay as they are: they have no times, or were aligned before.
        words: rows written per aligned stream.
        empty: aligned stream → words during which it has no row; their rows are missing (NaN).
        dropped: aligned stream → utterances that lost it, as they have no timed words or no times.
    """

    aligned: tuple[Modality, ...]
    kept: tuple[Modality, ...]
    words: int
    empty: dict[Modality, int]
    dropped: dict[Modality, int]


def align(
    store: Store,
    path: str | Path,
    *,
    modalities: Sequence[Modality] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> AlignReport:
    """Write a store whose streams have one row per word.

    Args:
        store: with timed words, and streams with intervals.
        path: the store to make.
        modalities: which streams; by default all that have intervals and are not aligned yet.
        overwrite: replace an existing store.
        progress: called with utterances done.

    Raises: DataError if there is no timed word, or a stream to align has no intervals.
    """
    timed = [m for m in store.specs if store.has_intervals(m)]
    chosen = tuple(m for m in timed if not store.specs[m].aligned) if modalities is None else tuple(modalities)
    if without := [m for m in chosen if m not in timed]:
        raise DataError(
            f"the stream {without[0]!r} has no times, so its rows cannot be given to words",
            where=str(store.path),
            fix=f"align {', '.join(timed)}" if timed else "import a source that has times (.csd)",
        )
    if not chosen or not any(store.column("words")):
        what = "there is no stream with times to align" if not chosen else "there are no timed words to align to"
        raise DataError(what, where=str(store.path), fix="join a source that has them with `mecam data join`")
    kept = tuple(m for m in store.specs if m not in chosen)
    report = AlignReport(chosen, kept, 0, dict.fromkeys(chosen, 0), dict.fromkeys(chosen, 0))
    specs = {m: replace(spec, aligned=spec.aligned or m in chosen) for m, spec in store.specs.items()}
    write_derived(
        path,
        _aligned(store, report),
        [store],
        step={"command": "align", "modalities": list(chosen), "method": "mean per word interval"},
        specs=specs,
        overwrite=overwrite,
        progress=progress,
    )
    return report


def mean_per_interval(
    values: NDArray[np.float32], times: NDArray[np.float64], intervals: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Mean of the rows that overlap each interval, every overlapping row weighing the same.

    Args:
        values: T × D; NaN is missing and not averaged.
        times: T × 2 seconds of the rows; a row may be an instant (start = stop).
        intervals: W × 2 seconds.

    Returns: W × D; NaN where no observed value overlaps, also for unknown times.
    """
    start, stop = intervals[:, :1], intervals[:, 1:]  # W 1
    crosses = (times[:, 0] < stop) & (times[:, 1] > start)  # W T
    instant = (times[:, 0] == times[:, 1]) & (times[:, 0] >= start) & (times[:, 0] < stop)
    weight = (crosses | instant).astype(np.float64)
    observed = ~np.isnan(values)
    total = weight @ np.where(observed, values, 0.0).astype(np.float64)  # W D
    count = weight @ observed.astype(np.float64)
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float32] = (total / count).astype(np.float32)
    return means


def _aligned(store: Store, report: AlignReport) -> Iterator[Utterance]:
    for utterance in store:
        words = np.array([(word.start, word.stop) for word in utterance.words], np.float64).reshape(-1, 2)
        usable = bool(np.isfinite(words).all(axis=1).any())
        report.words += len(words) if usable else 0
        streams, intervals = dict(utterance.streams), dict(utterance.intervals)
        for modality in report.aligned:
            values, times = streams.pop(modality, None), intervals.pop(modality, None)
            if values is None:
                continue
            if times is None or not usable or np.isnan(times).all():
                report.dropped[modality] += 1
                continue
            streams[modality] = mean_per_interval(values, times, words)
            intervals[modality] = words
            report.empty[modality] += int(np.isnan(streams[modality]).all(axis=1).sum())
        yield replace(utterance, streams=streams, intervals=intervals)
