"""The 52 blendshapes of MediaPipe's Face Landmarker: how far each of its expressions is there, 0 to 1.

They are read from 146 of the 478 points that the Face Landmarker lays on a face: their x and y in pixels of the
picture, without depth. Both networks lie in `face_landmarker.task`.

Source: MediaPipe (Apache-2.0), `mediapipe/tasks/cc/vision/face_landmarker/face_blendshapes_graph.cc`: which points, in
which order and scale, and the names; `face_landmarks_detector_graph.cc` beside it: the crop that the points come from.
Differs: MediaPipe finds faces with another detector, and crops each picture where its own points lay in the picture
before; we crop where `mecam-vision` has the face in this picture, so that both extractors see the same faces.
"""

import numpy as np
from numpy.typing import NDArray

from mecam.features.picture import Image
from mecam.features.vision.face_models import Box, coefficients, landmarks

__all__ = ["NAMES", "POINTS", "look", "shapes"]


def _sides(name: str) -> tuple[str, str]:
    return f"{name}Left", f"{name}Right"


NAMES = (
    "_neutral",
    *_sides("browDown"),
    "browInnerUp",
    *_sides("browOuterUp"),
    "cheekPuff",
    *_sides("cheekSquint"),
    *_sides("eyeBlink"),
    *_sides("eyeLookDown"),
    *_sides("eyeLookIn"),
    *_sides("eyeLookOut"),
    *_sides("eyeLookUp"),
    *_sides("eyeSquint"),
    *_sides("eyeWide"),
    *("jawForward", "jawLeft", "jawOpen", "jawRight"),
    "mouthClose",
    *_sides("mouthDimple"),
    *_sides("mouthFrown"),
    *("mouthFunnel", "mouthLeft"),
    *_sides("mouthLowerDown"),
    *_sides("mouthPress"),
    *("mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
    *_sides("mouthSmile"),
    *_sides("mouthStretch"),
    *_sides("mouthUpperUp"),
    *_sides("noseSneer"),
)
"""The columns, in the network's order."""

POINTS = (
    *(0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80),
    *(81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153),
    *(154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249),
    *(251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314),
    *(317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382),
    *(384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466),
    *(468, 469, 470, 471, 472, 473, 474, 475, 476, 477),
)
"""The points that are read, in the order in which the network takes them; the last ten are the irises."""


def look(image: Image, box: Box) -> NDArray[np.float32]:
    """The blendshapes of one face.

    Args:
        image: H × W × 3 RGB.
        box: where the face lies, upright along its eyes: `Box.around` its mesh.

    Returns: len(NAMES).
    Raises: DataError if `face_landmarker.task` is missing or damaged.
    """
    return shapes(landmarks(image, box)[0])


def shapes(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The blendshapes of a face whose 478 landmarks are known, in pixels of the picture."""
    return coefficients(points[list(POINTS), :2])
