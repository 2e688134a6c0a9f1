"""A model under every condition of a plan: what is there already is left alone, what can be reused is computed once."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mecam.batch import Device
from mecam.evaluation.predict import finished, predict
from mecam.evaluation.robustness.cells import Answer, cell_name, checkpoint_identity, write_cell
from mecam.evaluation.robustness.conditions import Condition
from mecam.evaluation.robustness.material import Material
from mecam.evaluation.robustness.memory import Recent, remembering_encoders
from mecam.files import writing
from mecam.models.checkpoint import Trained, check_features, load_checkpoint
from mecam.types import TEXT, Modality, Predictions, Utterance

__all__ = ["Job", "Measured", "jobs_of", "measure", "measure_all"]

KNOWN_ANSWERS = 30_000
"""Answers that are kept, to be given again when the same utterance comes back spoilt in the same way."""


@dataclass(frozen=True)
class Job:
    """One cell to make.

    Attributes:
        condition: what is done to the split.
        seed: of the masks.
        path: where the cell goes.
    """

    condition: Condition
    seed: int
    path: Path


def jobs_of(
    checkpoint: Path, material: Material, conditions: Sequence[Condition], seeds: Sequence[int], place: Path
) -> list[Job]:
    """All cells of one trained model: conditions, and of each that is random one cell per seed.

    Args:
        checkpoint: its folder.
        material: what is spoilt.
        conditions: of the plan.
        seeds: of the masks.
        place: the folder of the cells.
    """
    identity = checkpoint_identity(checkpoint)
    jobs = []
    for condition in conditions:
        for seed in seeds if condition.random else seeds[:1]:
            name = cell_name(identity, material.identity, condition.to_json(), seed if condition.random else None)
            jobs.append(Job(condition, seed, place / name))
    return jobs


class Measured:
    """A trained model that answers about spoilt utterances.

    Args:
        trained: the model, on the device where it computes.
        material: what is spoilt.
        reuse: give known answers again and encode what is known already once; False computes all of it anew.
    """

    def __init__(self, trained: Trained, material: Material, *, reuse: bool = True) -> None:
        self._trained, self._material, self._reuse = trained, material, reuse
        self._known: Recent[Answer] = Recent(KNOWN_ANSWERS)

    def answers(self, utterances: Sequence[Utterance]) -> list[Answer]:
        """One per utterance, in their order."""
        if not self._reuse:
            return self._predict(utterances)
        keys = [_content(utterance, self._trained.model.reads) for utterance in utterances]
        found = {key: known for key in dict.fromkeys(keys) if (known := self._known.get(key)) is not None}
        new = {key: utterance for key, utterance in zip(keys, utterances, strict=True) if key not in found}
        if new:
            for key, answer in zip(new, self._predict(list(new.values())), strict=True):
                found[key] = answer
                self._known.put(key, answer)
        return [found[key] for key in keys]

    def _predict(self, utterances: Sequence[Utterance]) -> list[Answer]:
        dataset = self._trained.dataset(utterances)
        said = predict(self._trained.model, dataset, self._trained.collator, details=True)
        return [
            Answer(
                np.asarray(said.prediction[i]),
                {m: float(d[i]) for m, d in said.doubts.items()},
                said.gates[i],
                {m: float(lost[i]) for m, lost in said.lost.items()},
            )
            for i in range(len(said))
        ]


def _finished(trained: Trained, material: Material, answers: Sequence[Answer]) -> list[Answer]:
    """The answers with what the checkpoint adds: the rest of their recordings, spoilt as it is, and how sure it is."""
    together = Predictions(
        material.ids,
        material.videos,
        np.array([answer.prediction for answer in answers]),
        None,
        lost={m: np.array([answer.lost[m] for answer in answers]) for m in trained.model.reads},
    )
    said = finished(trained, together)
    wider = said.half_widths(1.0).tolist()
    return [
        replace(answer, prediction=np.asarray(said.prediction[i]), wider=wider[i]) for i, answer in enumerate(answers)
    ]


def measure(
    trained: Trained,
    material: Material,
    jobs: Sequence[Job],
    *,
    reuse: bool = True,
    progress: Callable[[], None] | None = None,
) -> None:
    """Make the cells of one trained model.

    Args:
        trained: the model.
        material: what is spoilt.
        jobs: cells to make.
        reuse: as in `Measured`.
        progress: called after each cell.
    """
    measured = Measured(trained, material, reuse=reuse)
    with remembering_encoders(trained.model) if reuse else nullcontext():
        for job in jobs:
            spoilt = [job.condition.spoil(material, place, job.seed) for place in range(len(material))]
            kept: Sequence[Modality] = (job.condition.modality,) if job.condition.modality else material.modalities
            answers = _finished(trained, material, measured.answers(spoilt))
            write_cell(job.path, answers, [utterance.injected for utterance in spoilt], kept)
            if progress:
                progress()


def measure_all(
    checkpoint: Path,
    material: Material,
    jobs: Sequence[Job],
    *,
    device: Device = "cpu",
    progress: Callable[[], None] | None = None,
) -> int:
    """Make the cells that are not there yet; the model is loaded only if there are any.

    Returns: how many were made.
    Raises: ModelError if the checkpoint cannot be read or does not fit the store.
    """
    missing = [job for job in jobs if not job.path.exists()]
    for _ in range(len(jobs) - len(missing)):
        if progress:
            progress()
    if missing:
        trained = load_checkpoint(checkpoint)
        check_features(trained, material.store)
        trained.model.to(device)
        place = missing[0].path.parent
        with writing(place):
            place.mkdir(parents=True, exist_ok=True)
        measure(trained, material, missing, progress=progress)
    return len(missing)


def _content(utterance: Utterance, reads: Sequence[Modality]) -> bytes:
    """A hash of all that a model reads of an utterance."""
    digest = hashlib.blake2b(digest_size=16)
    for modality in reads:
        rows = utterance.streams.get(modality)
        if rows is not None:
            digest.update(f"\0{modality} {rows.shape}\0".encode())
            digest.update(np.ascontiguousarray(rows).data)
        elif modality == TEXT:
            digest.update(f"\0text {utterance.text!r}".encode())
    return digest.digest()
