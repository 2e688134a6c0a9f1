"""Networks of LiteRT (`.tflite`) on PyTorch: the same graphs and weights, in batches and on a GPU.

A network is read from its file once: what the file holds packed (half precision, sparse) LiteRT unpacks. It has one
input, whose first axis is of length 1 and becomes the batch here. Known are the operations of the face networks.

Source: the schema of TensorFlow Lite (`schema.fbs`), which `ai-edge-litert` brings as `schema_py_generated`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

__all__ = ["LiteRTNetwork"]


class LiteRTNetwork:
    """A network, for batches. LiteRT greets on stderr while it is made.

    Args:
        file: content of its file.
        device: where it computes.

    Raises: KeyError for an operation that is not known here.
    """

    def __init__(self, file: bytes, device: str | torch.device = "cpu") -> None:
        self._device = torch.device(device)
        graph = _Graph(file)
        self._steps, self._given, self._outputs = graph.steps, graph.given, graph.outputs
        self._constants = {place: torch.from_numpy(value).to(self._device) for place, value in graph.constants.items()}

    @torch.inference_mode()
    def __call__(self, given: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The outputs for a batch, largest first, as LiteRT gives them for one: N × what the network says."""
        values: dict[int, Tensor] = {self._given: torch.from_numpy(given).to(self._device, non_blocking=True)}
        for step in self._steps:
            values[step.output] = step.run(*(values.get(i, self._constants.get(i)) for i in step.inputs))
            for place in step.last_use:
                values.pop(place, None)
        return [np.asarray(values[place].float().cpu().numpy()) for place in self._outputs]


class _Step(NamedTuple):
    """One operation: which tensors it reads, which it makes, which nobody needs after it."""

    run: Callable[..., Tensor]
    inputs: tuple[int, ...]
    output: int
    last_use: tuple[int, ...]


class _Graph:
    """What a `.tflite` file says.

    Attributes:
        steps: in order.
        given: number of the input tensor.
        outputs: numbers of the output tensors, largest first.
        constants: tensor → its value.
    """

    def __init__(self, file: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(file, 0))
        (graph,) = model.subgraphs
        names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
        varying = _varying(graph)
        self.constants = _constants(file, varying)
        (self.given,) = (int(place) for place in graph.inputs)
        sizes = {int(place): int(np.prod(graph.tensors[place].shape)) for place in graph.outputs}
        self.outputs = sorted(sizes, key=lambda place: -sizes[place])
        made = []
        for operator in varying:
            inputs, output = tuple(map(int, operator.inputs)), int(operator.outputs[0])
            code = model.operatorCodes[operator.opcodeIndex]
            operation = _OPERATIONS[names[max(code.builtinCode, code.deprecatedBuiltinCode)]]
            made.append((operation(operator.builtinOptions, [*map(self.constants.get, inputs)]), inputs, output))
        last = {place: number for number, (_, inputs, _) in enumerate(made) for place in inputs}
        self.steps = [
            _Step(run, inputs, output, tuple(p for p in inputs if last[p] == number and p not in self.outputs))
            for number, (run, inputs, output) in enumerate(made)
        ]


def _varying(graph: Any) -> list[Any]:
    """The operations whose output the input of the network changes; the others unpack weights."""
    places, found = set(map(int, graph.inputs)), []
    for operator in graph.operators:
        if places & set(map(int, operator.inputs)):
            places |= set(map(int, operator.outputs))
            found.append(operator)
    return found


