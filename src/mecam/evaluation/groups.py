"""Who is drawn in a resample: speakers where the data names them and they speak in several recordings, else recordings.

Utterances of one speaker, or of one recording, resemble each other: they say less about others than their number
makes believe.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mecam.evaluation.sums import Array
from mecam.types import Predictions

__all__ = ["MIN_GROUPS", "Groups", "Resampled", "resample_groups"]

MIN_GROUPS = 6
"""Groups that an interval takes at least: fewer say too little about others, and a bootstrap of them looks certain."""


@dataclass(frozen=True)
class Resampled:
    """What intervals and tests of a split draw.

    Attributes:
        unit: `speakers` or `recordings`.
        count: how many there are.
    """

    unit: str
    count: int

    def __str__(self) -> str:
        """As in `20 speakers`."""
        return f"{self.count} {self.unit if self.count != 1 else self.unit[:-1]}"

    def of(self, utterances: int, videos: int) -> str:
        """How much a split is, what is resampled in it, and whether that is enough for intervals."""
        text = f"{utterances} utterances of {videos} recording{'s' if videos != 1 else ''}"
        if self.unit != "recordings":
            text += f" by {self}, which intervals and tests resample"
        return f"{text}; {self.too_few}" if self.too_few else text

    @property
    def too_few(self) -> str:
        """Why there are no intervals; empty where there are."""
        return f"{self} are too few for confidence intervals ({MIN_GROUPS} at least)" if self.count < MIN_GROUPS else ""


@dataclass(frozen=True)
class Groups:
    """What N utterances belong to.

    Attributes:
        names: N, of the speaker or the recording of each.
        unit: `speakers` or `recordings`.
    """

    names: tuple[str, ...]
    unit: str

    @classmethod
    def of(cls, predictions: Predictions) -> "Groups":
        """The groups of predictions."""
        return cls.among(predictions.videos, predictions.speakers)

    @classmethod
    def among(cls, videos: Sequence[str], speakers: Sequence[str]) -> "Groups":
        """Choose between speakers and recordings: speakers where all are named and they are fewer.

        Args:
            videos: N, the recording of each utterance.
            speakers: N, who speaks; () or an empty name where it is not known.
        """
        named = len(speakers) == len(videos) and all(speakers)
        if named and len(set(speakers)) < len(set(videos)):
            return cls(tuple(speakers), "speakers")
        return cls(tuple(videos), "recordings")

    @property
    def numbers(self) -> NDArray[np.int64]:
        """N numbers, 0 … G − 1 in order of appearance."""
        known: dict[str, int] = {}
        return np.array([known.setdefault(name, len(known)) for name in self.names], np.int64)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(set(self.names))

    @property
    def resampled(self) -> Resampled:
        """What is told about them."""
        return Resampled(self.unit, self.count)


def resample_groups(groups: int, resamples: int, rng: np.random.Generator) -> Array | None:
    """Draw whole groups with replacement: how often each is in each resample, R × G; None below `MIN_GROUPS`."""
    if groups < MIN_GROUPS:
        return None
    return rng.multinomial(groups, np.full(groups, 1 / groups), size=resamples).astype(np.float64)
