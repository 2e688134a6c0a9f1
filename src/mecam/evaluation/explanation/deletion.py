"""The deletion test: does it cost less to remove what the filter marks than to remove as much at random?

Within each utterance and modality the rows (for text: the words) are ranked by how much the filter kept of them, and a
share of them is left out: those kept least (`marked`), as many at random (`random`), those kept most (`kept`). A filter
that finds what is of no use to the model comes out in this order, from little cost to much.

On data with injected negative information the marked rows should be the corrupted ones, and leaving them out may even
help. On clean data nothing is corrupted: the test then says whether the filter ranks rows by how much the model needs
them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.data.corruption import generator_for
from mecam.data.store import Store
from mecam.errors import DataError, ModelError
from mecam.evaluation.explanation.perturbation import bare, observed, perturbed_predictions, unknown_token, without
from mecam.evaluation.groups import Groups
from mecam.evaluation.metrics import Metric, metrics_for
from mecam.evaluation.statistics import Difference, holm, paired_permutation_test
from mecam.models.backend import Backend
from mecam.task import Task
from mecam.types import Modality, Predictions, Utterance

__all__ = ["ARMS", "DRAWS", "SHARES", "Deletions", "Removals", "adjust", "cost_metric", "cost_table", "deletion_test"]

ARMS = ("marked", "random", "kept")
"""What is removed: what the filter kept least of, as much at random, what it kept most of."""

PERMUTATIONS = 10_000

Array = NDArray[np.float64]

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
DRAWS = 5
CHUNK = 16
"""Utterances whose variants are held in memory at a time."""
MIN_ROWS = 2
"""Rows below which there is nothing to rank."""

Order = NDArray[np.int64]


def deletion_test(
    seeds: Sequence[Backend],
    source: Store | Sequence[Utterance],
    indices: NDArray[np.int64] | None = None,
    *,
    shares: Sequence[float] = SHARES,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Remove rows and words by rank of the filter's gate, and at random, and measure what it costs.

    Args:
        seeds: one model per seed of a run, with a filter.
        source: labelled utterances, as a store or in memory.
        indices: which of them; all when None.
        shares: of the observed rows of a modality to remove, rounded to whole rows per utterance.
        draws: random removals that are averaged.
        seed: of the random removals.
        progress: called with (utterances done, all), over seeds and modalities.

    Returns: `metric`, `higher_is_better`, `shares`, `draws`, `seeds`, and `modalities` → modality → group (`all`;
        `injected` where negative information is known to lie in part of the modality) → what `costs.cost_table`
        describes.
    Raises: ModelError for a model without a filter; DataError if there are no labels or no rows to rank.
    """
    task = seeds[0].checkpoint.inputs.task
    per_seed = [_Baseline.of(backend, source, indices) for backend in seeds]
    modalities = _modalities(per_seed[0])
    count, done = len(per_seed[0].utterances), 0
    total = count * len(seeds) * len(modalities)
    tables: dict[Modality, dict[str, Any]] = {}
    for modality in modalities:
        given = []
        for backend, baseline in zip(seeds, per_seed, strict=True):
            asked = Deletions(backend, baseline, modality, shares, draws, seed)
            for done_here in asked.run():
                if progress:
                    progress(done + done_here, total)
            done += count
            given.append(asked)
        tables[modality] = {
            name: cost_table(task, [each.removals for each in given], rows) for name, rows in given[0].groups().items()
        }
    adjust([table for groups in tables.values() for table in groups.values()])
    metric = cost_metric(task)
    return {
        "metric": metric.name,
        "higher_is_better": metric.higher_is_better,
        "shares": list(shares),
        "draws": draws,
        "seeds": len(seeds),
        "modalities": tables,
    }


@dataclass(frozen=True)
class _Baseline:
    """Utterances as one seed's model reads them, and its answers to them as they are."""

    utterances: list[Utterance]
    whole: Predictions

    @classmethod
    def of(
        cls, backend: Backend, source: Store | Sequence[Utterance], indices: NDArray[np.int64] | None
    ) -> "_Baseline":
        utterances = list(backend.preprocessor.dataset(source, indices))
        whole = perturbed_predictions(backend, utterances, details=True)
        if not any(whole.gates):
            raise ModelError(
                f"{backend.checkpoint.name} has no filter, so time steps cannot be ranked",
                fix="test a model with a filter, such as mecam",
            )
        if whole.truth is None:
            raise DataError("the utterances have no labels, so the cost of a removal is unknown")
        return cls(utterances, whole)


