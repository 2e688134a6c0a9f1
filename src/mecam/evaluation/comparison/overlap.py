"""Do two models err on the same utterances? More often than chance would have it, and by how much.

Two models that are right equally often may be right about different utterances, which is where combining them pays.
The share on which both err says little by itself: bad models must meet. Error consistency is Cohen's kappa of *err* and
*does not err*: 1 where they err on the same utterances, 0 where they meet as often as chance has it, below where they
avoid each other. The residuals' correlation is the same question asked of scores.

Source: Geirhos, Meding and Wichmann (NeurIPS 2020, Beyond accuracy: quantifying trial-by-trial behaviour of CNNs and
humans by measuring error consistency).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mecam.evaluation.comparison.run_results import CONSTANT, RunResult
from mecam.evaluation.sums import Array
from mecam.task import Task
from mecam.types import Predictions

__all__ = ["Matrix", "Overlap", "overlap"]

Matrix = tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Overlap:
    """Every two models: M × M, means over all pairs of their seeds; the diagonal compares a model's seeds.

    Attributes:
        mistake: what counts as one, in words.
        decisions: that can be mistakes.
        names: of the models.
        rates: share of mistakes of each.
        both: share of decisions on which both err.
        expected: the same, if they erred independently.
        consistency: Cohen's kappa of the mistakes; None where it is undefined, as on the diagonal with one seed.
        residuals: Pearson's correlation of prediction − truth; () where the task has no scores.
    """

    mistake: str
    decisions: int
    names: tuple[str, ...]
    rates: tuple[float, ...]
    both: Matrix
    expected: Matrix
    consistency: Matrix
    residuals: Matrix

    def pairs(self) -> list[tuple[int, int]]:
        """Positions of every two models, each once."""
        return [(i, j) for i in range(len(self.names)) for j in range(i + 1, len(self.names))]


def overlap(run_results: Sequence[RunResult], task: Task) -> Overlap | None:
    """Compare the mistakes of all but the constant predictor; None for fewer than two models, or no decision."""
    models = [run_result for run_result in run_results if run_result.model != CONSTANT]
    if len(models) < 2:
        return None
    ids = models[0].predictions[0].ids
    ordered = [[_in_order(one, ids) for one in model.predictions] for model in models]
    errs = [np.stack([task.mistakes(*seed) for seed in seeds]) for seeds in ordered]  # M × (S N)
    if not errs[0].shape[1]:
        return None
    residuals: Matrix = ()
    if task.is_score:
        left = [np.stack([prediction - truth for prediction, truth in seeds]) for seeds in ordered]
        residuals = _matrix(left, _correlations)
    return Overlap(
        mistake=task.mistake,
        decisions=errs[0].shape[1],
        names=tuple(model.name for model in models),
        rates=tuple(float(e.mean()) for e in errs),
        both=_matrix(errs, _both),
        expected=_matrix(errs, _expected),
        consistency=_matrix(errs, _consistency),
        residuals=residuals,
    )


def _in_order(predictions: Predictions, ids: Sequence[str]) -> tuple[Array, Array]:
    """Prediction and truth, utterances as in `ids`."""
    place = {name: i for i, name in enumerate(predictions.ids)}
    order = [place[name] for name in ids]
    assert predictions.truth is not None
    return predictions.prediction[order], predictions.truth[order]


def _matrix(seeds: Sequence[Array], compare: Callable[[Array, Array], Array]) -> Matrix:
    """M × M means of an S × S' comparison of seeds; a model is not compared with the very same seed of itself."""
    rows: list[list[float | None]] = []
    for i, one in enumerate(seeds):
        row: list[float | None] = []
        for j, other in enumerate(seeds):
            with np.errstate(invalid="ignore", divide="ignore"):
                values = compare(one, other)
            chosen = values[~np.eye(len(one), dtype=np.bool_)] if i == j else values.ravel()
            whole = chosen.size > 0 and bool(np.isfinite(chosen).all())
            row.append(float(chosen.mean()) if whole else None)
        rows.append(row)
    return tuple(tuple(row) for row in rows)


def _both(one: Array, other: Array) -> Array:
    return np.asarray(one @ other.T / one.shape[1])


def _expected(one: Array, other: Array) -> Array:
    return np.asarray(one.mean(axis=1)[:, None] * other.mean(axis=1)[None])


def _consistency(one: Array, other: Array) -> Array:
    agree = _both(one, other) + _both(1 - one, 1 - other)
    chance = _expected(one, other) + _expected(1 - one, 1 - other)
    return np.asarray((agree - chance) / (1 - chance))


def _correlations(one: Array, other: Array) -> Array:
    def unit(values: Array) -> NDArray[np.float64]:
        centred = values - values.mean(axis=1, keepdims=True)
        return np.asarray(centred / np.linalg.norm(centred, axis=1, keepdims=True))

    return np.asarray(unit(one) @ unit(other).T)