def _constants(file: bytes, operators: Sequence[Any]) -> dict[int, NDArray[Any]]:
    """What these operations read beside each other's outputs, as LiteRT unpacks it; half precision becomes single."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    network = Interpreter(
        model_content=file,
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    network.allocate_tensors()
    network.invoke()  # so that what is packed is unpacked
    made = {int(place) for operator in operators for place in operator.outputs}
    made.add(network.get_input_details()[0]["index"])
    read = {int(place) for operator in operators for place in operator.inputs if place >= 0}
    return {place: np.array(network.get_tensor(place)) for place in sorted(read - made)}


_Constants = list[NDArray[Any] | None]
_Operation = Callable[[Any, _Constants], Callable[..., Tensor]]
"""From the options of an operation, and those of its inputs that are constants, what it does with its inputs."""


def _activated(options: Any) -> Callable[[Tensor], Tensor]:
    kinds: dict[int, Callable[[Tensor], Tensor]] = {0: lambda x: x, 1: functional.relu, 3: functional.relu6}
    return kinds[getattr(options, "fusedActivationFunction", 0)]


def _padded(options: Any, kernel: tuple[int, int], *, filled: float = 0.0) -> Callable[[Tensor], Tensor]:
    """Edges as TensorFlow's SAME adds them: of an odd number, the larger part comes after."""
    if options.padding == 1:  # VALID
        return lambda x: x
    strides = (options.strideH, options.strideW)

    def pad(x: Tensor) -> Tensor:
        edges: list[int] = []
        for length, size, stride in zip(x.shape[:1:-1], kernel[::-1], strides[::-1], strict=True):
            whole = max((-(-length // stride) - 1) * stride + size - length, 0)
            edges += [whole // 2, whole - whole // 2]
        return functional.pad(x, edges, value=filled) if any(edges) else x

    return pad


def _convolution(options: Any, constants: _Constants) -> Callable[..., Tensor]:
    """`CONV_2D` and `DEPTHWISE_CONV_2D`: pictures are N × H × W × C, weights O × H × W × I or 1 × H × W × C."""
    weights = constants[1]
    assert weights is not None
    deep = hasattr(options, "depthMultiplier")
    pad = _padded(options, (weights.shape[1], weights.shape[2]))
    act, stride = _activated(options), (options.strideH, options.strideW)

    def run(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
        kernel = kernel.permute(3, 0, 1, 2) if deep else kernel.permute(0, 3, 1, 2)
        groups = kernel.shape[0] if deep else 1
        y = functional.conv2d(pad(x.permute(0, 3, 1, 2)), kernel, bias, stride, groups=groups)
        return act(y).permute(0, 2, 3, 1)

    return run


def _pooling(options: Any, _: _Constants) -> Callable[..., Tensor]:
    kernel = (options.filterHeight, options.filterWidth)
    pad, act = _padded(options, kernel, filled=-torch.inf), _activated(options)
    stride = (options.strideH, options.strideW)
    return lambda x: act(functional.max_pool2d(pad(x.permute(0, 3, 1, 2)), kernel, stride)).permute(0, 2, 3, 1)


def _resizing(options: Any, constants: _Constants) -> Callable[..., Tensor]:
    assert constants[1] is not None
    size = tuple(map(int, constants[1]))
    assert options.halfPixelCenters
    assert not options.alignCorners

    def run(x: Tensor, _: Tensor) -> Tensor:
        return functional.interpolate(x.permute(0, 3, 1, 2), size, mode="bilinear").permute(0, 2, 3, 1)

    return run


def _depth_to_space(options: Any, _: _Constants) -> Callable[..., Tensor]:
    block = options.blockSize

    def run(x: Tensor) -> Tensor:
        count, height, width, depth = x.shape
        parts = x.reshape(count, height, width, block, block, depth // block**2)
        return parts.permute(0, 1, 3, 2, 4, 5).reshape(count, height * block, width * block, -1)

    return run


def _padding(_: Any, constants: _Constants) -> Callable[..., Tensor]:
    assert constants[1] is not None
    edges = [int(edge) for pair in constants[1][::-1] for edge in pair]
    return lambda x, _: functional.pad(x, edges)


def _reshaping(options: Any, constants: _Constants) -> Callable[..., Tensor]:
    given: Any = constants[1] if len(constants) > 1 else options.newShape
    shape = [int(size) for size in given][1:]
    return lambda x, *_: x.reshape(len(x), *shape)


def _slicing(options: Any, constants: _Constants) -> Callable[..., Tensor]:
    begins, ends, steps = (constants[i] for i in (1, 2, 3))
    assert begins is not None
    assert ends is not None
    assert steps is not None
    chosen: list[Any] = [slice(None)]  # the batch, which a network of one may take out: it stays
    for axis in range(1, len(begins)):
        low = None if options.beginMask >> axis & 1 else int(begins[axis])
        high = None if options.endMask >> axis & 1 else int(ends[axis])
        reverse = int(steps[axis]) < 0
        chosen.append((low, high) if reverse else slice(low, high, int(steps[axis])))

    def run(x: Tensor, *_: Tensor) -> Tensor:
        reverse = [axis for axis, part in enumerate(chosen) if isinstance(part, tuple)]
        assert all(chosen[axis] == (None, None) for axis in reverse)
        plain = tuple(slice(None) if isinstance(part, tuple) else part for part in chosen)
        return x[plain].flip(reverse) if reverse else x[plain]

    return run


def _reduced(how: Callable[..., Tensor]) -> _Operation:
    def make(options: Any, constants: _Constants) -> Callable[..., Tensor]:
        assert constants[1] is not None
        axes = tuple(int(axis) for axis in np.atleast_1d(constants[1]))
        return lambda x, _: how(x, dim=axes, keepdim=options.keepDims)

    return make


def _transposing(_: Any, constants: _Constants) -> Callable[..., Tensor]:
    assert constants[1] is not None
    order = tuple(int(axis) for axis in constants[1])
    return lambda x, _: x.permute(order)


def _joining(options: Any, _: _Constants) -> Callable[..., Tensor]:
    def run(*parts: Tensor) -> Tensor:
        count = max(len(part) for part in parts)
        return torch.cat([part.expand(count, *part.shape[1:]) for part in parts], dim=options.axis)

    return run


def _with_activation(how: Callable[..., Tensor]) -> _Operation:
    def make(options: Any, _: _Constants) -> Callable[..., Tensor]:
        act = _activated(options)
        return lambda *inputs: act(how(*inputs))

    return make


_OPERATIONS: Mapping[str, _Operation] = {
    "ADD": _with_activation(torch.add),
    "CONCATENATION": _joining,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "DEPTH_TO_SPACE": _depth_to_space,
    "DIV": _with_activation(torch.div),
    "LOGISTIC": _with_activation(torch.sigmoid),
    "MAX_POOL_2D": _pooling,
    "MEAN": _reduced(torch.mean),
    "MUL": _with_activation(torch.mul),
    "NEG": _with_activation(torch.neg),
    "PAD": _padding,
    "PRELU": _with_activation(lambda x, slope: torch.where(x < 0, x * slope, x)),
    "RESHAPE": _reshaping,
    "RESIZE_BILINEAR": _resizing,
    "RSQRT": _with_activation(torch.rsqrt),
    "SQRT": _with_activation(torch.sqrt),
    "SQUARED_DIFFERENCE": _with_activation(lambda x, y: (x - y) ** 2),
    "STRIDED_SLICE": _slicing,
    "SUB": _with_activation(torch.sub),
    "SUM": _reduced(torch.sum),
    "TRANSPOSE": _transposing,
}
