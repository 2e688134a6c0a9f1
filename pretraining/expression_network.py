"""Convert face-api.js' expression network, out of its npm package, into the ONNX file that mecam ships.

    npm pack @vladmandic/face-api@1.7.15
    python pretraining/expression_network.py vladmandic-face-api-1.7.15.tgz

Nothing is trained. The weights stay the 8-bit numbers that they are in the package, each tensor with its scale. The
architecture is that of face-api.js (MIT, Vincent Mühler), `faceExpressionNet` and `faceFeatureExtractor`: four blocks
of four convolutions, each of which adds up all before it; a mean over the picture; one linear layer.
"""

import argparse
import hashlib
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mecam.features.vision.expression_network import EXPRESSIONS, SIDE
from mecam.features.vision.model_files import MODELS

FOLDER = "package/model/"
FILES = {
    "face_expression_model.bin": "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d",
    "face_expression_model-weights_manifest.json": "",
}
MEAN = (122.782, 117.001, 104.298)
"""Of red, green and blue, from 0 to 255, as the network was trained."""


@dataclass(frozen=True)
class Weight:
    """One tensor: float32, or unsigned bytes with `scale` and `zero`."""

    values: NDArray[Any]
    scale: float = 1.0
    zero: int = 0

    def plain(self) -> NDArray[np.float32]:
        """What it stands for."""
        return ((self.values.astype(np.float64) - self.zero) * self.scale).astype(np.float32)


def weights(package: Path) -> dict[str, Weight]:
    """The tensors of the network by name, in TensorFlow's layouts."""
    with tarfile.open(package) as archive:
        content = {}
        for name, sha256 in FILES.items():
            member = archive.extractfile(FOLDER + name)
            assert member is not None
            content[name] = member.read()
            if sha256 and hashlib.sha256(content[name]).hexdigest() != sha256:
                raise SystemExit(f"{name} is not the expected file")
    data, found, at = content["face_expression_model.bin"], {}, 0
    manifest = json.loads(content["face_expression_model-weights_manifest.json"])
    for one in (weight for group in manifest for weight in group["weights"]):
        packed = one.get("quantization")
        kind = np.dtype(packed["dtype"] if packed else one["dtype"])
        count = int(np.prod(one["shape"]))
        values = np.frombuffer(data, kind, count, at).reshape(one["shape"])
        at += count * kind.itemsize
        scale, zero = (packed["scale"], round(-packed["min"] / packed["scale"])) if packed else (1.0, 0)
        found[one["name"]] = Weight(values, scale, zero)
    assert at == len(data)
    return found


@dataclass
class Graph:
    """An ONNX graph that grows node by node."""

    weights: dict[str, Weight]
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; the name of what it gives."""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [*inputs], [name], **attributes))
        return name

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Add a constant; its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def weight(self, name: str, order: tuple[int, ...]) -> str:
        """Add a tensor of the network with its axes in another order."""
        one = self.weights[name]
        values = self.constant(name, one.values.transpose(order))
        if one.values.dtype != np.uint8:
            return values
        scale = self.constant(f"{name}/scale", np.float32(one.scale).reshape(()))
        zero = self.constant(f"{name}/zero", np.uint8(one.zero).reshape(()))
        return self.add("DequantizeLinear", values, scale, zero)

    def convolution(self, given: str, name: str, stride: int) -> str:
        """A convolution of 3 × 3, or one per channel and then one across channels."""
        pads = [1, 1, 1, 1] if stride == 1 else [0, 0, 1, 1]  # TensorFlow's "same", of even sizes
        options = {"kernel_shape": [3, 3], "strides": [stride, stride], "pads": pads}
        bias = self.weight(f"{name}/bias", (0,))
        if f"{name}/filters" in self.weights:
            return self.add("Conv", given, self.weight(f"{name}/filters", (3, 2, 0, 1)), bias, **options)
        channels = self.weights[f"{name}/depthwise_filter"].values.shape[2]
        depth, across = (self.weight(f"{name}/{kind}_filter", order) for kind, order in _ORDERS.items())
        apart = self.add("Conv", given, depth, group=channels, **options)
        return self.add("Conv", apart, across, bias, kernel_shape=[1, 1])

    def block(self, given: str, name: str) -> str:
        """Four convolutions; each looks at the sum of all before it."""
        total = seen = self.add("Relu", self.convolution(given, f"{name}/conv0", 2))
        for number in (1, 2, 3):
            total = self.add("Add", total, self.convolution(seen, f"{name}/conv{number}", 1))
            seen = self.add("Relu", total)
        return seen


_ORDERS = {"depthwise": (2, 3, 0, 1), "pointwise": (3, 2, 0, 1)}


def build(found: dict[str, Weight]) -> onnx.ModelProto:
    """The network: N × 112 × 112 × 3 RGB in [0, 1] → N × 7 probabilities."""
    graph = Graph(found)
    pictures = graph.add("Transpose", "pictures", perm=[0, 3, 1, 2])
    seen = graph.add("Sub", pictures, graph.constant("mean", np.float32(MEAN).reshape(1, 3, 1, 1) / np.float32(255)))
    for number in range(4):
        seen = graph.block(seen, f"dense{number}")
    flat = graph.add("Flatten", graph.add("GlobalAveragePool", seen))
    scores = graph.add("Gemm", flat, graph.weight("fc/weights", (0, 1)), graph.weight("fc/bias", (0,)))
    graph.nodes.append(helper.make_node("Softmax", [scores], ["probabilities"], axis=1))
    made = helper.make_graph(
        graph.nodes,
        "face_expressions",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["N", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(EXPRESSIONS)])],
        graph.constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], producer_name="mecam", ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    """Write the network into the package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="the npm package, .tgz")
    content = build(weights(parser.parse_args().package)).SerializeToString(deterministic=True)
    place = MODELS / "face_expressions.onnx"
    place.write_bytes(content)
    print(f"{place}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
