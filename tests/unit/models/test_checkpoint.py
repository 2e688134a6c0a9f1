import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

import tiny
from mecam.data.store import Store
from mecam.errors import ModelError
from mecam.models.base import Inputs
from mecam.models.checkpoint import load_checkpoint, save_checkpoint
from mecam.types import FeatureSpec, Task


@pytest.fixture(scope="module")
def saved(store: Store, encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "checkpoint"
    save_checkpoint(folder, tiny.build("mecam", store, encoder))
    return folder


def in_config(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        content = change(content) or content
        (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")

    return damage


def in_weights(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors")

    return damage


def cut(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return damage


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "no configuration": lambda f: (f / "config.json").unlink(),
    "half a configuration": cut("config.json"),
    "bytes": lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"),
    "a list": in_config(lambda c: [c]),
    "nothing in it": lambda f: (f / "config.json").write_text("{}"),
    "no model": in_config(lambda c: c.pop("model")),
    "model is a list": in_config(lambda c: {**c, "model": []}),
    "unknown model": in_config(lambda c: c["model"].update(name="gpt")),
    "unknown option": in_config(lambda c: c["model"]["options"].update(zzz=1)),
    "bad option": in_config(lambda c: c["model"]["options"].update(width="wide")),
    "options that do not fit": in_config(lambda c: c["model"]["options"].update(width=18)),
    "features is a list": in_config(lambda c: c["inputs"].update(features=[])),
    "no task": in_config(lambda c: c["inputs"].update(task=None)),
    "stream is a number": in_config(lambda c: c["normaliser"]["streams"].update(audio=3)),
    "no calibration": in_config(lambda c: c.pop("calibration")),
    "calibration is a list": in_config(lambda c: {**c, "calibration": [1]}),
    "batching of another kind": in_config(lambda c: c["data"].update(batch_size=-1)),
    "newer version": in_config(lambda c: c.update(version=99)),
    "another format": in_config(lambda c: c.update(format="zip")),
    "no weights": lambda f: (f / "model.safetensors").unlink(),
    "half the weights": cut("model.safetensors"),
    "a missing weight": in_weights(lambda w: w.pop(sorted(w)[0])),
    "a weight of another shape": in_weights(lambda w: w.update({sorted(w)[0]: w[sorted(w)[0]].flatten()[:1]})),
    "a weight too many": in_weights(lambda w: w.update(more=w[sorted(w)[0]].clone())),
    "half a tokenizer": cut("text_encoder/tokenizer.json"),
    "no tokenizer": lambda f: [p.unlink() for p in (f / "text_encoder").glob("*token*")],
    "half an encoder configuration": cut("text_encoder/config.json"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_checkpoint_is_one_model_error(damage: Callable[[Path], Any], saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "checkpoint")
    damage(tmp_path / "checkpoint")
    with pytest.raises(ModelError) as caught:
        load_checkpoint(tmp_path)
    assert caught.value.where is not None
    assert str(tmp_path) in caught.value.where
    assert caught.value.fix


def test_weights_of_another_architecture_are_named_in_one_line(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "checkpoint")
    lost = sorted(load_file(saved / "model.safetensors"))[0]
    in_weights(lambda w: w.update(more=w.pop(lost)))(tmp_path / "checkpoint")
    with pytest.raises(ModelError, match="its weights are not those of mecam") as caught:
        load_checkpoint(tmp_path)
    assert lost in str(caught.value)
    assert "\n" not in caught.value.what


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ModelError, match="there is no checkpoint here"):
            load_checkpoint(place)


def test_saving_replaces_whole_or_not_at_all(
    saved: Path, store: Store, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(saved, tmp_path / "checkpoint")
    before = (tmp_path / "checkpoint" / "model.safetensors").read_bytes()
    trained = tiny.build("mecam", store, encoder, seed=2)
    assert trained.tokenizer is not None
    monkeypatch.setattr(trained.tokenizer, "save", lambda folder: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_checkpoint(tmp_path / "checkpoint", trained)
    assert (tmp_path / "checkpoint" / "model.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_inputs_round_trip() -> None:
    inputs = Inputs(
        task=Task("classes", names=("a", "b")),
        features={"audio": FeatureSpec(4, "covarep", "1.2", ("f0", "x", "y", "z"), aligned=True)},
        raw_text=True,
        prior=(0.25, 0.75),
    )
    assert Inputs.from_json(json.loads(json.dumps(inputs.to_json()))) == inputs
    assert inputs.modalities == ("text", "audio")
