"""A recording relative to the person in it, for models that learned from features relative to the speaker.

What `mecam data normalise` takes from all that a speaker says, this takes from a recording of the person, best one in
which they speak as they usually do; or from the recording itself, all of it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mecam.data.operations.speakers import Moments, moments_of, relative_to
from mecam.errors import DataError, MediaError
from mecam.features.extractor import Extractor
from mecam.features.media import Media
from mecam.types import Modality, Utterance

__all__ = ["AUTO", "relative_to_baseline"]

AUTO = "auto"
"""In place of a file: the recording itself."""


def relative_to_baseline(
    utterances: Sequence[Utterance], baseline: str | Path, extractors: Mapping[Modality, Extractor]
) -> list[Utterance]:
    """Take out what is usual for the person.

    Args:
        utterances: of one recording.
        baseline: a recording of the person, or `AUTO`.
        extractors: of the streams that are to be relative.

    Raises: DataError if the baseline holds nothing of a stream; MediaError if it cannot be read.
    """
    moments: dict[Modality, Moments] = {}
    for modality, extractor in extractors.items():
        if baseline == AUTO:
            streams = [u.streams[modality] for u in utterances if modality in u.streams]
        else:
            streams = [_rows(Path(baseline), extractor)]
        moments[modality] = moments_of(streams, extractor.spec.width)
        if not np.isfinite(moments[modality][0]).any() and baseline != AUTO:
            raise DataError(
                f"the baseline holds no {modality}",
                where=str(baseline),
                fix="give a recording of the same person that has it, such as some sentences that are spoken calmly",
            )
    return [relative_to(utterance, moments) for utterance in utterances]


def _rows(path: Path, extractor: Extractor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    try:
        return extractor(Media(path)).values
    except MediaError as error:
        raise DataError(f"the baseline cannot be used: {error.what}", where=str(path)) from error
