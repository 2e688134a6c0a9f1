"""Several stores as one train split: each epoch draws from each as its weight says."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mecam.data.datasets import Dataset
from mecam.data.normalise import Normaliser
from mecam.data.operations.combine import common_specs, common_task
from mecam.data.store import Store
from mecam.errors import ConfigError, DataError
from mecam.task import Task
from mecam.types import FeatureSpec, Modality, Utterance

__all__ = ["Mixture", "WeightedStore", "check_sources", "merged", "sources_of", "with_target"]


@dataclass(frozen=True)
class WeightedStore:
    """A store to learn from.

    Attributes:
        store: of which the train split is used.
        weight: how often an epoch draws each of its utterances: 1 once, 0.3 a random 30 % of them, 2 twice.
    """

    store: Store
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise ConfigError(
                f"a weight is a number above 0, got {self.weight}",
                where=str(self.store.path),
                fix="leave a store out instead of giving it the weight 0",
            )


def sources_of(weights: Mapping[Path, float], validate_on: Path | None = None) -> list[WeightedStore]:
    """Stores with their weights, the one to validate on first.

    Args:
        weights: folder of a store → its weight.
        validate_on: one of the folders; None takes the first.

    Raises: ConfigError for a weight that is none, or a place to validate on that is none of the stores; DataError if a
        folder is no store.
    """
    sources = [WeightedStore(Store(place), weight) for place, weight in weights.items()]
    if validate_on is None:
        return sources
    chosen = [source for source in sources if source.store.path.resolve() == validate_on.resolve()]
    if not chosen:
        raise ConfigError(f"{validate_on} is not one of the stores", where="--validate-on", fix="add it to --data")
    return chosen + [source for source in sources if source is not chosen[0]]


def with_target(sources: Sequence[WeightedStore], target: str) -> list[WeightedStore]:
    """The sources with one of the first store's targets chosen, and in the others the target of the same task.

    Args:
        sources: of a training.
        target: its name; empty leaves it as it is chosen.

    Raises: DataError if the first store has no such target.
    """
    first, *others = sources
    store = first.store.choosing(target) if target else first.store
    others = [replace(other, store=other.store.for_task(store.task, store.target)) for other in others]
    return [replace(first, store=store), *others]


class Mixture:
    """The train splits of several stores, one after the other, for training alone.

    Every part keeps its own normalisation; contradictions for corrupted views come from the same part.

    Args:
        parts: data sets of the same task, read by the same tokenizer.
        weights: one per part, see `WeightedStore`.
    """

    def __init__(self, parts: Sequence[Dataset], weights: Sequence[float]) -> None:
        self.parts, self.weights = tuple(parts), tuple(weights)
        self.task = parts[0].task
        self.clip = parts[0].clip
        self._starts = np.cumsum([0, *map(len, parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, position: int) -> Utterance:
        part, place = self._place(position)
        return part[place]

    @property
    def epoch_size(self) -> int:
        """Utterances that one epoch draws."""
        return sum(_count(len(part), weight) for part, weight in zip(self.parts, self.weights, strict=True))

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Positions of one epoch, in random order."""
        drawn = [np.empty(0, np.int64)]
        for start, part, weight in zip(self._starts, self.parts, self.weights, strict=False):
            count = len(part)
            whole, rest = divmod(_count(count, weight), max(count, 1))
            drawn.append(start + np.concatenate([np.tile(np.arange(count), whole), rng.permutation(count)[:rest]]))
        return np.asarray(rng.permutation(np.concatenate(drawn)), np.int64)

    @property
    def token_ids(self) -> list[list[int]]:
        """As `Dataset.token_ids`."""
        return [ids for part in self.parts for ids in part.token_ids]

    def sizes(self) -> NDArray[np.int64]:
        """As `Dataset.sizes`."""
        return np.concatenate([part.sizes() for part in self.parts])

    def partners(self) -> list[NDArray[np.int64]]:
        """As `Dataset.partners`, each within its own part."""
        result = []
        for start, part in zip(self._starts, self.parts, strict=False):
            found = part.partners()  # many utterances share one array of partners
            shifted = {key: array + start for key, array in {id(array): array for array in found}.items()}
            result += [shifted[id(array)] for array in found]
        return result

    def dropped_row(self, position: int) -> dict[Modality, NDArray[np.float32]] | None:
        """As `Dataset.dropped_row`."""
        part, place = self._place(position)
        return part.dropped_row(place)

    def _place(self, position: int) -> tuple[Dataset, int]:
        which = int(np.searchsorted(self._starts, position, side="right")) - 1
        return self.parts[which], int(position - self._starts[which])


def check_sources(sources: Sequence[WeightedStore]) -> tuple[Task, dict[Modality, FeatureSpec]]:
    """The task and the streams of stores that may be learned from together; the first one is the target.

    Raises: DataError if tasks or streams of the same name differ, a store would contribute nothing, or a store's
        train split holds utterances that the target is evaluated on.
    """
    stores = [source.store for source in sources]
    task, specs = common_task(stores), common_specs(stores)
    for source in sources:
        if not any(source.store.column("split")):
            raise DataError(
                f"none of its {len(source.store)} utterances has a split",
                where=str(source.store.path),
                fix=f"`mecam data split {source.store.path} -o STORE` assigns them to train, valid and test",
            )
        if not _count(len(source.store.split("train")), source.weight):
            raise DataError(
                f"with this weight, an epoch uses none of its {len(source.store.split('train'))} train utterances",
                where=str(source.store.path),
                fix="give the store a larger weight, or leave it out",
            )
    target = stores[0]
    kept_apart = {*_said(target, "valid"), *_said(target, "test")}
    for store in stores[1:]:
        leaked = [said for said in _said(store, "train") if said in kept_apart]
        if leaked:
            raise DataError(
                f"{len(leaked)} train utterances are in valid or test of {target.path}, the first is {leaked[0][0]!r}",
                where=str(store.path),
                fix="remove them from its train split: do not train on utterances that are evaluated",
            )
    return task, specs


def merged(normalisers: Sequence[Normaliser]) -> Normaliser:
    """The first one, with what it does not know from the others."""
    centre: dict[Modality, NDArray[np.float32]] = {}
    scale: dict[Modality, NDArray[np.float32]] = {}
    for one in reversed(normalisers):
        centre |= one.centre
        scale |= one.scale
    return replace(normalisers[0], centre=centre, scale=scale)


def _count(utterances: int, weight: float) -> int:
    return round(utterances * weight)


def _said(store: Store, split: str) -> list[tuple[str, str]]:
    """Id and words of each utterance: together they tell it from those of other data that are numbered alike."""
    ids, words, labels = (store.column(name) for name in ("id", "text", "label"))
    return [(ids[i], str(labels[i] if words[i] is None else words[i])) for i in store.split(split)]
