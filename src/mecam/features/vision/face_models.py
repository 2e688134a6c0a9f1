"""The networks that look at a face: where faces are, 468 points of one, its irises, a finer mesh and blendshapes.

Coordinates are pixels of the picture, x to the right, y down, the middle of the first pixel at 0.5. *Left* and *right*
are the person's own.

Source: MediaPipe's face detection (full range, sparse), face mesh, iris and Face Landmarker models, run by LiteRT.
"""

import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.features import encoders
from mecam.features.picture import Image, Picture, packed
from mecam.features.vision.model_files import DETECTOR, IRIS, LANDMARKER, MESH, Asset, content
from mecam.features.vision.sampling import sampled
from mecam.threads import ProcessLock

__all__ = ["Box", "coefficients", "crop", "detect", "hushed", "irises", "landmarks", "mesh"]

_SIDE = 192
_CELLS = 48
_EYE_SIDE = 64
_LANDMARK_SIDE = 256
_MARGIN = 1.5
"""The mesh was trained on boxes this much larger than the face."""
_EYE_MARGIN = 2.3
_EYES = ((33, 133), (263, 362))
"""Mesh points at the outer and inner corner of the right and of the left eye."""


@dataclass(frozen=True)
class Box:
    """A square in a picture.

    Attributes:
        x: centre, pixels.
        y: centre, pixels.
        side: pixels.
        angle: radians by which the head leans clockwise in the picture.
        score: how sure the model is, 0 to 1.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0
    score: float = 1.0

    def overlap(self, other: "Box") -> float:
        """Intersection over union, both taken as upright."""
        reach = (self.side + other.side) / 2
        wide = min(self.side, other.side, max(reach - abs(self.x - other.x), 0.0))
        high = min(self.side, other.side, max(reach - abs(self.y - other.y), 0.0))
        return wide * high / (self.side**2 + other.side**2 - wide * high)

    @classmethod
    def around(cls, points: NDArray[np.float32], score: float = 1.0) -> "Box":
        """The box of a face whose mesh is known: upright along its eyes."""
        low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
        eyes = points[_EYES[1][0], :2] - points[_EYES[0][0], :2]
        x, y = (low + high) / 2
        return cls(float(x), float(y), float((high - low).max()), float(np.arctan2(eyes[1], eyes[0])), score)


def detect(image: Image, least: float = 0.6, *, closer: bool = False) -> list[Box]:
    """Find the faces of a picture.

    Args:
        image: H × W × 3 RGB.
        least: the lowest score that counts, 0 to 1.
        closer: where there is none, look at overlapping squares of half the longer side: the network sees a face from
            about a tenth of the side that it looks at, so that one of a twentieth is found too.

    Returns: boxes, best first, overlapping ones joined.
    """
    height, width = image.shape[:2]
    side = float(max(height, width))
    found = _detect_in(image, Box(width / 2, height / 2, side), least)
    if closer and not found:
        for x in _centres(float(width), side / 2):
            for y in _centres(float(height), side / 2):
                found += _detect_in(image, Box(x, y, side / 2), least)
    return _without_doubles(found)


def _centres(length: float, side: float) -> list[float]:
    """Where squares lie that cover a length and overlap by about half."""
    count = max(1, round(2 * length / side) - 1)
    return [length / 2] if count == 1 else np.linspace(side / 2, length - side / 2, count).tolist()


def _detect_in(image: Image, square: Box, least: float) -> list[Box]:
    """The faces in one square of a picture."""
    values, logits = _run(DETECTOR, crop(image, square, _SIDE) * 2 - 1)
    scores = 1 / (1 + np.exp(-np.clip(logits.reshape(-1), -50, 50)))
    sure = np.flatnonzero(scores >= least)
    cells = np.stack([sure % _CELLS + 0.5, sure // _CELLS + 0.5], axis=1) / _CELLS
    found = values.reshape(-1, 16)[sure] / _SIDE
    corner = np.array([square.x - square.side / 2, square.y - square.side / 2])
    boxes = []
    for cell, row, score in zip(cells, found, scores[sure], strict=True):
        x, y = (cell + row[:2]) * square.side + corner
        eyes = row[6:8] - row[4:6]  # left eye minus right eye
        angle = float(np.arctan2(eyes[1], eyes[0]))
        boxes.append(Box(float(x), float(y), float(row[2:4].max() * square.side), angle, float(score)))
    return boxes


def mesh(image: Image, box: Box) -> tuple[NDArray[np.float32], float]:
    """Lay the mesh on the face in a box.

    Returns: 468 × 3 points (pixels; z grows away from the camera, same scale), and the presence of a face, 0 to 1.
    """
    wide = Box(box.x, box.y, box.side * _MARGIN, box.angle)
    points, logit = _run(MESH, crop(image, wide, _SIDE))
    return _placed(points.reshape(468, 3), wide, _SIDE), _probability(logit)


def irises(image: Image, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Find the irises of a face whose mesh is known.

    Returns: 2 × 2: for the right and the left eye, x and y of the middle of the iris in pixels.
    """
    middles = []
    for outer, inner in _EYES:
        across = points[inner, :2] - points[outer, :2]
        if outer == _EYES[1][0]:
            across = -across  # along the picture's x axis for both eyes
        x, y = (points[inner, :2] + points[outer, :2]) / 2
        box = Box(float(x), float(y), float(np.hypot(*across)) * _EYE_MARGIN, float(np.arctan2(across[1], across[0])))
        mirrored = outer == _EYES[1][0]  # the network knows right eyes only
        picture = crop(image, box, _EYE_SIDE)
        _, iris = _run(IRIS, np.ascontiguousarray(picture[:, ::-1]) if mirrored else picture)
        middle = iris.reshape(5, 3)[:1].copy()
        if mirrored:
            middle[:, 0] = _EYE_SIDE - middle[:, 0]
        middles.append(_placed(middle, box, _EYE_SIDE)[0, :2])
    return np.stack(middles)