def _modalities(baseline: _Baseline) -> list[Modality]:
    """Those with rows to rank in some utterance."""
    known = dict.fromkeys(m for gates in baseline.whole.gates for m in gates)
    pairs = [(m, u) for m in known for u in baseline.utterances]
    ranked = {m for m, u in pairs if observed(u, m).sum() >= MIN_ROWS}
    if not ranked:
        raise DataError("no utterance has more than one time step of any modality: there is nothing to rank")
    return [m for m in known if m in ranked]


class Deletions:
    """Predicts with one seed's model, without rows of one modality.

    Attributes:
        use: N, utterances that have rows to rank.
        removals: the answers, as far as they are asked for.
    """

    def __init__(
        self,
        backend: Backend,
        baseline: _Baseline,
        modality: Modality,
        shares: Sequence[float],
        draws: int,
        seed: int,
    ) -> None:
        self._backend, self._utterances, self._modality, self._seed = backend, baseline.utterances, modality, seed
        self._arms = [("marked", 0), ("kept", 0), *(("random", draw) for draw in range(draws))]
        self.use = np.array([observed(u, modality).sum() >= MIN_ROWS for u in baseline.utterances])
        whole = baseline.whole
        self.removals = Removals(
            whole=whole,
            draws=draws,
            shares=tuple(shares),
            predictions={(*arm, s): whole.prediction.copy() for arm in self._arms for s in range(len(shares))},
            removed=np.zeros((len(shares), len(whole))),
        )

    def run(self) -> Iterator[int]:
        """Compute everything; yields how many utterances are done."""
        chosen = np.flatnonzero(self.use).tolist()
        for start in range(0, len(chosen), CHUNK):
            asked = [ask for i in chosen[start : start + CHUNK] for ask in self._asks(i)]
            said = perturbed_predictions(self._backend, [variant for *_, variant in asked]).prediction
            for (i, arm, shares, _), value in zip(asked, said, strict=True):
                for s in shares:
                    key = (*arm, s)
                    self.removals.predictions[key][i] = value
            yield start
        yield len(self.use)

    def groups(self) -> dict[str, NDArray[np.bool_]]:
        """`all` utterances with rows to rank; `injected`: those with corruption in some of them only."""
        touched = np.zeros(len(self.use), bool)
        for i, marks in enumerate(self.removals.whole.injected):
            rows = marks.get(self._modality)
            touched[i] = rows is not None and bool(rows.any()) and not bool(rows.all())
        groups = {"all": self.use, "injected": self.use & touched}
        return {name: rows for name, rows in groups.items() if rows.any()}

    def _asks(self, i: int) -> Iterator[tuple[int, tuple[str, int], list[int], Utterance]]:
        """Utterance, arm, numbers of the shares that remove as many rows, and the utterance without these."""
        utterance = bare(self._utterances[i])
        seen = np.flatnonzero(observed(utterance, self._modality))
        counts = [int(share * len(seen) + 0.5) for share in self.removals.shares]
        self.removals.removed[:, i] = np.array(counts) / len(seen)
        unk = unknown_token(self._backend)
        for arm in self._arms:
            order = seen[self._order(i, arm, seen)]
            for count in sorted(set(counts) - {0}):
                gone = np.zeros(len(observed(utterance, self._modality)), bool)
                gone[order[:count]] = True
                here = [s for s, many in enumerate(counts) if many == count]
                yield i, arm, here, without(utterance, self._modality, gone, unk)

    def _order(self, i: int, arm: tuple[str, int], seen: Order) -> Order:
        """Which of the observed rows goes first, second …; ties in random order."""
        name, draw = arm
        rng = generator_for(self._seed, "deletion", self._modality, self._utterances[i].id, str(draw))
        shuffled = rng.permutation(len(seen))
        if name == "random":
            return shuffled
        kept = self.removals.whole.gates[i][self._modality][seen][shuffled]
        order: Order = shuffled[np.argsort(kept if name == "marked" else -kept, kind="stable")]
        return order


