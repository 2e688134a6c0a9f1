"""What a store holds, without reading its features: splits, labels, lengths, what is missing where."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.data.store import Store
from mecam.notebook import notebook_html
from mecam.task import Task
from mecam.types import TEXT, FeatureSpec, Modality

__all__ = ["Description", "LengthSummary", "SplitSummary", "describe", "described_html", "split_names", "told_of"]
__all__ += ["UNASSIGNED"]


UNASSIGNED = "(unassigned)"
"""What the split of utterances is called that are in none."""


@dataclass(frozen=True)
class LengthSummary:
    """How long the sequences of one modality are, over the utterances that have it.

    Attributes:
        present: utterances that have at least one row.
        total: rows of all of them.
        low: the shortest.
        median: half are shorter.
        high: 95 % are at most this long.
        longest: the longest.
    """

    present: int
    total: int
    low: int = 0
    median: float = 0.0
    high: float = 0.0
    longest: int = 0


@dataclass(frozen=True)
class SplitSummary:
    """One split.

    Attributes:
        utterances: how many.
        videos: distinct recordings.
        speakers: distinct named speakers.
        labelled: utterances with a label.
        present: modality (text included) → utterances that have it.
        labels: bar of the histogram → utterances.
        others: every other target → the same histogram of its labels.
    """

    utterances: int
    videos: int
    speakers: int
    labelled: int
    present: dict[Modality, int]
    labels: dict[str, int]
    others: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Description:
    """What `mecam data info` shows.

    Attributes:
        name: the data set.
        path: the store.
        task: what the labels are.
        targets: name → task of everything that the utterances are labelled for, that of `task` first.
        utterances: of all splits.
        splits: split → summary, in the order train, valid, test, others; an empty name is *unassigned*.
        specs: modality → what its rows are.
        lengths: modality → lengths; `text` counts words where it is no stream.
        timed_words: utterances with words.
        provenance: where the data came from.
    """

    name: str
    path: str
    task: Task
    targets: dict[str, Task]
    utterances: int
    splits: dict[str, SplitSummary]
    specs: dict[Modality, FeatureSpec]
    lengths: dict[Modality, LengthSummary]
    timed_words: int
    provenance: dict[str, Any]

    def split_rows(self) -> tuple[tuple[str, ...], list[list[str]]]:
        """The titles and the cells of a table with a row per split: how much there is of everything."""
        rows = []
        for name, split in self.splits.items():
            counts = [split.utterances, split.videos, split.speakers, split.labelled]
            counts += [split.present.get(modality, 0) for modality in self.lengths]
            rows.append([name or UNASSIGNED, *map(str, counts)])
        return ("split", "utterances", "videos", "speakers", "labelled", *self.lengths), rows

    def to_json(self) -> dict[str, Any]:
        """The description as JSON values."""
        targets = {name: task.to_json() for name, task in self.targets.items()}
        return {**asdict(self), "task": self.task.to_json(), "targets": targets}


def describe(store: Store) -> Description:
    """Sum up a store; reads its lines once, no feature."""
    columns = {name: store.column(name) for name in ("split", "video", "speaker", "text", "label")}
    rows = {modality: store.lengths(modality) for modality in store.specs}
    if any(text is not None for text in columns["text"]):
        rows.setdefault(TEXT, np.array([len((text or "").split()) for text in columns["text"]], np.int64))
    others = {n: (task, store.labels(n)) for n, task in store.targets.items() if n != store.target}
    splits = {}
    for name in split_names(columns["split"]):
        of = [i for i, split in enumerate(columns["split"]) if split == name]
        summary = _summary(of, columns, rows, store.task)
        histograms = {n: task.histogram([labels[i] for i in of]) for n, (task, labels) in others.items()}
        splits[name] = replace(summary, others=histograms)
    return Description(
        name=store.name,
        path=str(store.path),
        task=store.task,
        targets={store.target: store.task} | {n: task for n, (task, _) in others.items()},
        utterances=len(store),
        splits=splits,
        specs=store.specs,
        lengths={modality: _lengths(count) for modality, count in rows.items()},
        timed_words=sum(bool(words) for words in store.column("words")),
        provenance=dict(store.manifest.get("provenance", {})),
    )


def described_html(store: Store) -> str:
    """A store as a notebook shows it: a row per split, and what was left out or repaired when it was made."""
    columns, rows = describe(store).split_rows()
    widths = ", ".join(f"{modality} {spec.width}" for modality, spec in store.specs.items())
    remarks = [f"{store.path}", *([f"features: {widths}"] if widths else []), *told_of(store)]
    remarks += ["synthetic: not comparable with results on real data"] if store.synthetic else []
    heading = f"{store.name}, {len(store)} utterances"
    return notebook_html(heading, columns, rows, says=store.task.description, remarks=remarks)


def told_of(store: Store) -> list[str]:
    """What an import or an extraction found and left out, in sentences; the provenance of the store holds it."""
    findings, failures = (_records(store.manifest.get("provenance"), name) for name in ("findings", "failures"))
    told = [f"{one.get('count')} × {one.get('kind')}: {one.get('rule')}" for one in findings]
    if failures:
        told.append(f"{len(failures)} recordings could not be extracted; the first: {failures[0].get('reason')}")
    return told


def _records(provenance: Any, name: str) -> list[Mapping[str, Any]]:
    """A list of the provenance, which may be a stranger's."""
    found = provenance.get(name) if isinstance(provenance, Mapping) else None
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def split_names(splits: Sequence[str]) -> list[str]:
    """The splits that occur: train, valid, test, then any other by name."""
    order = {"train": 0, "valid": 1, "test": 2}
    return sorted(set(splits), key=lambda name: (order.get(name, 3), name))


def _summary(
    of: list[int], columns: dict[str, list[Any]], rows: dict[Modality, NDArray[np.int64]], task: Task
) -> SplitSummary:
    labels = [columns["label"][i] for i in of]
    return SplitSummary(
        utterances=len(of),
        videos=len({columns["video"][i] for i in of} - {""}),
        speakers=len({columns["speaker"][i] for i in of} - {None, ""}),
        labelled=sum(label is not None for label in labels),
        present={modality: int((count[of] > 0).sum()) for modality, count in rows.items()},
        labels=task.histogram(labels),
    )


def _lengths(count: NDArray[np.int64]) -> LengthSummary:
    some = count[count > 0]
    if not some.size:
        return LengthSummary(0, 0)
    return LengthSummary(
        present=len(some),
        total=int(some.sum()),
        low=int(some.min()),
        median=float(np.median(some)),
        high=float(np.percentile(some, 95)),
        longest=int(some.max()),
    )