def landmarks(image: Image, box: Box) -> tuple[NDArray[np.float32], float]:
    """Lay the finer mesh of the Face Landmarker on the face in a box.

    Returns: 478 × 3 points as `mesh` gives them: its 468, then five of the right iris and five of the left; and the
        presence of a face, 0 to 1.
    """
    wide = Box(box.x, box.y, box.side * _MARGIN, box.angle)
    points, logit, _ = _run(LANDMARKER, crop(image, wide, _LANDMARK_SIDE), "face_landmarks_detector.tflite")
    return _placed(points.reshape(478, 3), wide, _LANDMARK_SIDE), _probability(logit)


def coefficients(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The output of the Face Landmarker's blendshape network: 52 numbers from 0 to 1.

    Args:
        points: 146 × 2 pixels; see `mecam.features.vision.blendshapes`.
    """
    return _run(LANDMARKER, points, "face_blendshapes.tflite")[0].reshape(-1)


def crop(image: Image, box: Box, side: int) -> NDArray[np.float32]:
    """Cut a box out of a picture, upright, scaled to `side` × `side` × 3 in [0, 1]; black outside the picture."""
    height, width = image.shape[:2]
    cos, sin = np.cos(box.angle) * box.side, np.sin(box.angle) * box.side
    reach = (abs(cos) + abs(sin)) / 2 + 1
    # Only the part that is looked at is worked on: of a large picture, the whole would be most of the cost.
    left, right = _between(box.x - reach, box.x + reach, width)
    top, bottom = _between(box.y - reach, box.y + reach, height)
    rows, columns = slice(top, bottom), slice(left, right)
    pixels = image.packed(rows, columns) if isinstance(image, Picture) else packed(image[rows, columns])
    colours = sampled(pixels, (box.x - left, box.y - top), (cos / side, sin / side), side)
    colours *= np.float32(1 / 255)
    return colours


def _between(low: float, high: float, size: int) -> tuple[int, int]:
    """A stretch of pixels inside the picture, at least one wide."""
    first = min(max(int(np.floor(low)), 0), size - 1)
    return first, max(min(int(np.ceil(high)), size), first + 1)


def _probability(logit: NDArray[np.float32]) -> float:
    return float(1 / (1 + np.exp(-np.clip(float(logit.reshape(-1)[0]), -50, 50))))


def _placed(points: NDArray[np.float32], box: Box, side: int) -> NDArray[np.float32]:
    """Points of a crop, in pixels of the crop, put back into the picture."""
    flat = (points[:, :2] / side - 0.5) * box.side
    cos, sin = np.cos(box.angle), np.sin(box.angle)
    x = box.x + flat[:, 0] * cos - flat[:, 1] * sin
    y = box.y + flat[:, 0] * sin + flat[:, 1] * cos
    return np.stack([x, y, points[:, 2] / side * box.side], axis=1).astype(np.float32)


def _without_doubles(boxes: list[Box], most: float = 0.3) -> list[Box]:
    """Boxes, best first; those that cover a better one are averaged into it by score."""
    kept: list[Box] = []
    rest = sorted(boxes, key=lambda box: -box.score)
    while rest:
        best = rest[0]
        same = [box for box in rest if box.overlap(best) > most]
        rest = [box for box in rest if box.overlap(best) <= most]
        weights = [box.score for box in same]
        x, y, side = np.average([(box.x, box.y, box.side) for box in same], axis=0, weights=weights)
        kept.append(Box(float(x), float(y), float(side), best.angle, best.score))
    return kept


def _run(asset: Asset, given: NDArray[np.float32], part: str = "") -> list[NDArray[np.float32]]:
    """The outputs of a network, largest one first."""
    if (outputs := encoders.run(("face", asset.name, part), given)) is not None:
        return outputs
    with _borrowed(asset, part) as (network, into, out):
        network.set_tensor(into, given[None])
        network.invoke()
        return [network.get_tensor(index) for index in out]


_Network = tuple[Any, int, list[int]]
_idle: dict[tuple[Asset, str], list[_Network]] = defaultdict(list)
"""Networks that nobody uses at the moment: an interpreter holds its inputs, so two threads must not share one."""
_idle_lock, _building_lock = ProcessLock(), ProcessLock()


@contextmanager
def _borrowed(asset: Asset, part: str) -> Iterator[_Network]:
    """A network that is this thread's until the block ends: as many are built as there are threads at once."""
    with _idle_lock:
        network = _idle[asset, part].pop() if _idle[asset, part] else None
    if network is None:
        network = _built(asset, part)
    yield network  # one whose run fails is not used again
    with _idle_lock:
        _idle[asset, part].append(network)


def _built(asset: Asset, part: str) -> _Network:
    from ai_edge_litert.interpreter import Interpreter

    model = content(asset, part)
    with _building_lock, hushed():  # the second would take the first one's silence for where stderr leads
        network = Interpreter(model_content=model, num_threads=1)
        network.allocate_tensors()
    outputs = sorted(network.get_output_details(), key=lambda detail: -int(np.prod(detail["shape"])))
    return network, network.get_input_details()[0]["index"], [detail["index"] for detail in outputs]


@contextmanager
def hushed() -> Iterator[None]:
    """LiteRT greets on stderr from C++, past all logging; what goes wrong there comes as an exception too."""
    with suppress(OSError, ValueError, AttributeError):  # stderr may be closed, or None
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # nothing to hush
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
