"""How much more of an utterance is missing than usual."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mecam.types import Modality

__all__ = ["beyond_usual", "usually_missing"]

Array = NDArray[np.float64]


def usually_missing(lost: Mapping[Modality, Array]) -> dict[Modality, float]:
    """Modality → the median share of its rows that undamaged utterances lack (silence, no face).

    Args:
        lost: modality → N shares in [0, 1].
    """
    return {modality: float(np.median(shares)) for modality, shares in lost.items()}


def beyond_usual(lost: Mapping[Modality, Array], usual: Mapping[Modality, float]) -> Array:
    """M × N in [0, 1], in the order of `usual`: 0 where no more is missing than usual, 1 where all is."""
    rows = [(lost[m] - share) / max(1 - share, 1e-9) for m, share in usual.items()]
    result: Array = np.clip(np.array(rows), 0, 1)
    return result
