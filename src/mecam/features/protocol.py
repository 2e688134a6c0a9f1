"""What an extractor is, and what it gives back.

An extractor is a small frozen dataclass of options, so that it travels to worker processes; what is heavy (models,
tables) is loaded when first needed and kept by the process, never by the extractor.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mecam.features.media import Media
from mecam.types import FeatureSpec, Modality

__all__ = ["Extractor", "Features"]


@dataclass(frozen=True)
class Features:
    """One modality of one recording.

    Attributes:
        values: T × F float32; NaN is a missing value, a row of NaN a moment without any (no face, no sound).
        intervals: T × 2 float64, start and stop of each row in seconds of the recording; increasing, start < stop.
        details: what a report may want to say (faces found, voiced share …); JSON-serialisable.
    """

    values: NDArray[np.float32]
    intervals: NDArray[np.float64]
    details: Mapping[str, Any] = field(default_factory=dict)

    def between(self, start: float, stop: float) -> "Features":
        """Return the rows whose middle lies in [start, stop) seconds; the times stay the recording's."""
        middle = self.intervals.mean(axis=1)
        chosen = (middle >= start) & (middle < stop)
        return Features(self.values[chosen], self.intervals[chosen], self.details)


@runtime_checkable
class Extractor(Protocol):
    """Makes the rows of one modality out of a recording."""

    @property
    def name(self) -> str:
        """Name in the registry and in the store's manifest, such as `mecam-vision`."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the same file would give other values."""
        ...

    @property
    def modality(self) -> Modality:
        """The stream that the rows belong to."""
        ...

    @property
    def spec(self) -> FeatureSpec:
        """Width, feature names, name and version, as the store keeps them; known without loading any model."""
        ...

    def __call__(self, media: Media, start: float = 0.0, stop: float | None = None) -> Features:
        """Extract the rows between `start` and `stop` seconds (None: to the end).

        Raises: MediaError if the recording has no stream of this kind; MecamError if a model is missing.
        """
        ...
