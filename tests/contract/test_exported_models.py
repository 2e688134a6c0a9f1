"""Every registered model as an ONNX network: PyTorch's answers, whatever is absent, masked, long or short."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

import mecam.export.network
import tiny
from mecam.arrays import BatchArrays, OutputArrays, StreamArrays
from mecam.batch import Batch, Output
from mecam.data.collate import array_batches
from mecam.data.store import Store
from mecam.errors import ModelError
from mecam.export.export import export_model
from mecam.export.network import OPSET, network_of
from mecam.models.registry import MODELS
from mecam.models.trained import Trained
from mecam.prediction.exported import NETWORK
from mecam.prediction.onnx_backend import OnnxBackend
from mecam.types import TEXT

TOLERANCE = 1e-5
"""Of answers that are asked to be within 1e-4."""

SMALL = 500
"""Numbers that a network may hold beside its parameters."""

QUICK = {"constant": (TEXT,), "text_only": (TEXT,), "ef_lstm": ("audio", "vision"), "mfn": ("audio", "vision")}
"""Nothing is read; a text encoder; an operator of ONNX's own; a loop over time. The others take half a minute each."""


def _store(folder: Path, task: str, modalities: tuple[str, ...]) -> Store:
    kind = tiny.TASKS[task]
    widths = {m: tiny.WIDTHS[m] for m in modalities if m != TEXT}
    return tiny.write_store(folder / "store", kind, tiny.utterances(kind, 12, modalities=modalities), widths=widths)


@pytest.mark.parametrize("name", QUICK)
def test_answers_are_those_of_pytorch(name: str, encoder: str, tmp_path: Path) -> None:
    store = _store(tmp_path, "regression", QUICK[name])
    _check(tiny.build(name, store, encoder, used=True, layers=2, steps=5), store, tmp_path / "exported")


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_answers_of_every_model_are_those_of_pytorch(name: str, encoder: str, tmp_path: Path) -> None:
    store = _store(tmp_path, "regression", (TEXT, "audio", "vision"))
    _check(tiny.build(name, store, encoder, used=True), store, tmp_path / "exported")


@pytest.mark.slow
@pytest.mark.parametrize("task", tiny.TASKS)
def test_answers_for_every_task_are_those_of_pytorch(task: str, encoder: str, tmp_path: Path) -> None:
    store = _store(tmp_path, task, (TEXT, "audio"))
    _check(tiny.build("mecam", store, encoder, used=True), store, tmp_path / "exported")


def _check(trained: Trained, store: Store, folder: Path) -> None:
    """The folder answers all batches as the model does, and holds nothing else."""
    export_model(trained, folder, None)
    exported = OnnxBackend(folder)
    for whole in _batches(trained, store):
        for batch in _variants(whole):
            expected, given = (one.run(batch, total=1000, details=True) for one in (trained, exported))
            _compare(_named(expected, batch), _named(given, batch))
    _check_content(folder, trained, Batch.of(next(_batches(trained, store))))


def _compare(expected: Mapping[str, NDArray[Any]], given: Mapping[str, NDArray[Any]]) -> None:
    assert given.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(given[name], values, rtol=0, atol=TOLERANCE, err_msg=name)


def _batches(trained: Trained, store: Store) -> Any:
    """All utterances in batches of several sizes, each as long as its longest."""
    dataset = trained.dataset(store)
    for size in (len(dataset), 3, 1):
        yield from array_batches(dataset, trained.collator, size)


def _variants(batch: BatchArrays) -> Any:
    """As it is; with longer streams; rows masked; a modality absent everywhere; everything absent."""
    yield batch
    yield replace(batch, streams={m: s if s.words is not None else _longer(s) for m, s in batch.streams.items()})
    holes = np.random.default_rng(0)
    masked = {m: replace(s, mask=s.mask & (holes.random(s.mask.shape) > 0.4)) for m, s in batch.streams.items()}
    yield replace(batch, streams=masked)
    for modality, stream in batch.streams.items():
        yield replace(batch, streams={**batch.streams, modality: _absent(stream)})
    yield replace(batch, streams={m: _absent(s) for m, s in batch.streams.items()})


def _longer(stream: StreamArrays) -> StreamArrays:
    """Many times over; its padding is rows that are missing."""
    rows = {name: np.concatenate([getattr(stream, name)] * 9, axis=1) for name in ("values", "mask", "injected")}
    return StreamArrays(**rows, lengths=np.where(stream.lengths > 0, rows["mask"].shape[1], 0))


def _absent(stream: StreamArrays) -> StreamArrays:
    """One row, masked."""
    row = {name: getattr(stream, name)[:, :1] for name in ("values", "mask", "injected")}
    words = None if stream.words is None else np.full_like(stream.words[:, :1], -1)
    return StreamArrays(**{k: np.zeros_like(v) for k, v in row.items()}, lengths=stream.lengths * 0, words=words)


def _named(output: OutputArrays, batch: BatchArrays) -> Mapping[str, NDArray[Any]]:
    """All that was answered; gates of observed rows."""
    return {
        "prediction": output.prediction,
        **{f"gate of {m}": values[batch.streams[m].mask[:, : values.shape[1]]] for m, values in output.gates.items()},
        **{f"share of {m}": values for m, values in output.shares.items()},
        **output.embeddings,
        **({} if output.conflict is None else {"conflict": output.conflict}),
    }


def _check_content(folder: Path, trained: Trained, batch: Batch) -> None:
    """No operators but those of ONNX, no paths, and of the parameters only those that an answer depends on, once."""
    network = onnx.load(folder / NETWORK, load_external_data=False)
    assert {each.domain: each.version for each in network.opset_import} == {"": OPSET}
    written = (folder / NETWORK).read_bytes()
    assert not [
        path for path in (str(Path(torch.__file__).parent), str(Path.home()), ".py") if path.encode() in written
    ]
    held = sum(
        int(np.prod(each.dims)) for each in network.graph.initializer if each.data_type == onnx.TensorProto.FLOAT
    )
    model = trained.model.requires_grad_(True).eval()
    sum(_shown(model(batch)), torch.zeros((), requires_grad=True)).backward()
    needed = sum(parameter.numel() for parameter in model.parameters() if parameter.grad is not None)
    assert held <= needed + SMALL, (held, needed)


def _shown(output: Output) -> list[torch.Tensor]:
    """Sums of all that a network answers."""
    given = [output.prediction, *output.gates.values(), *output.shares.values(), *output.embeddings.values()]
    return [values.sum() for values in given]


def test_an_old_pytorch_is_refused(store: Store, encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = tiny.build("constant", store, encoder)
    monkeypatch.setattr(mecam.export.network, "OLDEST", "99.1")
    with pytest.raises(ModelError, match=r"pip install 'torch>=99\.1'"):
        network_of(trained.model, next(_batches(trained, store)))


def test_what_onnx_has_no_operator_for_is_named(store: Store, encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = tiny.build("constant", store, encoder)

    def forward(batch: Batch) -> Output:
        return Output(prediction=torch.special.i1e(batch.index.float()))

    monkeypatch.setattr(trained.model, "forward", forward)
    with pytest.raises(ModelError, match="i1e"):
        network_of(trained.model, next(_batches(trained, store)))
