"""How loud the speech of a recording is, and what brings it to one level."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["gain_of"]

LEVEL_DB = -20.0
"""Level that the speech is brought to, relative to a full-scale square wave."""
MAX_GAIN_DB = 40.0
"""Where more would be needed there is no voice."""
FRAME = 320
"""Samples (20 ms at 16 kHz) whose level is taken at once."""
LOUD, ACTIVE_DB = 0.95, 30.0
"""Part of the frames that is softer than the loud ones; frames so far below those are pauses."""


def gain_of(blocks: Iterable[NDArray[np.float32]]) -> float:
    """What the samples of a recording are multiplied by; 1 for silence.

    Args:
        blocks: its sound at 16 kHz, one after the other.
    """
    parts = [_powers(block) for block in blocks]
    power = np.concatenate(parts) if parts else np.zeros(0)
    power = power[power > 0]
    if not len(power):
        return 1.0
    active = power[power >= np.quantile(power, LOUD) * 10 ** (-ACTIVE_DB / 10)]
    needed_db = LEVEL_DB - 10 * np.log10(active.mean())
    return float(10 ** (min(needed_db, MAX_GAIN_DB) / 20))


def _powers(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean square of each whole frame."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    return np.asarray(np.square(frames, dtype=np.float64).mean(axis=1))
