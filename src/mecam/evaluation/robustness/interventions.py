"""Does the filter matter? Gates and modality weights of a trained model are put in another's place; nothing is trained.

A model shows its gates, the conflict probabilities that close them, and its modality weights at its `Tap`s. A first
pass over the corrupted split writes them down, a second puts others in their place and asks for the predictions again.
Everything is exchanged, averaged and turned round among utterances that have the same modalities, so that a weight that
follows from these alone stays what it is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mecam.data.corruption import generator_for
from mecam.evaluation.predict import calibrated, predict
from mecam.evaluation.robustness.conditions import CLEAN, Condition
from mecam.evaluation.robustness.evaluation_split import OWN, EvaluationSplit
from mecam.models.base import Model
from mecam.models.trained import Trained
from mecam.nn.tap import Tap
from mecam.types import Modality, Predictions, Span, Utterance

__all__ = ["CHANGES", "PARTS", "Intervention", "Untouched", "holds_corruption", "interventions", "parts_of"]

GATES, WEIGHTS, BOTH = "gates", "weights", "both"

PARTS = (GATES, WEIGHTS, BOTH)
"""What is replaced: gates with the conflict probabilities that close them, modality weights, or all of it."""

EXCHANGED, ALIKE, MEAN, INVERTED = "exchanged", "exchanged-alike", "mean", "inverted"

CHANGES = (EXCHANGED, ALIKE, MEAN, INVERTED)
"""What takes the place of a gate or a weight."""

RANDOM = (EXCHANGED, ALIKE)

Rows: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Intervention(Condition):
    """Gates, weights or both of every utterance are replaced, on data that may be corrupted too.

    `exchanged`: by those of another utterance. `exchanged-alike`: of one that is corrupted too, or intact too.
    `mean`: by their mean over the split. `inverted`: the largest value of the split by the smallest, the second by the
    last but one …, so that the values, and with them how much is removed altogether, stay the same.

    Attributes:
        part: an entry of `PARTS`.
        change: an entry of `CHANGES`.
        corruption: what is done to the split before.
    """

    recorded: ClassVar[str] = "Intervention"
    part: str = BOTH
    change: str = EXCHANGED
    corruption: Condition = CLEAN

    @classmethod
    def at(cls, corruption: Condition, part: str, change: str) -> "Intervention":
        """The condition in which a part is changed on data that is corrupted so."""
        key = f"{corruption.key}.{part}.{change}"
        return cls(key, f"{part}.{change}", part=part, change=change, corruption=corruption)

    @property
    def random(self) -> bool:  # type: ignore[override]
        """Whether another seed gives another result."""
        return self.change in RANDOM or self.corruption.random

    def corrupt(self, data: EvaluationSplit, place: int, seed: int) -> Utterance:
        """As the condition before it does: what is replaced lies inside the model."""
        return self.corruption.corrupt(data, place, seed)

    def to_json(self) -> dict[str, Any]:
        """All that the result follows from, as plain values."""
        own = {"part": self.part, "change": self.change, "corruption": self.corruption.to_json()}
        return {**super().to_json(), **own}


def interventions(corruption: Condition) -> list[Intervention]:
    """Every part changed in every way, on data that is corrupted so."""
    return [Intervention.at(corruption, part, change) for part in PARTS for change in CHANGES]


def parts_of(model: nn.Module) -> tuple[str, ...]:
    """The entries of `PARTS` that a model has taps for."""
    found = _taps(model)
    own = [part for part in (GATES, WEIGHTS) if found[part]]
    return (*own, BOTH) if len(own) == 2 else tuple(own)


def _taps(model: nn.Module) -> dict[str, dict[str, Tap]]:
    """Part → name → tap. A conflict probability acts by closing gates: without gates there is none."""
    gates = {f"gate {m}": tap for m, tap in getattr(model, "gate_taps", {}).items()}
    conflict, weights = getattr(model, "conflict_tap", None), getattr(model, "weight_tap", None)
    if gates and conflict is not None:
        gates["conflict"] = conflict
    return {GATES: gates, WEIGHTS: {} if weights is None else {"weights": weights}}


def holds_corruption(
    data: EvaluationSplit, spans: Sequence[Sequence[Span]], reads: Sequence[Modality]
) -> NDArray[np.bool_]:
    """N, whether negative information is known to lie in what a model reads of an utterance; a missing row is none.

    Args:
        data: the split; what its store knows counts too.
        spans: N, what lies in each utterance.
        reads: the modalities that the model reads.
    """
    found = [
        any(span.modality in reads for span in known) or any(s.modality in reads and s.kind != OWN for s in row)
        for known, row in zip(data.brought, spans, strict=True)
    ]
    return np.array(found, bool)


class Untouched:
    """A model's first pass over a corrupted split: what it predicts, and what its taps show on the way.

    Args:
        trained: the model, on the device where it computes.
        data: the split.
        utterances: N, as corrupted.
    """

    def __init__(self, trained: Trained, data: EvaluationSplit, utterances: Sequence[Utterance]) -> None:
        self._trained, self._dataset = trained, trained.dataset(utterances)
        self.spans = [utterance.injected for utterance in utterances]
        self._ids = data.ids
        self._corrupted = holds_corruption(data, self.spans, trained.model.reads)
        self._taps = _taps(trained.model)
        shown: dict[str, dict[int, Rows]] = {name: {} for taps in self._taps.values() for name in taps}
        kinds: dict[int, list[object]] = {i: [] for i in range(len(utterances))}

        def write_down(name: str, place: int, values: Tensor, mask: Tensor) -> None:
            if bool(mask.any()):
                shown[name][place] = _rows(values, mask)
            if values.ndim == mask.ndim:  # one value per modality
                kinds[place].append((name, *mask.tolist()))
            else:
                kinds[place].append((name, bool(mask.any())))

        with _hooked(trained.model, self._taps, PARTS, write_down):
            self.predictions = self._predict()
        self._shown, self._kinds = shown, [tuple(kinds[i]) for i in range(len(utterances))]

    @property
    def size(self) -> int:
        """Bytes of what was written down."""
        return sum(rows.nbytes for one in self._shown.values() for rows in one.values())

    def changed(self, condition: Intervention, seed: int) -> Predictions:
        """The predictions of a second pass, in which a part is replaced."""
        put = self._replaced(condition.change, seed)

        def replace(name: str, place: int, values: Tensor, mask: Tensor) -> None:
            if place in put[name]:
                rows = torch.from_numpy(put[name][place]).to(values)
                values[mask] = rows[0] if values.ndim == mask.ndim else rows

        with _hooked(self._trained.model, self._taps, (condition.part,), replace):
            return self._predict()

    def _predict(self) -> Predictions:
        return calibrated(self._trained, predict(self._trained.model, self._dataset, self._trained.collator))

    def _replaced(self, change: str, seed: int) -> dict[str, dict[int, Rows]]:
        """Tap → utterance → what takes the place of its rows."""
        put: dict[str, dict[int, Rows]] = {name: {} for name in self._shown}
        for group in self._groups(alike=change == ALIKE):
            if change in RANDOM:
                group = sorted(group, key=lambda i: generator_for(seed, "exchange", self._ids[i]).random())
            for name, shown in self._shown.items():
                members = [i for i in group if i in shown]
                rows = _changed([shown[i] for i in members], change, whole=name == "weights")
                put[name].update(zip(members, rows, strict=True))
        return put

    def _groups(self, *, alike: bool) -> list[list[int]]:
        """Utterances among which rows may change places: with the same modalities, and corrupted alike."""
        groups: dict[object, list[int]] = {}
        for i, kind in enumerate(self._kinds):
            groups.setdefault((kind, alike and bool(self._corrupted[i])), []).append(i)
        return list(groups.values())


def _rows(values: Tensor, mask: Tensor) -> Rows:
    """The values that mean something: steps × columns, or one row of modalities."""
    found = values[mask]
    return (found[None] if values.ndim == mask.ndim else found).float().cpu().numpy()


def _changed(rows: Sequence[Rows], change: str, *, whole: bool) -> list[Rows]:
    """What takes the place of the rows of each member of a group.

    Args:
        rows: N, each of some steps × columns.
        change: an entry of `CHANGES`; where it exchanges, each is given the rows of the next member.
        whole: the columns of a row are shares of a whole, which stays what it is.
    """
    if not rows:
        return []
    if change in RANDOM:
        return [_resampled(rows[(i + 1) % len(rows)], len(own)) for i, own in enumerate(rows)]
    together = np.concatenate(rows)
    if change == MEAN:
        mean = together.mean(axis=0, dtype=np.float64).astype(np.float32)
        return [np.broadcast_to(mean, own.shape).copy() for own in rows]
    turned = _turned_round(together)
    if whole:
        turned *= together.sum(axis=1, keepdims=True) / np.maximum(turned.sum(axis=1, keepdims=True), 1e-12)
    return np.split(turned, np.cumsum([len(own) for own in rows])[:-1])


def _resampled(rows: Rows, count: int) -> Rows:
    """As many rows as asked for, each from the same relative position."""
    return rows[((np.arange(count) + 0.5) * len(rows) / count).astype(np.int64)]


def _turned_round(values: Rows) -> Rows:
    """Every column with its own values in the opposite order: the largest where the smallest was. Equals stay equal."""
    result = np.empty_like(values)
    for column, found in zip(values.T, result.T, strict=True):
        ordered = np.sort(column)
        low, high = np.searchsorted(ordered, column, "left"), np.searchsorted(ordered, column, "right") - 1
        found[:] = ordered[::-1][(low + high) // 2]
    return result


@contextmanager
def _hooked(
    model: Model,
    taps: Mapping[str, Mapping[str, Tap]],
    parts: Sequence[str],
    act: Callable[[str, int, Tensor, Tensor], None],
) -> Iterator[None]:
    """Let `act` see a copy of what flows through taps, utterance by utterance, and change it."""
    places: list[int] = []

    def look_where(_: nn.Module, given: tuple[Any, ...]) -> None:
        places[:] = given[0].index.tolist()

    def hook_of(name: str) -> Callable[..., Tensor]:
        def hook(_: nn.Module, given: tuple[Tensor, Tensor], shown: Tensor) -> Tensor:
            values = shown.clone()
            for i, place in enumerate(places):
                act(name, place, values[i], given[1][i])
            return values

        return hook

    asked = {name: tap for part, own in taps.items() if part in parts or BOTH in parts for name, tap in own.items()}
    with ExitStack() as stack:
        stack.enter_context(model.register_forward_pre_hook(look_where))
        for name, tap in asked.items():
            stack.enter_context(tap.register_forward_hook(hook_of(name)))
        yield
