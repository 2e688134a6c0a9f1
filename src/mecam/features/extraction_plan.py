"""What an extraction is, before anything is read: the recordings, their labels, and all else that its store depends on.

A pure function of the inputs, so that every shard of an extraction makes the same one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

from mecam.data.corruption import generator_for
from mecam.data.importing.labels import infer_task, other_targets, target_name
from mecam.data.store import StoreWriter
from mecam.features.clips import Clips, Tables, find_clips, with_splits
from mecam.features.corruption.kinds import ANY
from mecam.features.recording import Recipe
from mecam.task import Regression, Task
from mecam.types import FeatureSpec, Modality

__all__ = ["VOICES", "Plan", "plan_extraction"]

VOICES = 5
"""People in a babble."""


@dataclass(frozen=True)
class Plan:
    """What a store is made of, besides the parts of its recordings.

    Attributes:
        found: the recordings and their labels.
        name: the data set's name.
        task: what its labels are; scores, where there are none.
        target: what they label.
        targets: name → task of what else its utterances are labelled for.
        specs: modality → what its rows are.
        extracted: the recipe and the extractors, as the store's provenance tells them.
        remarks: added to the store's provenance.
    """

    found: Clips
    name: str
    task: Task
    target: str
    targets: Mapping[str, Task]
    specs: Mapping[Modality, FeatureSpec]
    extracted: Mapping[str, Any]
    remarks: Mapping[str, Any]

    def writer(self, store: Path, *, overwrite: bool) -> StoreWriter:
        """A writer of the store.

        Raises: DataError if there is a store already.
        """
        return StoreWriter(
            store,
            name=self.name,
            task=self.task,
            specs=self.specs,
            target=self.target,
            targets=self.targets,
            overwrite=overwrite,
        )


def plan_extraction(
    inputs: Sequence[str | Path],
    recipe: Recipe,
    *,
    labels: Tables = None,
    name: str | None = None,
    task: Task | None = None,
    only: Collection[str] | None = None,
    remarks: Mapping[str, Any] | None = None,
) -> Plan:
    """Find the recordings and what is known about them; see `mecam.features.extract.extract`.

    Raises: DataError if there is nothing to extract; ConfigError if an extractor is unknown.
    """
    found = _with_voices(with_splits(find_clips(inputs, labels)), recipe)
    if only is not None:
        found = replace(found, clips=tuple(clip for clip in found.clips if clip.id in only), missing=())
    rows = [clip.row for clip in found.clips if clip.row is not None]
    if task is None:
        task = infer_task(rows) if any(row.labels for row in rows) else Regression()
    target = target_name(task, rows)
    return Plan(
        found=found,
        name=name or found.name,
        task=task,
        target=target,
        targets=other_targets(rows, target, task),
        specs=recipe.specs(),
        extracted=_extracted(recipe),
        remarks=dict(remarks or {}),
    )


def _with_voices(found: Clips, recipe: Recipe) -> Clips:
    """Each clip with the files that babble over it is made from: drawn from those of other recordings."""
    babble = next((one for one in recipe.corruptions if one.kind in ("babble", ANY)), None)
    if babble is None:
        return found
    files = sorted({clip.path for clip in found.clips})
    clips = []
    for clip in found.clips:
        rest = [path for path in files if path != clip.path]
        drawn = generator_for(babble.seed, clip.id, "voices").permutation(len(rest))[:VOICES]
        clips.append(replace(clip, others=tuple(rest[i] for i in drawn)))
    return replace(found, clips=tuple(clips))


def _extracted(recipe: Recipe) -> dict[str, Any]:
    made = recipe.made()
    return {
        "recipe": asdict(recipe),
        "extractors": {m: {"name": e.name, "version": e.version, "options": _options(e)} for m, e in made.items()},
    }


def _options(extractor: Any) -> dict[str, Any]:
    """The options of an extractor, as JSON-serialisable values; an extractor may be built upon another's options."""
    return {key: _plain(value) for key, value in vars(extractor).items() if key != "modality"}


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
