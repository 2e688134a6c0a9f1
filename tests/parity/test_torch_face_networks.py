"""The face networks on PyTorch against LiteRT and ONNX Runtime: the same numbers, for any batch."""

import numpy as np
import pytest
import torch

from mecam.features.vision.expression_network import SIDE, _session
from mecam.features.vision.face_models import _run
from mecam.features.vision.model_files import DETECTOR, EXPRESSION, IRIS, LANDMARKER, MESH, Asset, content
from mecam.nn.litert import LiteRTNetwork
from mecam.nn.onnx_graph import OnnxNetwork

NETWORKS = [
    (DETECTOR, "", (192, 192, 3)),
    (MESH, "", (192, 192, 3)),
    (IRIS, "", (64, 64, 3)),
    (LANDMARKER, "face_landmarks_detector.tflite", (256, 256, 3)),
    (LANDMARKER, "face_blendshapes.tflite", (146, 2)),
]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(autouse=True)
def no_tf32() -> None:
    torch.backends.cudnn.allow_tf32 = False


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("asset", "part", "shape"), NETWORKS, ids=lambda value: getattr(value, "name", None))
def test_networks_equal_litert(asset: Asset, part: str, shape: tuple[int, ...], device: str) -> None:
    given = np.random.default_rng(0).random((3, *shape), np.float32) * (300 if len(shape) == 2 else 1)
    made = LiteRTNetwork(content(asset, part), device)(given)
    wanted = [_run(asset, one, part) for one in given]
    assert len(made) == len(wanted[0])
    for place, rows in enumerate(made):
        right = np.stack([outputs[place].reshape(rows.shape[1:]) for outputs in wanted])
        np.testing.assert_allclose(rows, right, rtol=1e-4, atol=2e-5 * float(np.abs(right).max()))


@pytest.mark.parametrize("device", DEVICES)
def test_expressions_equal_onnx_runtime(device: str) -> None:
    given = np.random.default_rng(0).random((3, SIDE, SIDE, 3), np.float32)
    right = _session().run(None, {"pictures": given})[0]
    np.testing.assert_allclose(OnnxNetwork(content(EXPRESSION), device)(given)[0], right, atol=1e-5)
