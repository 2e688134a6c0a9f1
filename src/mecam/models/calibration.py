"""What a checkpoint adds to its network's predictions: learned on validation, applied by `calibrated`.

A score is moved towards the other utterances of its recording (`RecordingContext`), and the interval around it grows
with the missing rates of the utterance (`IntervalScale`). `mecam.evaluation.calibration` learns both from a data set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from mecam.errors import DataError
from mecam.types import Modality, Predictions

__all__ = [
    "MIN_RECORDINGS",
    "IntervalScale",
    "RecordingContext",
    "RecordingPredictions",
    "baseline_missing_rates",
    "excess_missing_rates",
    "require_recordings",
]

Array = NDArray[np.float64]
C = TypeVar("C")

MIN_RECORDINGS = 5
"""Recordings of several utterances that are needed to learn the weights."""
PRIOR_WEIGHT = 1.0
"""Weight of an additional utterance with score 0: few or incomplete others count for less."""


def baseline_missing_rates(missing_rates: Mapping[Modality, Array]) -> dict[Modality, float]:
    """Modality → the median missing rate of complete utterances (silence, no face).

    Args:
        missing_rates: modality → N in [0, 1].
    """
    return {modality: float(np.median(shares)) for modality, shares in missing_rates.items()}


def excess_missing_rates(missing_rates: Mapping[Modality, Array], usual: Mapping[Modality, float]) -> Array:
    """M × N in [0, 1], in the order of `usual`: 0 where no more is missing than usual, 1 where all is."""
    rows = [(missing_rates[m] - share) / max(1 - share, 1e-9) for m, share in usual.items()]
    result: Array = np.clip(np.array(rows), 0, 1)
    return result


@dataclass(frozen=True)
class IntervalScale:
    """Missing rates → a factor on the half width of the interval.

    With u_m in [0, 1] the excess missing rate of modality m, the factor is 1 + Σ_m slope_m u_m.

    Differs: no paper's. Scaling the width of a split-conformal interval by an estimate of the difficulty is Lei et al.
    (2018), Distribution-free predictive inference for regression, section 5.2; here the difficulty is the missing rate.

    Attributes:
        usual: modality → the baseline missing rate.
        slope: modality → how much the interval grows when all of the modality is missing; not negative.
    """

    usual: Mapping[Modality, float]
    slope: Mapping[Modality, float]

    def __call__(self, missing_rates: Mapping[Modality, Array]) -> Array:
        """N factors, at least 1.

        Args:
            missing_rates: modality → N, the fraction of its time steps (of text: of its tokens) that are missing.

        Raises: DataError if it is not known how much of a modality is missing.
        """
        if unknown := sorted(set(self.slope) - set(missing_rates)):
            raise DataError(f"the missing rate of {', '.join(unknown)} is unknown")
        result: Array = 1 + np.array([self.slope[m] for m in self.usual]) @ excess_missing_rates(
            missing_rates, self.usual
        )
        return result

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "IntervalScale":
        """Inverse of `to_json`.

        Raises: DataError if a value is none that it can have.
        """
        return _of_modalities(cls, values, "usual", "slope")


@dataclass(frozen=True)
class RecordingPredictions:
    """The predictions of a model for the utterances of some recordings.

    Attributes:
        scores: N.
        recordings: N, the name of the recording of each.
        missing_rates: modality → N in [0, 1], as in `Predictions`.
    """

    scores: Array
    recordings: Sequence[str]
    missing_rates: Mapping[Modality, Array]

    @classmethod
    def of(cls, predictions: Predictions) -> "RecordingPredictions":
        """The part of predictions that context needs."""
        return cls(predictions.prediction, predictions.videos, predictions.missing_rates)


@dataclass(frozen=True)
class RecordingContext:
    """A score and the scores of the other utterances of its recording → a better score.

    With p the model's score measured from `centre`, m in [0, 1] the weighted excess missing rate of the utterance, and
    r the scores of the other utterances j of its recording, weighted by how complete each is:

        r = Σ (1 − m_j) p_j / (1 + Σ (1 − m_j))
        ŷ = p + pull · (r − p) + m · (own · p + rest · r)

    So a complete utterance moves towards its recording by `pull` alone, and one with everything missing gets its score
    from the others. Reads scores, never labels, and works with any model of scores. An utterance that is alone in its
    recording keeps its score.

    Differs: no paper's. `pull` is the shrinkage of a random-effects model (Robinson, Statistical Science 6(1), 1991)
    learned instead of derived; that context helps sentiment within recordings is Poria et al., ACL 2017.

    Attributes:
        centre: what scores are measured from: the constant predictor's.
        low: of the task's range, to which the result is limited.
        high: of the same.
        pull: in [0, 1].
        own: coefficient of m · p.
        rest: coefficient of m · r.
        usual: modality → the baseline missing rate (silence, no face).
        weight: modality → its weight in m; they sum to 1.
    """

    centre: float
    low: float
    high: float
    pull: float
    own: float
    rest: float
    usual: Mapping[Modality, float]
    weight: Mapping[Modality, float]

    def __call__(self, predictions: RecordingPredictions) -> Array:
        """N scores.

        Raises: DataError if it is not known how much of a modality is missing.
        """
        if unknown := sorted(set(self.weight) - set(predictions.missing_rates)):
            raise DataError(f"the missing rate of {', '.join(unknown)} is unknown")
        own = predictions.scores - self.centre
        loss = np.array([self.weight[m] for m in self.usual]) @ excess_missing_rates(
            predictions.missing_rates, self.usual
        )
        rest, alone = _rest(own, predictions.recordings, 1 - loss)
        moved = own + self.pull * (rest - own) + loss * (self.own * own + self.rest * rest)
        return np.where(alone, predictions.scores, np.clip(moved + self.centre, self.low, self.high))

    @classmethod
    def learn(
        cls,
        whole: RecordingPredictions,
        corrupted: Sequence[RecordingPredictions],
        truth: Array,
        *,
        centre: float,
        low: float,
        high: float,
    ) -> "RecordingContext":
        """Find the weights that lower the mean absolute error on validation.

        `pull` is learned from the complete utterances; the other weights from the same utterances with data missing at
        random. Two separate steps, so that complete utterances do not suffer from the others.

        Args:
            whole: predictions for the complete utterances.
            corrupted: the same with data missing, at several rates.
            truth: N labels.
            centre: of the scores.
            low: of the range.
            high: of the same.

        Raises: DataError if there are fewer than `MIN_RECORDINGS` recordings of several utterances.
        """
        require_recordings(whole.recordings)
        usual = baseline_missing_rates(whole.missing_rates)
        target = truth - centre
        own = whole.scores - centre
        rest, alone = _rest(own, whole.recordings, np.ones(len(own)))
        pull = float(np.clip(_least_absolute((rest - own)[~alone, None], (target - own)[~alone])[0], 0, 1))

        def slopes(weight: Array, mix: Array) -> Array:
            """K × 2, on own and rest, of K losses; `mix` is K × M, `weight` says what is left of an utterance."""
            columns, left = [], []
            for predictions in corrupted:
                own, lost = predictions.scores - centre, excess_missing_rates(predictions.missing_rates, usual)
                rest, alone = _rest(own, predictions.recordings, 1 - weight @ lost)
                terms = np.stack([part * loss for loss in mix @ lost for part in (own, rest)], axis=1)  # N 2K
                columns.append(terms[~alone])
                left.append((target - own - pull * (rest - own))[~alone])
            return _least_absolute(np.concatenate(columns), np.concatenate(left)).reshape(-1, 2)

        # First how much the loss of each modality matters, then what all of it together changes.
        weight = np.full(len(usual), 1 / len(usual))
        matters = slopes(weight, np.eye(len(usual)))[:, 1].clip(min=0)
        weight = matters / matters.sum() if matters.any() else weight
        ((on_own, on_rest),) = slopes(weight, weight[None]).tolist()
        return cls(centre, low, high, pull, on_own, on_rest, usual, dict(zip(usual, weight.tolist(), strict=True)))

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "RecordingContext":
        """Inverse of `to_json`.

        Raises: DataError if a value is none that it can have.
        """
        return _of_modalities(cls, values, "usual", "weight")


def _of_modalities(kind: type[C], values: Any, *columns: str) -> C:
    """Build the dataclass `kind` from plain values: finite numbers, and the same modalities in each of its columns."""
    try:
        made = TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(f"what belongs to {kind.__name__} is damaged: {place}: {first['msg']}") from error
    numbers = [n for part in vars(made).values() for n in (part.values() if isinstance(part, Mapping) else [part])]
    if not np.isfinite(numbers).all():
        raise DataError(f"a number of {kind.__name__} is not finite")
    if len({frozenset(getattr(made, column)) for column in columns}) > 1:
        raise DataError(f"what belongs to {kind.__name__} is damaged: {' and '.join(columns)} name other modalities")
    return made


def require_recordings(names: Sequence[str]) -> None:
    """Refuse a validation split with too few recordings of several utterances.

    Args:
        names: the recording of each utterance.

    Raises: DataError if there are fewer than `MIN_RECORDINGS` recordings of several utterances.
    """
    _, counts = np.unique(np.asarray(names), return_counts=True)
    if (several := int((counts > 1).sum())) < MIN_RECORDINGS:
        raise DataError(
            f"the validation split has {several} recordings of more than one utterance, and {MIN_RECORDINGS} "
            "are needed to learn recording context",
            fix="switch `training.recording_context` off, or give the recording of each utterance in the store",
        )


def _rest(values: Array, recordings: Sequence[str], weights: Array) -> tuple[Array, NDArray[np.bool_]]:
    """The weighted mean score of the other utterances of each recording, and where there is no other."""
    _, number = np.unique(np.asarray(recordings), return_inverse=True)
    total = np.bincount(number, weights)[number] - weights + PRIOR_WEIGHT
    summed = np.bincount(number, weights * values)[number] - weights * values
    alone = np.bincount(number)[number] == 1
    return np.where(alone, 0.0, summed / total), alone


def _least_absolute(columns: Array, target: Array) -> Array:
    """The K weights w of N × K columns that make Σ |target − columns · w| smallest, as a linear program."""
    from scipy.optimize import linprog  # takes a while to import, which a prediction need not wait for
    from scipy.sparse import csr_array, eye_array, hstack

    count, width = columns.shape
    cost = np.r_[np.zeros(width), np.ones(2 * count)]
    equal = hstack([csr_array(columns), eye_array(count), -eye_array(count)])
    bounds = [(None, None)] * width + [(0, None)] * (2 * count)
    found = linprog(cost, A_eq=equal, b_eq=target, bounds=bounds, method="highs").x
    assert found is not None  # any weights are feasible
    return np.asarray(found[:width])
