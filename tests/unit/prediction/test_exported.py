"""An exported model gives what PyTorch gives, to anybody who asks, and is refused where it is not what was written."""

import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tiny
from exported_models import make_exported, one_network
from mecam.data.corruption import without_modality
from mecam.data.store import Store
from mecam.errors import MecamError, ModelError
from mecam.evaluation.explanation.occlusion import explain
from mecam.hashes import record_sha256, sha256_of
from mecam.models.checkpoint import OWN
from mecam.models.trained import Trained
from mecam.prediction.exported import DESCRIPTION, NETWORK, TOKENIZER, WEIGHTS
from mecam.prediction.onnx_backend import OnnxBackend
from mecam.prediction.onnx_file import check_network
from mecam.prediction.predictor import Predictor, load
from mecam.types import TEXT

SENTENCES = ["the film was superb", "DULL FOOD", "good", "the good film was not dull but superb and good", "[UNK] film"]


@pytest.fixture(scope="module", autouse=True)
def _once() -> Iterator[None]:
    with one_network():
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Text and audio alone: each modality more makes an export of MECAM several seconds longer."""
    task, modalities = tiny.TASKS["regression"], (TEXT, "audio")
    utterances = tiny.utterances(task, modalities=modalities)
    return tiny.write_store(tmp_path_factory.mktemp("stores") / "two", task, utterances)


@pytest.fixture(scope="module")
def both(store: Store, encoder: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    """MECAM, and the folder that it was exported to."""
    return make_exported(tmp_path_factory.mktemp("exported") / "mecam", "mecam", store, encoder)


@pytest.fixture(scope="module")
def integers(store: Store, encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MECAM with 8-bit integers."""
    folder = tmp_path_factory.mktemp("exported") / "int8"
    return make_exported(folder, "mecam", store, encoder, int8=True, max_loss=1.0)[1]


