"""A model of PyTorch as an ONNX network: what it reads and answers by name, for batches and lengths of any size."""

import ast
import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import jaxtyping
import onnx
import torch
from torch import Tensor, nn

from mecam.arrays import BatchArrays
from mecam.batch import Batch, Stream
from mecam.errors import MissingExtraError, ModelError
from mecam.models.base import Model
from mecam.prediction.exported import INDEX, PARTS, output_names

__all__ = ["OPSET", "network_of"]

OPSET = 20
"""Version of the ONNX operators; ONNX Runtime 1.17 and newer read it."""

OLDEST = "2.8"
"""Version of PyTorch from which on it writes down LSTMs and scans."""

BATCH, ROWS = 3, 11
"""Sizes of the example that a model is followed on: no two are alike, and none is one that PyTorch treats apart."""

FOLDED = 2**31
"""Size of what may be computed from the weights while exporting, such as the order of an LSTM's gates: any."""


class _Exported(nn.Module):
    """A model with plain tensors in and out.

    Args:
        model: with its weights.
        names: of the tensors that go in: modality and part of its stream, or "" and the batch's index.

    Attributes:
        answers: names of the tensors that come out; known once it has given them.
    """

    def __init__(self, model: Model, names: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self.model = model
        self._names = names
        self.answers: list[str] = []

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        parts: dict[str, dict[str, Tensor]] = {}
        for (modality, part), tensor in zip(self._names, tensors, strict=True):
            parts.setdefault(modality, {})[part] = tensor
        index = parts.pop("", {INDEX: tensors[0].new_zeros(tensors[0].shape[0], dtype=torch.int64)})[INDEX]
        streams = {modality: Stream(**given) for modality, given in parts.items()}
        output = self.model(Batch(ids=(), index=index, streams=streams))
        conflict = output.extra.get("doubt")
        named = {
            "prediction": self.model.inputs.task.probabilities(output.prediction),
            **output_names("gate", output.gates),
            **output_names("weight", output.shares),
            **output_names("embedding", output.embeddings),
            **({} if conflict is None else {"conflict": conflict}),
        }
        self.answers = list(named)
        return tuple(value if name == "prediction" else value.float() for name, value in named.items())


def network_of(model: Model, example: BatchArrays) -> onnx.ModelProto:
    """Write a model down as an ONNX network.

    Args:
        model: with its weights, on the CPU.
        example: any batch that it may be given; it is followed on such numbers.

    Raises: ModelError naming the operator, where there is one that ONNX does not have, or if PyTorch is too old;
        MissingExtraError without the libraries of the extra `train`.
    """
    if torch.__version__ < OLDEST:
        raise ModelError(
            f"PyTorch {torch.__version__} cannot export a model", fix=f"pip install 'torch>={OLDEST}', and export again"
        )
    given = _inputs(model, Batch.of(example))
    whole = _Exported(model, list(given)).eval()
    names = {f"{modality}_{part}".lstrip("_"): tensor for (modality, part), tensor in given.items()}
    with torch.no_grad(), _undisturbed():
        whole(*names.values())  # tells the names of the answers
        try:
            from onnxscript.optimizer import optimize_ir

            program = torch.onnx.export(
                torch.export.export(
                    whole,
                    tuple(names.values()),
                    dynamic_shapes=(tuple(_open_sizes(tensor) for tensor in names.values()),),
                    strict=False,
                ),
                input_names=list(names),
                output_names=whole.answers,
                opset_version=OPSET,
                dynamo=True,
                optimize=False,
                verbose=False,
            )
            assert program is not None
            optimize_ir(
                program.model, input_size_limit=FOLDED, output_size_limit=FOLDED, should_fold=_changes_its_input
            )
        except ImportError as error:
            raise MissingExtraError("onnxscript") from error
        except Exception as error:  # of many kinds, each with a page of text
            raise ModelError(f"PyTorch cannot export this model: {_reason(error)}") from error
    return _cleaned(program.model_proto)


def _changes_its_input(node: Any) -> bool | None:
    """False keeps a copy of weights from becoming weights of its own; None leaves it to the library."""
    return False if node.op_type == "Identity" else None


def _inputs(model: Model, batch: Batch) -> dict[tuple[str, str], Tensor]:
    """What the network reads, as the example has it, of sizes that tell all axes apart."""
    if model.reads_nothing:  # but how many answers are wanted
        return {("", INDEX): torch.arange(BATCH)}
    tensors = {}
    for i, modality in enumerate(model.reads):
        for part in PARTS:
            tensor = getattr(batch.streams[modality], part)
            if tensor is not None:
                tensor = tensor[torch.arange(BATCH) % tensor.shape[0]]
                rows = torch.arange(ROWS + 2 * i)
                tensors[modality, part] = tensor[:, rows % tensor.shape[1]] if tensor.ndim > 1 else tensor
    return tensors


def _open_sizes(tensor: Tensor) -> dict[int, object]:
    """Batch and time are of any size."""
    return dict.fromkeys(range(min(tensor.ndim, 2)), torch.export.Dim.DYNAMIC)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Without what the exporter says about itself, and without checks of shapes, which know no open sizes."""
    level, unchecked = logging.root.manager.disable, jaxtyping.config.jaxtyping_disable
    logging.disable(logging.CRITICAL)
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        jaxtyping.config.update("jaxtyping_disable", unchecked)


def _reason(error: Exception) -> str:
    """The line of a long message that says what is wrong."""
    cause = error
    while cause.__cause__ is not None and isinstance(cause.__cause__, Exception):
        cause = cause.__cause__
    return f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}"


def _cleaned(network: onnx.ModelProto) -> onnx.ModelProto:
    """Without inputs that nothing reads, and without what the exporter notes of its own work."""
    graph = network.graph
    used = {name for node in graph.node for name in node.input}
    for given in [value for value in graph.input if value.name not in used]:
        graph.input.remove(given)
    for number, node in enumerate(graph.node):
        node.name = f"{_scope(node)}{node.op_type}_{number}"
    _forget_notes(graph)
    network.ClearField("metadata_props")
    return network


def _forget_notes(graph: onnx.GraphProto) -> None:
    """Drop shapes that ONNX Runtime finds itself, and where in the code a node is from: paths of this machine."""
    graph.ClearField("value_info")
    for message in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        message.ClearField("metadata_props")
        message.ClearField("doc_string")
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _forget_notes(attribute.g)


def _scope(node: onnx.NodeProto) -> str:
    """The part of the model that an operator belongs to, with a dot behind it."""
    for property in node.metadata_props:
        if property.key == "pkg.torch.onnx.name_scopes":
            parts = [part for part in ast.literal_eval(property.value) if part.startswith("model.")]
            return parts[-1].removeprefix("model.") + "." if parts else ""
    return ""
