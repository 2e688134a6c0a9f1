"""Stores put together: `join` adds one store's streams to another's utterances, `merge` adds utterances."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mecam.data.store import Store
from mecam.data.store.derive import Progress, write_derived
from mecam.errors import DataError
from mecam.task import Task
from mecam.types import FeatureSpec, Modality, Utterance

__all__ = ["JoinReport", "common_specs", "common_task", "join", "merge"]


@dataclass(frozen=True)
class JoinReport:
    """How well the stores fit.

    Attributes:
        added: store path → streams that came from it.
        matched: store path → utterances that it had something for.
        without: store path → utterances of the base that it does not have; their streams are absent.
        ignored: store path → its utterances that the base does not have.
    """

    added: dict[str, tuple[Modality, ...]]
    matched: dict[str, int]
    without: dict[str, int]
    ignored: dict[str, int]


def join(
    base: Store,
    others: Sequence[Store],
    path: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> JoinReport:
    """Write the base's utterances with the streams of the others, found by id.

    What the base lacks (transcript, words, speaker, label, scores per modality) is taken from the first store that
    has it; what it has stays.

    Args:
        base: whose utterances and splits are kept, in their order.
        others: stores that hold further streams of the same utterances.
        path: the store to make.
        overwrite: replace an existing store.
        progress: called with utterances done.

    Raises: DataError if two stores hold the same stream, or a store shares no id with the base.
    """
    specs, places = dict(base.specs), []
    report = JoinReport({}, {}, {}, {})
    ids = base.column("id")
    for other in others:
        key, place = str(other.path), {name: i for i, name in enumerate(other.column("id"))}
        if both := sorted(set(specs) & set(other.specs)):
            raise DataError(f"the stream {both[0]!r} is in more than one of the stores", where=key)
        matched = sum(name in place for name in ids)
        if not matched:
            raise DataError(
                f"no id is in both stores: {ids[0]!r} here, {next(iter(place))!r} there",
                where=key,
                fix="import both from sources that name utterances in the same way",
            )
        specs |= other.specs
        places.append(place)
        report.added[key] = tuple(other.specs)
        report.matched[key] = matched
        report.without[key] = len(ids) - matched
        report.ignored[key] = len(place) - matched

    def joined() -> Iterator[Utterance]:
        for utterance in base:
            for other, place in zip(others, places, strict=True):
                if utterance.id in place:
                    utterance = _completed(utterance, other[place[utterance.id]], base, other)
            yield utterance

    step = {"command": "join", "streams": {key: list(added) for key, added in report.added.items()}}
    sources = [base, *others]
    write_derived(
        path,
        joined(),
        sources,
        step=step,
        targets={n: t for store in reversed(sources) for n, t in store.targets.items() if n != base.target},
        specs=specs,
        overwrite=overwrite,
        progress=progress,
    )
    return report


def merge(
    stores: Sequence[Store],
    path: str | Path,
    *,
    name: str | None = None,
    prefix: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write the utterances of all stores into one, each keeping its split.

    Args:
        stores: two or more of the same task.
        path: the store to make.
        name: of the new data set; by default the names joined by `+`.
        prefix: put each store's name before its ids, recordings and speakers, so that none clash.
        overwrite: replace an existing store.
        progress: called with utterances done.

    Raises: DataError if the tasks or the specs of a stream differ, or an id occurs in two stores.
    """
    specs = common_specs(stores)
    task = common_task(stores)
    if not prefix:
        counts = Counter(identity for store in stores for identity in store.column("id"))
        if twice := [identity for identity, count in counts.items() if count > 1]:
            raise DataError(
                f"{len(twice)} ids are in more than one store, the first is {twice[0]!r}",
                fix="add --prefix to put each store's name before its ids",
            )

    def merged() -> Iterator[Utterance]:
        for store in stores:
            for utterance in store:
                yield _prefixed(utterance, store.name) if prefix else utterance

    write_derived(
        path,
        merged(),
        stores,
        step={"command": "merge", "prefix": prefix},
        name=name or "+".join(dict.fromkeys(store.name for store in stores)),
        task=task,
        targets=common_targets(stores),
        specs=specs,
        overwrite=overwrite,
        progress=progress,
        total=sum(map(len, stores)),
    )


def _completed(utterance: Utterance, other: Utterance, base: Store, brought: Store) -> Utterance:
    """An utterance of the base with what `brought` says of it too; of labels, those that the base does not ask for."""
    label = utterance.label
    labels = other.targets if other.label is None else {brought.target: other.label, **other.targets}
    new = {name: given for name, given in labels.items() if name not in base.targets}
    return replace(
        utterance,
        streams={**utterance.streams, **other.streams},
        intervals={**utterance.intervals, **other.intervals},
        text=other.text if utterance.text is None else utterance.text,
        words=utterance.words or other.words,
        speaker=utterance.speaker or other.speaker,
        video=utterance.video or other.video,
        split=utterance.split or other.split,
        label=other.label if label is None and base.task == brought.task else label,
        targets={**new, **utterance.targets},
        unimodal={**other.unimodal, **utterance.unimodal},
        injected=(*utterance.injected, *(span for span in other.injected if span.modality in other.streams)),
    )


def _prefixed(utterance: Utterance, name: str) -> Utterance:
    def named(value: str) -> str:
        return f"{name}-{value}" if value else value

    return replace(utterance, id=named(utterance.id), video=named(utterance.video), speaker=named(utterance.speaker))


def common_task(stores: Sequence[Store]) -> Task:
    """The task of all these stores.

    Raises: DataError if they are labelled otherwise.
    """
    first = stores[0].task
    for store in stores[1:]:
        if not store.task.matches(first):
            raise DataError(
                f"the tasks differ: {first.description} and {store.task.description}",
                where=str(store.path),
                fix="only stores with the same labels can be put together",
            )
    return first


def common_targets(stores: Sequence[Store]) -> dict[str, Task]:
    """Every target of these stores but the first of the first one.

    Raises: DataError if two stores ask for different things under one name.
    """
    targets = dict(stores[0].targets)
    for store in stores[1:]:
        for name, task in list(store.targets.items())[1:]:
            if not targets.setdefault(name, task).matches(task):
                raise DataError(
                    f"the target {name!r} differs: {targets[name].description} and {task.description}",
                    where=str(store.path),
                    fix="only stores with the same labels can be put together",
                )
    return dict(list(targets.items())[1:])


def common_specs(stores: Sequence[Store]) -> dict[Modality, FeatureSpec]:
    """Every stream that one of these stores has.

    Raises: DataError if two stores have different features under one name.
    """
    specs: dict[Modality, FeatureSpec] = {}
    for store in stores:
        for modality, spec in store.specs.items():
            known = specs.setdefault(modality, spec)
            if (known.width, known.extractor, known.aligned) != (spec.width, spec.extractor, spec.aligned):
                raise DataError(
                    f"the stream {modality!r} differs: {known.width} × {known.extractor}"
                    f" and {spec.width} × {spec.extractor}"
                    + ("" if known.aligned == spec.aligned else ", one aligned to words and one not"),
                    where=str(store.path),
                    fix="features of different origin cannot stand in one stream",
                )
    return specs