def alike(one: Any, other: Any) -> None:
    """Two results are equal, numbers within what float32 can tell."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            alike(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            alike(first, second)
    elif isinstance(one, float):
        assert one == pytest.approx(other, abs=2e-4)
    else:
        assert one == other


def test_every_field_of_a_prediction_is_equal(both: tuple[Trained, Path], store: Store) -> None:
    trained, folder = both
    torch, onnx_ = Predictor(trained), load(folder)
    alike([p.to_json() for p in torch.predict_text(SENTENCES)], [p.to_json() for p in onnx_.predict_text(SENTENCES)])
    expected, found = (one.predict_store(store) for one in (torch, onnx_))
    assert any(p.doubts for p in expected)
    assert any(p.kept for p in expected)
    alike([p.to_json() for p in expected], [p.to_json() for p in found])


def test_absent_modalities(both: tuple[Trained, Path], store: Store) -> None:
    trained, folder = both
    torch, onnx_ = Predictor(trained), load(folder)
    for modality in trained.reads:
        lacking = [without_modality(u, modality) for u in store]
        alike(
            [p.to_json() for p in torch.predict_utterances(lacking)],
            [p.to_json() for p in onnx_.predict_utterances(lacking)],
        )


def test_explanations_by_leaving_out(both: tuple[Trained, Path], store: Store) -> None:
    trained, folder = both
    expected, found = (explain(one, store, np.arange(3)) for one in (trained, OnnxBackend(folder)))
    for one, other in zip(expected, found, strict=True):
        assert one.score == pytest.approx(other.score, abs=2e-4)
        for modality, explained in one.modalities.items():
            parts = zip(explained.parts, other.modalities[modality].parts, strict=True)
            assert all(a.without.adds == pytest.approx(b.without.adds, abs=4e-4) for a, b in parts)


def test_the_pytorch_model_is_asked_for_by_name(both: tuple[Trained, Path], store: Store) -> None:
    predictor = load(both[1])
    with pytest.raises(ModelError, match="needs the PyTorch model"):
        _ = predictor.trained
    with pytest.raises(ModelError, match="need the PyTorch model"):
        explain(predictor.backend, store, np.arange(1), gradients=True)


@pytest.mark.parametrize("kind", ["float", "int8"])
def test_company_and_threads_change_nothing(
    kind: str, both: tuple[Trained, Path], integers: Path, store: Store
) -> None:
    """An answer is the same to the last bit, alone or among others, in one thread or in many."""
    predictor = load(integers if kind == "int8" else both[1])
    alone = [predictor.predict_utterances([u])[0] for u in store]
    close = (lambda a, b: a == b) if kind == "int8" else (lambda a, b: abs(a - b) < 1e-5)
    together = predictor.predict_store(store)
    assert all(close(a.score, b.score) for a, b in zip(alone, together, strict=True))

    utterances = list(store)
    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(lambda i: predictor.predict_utterances([utterances[i % len(utterances)]])[0], range(400)))
    assert all(one == alone[i % len(alone)] for i, one in enumerate(asked))


def _ask(predictor: Predictor, connection: Any) -> None:
    connection.send([p.score for p in predictor.predict_text(SENTENCES)])


def _load_and_ask(folder: str, connection: Any) -> None:
    _ask(load(folder), connection)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 warns of forking with threads
def test_forked_and_spawned_processes(both: tuple[Trained, Path]) -> None:
    predictor = load(both[1])  # still loading when the first fork comes
    early = _answer("fork", _ask, predictor)
    expected = [p.score for p in predictor.predict_text(SENTENCES)]
    assert early == expected
    assert _answer("fork", _ask, predictor) == expected
    assert _answer("spawn", _load_and_ask, str(both[1])) == expected


def _answer(method: str, target: Callable[..., None], given: Any) -> Any:
    context: Any = multiprocessing.get_context(method)
    here, there = context.Pipe()
    process = context.Process(target=target, args=(given, there))
    process.start()
    try:
        assert here.poll(60), f"no answer from a process that was made by {method}"
        return here.recv()
    finally:
        process.kill()
        process.join()


def copied(both: tuple[Trained, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(both[1], tmp_path / "model"))


def resealed(folder: Path, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
    """Write the description again so that all hashes are right: what somebody would do who forges a model."""
    content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    change(content)
    content["sha256"] = {name: sha256_of(folder / name) for name in content["sha256"]}
    content[OWN] = record_sha256(content, OWN)
    (folder / DESCRIPTION).write_text(json.dumps(content), encoding="utf-8")


def with_network(folder: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    """The folder with a changed network, and all hashes right again."""
    network = onnx.load(folder / NETWORK, load_external_data=False)
    change(network)
    (folder / NETWORK).write_bytes(network.SerializeToString())
    resealed(folder)
    return folder


@pytest.mark.parametrize("name", [NETWORK, WEIGHTS, TOKENIZER])
@pytest.mark.parametrize("how", ["changed", "missing", "longer"])
def test_files_that_are_not_what_was_written(name: str, how: str, both: tuple[Trained, Path], tmp_path: Path) -> None:
    folder = copied(both, tmp_path)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    if how == "missing":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content if how == "changed" else content + b"\0")
    with pytest.raises(ModelError, match=name):
        load(folder)


@pytest.mark.parametrize("key", ["inputs", "calibration", "outputs", "reads", "tokenizer", "normaliser", "card"])
def test_a_changed_description_is_refused(key: str, both: tuple[Trained, Path], tmp_path: Path) -> None:
    folder = copied(both, tmp_path)
    content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    content[key] = None
    (folder / DESCRIPTION).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match="was changed"):
        load(folder)
    if key != "tokenizer":
        resealed(folder, lambda c: c.update({key: None}))
        with pytest.raises(ModelError):
            load(folder).predict_text("good")


ODD = (None, {}, [], 0, -1, 1e308, float("nan"), "x", [None], {"a": 1})
"""What somebody may write in the place of any value."""


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to all values inside a description."""
    if here:
        yield here
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield from places(part, (*here, key))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numbers near the largest
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_forged_description_is_one_error(both: tuple[Trained, Path], data: st.DataObject) -> None:
    """Or a model that answers: never another kind of exception."""
    content = json.loads((both[1] / DESCRIPTION).read_text(encoding="utf-8"))
    known = [way for way in places(content) if way[0] not in ("sha256", OWN)]
    *outside, last = data.draw(st.sampled_from(known))
    inside = content
    for key in outside:
        inside = inside[key]
    inside[last] = data.draw(st.sampled_from(ODD))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(shutil.copytree(both[1], Path(place) / "model"))
        resealed(folder, lambda c: (c.clear(), c.update(content))[0])
        with suppress(MecamError):
            load(folder).predict_text("good film")


