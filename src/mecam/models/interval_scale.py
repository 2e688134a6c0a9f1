"""An interval around a score grows with what is missing of the utterance."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.errors import DataError
from mecam.models.missing_rate import beyond_usual
from mecam.types import Modality

__all__ = ["Widening"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Widening:
    """What is missing → a factor on the half width of the interval.

    With u_m in [0, 1] what modality m lacks beyond what is usual, the factor is 1 + Σ_m slope_m u_m.

    Differs: no paper's. Scaling the width of a split-conformal interval by an estimate of the difficulty is Lei et al.
    (2018), Distribution-free predictive inference for regression, section 5.2; here the difficulty is what is lost.

    Attributes:
        usual: modality → the share of its rows that an undamaged utterance lacks.
        slope: modality → how much wider the interval is when all of the modality is missing; not negative.
    """

    usual: Mapping[Modality, float]
    slope: Mapping[Modality, float]

    def __call__(self, lost: Mapping[Modality, Array]) -> Array:
        """N factors, at least 1.

        Args:
            lost: modality → N, the share of its rows (of text: of its tokens) that are missing.

        Raises: DataError if it is not known how much of a modality is missing.
        """
        if unknown := sorted(set(self.slope) - set(lost)):
            raise DataError(f"nothing says how much of {', '.join(unknown)} is missing")
        result: Array = 1 + np.array([self.slope[m] for m in self.usual]) @ beyond_usual(lost, self.usual)
        return result

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Widening":
        """Inverse of `to_json`."""
        return cls(**values)
