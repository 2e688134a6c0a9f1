"""What a stranger can put into a repository: none of it is run, fetched from elsewhere or written elsewhere."""

import io
import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import onnx
import pytest

import hub_server
import mecam
import tiny
from exported_models import make_exported
from hub_server import Files, Hub
from mecam.cli import main
from mecam.data.store import Store
from mecam.errors import ConfigError, MecamError, ModelError
from mecam.hashes import record_sha256, sha256_of
from mecam.models.trained import save_checkpoint
from mecam.prediction.hub_client import HubAddress
from mecam.prediction.hub_models import fetch

Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def model(store: Store, encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository as `mecam push` makes it: a checkpoint with a text encoder, and an export."""
    folder = tmp_path_factory.mktemp("model") / "whole"
    save_checkpoint(folder, tiny.build("text_only", store, encoder, used=True))
    make_exported(folder / "onnx", "text_only", store, encoder)
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with hub_server.running(monkeypatch, tmp_path / "cache") as started:
        yield started


@pytest.fixture
def changed(model: Path, tmp_path: Path, hub: Hub) -> Callable[..., str]:
    """The address of the model with a change, every hash being right, and of its exported model."""

    def change(how: Change = lambda _: None, *, part: str = "") -> str:
        folder = tmp_path / "stranger"
        shutil.copytree(model, folder)
        how(folder)
        for name in ("config.json", "onnx/model.json"):
            sign(folder / name)
        return f"hf:stranger/model{part}@{hub.put('stranger/model', files_of(folder))}"

    return change


def files_of(folder: Path) -> Files:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def sign(path: Path) -> None:
    """Make all hashes right again, as somebody would who forges a model."""
    content = json.loads(path.read_text("utf-8"))
    there = {name: path.parent / name for name in content["sha256"]}
    content["sha256"] = {name: sha256_of(file) for name, file in there.items() if file.is_file()}
    content["config_sha256"] = record_sha256(content, "config_sha256")
    path.write_text(json.dumps(content), "utf-8")


def in_json(name: str, change: Callable[[dict[str, Any]], object]) -> Change:
    def how(folder: Path) -> None:
        content = json.loads((folder / name).read_text("utf-8"))
        change(content)
        (folder / name).write_text(json.dumps(content), "utf-8")

    return how


def refused(address: str, says: str, tmp_path: Path) -> None:
    """One clear error, of which nothing is left outside of the cache, and nothing half-written in it."""
    before = outside(tmp_path)
    with pytest.raises(ModelError, match=says) as caught:
        mecam.load(address)
    assert "\n" not in caught.value.what
    assert outside(tmp_path) == before
    assert not [path for path in (tmp_path / "cache").rglob("*.partial")]


def outside(tmp_path: Path) -> set[Path]:
    """All files but those of the cache, here and one folder up."""
    cache = tmp_path / "cache"
    here = {path for path in tmp_path.rglob("*") if cache != path and cache not in path.parents}
    return here | set(tmp_path.parent.iterdir())


class Marks:
    """A pickle that makes a file when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def test_the_whole_model_is_taken(changed: Callable[..., str], tmp_path: Path) -> None:
    """What follows is refused for what was changed."""
    assert mecam.load(changed()).predict_text("good").score is not None
    shutil.rmtree(tmp_path / "stranger")
    assert mecam.load(changed(part="/onnx")).predict_text("good").score is not None


# 1. A pickle in the place of weights.


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_a_pickle_beside_the_description_is_not_even_fetched(name: str, hub: Hub, model: Path, tmp_path: Path) -> None:
    files = files_of(model)
    del files["model.safetensors"]
    files = {name: content for name, content in files.items() if not name.startswith("onnx/")}
    files[name] = pickle.dumps(Marks(tmp_path / "ran"))
    hub.put("stranger/model", files)
    refused("hf:stranger/model", "the weights of this repository are a pickle", tmp_path)
    assert hub.fetched == []
    assert not (tmp_path / "cache" / "assets").exists()


def test_a_pickle_under_the_name_of_weights_is_not_opened(changed: Callable[..., str], tmp_path: Path) -> None:
    def how(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(pickle.dumps(Marks(tmp_path / "ran")))

    refused(changed(how), "the checkpoint cannot be read", tmp_path)
    assert not (tmp_path / "ran").exists()


def test_other_files_are_left_where_they_are(changed: Callable[..., str], hub: Hub, tmp_path: Path) -> None:
    def how(folder: Path) -> None:
        (folder / "text_encoder" / "pytorch_model.bin").write_bytes(pickle.dumps(Marks(tmp_path / "ran")))
        (folder / "text_encoder" / "modeling.py").write_text("raise SystemExit")
        (folder / "conftest.py").write_text("raise SystemExit")

    mecam.load(changed(how))
    fetched = {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert not fetched & {"pytorch_model.bin", "modeling.py", "conftest.py"}
    assert not [name for name in hub.fetched if name.endswith((".bin", ".py"))]


# 2. An encoder in a folder of this machine.


@pytest.mark.parametrize("named", ["{encoder}", "../../../../encoder", "file://{encoder}", "stranger/encoder"])
def test_an_encoder_of_this_machine_or_of_the_hub_is_not_read(
    named: str, changed: Callable[..., str], encoder: str, hub: Hub, tmp_path: Path
) -> None:
    def how(folder: Path) -> None:
        shutil.rmtree(folder / "text_encoder")
        in_json("config.json", lambda c: c["model"]["options"].update(encoder=named.format(encoder=encoder)))(folder)

    refused(changed(how), "needs the text encoder .*, which it does not contain", tmp_path)
    assert not [one for one in hub.requests if "encoder" in one.partition("/")[2] and "stranger/model" not in one]


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("tokenizer_config.json", "vocab_file", "/etc/passwd"),
        ("config.json", "index_path", "/etc"),
        ("config.json", "backbone", "stranger/weights"),
        ("config.json", "attn_implementation", "stranger/kernels"),
        ("config.json", "_attn_implementation", {"": "stranger/kernels"}),
        ("config.json", "auto_map", {"AutoModel": "stranger/code--model.Evil"}),
        ("tokenizer_config.json", "auto_map", {"AutoTokenizer": "stranger/code--tokenizer.Evil"}),
    ],
)
def test_an_encoder_names_nothing_outside_itself(
    name: str, key: str, value: Any, changed: Callable[..., str], tmp_path: Path
) -> None:
    how = in_json(f"text_encoder/{name}", lambda content: content.update({key: value}))
    refused(changed(how), f"has a text encoder that needs {key}", tmp_path)


def test_only_kinds_of_encoders_that_build_by_themselves(changed: Callable[..., str], tmp_path: Path) -> None:
    how = in_json("text_encoder/config.json", lambda content: content.update(model_type="timm_wrapper"))
    address = changed(how)
    refused(address, "text encoder of the kind 'timm_wrapper'", tmp_path)
    with pytest.raises(ModelError, match="the checkpoint cannot be read"):  # asked for by the user, and no text encoder
        mecam.load(address, allow_encoder=True)


def test_a_speech_encoder_is_asked_for(changed: Callable[..., str], tmp_path: Path) -> None:
    def how(folder: Path) -> None:
        for name in ("config.json", "onnx/model.json"):
            spec = {"width": 768, "extractor": "speech:/home/me/encoder", "version": "1", "names": [], "aligned": False}
            in_json(name, lambda content: content["inputs"]["features"].update(audio=spec))(folder)  # noqa: B023

    loaded = mecam.load(changed(how))
    assert loaded.predict_text("good").score is not None, "it does not read sound"
    assert not loaded.backend.allow_encoder


# 3. Names that lead out of the cache.

ESCAPES = (
    "../evil.json",
    "/evil.json",
    "text_encoder/../../evil.json",
    "..\\evil.json",
    "C:\\evil.json",
    "a//b",
    "./a",
)


@pytest.mark.parametrize("name", [*ESCAPES, "a//b", "./a"])
def test_a_name_that_leads_out_of_the_cache(name: str, hub: Hub, model: Path, tmp_path: Path) -> None:
    hub.put("stranger/model", {**files_of(model), name: b"{}"})
    refused("hf:stranger/model", "a file of this repository is called", tmp_path)
    assert hub.fetched == []


@pytest.mark.parametrize("sha", ["../../../evil", "main", "a" * 39])
def test_a_commit_that_is_none(sha: str, hub: Hub, model: Path, tmp_path: Path) -> None:
    hub.put("stranger/model", files_of(model))
    made = hub.repositories["stranger/model"]
    made.commits[sha] = made.commits[made.branches["main"]]
    made.branches["main"] = sha
    refused("hf:stranger/model", "the hub names no commit", tmp_path)


@pytest.mark.parametrize("tag", ["../../../../../evil", "/evil", "x/../../../../../../evil"])
def test_a_server_that_calls_a_file_something_else(tag: str, hub: Hub, model: Path, tmp_path: Path) -> None:
    """The client makes names of what the server calls the versions of files."""
    hub.put("stranger/model", files_of(model))
    hub.repositories["stranger/model"].tag = tag
    before = outside(tmp_path)
    with suppress(MecamError):
        mecam.load("hf:stranger/model")
    assert outside(tmp_path) == before
    assert not list((tmp_path / "cache").rglob("*evil*"))
    assert not Path("/evil").exists()


@pytest.mark.parametrize(
    "address",
    ["hf:../x", "hf:a/../b", "hf:/a/b", "hf:a/b@../../x", "hf:a/b@", "hf:a", "hf:a--b/c", "hf:a/b/c", "hf:a/b@x y"],
)
def test_an_address_is_no_path(address: str) -> None:
    with pytest.raises(ConfigError):
        HubAddress.parse(address)


def test_links_are_files_with_a_text(changed: Callable[..., str], tmp_path: Path) -> None:
    """As git keeps them: the hub has no others."""

    def how(folder: Path) -> None:
        (folder / "text_encoder" / "vocab.txt").write_bytes(b"/etc/passwd")
        in_json("config.json", lambda c: c["sha256"].update({"text_encoder/vocab.txt": ""}))(folder)

    mecam.load(changed(how))
    (vocab,) = (tmp_path / "cache" / "assets").rglob("vocab.txt")
    assert not vocab.is_symlink()
    assert vocab.read_bytes() == b"/etc/passwd"


# 4. ONNX whose weights lie elsewhere.


@pytest.mark.parametrize("location", ["../../../secret", "/etc/passwd", "model.json"])
def test_weights_outside_of_the_export(location: str, changed: Callable[..., str], tmp_path: Path) -> None:
    def how(folder: Path) -> None:
        network = onnx.load(folder / "onnx" / "model.onnx", load_external_data=False)
        place = next(one for one in network.graph.initializer if one.external_data)
        next(entry for entry in place.external_data if entry.key == "location").value = location
        (folder / "onnx" / "model.onnx").write_bytes(network.SerializeToString())

    refused(changed(how, part="/onnx"), "reads weights from another file", tmp_path)


# 5. Programs by name.


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A plug-in that the user has, and that a stranger names; the folder that it makes when it is imported."""
    (tmp_path / "packages").mkdir()
    marker = tmp_path / "imported"
    (tmp_path / "packages" / "someones_plug_in.py").write_text(f"import os\nos.mkdir({str(marker)!r})\nENTRY = None\n")
    monkeypatch.syspath_prepend(tmp_path / "packages")
    point = "someones_plug_in:ENTRY"
    monkeypatch.setattr("mecam.plugins._points", lambda group: (EntryPoint("someones", point, group),))
    monkeypatch.setattr("mecam.models.registry._plug_ins", lambda: {"someones": EntryPoint("someones", point, "x")})
    return marker


@pytest.mark.parametrize(("part", "name"), [("", "config.json"), ("/onnx", "onnx/model.json")])
def test_a_model_of_a_plug_in_is_not_imported(
    part: str, name: str, changed: Callable[..., str], plug_in: Path, tmp_path: Path
) -> None:
    how = in_json(name, lambda content: content["model"].update(name="someones"))
    refused(changed(how, part=part), "asks for the model 'someones'", tmp_path)
    assert not plug_in.exists()


def test_an_extractor_of_a_plug_in_is_not_imported(changed: Callable[..., str], plug_in: Path, tmp_path: Path) -> None:
    how = in_json("config.json", lambda c: c["inputs"]["features"]["audio"].update(extractor="someones:x"))
    refused(changed(how), "asks for the extractor 'someones' of a plug-in", tmp_path)
    assert not plug_in.exists()


# 6. More than a model should be.


def test_a_model_that_is_too_large_is_not_fetched(
    hub: Hub, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_of(model)
    hub.put("stranger/model", files, **{"model.safetensors": 9_000_000_000})
    refused("hf:stranger/model", r"has 9\.0 GB, and the limit is 8 GB", tmp_path)
    assert hub.fetched == []
    hub.put("stranger/model", files)
    monkeypatch.setenv("MECAM_MAX_DOWNLOAD_GB", "0.00001")
    refused("hf:stranger/model", "the limit is 1e-05 GB", tmp_path)
    assert hub.fetched == []
    assert mecam.load("hf:stranger/model", max_download_gb=1.0).predict_text("good").score is not None


def test_the_command_has_the_limit_too(
    changed: Callable[..., str], capsys: pytest.CaptureFixture[str], hub: Hub
) -> None:
    arguments = ["predict", "good", "--model", changed(), "--max-download-gb"]
    assert main([*arguments, "0.00001"]) == 1
    assert "--max-download-gb" in capsys.readouterr().err
    assert hub.fetched == []
    assert main([*arguments, "1"]) == 0
    assert main([*arguments, "0"]) == 1


def test_a_description_is_small(hub: Hub, model: Path, tmp_path: Path) -> None:
    hub.put("stranger/model", files_of(model), **{"text_encoder/tokenizer.json": 100_000_000})
    refused("hf:stranger/model", r"tokenizer\.json has 100,000,000 bytes, too many", tmp_path)
    assert hub.fetched == []


@pytest.mark.parametrize("announced", [10, 10_000_000])
def test_a_file_of_another_size_than_announced(announced: int, hub: Hub, model: Path, tmp_path: Path) -> None:
    hub.put("stranger/model", files_of(model), **{"model.safetensors": announced})
    before = outside(tmp_path)
    with pytest.raises(MecamError):
        mecam.load("hf:stranger/model")
    assert outside(tmp_path) == before
    assert not list((tmp_path / "cache" / "assets").rglob("model.safetensors"))


def test_sizes_of_the_model_are_bounded_by_its_weights(changed: Callable[..., str], tmp_path: Path) -> None:
    how = in_json("text_encoder/config.json", lambda content: content.update(vocab_size=10**9))
    refused(changed(how), "larger than its weights", tmp_path)


# And what is no attack.


def test_no_model_and_no_repository_are_said(hub: Hub, tmp_path: Path) -> None:
    hub.put("org/other", {"README.md": b"hello"})
    refused("hf:org/other", "there is no model of mecam in this repository", tmp_path)
    refused("hf:org/nothing", "there is no such repository, or you may not see it", tmp_path)
    refused("hf:org/other@v9", "there is no such revision", tmp_path)
    hub.put("org/bert", {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"0" * 9})
    refused("hf:org/bert", "this is no model of mecam", tmp_path)


def test_what_was_changed_on_the_way_is_named(hub: Hub, model: Path, tmp_path: Path) -> None:
    files = files_of(model)
    weights = io.BytesIO(files["model.safetensors"]).getvalue()
    files["model.safetensors"] = weights[:-1] + bytes([weights[-1] ^ 1])
    hub.put("stranger/model", files)
    refused("hf:stranger/model", r"model\.safetensors differs from the SHA-256", tmp_path)


def test_a_killed_download_is_fetched_again(
    changed: Callable[..., str], hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = changed()
    with monkeypatch.context() as patched:
        patched.setattr("huggingface_hub.snapshot_download", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fetch(address)
    assert not list((tmp_path / "cache" / "assets").rglob("config.json"))
    assert fetch(address).address == address
