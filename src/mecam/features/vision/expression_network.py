"""What a face shows, as a photograph of it would be called: seven probabilities, by face-api.js' expression network.

It says how a picture of this face would be labelled, not what anybody feels.

Source: face-api.js (MIT, Vincent Mühler), `faceExpressionNet`; the file is made by `pretraining/expression_network.py`.
Differs: face-api.js crops the upright rectangle around 68 points, a fifth larger, and pads it to a square with black;
we crop the square around the same part of the face, turned with the head.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.features import encoders
from mecam.features.picture import Image
from mecam.features.vision.face_models import Box, crop
from mecam.features.vision.model_files import EXPRESSION, content
from mecam.onnx_runtime import onnx_runtime

__all__ = ["EXPRESSIONS", "SIDE", "expressions"]

EXPRESSIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
"""In the network's order."""
SIDE = 112
"""Pixels of the square that it looks at."""
_MARGIN = 1.2
_EYES, _SIDES, _CHIN = (33, 263), (234, 454), 152
_BROWS = (70, 63, 105, 66, 107, 300, 293, 334, 296, 336)
"""Mesh points: outer corners of the eyes, of the person's right first; where the face ends beside the ears; the upper
edges of the brows."""


def expressions(image: Image, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The probabilities of `EXPRESSIONS` for one face.

    Args:
        image: H × W × 3 RGB.
        points: the mesh of the face, in pixels of the picture.

    Raises: DataError if the model file is missing or damaged.
    """
    given = crop(image, _square(points), SIDE)
    if (outputs := encoders.run(("face", EXPRESSION.name, ""), given)) is not None:
        return outputs[0]
    found: NDArray[np.float32] = _session().run(None, {"pictures": given[None]})[0][0]
    return found


def _square(points: NDArray[np.float32]) -> Box:
    """From above the brows to the chin, from ear to ear, upright along the eyes, with a margin."""
    eyes = points[_EYES[1], :2] - points[_EYES[0], :2]
    angle = float(np.arctan2(eyes[1], eyes[0]))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float64)
    edges = points[[*_SIDES, _CHIN, *_BROWS], :2] @ turn  # upright
    low, high = edges.min(axis=0), edges.max(axis=0)
    x, y = turn @ ((low + high) / 2)
    return Box(float(x), float(y), float((high - low).max()) * _MARGIN, angle)


@cache
def _session() -> Any:
    """The network; one may be used by several threads at once."""
    onnxruntime = onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # Weights become numbers once, when it is loaded, and not in every run: half of the time.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(content(EXPRESSION), options, providers=["CPUExecutionProvider"])
