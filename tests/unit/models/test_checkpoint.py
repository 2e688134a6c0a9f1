import json
import math
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

import tiny
from mecam.data.store import Store
from mecam.errors import ModelError
from mecam.features.extractor import extractor_of
from mecam.hashes import record_sha256, sha256_of
from mecam.models.inputs import Inputs
from mecam.models.trained import load_checkpoint, save_checkpoint
from mecam.nn.text import TextEncoder
from mecam.task import Classes
from mecam.types import FeatureSpec


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


def without_hashes(content: dict[str, Any]) -> None:
    """As earlier versions wrote it, and as a stranger may."""
    del content["sha256"], content["config_sha256"]


def sign(folder: Path) -> None:
    """Record every hash anew, as a stranger would who knows how."""
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    content["sha256"] = {name: sha256_of(folder / name) for name in content["sha256"]}
    content["config_sha256"] = record_sha256(content, "config_sha256")
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("hashes", [True, False], ids=["hashes", "no hashes"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_checkpoint_is_one_model_error(
    damage: Callable[[Path], Any], hashes: bool, saved: Path, tmp_path: Path
) -> None:
    shutil.copytree(saved, tmp_path / "checkpoint")
    if not hashes:
        in_config(without_hashes)(tmp_path / "checkpoint")
    damage(tmp_path / "checkpoint")
    with pytest.raises(ModelError) as caught:
        load_checkpoint(tmp_path)
    assert caught.value.where is not None
    assert str(tmp_path) in caught.value.where
    assert caught.value.fix


def test_weights_of_another_architecture_are_named_in_one_line(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "checkpoint")
    lost = sorted(load_file(saved / "model.safetensors"))[0]
    in_config(without_hashes)(tmp_path / "checkpoint")
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
        task=Classes(("a", "b")),
        features={"audio": FeatureSpec(4, "covarep", "1.2", ("f0", "x", "y", "z"), aligned=True)},
        raw_text=True,
        prior=(0.25, 0.75),
    )
    assert Inputs.from_json(json.loads(json.dumps(inputs.to_json()))) == inputs
    assert inputs.modalities == ("text", "audio")


def test_a_checkpoint_of_an_earlier_version_is_read(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "checkpoint")
    in_config(without_hashes)(tmp_path / "checkpoint")
    assert load_checkpoint(tmp_path).tokenizer is not None


CHANGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a weight": (in_weights(lambda w: w[max(w)].add_(1.0)), "model.safetensors differs"),
    "the calibration": (in_config(lambda c: c["calibration"].update({"0.9": 0.1})), "config.json was changed"),
    "the scale": (in_config(lambda c: c["inputs"]["task"].update(high=1.0)), "config.json was changed"),
    "the batching": (in_config(lambda c: c["data"].update(max_tokens=8)), "config.json was changed"),
    "a word": (
        lambda f: (f / "text_encoder" / "tokenizer_config.json").write_text("{}"),
        "text_encoder/tokenizer_config.json differs",
    ),
    "a file more": (
        lambda f: (f / "text_encoder" / "added_tokens.json").write_text("{}"),
        "added_tokens.json was added later",
    ),
    "a file less": (lambda f: (f / "text_encoder" / "tokenizer.json").unlink(), "tokenizer.json is missing"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES.keys())
def test_what_was_changed_is_named(change: Callable[[Path], Any], message: str, saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "checkpoint")
    time.sleep(0.02)
    change(tmp_path / "checkpoint")
    with pytest.raises(ModelError, match=message):
        load_checkpoint(tmp_path)


def test_a_moved_or_copied_checkpoint_is_the_same(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "checkpoint")
    for number, file in enumerate((tmp_path / "checkpoint").rglob("*.*")):
        os.utime(file, (1e9 + number, 1e9 + number))
    (tmp_path / "checkpoint" / "text_encoder" / ".DS_Store").touch()
    here, there = load_checkpoint(tmp_path).model.state_dict(), load_checkpoint(saved).model.state_dict()
    assert here.keys() == there.keys()
    assert all(bool((here[key] == there[key]).all()) for key in here)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused(value: float, saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "checkpoint")
    in_weights(lambda w: w[max(w)].view(-1)[:1].fill_(value))(tmp_path / "checkpoint")
    sign(tmp_path / "checkpoint")
    with pytest.raises(ModelError, match=r"the model's weights hold (NaN|infinity)"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("value", [math.nan, 1e400, 0.0])
def test_a_normalisation_that_gives_nan_is_refused(value: float, saved: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        next(iter(content["normaliser"]["streams"].values()))["scale"][0] = value

    shutil.copytree(saved, tmp_path / "checkpoint")
    in_config(change)(tmp_path / "checkpoint")
    sign(tmp_path / "checkpoint")
    with pytest.raises(ModelError, match=r"not finite|not positive"):
        load_checkpoint(tmp_path)


SIZES = {
    "width": in_config(lambda c: c["model"]["options"].update(width=2**30)),
    "layers": in_config(lambda c: c["model"]["options"].update(layers=10**9)),
    "features": in_config(lambda c: c["inputs"]["features"]["audio"].update(width=10**12, names=[])),
}


def in_encoder(**sizes: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "text_encoder" / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **sizes}))

    return change


SIZES |= {
    "vocabulary of the text encoder": in_encoder(vocab_size=10**9),
    "width of the text encoder": in_encoder(hidden_size=2**28),
    "layers of the text encoder": in_encoder(num_hidden_layers=10**8),
    "inside of the text encoder": in_encoder(intermediate_size=10**11),
    "positions of the text encoder": in_encoder(max_position_embeddings=10**10),
}


@pytest.mark.parametrize("change", SIZES.values(), ids=SIZES.keys())
def test_sizes_are_bounded_by_the_weights(change: Callable[[Path], None], saved: Path, tmp_path: Path) -> None:
    """Refused before anything of that size is made: within seconds, and without its memory."""
    shutil.copytree(saved, tmp_path / "checkpoint")
    change(tmp_path / "checkpoint")
    sign(tmp_path / "checkpoint")
    began = time.monotonic()
    with pytest.raises(ModelError):
        load_checkpoint(tmp_path)
    assert time.monotonic() - began < 20


def test_an_encoder_from_elsewhere_is_asked_for(saved: Path, encoder: str, tmp_path: Path) -> None:
    """A stranger's checkpoint makes nobody fetch or read what it names."""
    shutil.copytree(saved, tmp_path / "checkpoint")
    shutil.rmtree(tmp_path / "checkpoint" / "text_encoder")
    in_config(without_hashes)(tmp_path / "checkpoint")
    with pytest.raises(ModelError, match="needs the text encoder") as caught:
        load_checkpoint(tmp_path)
    assert encoder in str(caught.value)
    assert "--allow-encoder" in str(caught.value)
    assert load_checkpoint(tmp_path, allow_encoder=True).tokenizer is not None


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("tokenizer_config.json", "vocab_file", "/etc/passwd"),
        ("tokenizer_config.json", "auto_map", {"AutoTokenizer": "stranger/code--tokenizer.Evil"}),
        ("config.json", "auto_map", {"AutoModel": "stranger/code--model.Evil"}),
        ("config.json", "backbone", "stranger/weights"),
    ],
)
def test_an_encoder_inside_names_nothing_outside(name: str, key: str, value: Any, saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "checkpoint")
    path = tmp_path / "checkpoint" / "text_encoder" / name
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    sign(tmp_path / "checkpoint")
    with pytest.raises(ModelError, match=key) as caught:
        load_checkpoint(tmp_path)
    assert "--allow-encoder" in str(caught.value)


def test_weights_in_a_pickle_are_refused_with_the_way_out(encoder: str, tmp_path: Path) -> None:
    import torch

    shutil.copytree(encoder, tmp_path / "old")
    torch.save(load_file(tmp_path / "old" / "model.safetensors"), tmp_path / "old" / "pytorch_model.bin")
    (tmp_path / "old" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="pickle") as caught:
        TextEncoder(str(tmp_path / "old"))
    assert "save_pretrained" in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such permissions")
def test_weights_have_the_permissions_of_the_other_files(saved: Path) -> None:
    assert (saved / "model.safetensors").stat().st_mode == (saved / "config.json").stat().st_mode


def test_a_speech_encoder_that_a_checkpoint_names_is_asked_for() -> None:
    with pytest.raises(ModelError, match="stranger/weights") as caught:
        extractor_of("audio", FeatureSpec(768, "speech:stranger/weights", "1"))
    assert "--allow-encoder" in str(caught.value)
