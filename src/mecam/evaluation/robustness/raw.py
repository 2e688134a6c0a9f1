"""The protocol `raw`: the recordings themselves are damaged, and extracted again, before the model reads them.

Where features are spoilt in the other protocols, here the extractors meet the noise: faces are lost, pitch is misread.
What is said stays what it was, and so does a modality that was not extracted from the recordings. One damaged store
per kind, severity and seed is made when it is first needed, and kept; it can be deleted once it has been measured.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from mecam.data.store import Store
from mecam.errors import ConfigError
from mecam.evaluation.robustness.conditions import Condition
from mecam.evaluation.robustness.material import Material, missing_spans
from mecam.features.corrupted_store import damaged_store, recipe_of_store, recordings_identity
from mecam.features.corruption import KINDS, Damage
from mecam.features.extractor import chosen
from mecam.types import VISION, Modality, Utterance

__all__ = ["Damaged", "Recordings", "damage_conditions"]

SEVERITIES = (1, 2, 3, 4, 5)
EXTENT = 0.5
"""Part of every ten seconds that is touched: enough to hurt, and as much left to tell the filter what is clean."""


class Recordings:
    """What the utterances of a store were extracted from.

    Args:
        store: that the models are measured on.
        inputs: the folder, files or list of recordings.
        labels: the label table that the store was extracted with.
        place: folder of the damaged stores.
        ids: of the utterances that are measured.
        jobs: processes that extract.
        progress: called with (recordings done, all, what is being done).

    Raises: DataError if the store was not extracted by mecam.
    """

    def __init__(
        self,
        store: Store,
        inputs: Sequence[str | Path],
        place: Path,
        *,
        labels: Path | None = None,
        ids: Sequence[str] = (),
        jobs: int | None = None,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> None:
        self.made = tuple(chosen(recipe_of_store(store).extractors))
        self.identity = recordings_identity(inputs, labels)
        self._store, self._inputs, self._labels, self._place = store, tuple(inputs), labels, place
        self._ids, self._jobs, self._progress = tuple(ids), jobs, progress
        self._last: tuple[Damage, dict[str, Utterance]] | None = None

    def damaged(self, damage: Damage) -> Mapping[str, Utterance]:
        """Id → what the extractors make of the damaged recording; what cannot be extracted any more is not in it."""
        if self._last is None or self._last[0] != damage:
            name = f"{damage.kind}-{damage.level:g}-{damage.extent:g}-{damage.seed}"

            def progress(done: int, total: int) -> None:
                if self._progress:
                    self._progress(done, total, f"extracting {damage.kind} {damage.level:g}")

            store = damaged_store(
                self._store,
                self._inputs,
                [damage],
                self._place / self.identity[:12] / name,
                labels=self._labels,
                only=self._ids or None,
                jobs=self._jobs,
                progress=progress,
            )
            self._last = damage, {utterance.id: utterance for utterance in store}
        return self._last[1]


@dataclass(frozen=True)
class Damaged(Condition):
    """The recordings are damaged in one way.

    Attributes:
        amount: the severity in the unit of the kind.
        extent: part of every ten seconds that is touched.
        recordings: `Recordings.identity`.
    """

    amount: float = 0.0
    extent: float = EXTENT
    recordings: str = ""
    random: ClassVar[bool] = True

    def spoil(self, material: Material, place: int, seed: int) -> Utterance:
        """The utterance with the streams that its damaged recording gives; the others, and its text, stay."""
        assert material.recordings is not None
        utterance = material.utterances[place]
        hurt = material.recordings.damaged(Damage(self.kind, self.amount, self.extent, seed)).get(utterance.id)
        streams: dict[Modality, Any] = dict(utterance.streams)
        intervals: dict[Modality, Any] = dict(utterance.intervals)
        for modality in material.recordings.made:
            for rows, given in ((streams, hurt.streams if hurt else {}), (intervals, hurt.intervals if hurt else {})):
                rows.pop(modality, None)
                if modality in given:
                    rows[modality] = given[modality]
        touched = (*(hurt.injected if hurt else ()), *missing_spans(streams))
        return replace(utterance, streams=streams, intervals=intervals, injected=touched)


def damage_conditions(material: Material, modalities: Sequence[Modality]) -> list[Damaged]:
    """Every kind of damage at five severities to what these modalities were extracted from.

    Raises: ConfigError where the recordings are not known.
    """
    if material.recordings is None:
        raise ConfigError(
            "the protocol 'raw' damages the recordings that the store was extracted from: where are they?",
            where="--recordings",
            fix="give their folder, and with --labels the label table that the store was extracted with",
        )
    hurt = [modality for modality in modalities if modality in material.recordings.made]
    found = []
    for modality in hurt:
        medium = "picture" if modality == VISION else "sound"
        for name, kind in KINDS.items():
            if kind.medium == medium:
                found += [
                    Damaged(
                        f"{modality}.{name}.{severity}",
                        name,
                        modality,
                        float(severity),
                        amount=kind.levels[severity - 1],
                        recordings=material.recordings.identity,
                    )
                    for severity in SEVERITIES
                ]
    return found
