"""8-bit integers: smoothing alone changes nothing, and nothing but the text encoder is rounded."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import tiny
from mecam.arrays import BatchArrays
from mecam.data.collate import array_batches
from mecam.data.store import Store
from mecam.errors import ModelError
from mecam.export.network import network_of
from mecam.export.quantize import ENCODER_SCOPE, _encoder_nodes, _largest, _smoothed, quantized, smoothing_of
from mecam.models.trained import Trained
from mecam.prediction.exported import inputs_of

Inputs = Mapping[str, Any]


@pytest.fixture(scope="module")
def trained(store: Store, encoder: str) -> Trained:
    return tiny.build("text_only", store, encoder, used=True)


@pytest.fixture(scope="module")
def batch(trained: Trained, store: Store) -> BatchArrays:
    return next(array_batches(trained.dataset(store, np.arange(12)), trained.collator, 12))


@pytest.fixture(scope="module")
def network(trained: Trained, batch: BatchArrays) -> onnx.ModelProto:
    return network_of(trained.model, batch)


def answers(network: onnx.ModelProto, given: Inputs) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    read = {one.name: given[one.name] for one in session.get_inputs()}
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, read), strict=True))


def test_smoothing_alone_changes_no_answer(network: onnx.ModelProto, trained: Trained, batch: BatchArrays) -> None:
    given = inputs_of(batch, trained.reads)
    smooth = _smoothed(network, _encoder_nodes(network), smoothing_of(network, [given]))
    onnx.checker.check_model(smooth)
    added = [node for node in smooth.graph.node if node.name.endswith("_smoothing")]
    assert len(added) == len(smooth.graph.node) - len(network.graph.node) > 0
    for name, expected in answers(network, given).items():
        np.testing.assert_allclose(answers(smooth, given)[name], expected, atol=1e-5)


def test_smoothing_makes_columns_more_alike(network: onnx.ModelProto, trained: Trained, batch: BatchArrays) -> None:
    given = inputs_of(batch, trained.reads)
    smooth = _smoothed(network, _encoder_nodes(network), smoothing_of(network, [given]))
    after = [node.output[0] for node in smooth.graph.node if node.name.endswith("_smoothing")]
    before = [name.removesuffix("_smooth") for name in after]
    found = _largest(smooth, [*before, *after], [given])
    spread = [
        float(np.mean([np.ptp(np.log(np.maximum(found[name], 1e-5))) for name in names])) for names in (before, after)
    ]
    assert spread[1] < spread[0]


def test_only_the_text_encoder_is_rounded(network: onnx.ModelProto, trained: Trained, batch: BatchArrays) -> None:
    given = inputs_of(batch, trained.reads)
    small = quantized(network, smoothing_of(network, [given]))
    kinds = {node.op_type for node in small.graph.node if node.name.startswith(ENCODER_SCOPE)}
    assert "MatMulInteger" in kinds
    tensors = {one.name: one for one in small.graph.initializer}
    for one in network.graph.initializer:
        if not one.name.startswith("model." + ENCODER_SCOPE) and one.name in tensors:
            assert tensors[one.name].data_type == one.data_type, one.name
    rounded = [one for one in tensors.values() if one.data_type == onnx.TensorProto.INT8]
    assert len(rounded) >= 7  # six matrices of a layer, and the table of word pieces
    for one in rounded:
        assert np.abs(onnx.numpy_helper.to_array(one).astype(int)).max() <= 64 or len(one.dims) < 2
    before, after = answers(network, given)["prediction"], answers(small, given)["prediction"]
    assert 0 < np.abs(before - after).max() < 0.2


def test_without_a_text_encoder() -> None:
    weights = onnx.numpy_helper.from_array(np.eye(3, dtype=np.float32), "weights")
    node = onnx.helper.make_node("MatMul", ["audio_values", "weights"], ["prediction"], name="head.MatMul_1")
    graph = onnx.helper.make_graph([node], "audio", [], [], [weights])
    with pytest.raises(ModelError, match="no text encoder"):
        smoothing_of(onnx.helper.make_model(graph), [])
