"""A model of PyTorch as an ONNX network: what it reads and answers by name, for batches and lengths of any size."""

import ast
import warnings
from collections.abc import Sequence

import onnx
import torch
from torch import Tensor, nn

from mecam.arrays import BatchArrays
from mecam.batch import Batch, Stream
from mecam.errors import MissingExtraError, ModelError
from mecam.models.base import Model
from mecam.prediction.exported import PARTS, output_names

__all__ = ["OPSET", "network_of"]

OPSET = 20
"""Version of the ONNX operators; ONNX Runtime 1.17 and newer read it."""


class _Exported(nn.Module):
    """A model with plain tensors in and out, in the order of `names`."""

    def __init__(self, model: Model, names: Sequence[tuple[str, str]], batch: Batch) -> None:
        super().__init__()
        self.model = model
        self._names, self._ids, self._index = names, batch.ids, batch.index
        self.answers: list[str] = []

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        parts: dict[str, dict[str, Tensor]] = {}
        for (modality, part), tensor in zip(self._names, tensors, strict=True):
            parts.setdefault(modality, {})[part] = tensor
        streams = {modality: Stream(**given) for modality, given in parts.items()}
        output = self.model(Batch(ids=self._ids, index=self._index, streams=streams, targets=None))
        task = self.model.inputs.task
        conflict = output.extra.get("doubt")
        named = {
            "prediction": task.probabilities(output.prediction),
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
        model: with its weights.
        example: a batch of two utterances or more, each modality with two rows or more, on which it is followed.

    Raises: ModelError naming the operator, where there is one that ONNX does not have; MissingExtraError without the
        libraries of the extra `train`.
    """
    batch = Batch.of(example)
    parts = [(m, part) for m in model.reads for part in PARTS if getattr(batch.streams[m], part) is not None]
    whole = _Exported(model, parts, batch).eval()
    tensors = tuple(getattr(batch.streams[m], part) for m, part in parts)
    any_size = torch.export.Dim.DYNAMIC
    shapes = tuple({0: any_size} if part == "lengths" else {0: any_size, 1: any_size} for m, part in parts)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        whole(*tensors)  # tells the names of the answers
        try:
            followed = torch.export.export(whole, tensors, dynamic_shapes=(shapes,), strict=False)
            program = torch.onnx.export(
                followed,
                input_names=[f"{m}_{part}" for m, part in parts],
                output_names=whole.answers,
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except ImportError as error:
            raise MissingExtraError("onnxscript") from error
        except Exception as error:  # of many kinds, each with a page of text
            raise ModelError(f"PyTorch cannot export this model: {_reason(error)}") from error
    assert program is not None
    return _cleaned(program.model_proto)


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
        node.ClearField("doc_string")
        node.ClearField("metadata_props")  # among them the paths of this machine
    for message in (network, graph, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        message.ClearField("metadata_props")
    return network


def _scope(node: onnx.NodeProto) -> str:
    """The part of the model that an operator belongs to, with a dot behind it."""
    for property in node.metadata_props:
        if property.key == "pkg.torch.onnx.name_scopes":
            parts = [part for part in ast.literal_eval(property.value) if part.startswith("model.")]
            return parts[-1].removeprefix("model.") + "." if parts else ""
    return ""
