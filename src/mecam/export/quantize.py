"""The matrices of a text encoder as 8-bit integers: a quarter of the size, and faster."""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from mecam.errors import ModelError
from mecam.onnx_runtime import onnx_runtime, send_nothing

__all__ = ["ENCODER_SCOPE", "LOW_RANK", "quantized", "smoothing_of"]

ENCODER_SCOPE = "encoders.text."
"""What the names of a text encoder's operators begin with (`mecam.export.network`)."""

QUANTIZED = ("MatMul", "Gemm", "Gather")
"""Operators whose weights become integers: products with a matrix, and the table of embeddings."""

SMOOTHING = 0.75
"""How much of the range of a column moves from what goes through a matrix into the matrix: 0 is none, 1 all."""

MAX_SMOOTHING = 100.0
"""The most that one column is scaled by, against the others."""

LOW_RANK = ".lora_"
"""In the names of operators that belong to a low-rank update: two thin matrices, which stay as they are."""

Array = NDArray[Any]
Weights = dict[str, TensorProto]


def quantized(network: onnx.ModelProto, smoothing: Mapping[str, Array]) -> onnx.ModelProto:
    """The network with the matrices of its text encoder as 8-bit integers, a scale for each of their columns.

    What goes through them is rounded to 8 bits when it arrives, by its largest number ("dynamic" quantisation);
    everything else stays as it is. A few columns hold much larger numbers than the others, which would be rounded
    coarsely: they are made smaller first, and the rows of the matrix larger.

    Weights use seven of the eight bits: processors without VNNI add products of two 8-bit numbers in 16 bits, where two
    full ones do not fit.

    Args:
        network: in full precision.
        smoothing: from `smoothing_of` this network, or another one with the same encoder: the same smoothing makes
            the same integers of it.

    Raises: ModelError if there is no text encoder.
    Source: Xiao, Lin, Seznec, Wu, Demouth and Han, SmoothQuant, ICML 2023 (arXiv 2211.10438), Eq. 3 and 4. Differs: the
        scaling stays an operator of its own, as in BERT the numbers that it scales are also read elsewhere.
    """
    send_nothing()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    nodes = _encoder_nodes(network)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)  # it recommends a step that the exporter has done
        try:
            quantize_dynamic(
                _smoothed(network, nodes, smoothing),
                path,
                op_types_to_quantize=list(QUANTIZED),
                nodes_to_quantize=nodes,
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
            )
        finally:
            logging.disable(before)
        return onnx.load(path)


def smoothing_of(network: onnx.ModelProto, examples: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """What the columns of all that goes through matrices are divided by, to be more alike.

    With x the largest number of a column and w that of the row of the matrix which it meets, the column is divided by
    x^α / w^(1 − α), relative to the geometric mean over columns.

    Args:
        network: in full precision.
        examples: what it reads, by name, of some utterances of the training data: they tell the largest numbers.

    Returns: the part of the encoder that reads the columns first → a factor for each column.
    Raises: ModelError if there is no text encoder.
    """
    weights = {one.name: one for one in network.graph.initializer}
    readers = _readers(network, _encoder_nodes(network))
    largest = _largest(network, list(readers), examples)
    return {
        _part(products[0]): _factors(largest[name], [weights[node.input[1]] for node in products])
        for name, products in readers.items()
    }


def _encoder_nodes(network: onnx.ModelProto) -> list[str]:
    """Operators of the text encoder that have weights, and others that read the same ones.

    Raises: ModelError if there are none.
    """
    weights = {one.name for one in network.graph.initializer if len(one.dims) == 2}
    with_weights = [node for node in network.graph.node if node.op_type in QUANTIZED and weights & set(node.input)]
    candidates = [node for node in with_weights if LOW_RANK not in node.name]
    inside = {name for node in candidates if node.name.startswith(ENCODER_SCOPE) for name in weights & set(node.input)}
    if not inside:
        raise ModelError(
            "this model has no text encoder, whose matrices --int8 makes smaller", fix="export it without --int8"
        )
    return [node.name for node in candidates if inside & set(node.input)]


def _readers(network: onnx.ModelProto, nodes: Sequence[str]) -> dict[str, list[NodeProto]]:
    """What goes through matrices → the products that read it."""
    weights = {one.name for one in network.graph.initializer}
    found: dict[str, list[NodeProto]] = {}
    for node in network.graph.node:
        if node.name in nodes and node.op_type == "MatMul" and node.input[1] in weights:
            found.setdefault(node.input[0], []).append(node)
    return found


def _part(node: NodeProto) -> str:
    """The part of the encoder that a product belongs to, with or without a low-rank update beside it."""
    return node.name.rpartition(".")[0].removesuffix(".base_layer")


def _smoothed(network: onnx.ModelProto, nodes: Sequence[str], smoothing: Mapping[str, Array]) -> onnx.ModelProto:
    """The same network: what goes through matrices is divided by the factors, the rows of the matrices multiplied."""
    smooth = onnx.ModelProto()
    smooth.CopyFrom(network)
    graph = smooth.graph
    weights = {one.name: one for one in graph.initializer}
    scaled: dict[str, NodeProto] = {}
    for name, products in _readers(smooth, nodes).items():
        factor = smoothing[_part(products[0])]
        graph.initializer.append(numpy_helper.from_array(1 / factor, f"{name}_smoothing"))
        place = f"{products[0].name}_smoothing"
        scaled[products[0].name] = helper.make_node("Mul", [name, f"{name}_smoothing"], [f"{name}_smooth"], name=place)
        for matrix in {node.input[1] for node in products}:
            rows = numpy_helper.to_array(weights[matrix]) * factor[:, None]
            weights[matrix].CopyFrom(numpy_helper.from_array(rows, matrix))
        for node in products:
            node.input[0] = f"{name}_smooth"
    ordered = [one for node in graph.node for one in (scaled.get(node.name), node) if one is not None]
    copies = [NodeProto.FromString(node.SerializeToString()) for node in ordered]
    del graph.node[:]
    graph.node.extend(copies)
    return smooth


def _factors(largest: Array, matrices: Sequence[TensorProto]) -> Array:
    """What each column is divided by."""
    rows = np.max([np.abs(numpy_helper.to_array(matrix)).max(axis=1) for matrix in matrices], axis=0)
    logs = SMOOTHING * np.log(np.maximum(largest, 1e-5)) - (1 - SMOOTHING) * np.log(np.maximum(rows, 1e-5))
    limit = np.log(MAX_SMOOTHING)
    return np.asarray(np.exp(np.clip(logs - logs.mean(), -limit, limit)), np.float32)


def _largest(
    network: onnx.ModelProto, names: Sequence[str], examples: Sequence[Mapping[str, Array]]
) -> dict[str, Array]:
    """Name of what goes through a matrix → the largest absolute number in each of its columns."""
    onnxruntime = onnx_runtime()
    told = onnx.ModelProto()
    told.CopyFrom(network)
    told.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        onnx.save_model(told, str(path), save_as_external_data=True, location="weights")  # one file holds at most 2 GB
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        read = [given.name for given in session.get_inputs()]
        found: dict[str, Array] = {}
        for example in examples:
            for name, values in zip(names, session.run(names, {key: example[key] for key in read}), strict=True):
                columns = np.abs(values).reshape(-1, values.shape[-1]).max(axis=0)
                found[name] = np.maximum(found.get(name, columns), columns)
    return found
