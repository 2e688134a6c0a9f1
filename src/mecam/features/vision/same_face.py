"""Which tracks are of one face: a person who is lost, in a cut or behind somebody, is known again by their looks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mecam.features.vision.appearance import SAME, distances
from mecam.features.vision.tracking import Face

__all__ = ["joined", "meet", "together"]


def joined(tracks: Sequence[Face], least: float = 0.0) -> list[Face]:
    """One face a person, in order of appearance, of those who appear at once from left to right.

    The most alike are joined first, as long as all that come together are alike on average, and never two that are seen
    in one frame.

    Args:
        tracks: described; see `Tracker`.
        least: frames in which a person must be seen; where all are seen in fewer, none is left out.
    """
    if not tracks:
        return []
    unlike = distances(np.stack([track.appearance for track in tracks]))
    groups: list[list[int]] = [[number] for number in range(len(tracks))]
    group_of = list(range(len(tracks)))
    seen = [track.frames for track in tracks]
    first, second = np.triu_indices(len(tracks), 1)
    near = unlike[first, second] <= SAME
    pairs = sorted(zip(unlike[first, second][near], first[near].tolist(), second[near].tolist(), strict=True))
    for _, one, other in pairs:
        a, b = group_of[one], group_of[other]
        if a == b or unlike[np.ix_(groups[a], groups[b])].mean() > SAME or meet(seen[a], seen[b]):
            continue
        for number in groups[b]:
            group_of[number] = a
        groups[a] += groups[b]
        seen[a] = np.concatenate([seen[a], seen[b]])
        groups[b] = []
    faces = [together([tracks[number] for number in group]) for group in groups if group]
    lasting = [face for face in faces if len(face.frames) >= least] or faces
    return sorted(lasting, key=lambda face: (face.frames[0], face.boxes[0, 0]))


def meet(one: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    """Whether both are seen in one frame."""
    return bool(np.isin(one, other, assume_unique=True).any())


def together(tracks: Sequence[Face]) -> Face:
    """Tracks as one, in order of the frames."""
    frames = np.concatenate([track.frames for track in tracks])
    order = np.argsort(frames)
    return Face(
        frames[order],
        np.concatenate([track.values for track in tracks])[order],
        np.concatenate([track.side for track in tracks])[order],
        np.concatenate([track.presence for track in tracks])[order],
        np.concatenate([track.looks for track in tracks])[order],
        np.concatenate([track.boxes for track in tracks])[order],
        tracks[0].appearance,
        tracks[0].track,
    )
