"""The official folds of CMU-MOSI and CMU-MOSEI, by recording.

`folds.json` holds, per data set and split, the first ten hex digits of the SHA-256 of every recording's id: enough
to recognise a recording, and no part of the data. Seven recordings of MOSEI (five of train, two of valid; about 60
of its 22 856 utterances) are not among them.

Source: the standard folds published with the CMU-MultimodalSDK.
"""

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

__all__ = ["PUBLISHED_COUNTS", "official_folds", "recognise"]

PUBLISHED_COUNTS = {
    "mosi": {"train": 1284, "valid": 229, "test": 686},
    "mosei": {"train": 16326, "valid": 1871, "test": 4659},
    "sims": {"train": 1368, "valid": 456, "test": 457},
}
"""Utterances per split of the feature files that the field compares on."""

DIGITS = 10


def recognise(videos: Iterable[str]) -> str | None:
    """The data set that most of these recordings come from, or None."""
    distinct = set(videos)
    for name in _folds():
        known = official_folds(name, distinct)
        if distinct and 2 * len(known) > len(distinct):
            return name
    return None


def official_folds(name: str, videos: Iterable[str]) -> dict[str, str]:
    """Recording → its official split, for those of `videos` that belong to the data set `name`."""
    folds = _folds().get(name, {})
    found = {video: folds.get(hashlib.sha256(video.encode()).hexdigest()[:DIGITS]) for video in set(videos)}
    return {video: split for video, split in found.items() if split}


@cache
def _folds() -> dict[str, dict[str, str]]:
    text = files("mecam.data.importing").joinpath("folds.json").read_text(encoding="utf-8")
    return {
        name: {
            digests[i : i + DIGITS]: split for split, digests in splits.items() for i in range(0, len(digests), DIGITS)
        }
        for name, splits in json.loads(text).items()
    }
