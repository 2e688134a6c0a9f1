"""Small networks of ONNX files on PyTorch: the same graphs and weights, in batches and on a GPU.

Known are the operations of the expression network, with weights packed as eight-bit numbers.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

__all__ = ["OnnxNetwork"]


class OnnxNetwork:
    """A network with one input and one output, whose first axis is the batch.

    Args:
        file: content of its file.
        device: where it computes.

    Raises: KeyError for an operation that is not known here.
    """

    def __init__(self, file: bytes, device: str | torch.device = "cpu") -> None:
        import onnx
        from onnx import numpy_helper

        graph = onnx.load_from_string(file).graph
        self._device, self._given = torch.device(device), graph.input[0].name
        values = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in graph.initializer}
        self._steps: list[tuple[Callable[..., Tensor], list[str], str]] = []
        for node in graph.node:
            options = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
            if node.op_type == "DequantizeLinear":  # weights become numbers once
                whole, scale, zero = (values.pop(name) for name in node.input)
                shape = [-1 if axis == options.get("axis", 1) else 1 for axis in range(whole.ndim)]
                shape = shape if scale.ndim else []
                values[node.output[0]] = (whole.float() - zero.float().reshape(shape)) * scale.reshape(shape)
            else:
                self._steps.append((_OPERATIONS[node.op_type](options), list(node.input), node.output[0]))
        self._output = graph.output[0].name
        self._values = {name: value.to(self._device) for name, value in values.items()}

    @torch.inference_mode()
    def __call__(self, given: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The output for a batch."""
        values = {**self._values, self._given: torch.from_numpy(given).to(self._device)}
        for run, inputs, output in self._steps:
            values[output] = run(*(values[name] for name in inputs))
        return [np.asarray(values[self._output].cpu().numpy())]


def _convolution(options: dict[str, Any]) -> Callable[..., Tensor]:
    top, left, bottom, right = options.get("pads", [0, 0, 0, 0])
    stride, groups = tuple(options.get("strides", [1, 1])), options.get("group", 1)

    def run(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
        return functional.conv2d(functional.pad(x, [left, right, top, bottom]), kernel, bias, stride, groups=groups)

    return run


def _gemm(options: dict[str, Any]) -> Callable[..., Tensor]:
    def run(x: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
        return functional.linear(x, weights if options.get("transB") else weights.T, bias)

    return run


_OPERATIONS: dict[str, Callable[[dict[str, Any]], Callable[..., Tensor]]] = {
    "Add": lambda _: torch.add,
    "Conv": _convolution,
    "Flatten": lambda _: torch.nn.Flatten(),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda _: lambda x: x.mean(dim=(2, 3), keepdim=True),
    "Relu": lambda _: functional.relu,
    "Softmax": lambda options: lambda x: x.softmax(dim=options.get("axis", -1)),
    "Sub": lambda _: torch.sub,
    "Transpose": lambda options: lambda x: x.permute(*options["perm"]),
}