@dataclass(frozen=True)
class Removals:
    """One seed's answers without rows of one modality.

    Attributes:
        whole: the answers as things are.
        draws: random removals.
        shares: S, that are removed.
        predictions: (arm, draw, number of the share) → N × … predictions.
        removed: S × N, share that was really removed.
    """

    whole: Predictions
    draws: int
    shares: tuple[float, ...]
    predictions: Mapping[tuple[str, int, int], Array]
    removed: Array


def cost_metric(task: Task) -> Metric:
    """The metric that costs are measured in: MAE, UAR or mean F1."""
    return metrics_for(task)[task.leading]


def cost_table(task: Task, seeds: Sequence[Removals], rows: NDArray[np.bool_]) -> dict[str, Any]:
    """What removal costs in one group of utterances.

    Args:
        task: of the labels.
        seeds: one per seed of a run.
        rows: N, the utterances of the group.

    Returns:
        utterances, videos: how many.
        score: the metric as things are, mean over seeds; None where it is undefined.
        removed: per share asked for, the mean share that was removed (rows are whole).
        curves: arm → `shares` (one per share) and `mean` (over the shares), each with `cost` (how much worse the metric
            is than as things are, mean over seeds and draws) and `ci95` (other recordings).
        tests: `marked` and `kept`, each against `random` and over all shares: `value` (the difference of the costs),
            `ci95`, `p_value` (paired permutation by recording, two-sided), `p_holm` (None until `adjust`).
    """
    metric = cost_metric(task)
    chosen = np.flatnonzero(rows)
    first = seeds[0]
    every = range(len(first.shares))

    def arm(name: str, which: Sequence[int]) -> list[Predictions]:
        """One for every seed, draw and share: what is averaged over seeds is averaged over all of them."""
        keys = [(one, draw, s) for one in seeds for draw in range(first.draws) for s in which]
        return [_cut(one, one.predictions[name, draw if name == "random" else 0, s], chosen) for one, draw, s in keys]

    def cost(worse: Sequence[Predictions], better: Sequence[Predictions], *, permutations: int = 1) -> Difference:
        pair = (better, worse) if metric.higher_is_better else (worse, better)
        return paired_permutation_test(task, *pair, metric.name, permutations=permutations)

    whole = [_cut(one, one.whole.prediction, chosen) for one in seeds for _ in range(first.draws)]
    repeated = [one for one in whole for _ in every]
    curves: dict[str, Any] = {}
    for name in ARMS:
        points = [_point(cost(arm(name, [s]), whole)) for s in every]
        curves[name] = {"shares": points, "mean": _point(cost(arm(name, every), repeated))}
    random = arm("random", every)
    groups = Groups.of(whole[0])
    return {
        "utterances": len(chosen),
        "videos": len(set(whole[0].videos)),
        "resampled": asdict(groups.resampled),
        "score": _mean([metric(p.prediction, p.truth) for p in whole if p.truth is not None]),
        "removed": first.removed[:, chosen].mean(axis=1).tolist(),
        "curves": curves,
        "tests": {
            name: asdict(cost(arm(name, every), random, permutations=PERMUTATIONS)) for name in ("marked", "kept")
        },
    }


def adjust(tables: Sequence[dict[str, Any]]) -> None:
    """Put Holm's adjusted p-values beside those of all tests of these tables together."""
    tests = [test for table in tables for test in table["tests"].values() if test["p_value"] is not None]
    for test, adjusted in zip(tests, holm([test["p_value"] for test in tests]), strict=True):
        test["p_holm"] = adjusted


def _cut(one: Removals, prediction: Array, chosen: NDArray[np.int64]) -> Predictions:
    assert one.whole.truth is not None
    ids, videos = (tuple(names[i] for i in chosen) for names in (one.whole.ids, one.whole.videos))
    speakers = tuple(one.whole.speakers[i] for i in chosen) if one.whole.speakers else ()
    return Predictions(ids, videos, prediction[chosen], one.whole.truth[chosen], speakers=speakers)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _point(found: Difference) -> dict[str, Any]:
    return {"cost": found.value, "ci95": None if found.ci95 is None else list(found.ci95)}
