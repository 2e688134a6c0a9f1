"""What a face looks like, whatever it does: to know a person again within one recording, not across recordings.

No network for recognition: the directions of edges around eyes, nose and mouth (a histogram of oriented gradients)
less those of the mean face, and the colours of skin, hair and clothes.

Source: Dalal and Triggs, Histograms of oriented gradients for human detection, 2005.
Differs: each cell is normalised by itself, and places of the mean face are subtracted.
"""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from mecam.errors import DataError
from mecam.features.picture import Image
from mecam.features.vision.face_models import Box, crop
from mecam.pretrained.cards import FOLDER

__all__ = ["EDGES", "LENGTH", "MEAN_FACE", "SAME", "Description", "describe", "distances"]

MEAN_FACE = FOLDER / "face" / "mean_face.safetensors"
"""The edges of the mean face, made by `pretraining/mean_face.py`."""
_EYES, _NOSE = (33, 133, 362, 263), 2
"""Mesh points: the corners of the eyes, the right ones first; the base of the nose."""
_REACH, _DOWN, _TALL = 2.3, 0.35, 1.2
"""The square that is looked at: its side in distances of the eyes, how far its middle lies from the eyes to the base of
the nose, and how much longer the eyes are apart than that is long (so that a turn of the head does not change it)."""
_SIDE, _CELL, _ANGLES = 32, 4, 8
"""Pixels of the square, pixels of a cell, directions of edges."""
_FAINT = 0.05
"""Edges that are fainter than this hardly count."""
EDGES = (_SIDE // _CELL) ** 2 * _ANGLES
_WIDE, _CELLS = 3.0, 24
"""The square that colours are looked at in, in sides of the face, and its pixels."""
_PATCHES = ((10, 14, 9, 15), (4, 7, 9, 15), (17, 20, 8, 16))
"""Rows and columns in it: skin, hair, neck and clothes."""
LENGTH = EDGES + 3 * len(_PATCHES)
"""Numbers of a description."""
_WEIGHTS = np.array([2.0, 1.0, 1.0])
_UNKNOWN = 0.08
"""What colours count: by how far they differ, from 0 to 1; those that the picture does not show, in between."""
SAME = 0.86
"""Distance below which two descriptions are of one person."""


def describe(image: Image, points: NDArray[np.float32], box: Box) -> NDArray[np.float32]:
    """Describe one face; descriptions of the same face may be averaged.

    Args:
        image: H × W × 3 RGB.
        points: the mesh.
        box: around it, upright.

    Returns: LENGTH: EDGES numbers, and three colours; NaN where the picture ends.
    """
    corners, nose = points[list(_EYES), :2], points[_NOSE, :2]
    middle = corners.mean(axis=0)
    apart = float(np.hypot(*(corners[2:].mean(axis=0) - corners[:2].mean(axis=0))))
    length = max(apart, float(np.hypot(*(nose - middle))) * _TALL)
    x, y = middle + (nose - middle) * _DOWN
    face = crop(image, Box(float(x), float(y), length * _REACH, box.angle), _SIDE).mean(axis=2)
    return np.concatenate([_edges(face), _colours(image, box)]).astype(np.float32)


def _edges(face: NDArray[np.float32]) -> NDArray[np.float32]:
    """Per cell, how strong the edges of each direction are, together of about unit length."""
    down, across = np.gradient(face)
    strength = np.hypot(across, down)
    direction = np.floor(np.arctan2(down, across) % np.pi / np.pi * _ANGLES).astype(int) % _ANGLES
    apart = np.where(direction[..., None] == np.arange(_ANGLES), strength[..., None], np.float32(0))
    count = _SIDE // _CELL
    cells = apart.reshape(count, _CELL, count, _CELL, _ANGLES).sum(axis=(1, 3))
    edges: NDArray[np.float32] = cells / (np.linalg.norm(cells, axis=2, keepdims=True) + np.float32(_FAINT))
    return edges.ravel()


def _colours(image: Image, box: Box) -> NDArray[np.float32]:
    """The mean colour of each patch, NaN where less than half of it is in the picture."""
    wide = crop(image, Box(box.x, box.y, box.side * _WIDE), _CELLS)
    middles = ((np.arange(_CELLS) + 0.5) / _CELLS - 0.5) * box.side * _WIDE
    rows, columns = (
        (at + middles > 0) & (at + middles < size) for at, size in zip((box.y, box.x), image.shape[:2], strict=True)
    )
    known = rows[:, None] & columns
    colours = np.full((len(_PATCHES), 3), np.nan, np.float32)
    for number, (top, bottom, left, right) in enumerate(_PATCHES):
        inside = known[top:bottom, left:right]
        if inside.mean() >= 0.5:
            colours[number] = wide[top:bottom, left:right][inside].mean(axis=0)
    return colours.ravel()


@dataclass
class Description:
    """The mean of descriptions of one face; what is missing in one does not count."""

    _total: NDArray[np.float64] = field(default_factory=lambda: np.zeros(LENGTH))
    _count: NDArray[np.int64] = field(default_factory=lambda: np.zeros(LENGTH, np.int64))

    def add(self, image: Image, points: NDArray[np.float32], box: Box) -> None:
        """Take in how the face looks in one picture; see `describe`."""
        found = describe(image, points, box)
        known = np.isfinite(found)
        self._total += np.where(known, found, 0.0)
        self._count += known

    def mean(self) -> NDArray[np.float32]:
        """LENGTH numbers, NaN where nothing is known; none where no picture was taken in."""
        if not self._count.any():
            return np.zeros(0, np.float32)
        return np.where(self._count > 0, self._total / np.maximum(self._count, 1), np.nan).astype(np.float32)


def distances(described: NDArray[np.float32]) -> NDArray[np.float64]:
    """How unlike faces are, N × N: from 0; up to `SAME` they are taken for the same person.

    Args:
        described: N × what `describe` gives, or means of such.
    """
    edges = described[:, :EDGES].astype(np.float64) - mean_face()
    edges /= np.maximum(np.linalg.norm(edges, axis=1, keepdims=True), 1e-9)
    colours = described[:, EDGES:].reshape(len(described), -1, 3).astype(np.float64)
    away = np.linalg.norm(colours[:, None] - colours[None], axis=3) / np.sqrt(3)
    unlike: NDArray[np.float64] = 1 - edges @ edges.T + np.where(np.isfinite(away), away, _UNKNOWN) @ _WEIGHTS
    return unlike


@cache
def mean_face() -> NDArray[np.float32]:
    """The edges of the mean face.

    Raises: DataError if the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return np.asarray(load_file(MEAN_FACE)["edges"], np.float32)
    except (OSError, SafetensorError, KeyError) as error:
        what = f"the mean face cannot be read ({type(error).__name__})"
        raise DataError(what, where=str(MEAN_FACE), fix="install mecam again") from error
