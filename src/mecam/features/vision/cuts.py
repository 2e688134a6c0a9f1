"""Where one shot ends and another begins: two pictures in a row differ by far more than they usually do."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mecam.features.media import Frame, Glance

__all__ = ["Cuts"]

_ROWS, _COLUMNS = 24, 32
"""Of the small pictures that are compared."""
_CUT, _RISE = 10.0, 4.0
"""Mean change of a small picture, of 255, that may be a cut, and how many times the usual change it must be. One that
is none does little harm: the same person is known again."""
_USUAL_S = 1.0
"""Seconds over which the usual change is learned."""


@dataclass
class Cuts:
    """Looks at one frame after another; holds the last one, small, and how much pictures usually change."""

    _before: NDArray[np.float32] | None = None
    _time: float = 0.0
    _usual: float = 0.0

    def at(self, frame: Frame | Glance) -> bool:
        """Whether a shot begins with this frame; the first one begins none."""
        height, width = frame.image.shape[:2]
        rows, columns = (np.arange(n) * size // n for n, size in ((_ROWS, height), (_COLUMNS, width)))
        small = np.asarray(frame.image)[rows[:, None], columns].astype(np.float32)
        before, self._before = self._before, small
        passed, self._time = frame.time - self._time, frame.time
        if before is None:
            return False
        change = float(np.abs(small - before).mean())
        if change > max(_CUT, _RISE * self._usual):
            return True
        self._usual += min(passed / _USUAL_S, 1.0) * (change - self._usual)
        return False
