"""The matrices of a text encoder as 8-bit integers: a quarter of the size, and faster."""

import logging
import tempfile
from pathlib import Path

import onnx

from mecam.errors import ModelError

__all__ = ["ENCODER_SCOPE", "quantized"]

ENCODER_SCOPE = "encoders.text."
"""What the names of a text encoder's operators begin with (`mecam.export.network`)."""

QUANTIZED = ("MatMul", "Gemm", "Gather")
"""Operators whose weights become integers: products with a matrix, and the table of embeddings."""


def quantized(network: onnx.ModelProto) -> onnx.ModelProto:
    """The network with the matrices of its text encoder as 8-bit integers, a scale for each of their columns.

    What goes through them is rounded to 8 bits when it arrives, by its largest number ("dynamic" quantisation);
    everything else stays as it is. Weights use seven of the eight bits: processors without VNNI add products of two
    8-bit numbers in 16 bits, where two full ones do not fit.

    Raises: ModelError if there is no text encoder.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    nodes = _encoder_nodes(network)
    if not nodes:
        raise ModelError(
            "this model has no text encoder, whose matrices --int8 makes smaller", fix="export it without --int8"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)  # it recommends a step that the exporter has done
        try:
            quantize_dynamic(
                network,
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


def _encoder_nodes(network: onnx.ModelProto) -> list[str]:
    """Operators of the text encoder that have weights, and others that read the same ones."""
    weights = {one.name for one in network.graph.initializer if len(one.dims) == 2}
    candidates = [node for node in network.graph.node if node.op_type in QUANTIZED and weights & set(node.input)]
    inside = {name for node in candidates if node.name.startswith(ENCODER_SCOPE) for name in weights & set(node.input)}
    return [node.name for node in candidates if inside & set(node.input)]