def test_weights_from_elsewhere_are_refused(both: tuple[Trained, Path], tmp_path: Path) -> None:
    folder = copied(both, tmp_path)
    (tmp_path / "secret").write_bytes((folder / WEIGHTS).read_bytes())
    for place in ("../secret", str(tmp_path / "secret"), TOKENIZER):

        def elsewhere(network: onnx.ModelProto, place: str = place) -> None:
            for one in network.graph.initializer:
                for entry in one.external_data:
                    if entry.key == "location":
                        entry.value = place

        with pytest.raises(ModelError, match="weights from another file"):
            load(with_network(folder, elsewhere))


def test_operators_of_others_are_refused(both: tuple[Trained, Path], tmp_path: Path) -> None:
    def foreign(network: onnx.ModelProto) -> None:
        network.graph.node[3].domain = "com.example"
        network.opset_import.append(onnx.helper.make_opsetid("com.example", 1))

    with pytest.raises(ModelError, match=r"of 'com\.example', which is not of the ONNX standard"):
        load(with_network(copied(both, tmp_path), foreign))


def test_a_hidden_operator_is_refused(tmp_path: Path) -> None:
    """Inside the branch of an If."""
    make = onnx.helper.make_node
    inner = onnx.helper.make_graph([make("Run", [], ["y"], domain="com.example")], "inner", [], [])
    node = make("If", ["x"], ["z"], then_branch=inner, else_branch=inner)
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "outer", [], [])), tmp_path / NETWORK)
    with pytest.raises(ModelError, match=r"'Run' of 'com\.example'"):
        check_network(tmp_path / NETWORK, data=tmp_path / WEIGHTS)


def test_weights_larger_than_their_files_are_refused(both: tuple[Trained, Path], tmp_path: Path) -> None:
    def huge(network: onnx.ModelProto) -> None:
        largest = max(network.graph.initializer, key=lambda one: int(np.prod(one.dims)))
        largest.dims[0] = 1 << 40

    with pytest.raises(ModelError, match="asks for more memory than its files hold"):
        load(with_network(copied(both, tmp_path), huge))


def test_a_forged_network_is_one_error(both: tuple[Trained, Path], tmp_path: Path) -> None:
    """Right in form, but not the network that the description speaks of."""

    def lost(network: onnx.ModelProto) -> None:
        network.graph.node[5].input[0] = "nowhere"

    with pytest.raises(ModelError, match="the network cannot be loaded"):
        load(with_network(copied(both, tmp_path), lost)).predict_text("good")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_networks_are_never_more_than_an_error(
    both: tuple[Trained, Path], tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray((both[1] / NETWORK).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(content)), st.integers(1, len(content))))
    path = tmp_path / NETWORK
    path.write_bytes(bytes(content[:cut]))
    with suppress(MecamError):
        check_network(path, data=both[1] / WEIGHTS)


def test_an_empty_network_is_an_error(tmp_path: Path) -> None:
    (tmp_path / NETWORK).write_bytes(b"")
    with pytest.raises(ModelError, match="is no ONNX network"):
        check_network(tmp_path / NETWORK, data=tmp_path / WEIGHTS)


@pytest.mark.posix
def test_it_is_read_where_only_reading_is_allowed(both: tuple[Trained, Path], tmp_path: Path) -> None:
    folder = copied(both, tmp_path)
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555)
    assert load(folder).predict_text("good").score is not None


def test_a_text_of_any_length(both: tuple[Trained, Path], store: Store) -> None:
    trained, folder = both
    torch, onnx_ = Predictor(trained), load(folder)
    for count in (1, 2, 30):
        text = " ".join(["film"] * count)
        assert torch.predict_text(text).score == pytest.approx(onnx_.predict_text(text).score, abs=2e-4)
    only_text = [replace(u, streams={}) for u in store if u.text][:1]
    (one,) = onnx_.predict_utterances(only_text)
    assert set(one.absent) == set(trained.reads) - {TEXT}
