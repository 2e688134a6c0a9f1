"""A run goes to the hub and comes back: the same answers, a card, and nothing that belongs to this machine."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.numpy import load_file

import hub_server
import mecam
import tiny
from exported_models import one_network
from hub_server import Hub
from mecam.cli import main
from mecam.data.store import Store
from mecam.errors import ConfigError, ModelError, ServiceError, TrainingError
from mecam.prediction.onnx_backend import OnnxBackend
from mecam.runs.run import RunFolder

# What the client says to the library that it asks the network with.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

SENTENCES = ["the film was superb", "DULL FOOD", "not good"]
CHECKPOINT = {"config.json", "model.safetensors", "text_encoder/config.json", "text_encoder/tokenizer.json"}
CHECKPOINT |= {"text_encoder/tokenizer_config.json"}
EXPORTED = {"onnx/model.json", "onnx/model.onnx", "onnx/model.onnx.data", "onnx/tokenizer.json"}
BESIDE = {"README.md", "training.yaml"}

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def place(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of a person with `stores/tiny` and `runs/tiny`, two seeds of a text model that was trained on it."""
    folder = tmp_path_factory.mktemp("home") / "erika-mustermann"
    task = tiny.TASKS["regression"]
    tiny.write_store(folder / "stores" / "tiny", task, tiny.utterances(task, 50))
    options = ["--set", "training.epochs=1", "--set", f"model.encoder={encoder}"]
    run = ["--model", "text_only", "--seeds", "2", "--out", str(folder / "runs" / "tiny"), "--accelerator", "cpu"]
    assert main(["train", "--data", str(folder / "stores" / "tiny"), *run, *options]) == 0
    with one_network():
        yield folder


@pytest.fixture
def run(place: Path) -> Path:
    return place / "runs" / "tiny"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with hub_server.running(monkeypatch, tmp_path) as started:
        yield started


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([*map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, " ".join(captured.err.split())

    return run


def test_pushed_and_loaded_by_its_commit_it_gives_the_same_answers(hub: Hub, run: Path, tmp_path: Path) -> None:
    pushed = mecam.push(run, "hf:org/tiny", licence="apache-2.0", data_licence="made up")
    assert set(hub.pushed("org/tiny")) == CHECKPOINT | EXPORTED | BESIDE | {".gitattributes"}
    assert set(pushed.files) == CHECKPOINT | EXPORTED | BESIDE
    assert pushed.private
    assert hub.repositories["org/tiny"].private

    expected = [p.to_json() for p in mecam.load(run).predict_text(SENTENCES)]
    loaded = mecam.load(pushed.address)
    assert [p.to_json() for p in loaded.predict_text(SENTENCES)] == expected
    assert loaded.source == pushed.address == f"hf:org/tiny@{loaded.source.partition('@')[2]}"
    weights = hub.pushed("org/tiny")["model.safetensors"]
    assert weights == (run / "checkpoint" / "model.safetensors").read_bytes()
    (fetched,) = (tmp_path / "assets").rglob("model.safetensors")
    here, there = load_file(fetched), load_file(run / "checkpoint" / "model.safetensors")
    assert all((here[name] == there[name]).all() for name in there)

    light = mecam.load(pushed.address.replace("@", "/onnx@"))
    assert isinstance(light.backend, OnnxBackend)
    for one, other in zip(light.predict_text(SENTENCES), expected, strict=True):
        assert one.score == pytest.approx(other["score"], abs=1e-4)


def test_without_pytorch_the_exported_model_is_taken(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed = mecam.push(run, "hf:org/tiny")
    monkeypatch.setattr("mecam.prediction.hub_models.find_spec", lambda name: None)
    hub.requests.clear()
    assert isinstance(mecam.load(pushed.address).backend, OnnxBackend)
    assert set(hub.fetched) & (CHECKPOINT | EXPORTED) == EXPORTED


def test_branch_tag_and_main_are_told_as_a_commit(hub: Hub, run: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = mecam.push(run, "hf:org/tiny", onnx=False)
    second = mecam.push(run, "hf:org/tiny", revision="trial/two", onnx=False)
    hub.repositories["org/tiny"].branches["v1"] = first.address.partition("@")[2]
    assert mecam.load("hf:org/tiny@v1").source == first.address
    assert not caplog.records
    tip = hub.repositories["org/tiny"].branches
    assert mecam.load("hf:org/tiny@trial/two").source == f"hf:org/tiny@{tip['trial/two']}"
    assert second.address.partition("@")[2] in hub.repositories["org/tiny"].commits
    assert not caplog.records
    assert mecam.load("hf:org/tiny").source == f"hf:org/tiny@{tip['main']}"
    assert f"main is commit {tip['main']} now" in caplog.text


def test_offline_the_cache_is_enough(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed = mecam.push(run, "hf:org/tiny", onnx=False)
    expected = mecam.load("hf:org/tiny").predict_text("good")
    known = mecam.load(pushed.address)
    hub.requests.clear()
    assert mecam.load(pushed.address).source == known.source
    assert hub.requests == [], "a commit that is in the cache is not asked for"
    hub.away = True
    assert mecam.load("hf:org/tiny").predict_text("good") == expected
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.requests.clear()
    assert mecam.load("hf:org/tiny").predict_text("good") == expected
    assert hub.requests == []
    with pytest.raises(ServiceError, match=r"HF_HUB_OFFLINE.*v2 is not in the cache"):
        mecam.load("hf:org/tiny@v2")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ServiceError, match="not in the cache"):
        mecam.load("hf:org/tiny")  # of another server


def test_the_card_is_what_the_hub_reads(hub: Hub, run: Path) -> None:
    from huggingface_hub import ModelCard

    pushed = mecam.push(run, "hf:org/tiny", licence="CC-BY-NC-4.0", data_licence="made up; no terms")
    text = hub.pushed("org/tiny")["README.md"].decode()
    assert text == pushed.card
    card = ModelCard(text)
    assert (card.data.license, card.data.library_name) == ("cc-by-nc-4.0", "mecam")
    metrics = RunFolder(run).metrics
    results = {(one.dataset_split, one.metric_type): one for one in card.data.eval_results}
    assert {split for split, _ in results} == {"test", "valid"}
    for (split, name), one in results.items():
        entry = metrics[split][name]
        seed = one.metric_args["seeds"].index(one.metric_args["seed"])
        assert one.metric_value == entry["per_seed"][seed]
        assert one.metric_args["mean"] == entry["mean"]
    assert "made up; no terms" in text
    assert f'mecam.load("{pushed.address}")' in text
    assert f"mecam {mecam.__version__}" in text
    for heading in ("## Measured", "## Training data", "## Limits", "## Licence"):
        assert heading in text
    for name in sorted(pushed.files.keys() - {"README.md"}):
        assert f"| `{name}` | {pushed.files[name]:,} |" in text


def test_the_best_seed_is_pushed(hub: Hub, run: Path) -> None:
    pushed = mecam.push(run, "hf:org/tiny", onnx=False)
    seeds = {seed: (run / "seeds" / str(seed) / "checkpoint" / "model.safetensors") for seed in RunFolder(run).seeds}
    scores = {seed: json.loads((run / "seeds" / str(seed) / "seed.json").read_text("utf-8"))["score"] for seed in seeds}
    best = max(scores, key=lambda seed: scores[seed])
    assert hub.pushed("org/tiny")["model.safetensors"] == seeds[best].read_bytes()
    assert f"seed {best}, the best of 2 on validation" in pushed.card


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield str(key)
            yield from strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)
    elif isinstance(value, str):
        yield value


def test_nothing_of_this_machine_and_no_data_is_pushed(hub: Hub, run: Path, place: Path, encoder: str) -> None:
    assert encoder in (run / "checkpoint" / "config.json").read_text("utf-8"), "there is a path to leave out"
    mecam.push(run, "hf:org/tiny")
    store = Store(place / "stores" / "tiny")
    for name, content in hub.pushed("org/tiny").items():
        for secret in ("erika", encoder, str(place), str(Path.home()), str(Path.cwd()), "/tmp", "mecam-push"):
            if secret != "/":
                assert secret.encode() not in content, f"{secret} in {name}"
        for utterance in store:
            assert f'"{utterance.id}"'.encode() not in content
            if utterance.text and len(utterance.text.split()) > 2:
                assert utterance.text.encode() not in content, name
        if name.endswith((".json", ".yaml")) and not name.endswith("tokenizer.json"):
            for text in strings(yaml.safe_load(content)):
                assert not re.match(r"/\w|[A-Za-z]:\\|~", text), f"{text} in {name}"


def test_a_path_that_stays_is_refused(hub: Hub, run: Path) -> None:
    with pytest.raises(ModelError, match=r"refused: README.md would tell a path of a machine: /home/erika"):
        mecam.push(run, "hf:org/tiny", data_licence="see /home/erika/licence.txt", onnx=False)
    assert "org/tiny" not in hub.repositories


def test_nothing_becomes_public_without_being_told(hub: Hub, run: Path, call: Call) -> None:
    mecam.push(run, "hf:org/open", private=False, onnx=False)
    before = dict(hub.repositories["org/open"].branches)
    code, _, err = call("push", run, "hf:org/open", "--no-onnx")
    assert code == 1
    assert "the repository is public, and that was not said: nothing was pushed" in err
    assert "--public" in err
    assert hub.repositories["org/open"].branches == before
    code, out, _ = call("push", run, "hf:org/open", "--no-onnx", "--public", "--license", "mit")
    assert code == 0
    assert "PUBLIC: everybody sees these files" in out
    mecam.push(run, "hf:org/closed", onnx=False)
    with pytest.raises(ModelError, match="the repository is private"):
        mecam.push(run, "hf:org/closed", private=False, onnx=False)


def test_a_dry_run_asks_and_pushes_nothing(hub: Hub, run: Path, call: Call) -> None:
    code, out, err = call("push", run, "hf:org/tiny", "--dry-run", "--no-onnx")
    assert code == 0, err
    assert hub.requests == []
    assert "nothing was pushed" in out
    for name in CHECKPOINT | BESIDE:
        assert name in out
    assert "onnx/model.json" not in out
    assert "--license is not given" in err


def test_an_export_of_another_push_does_not_stay(hub: Hub, run: Path) -> None:
    mecam.push(run, "hf:org/tiny")
    assert set(hub.pushed("org/tiny")) >= EXPORTED
    pushed = mecam.push(run, "hf:org/tiny", onnx=False)
    assert not set(hub.pushed("org/tiny")) & EXPORTED
    assert "the ONNX export is left out" in pushed.notes[0]


def test_what_cannot_be_exported_is_pushed_without_and_told(
    hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ModelError("the network cannot be followed")

    monkeypatch.setattr("mecam.export.export.export_model", refuse)
    pushed = mecam.push(run, "hf:org/tiny")
    assert pushed.notes == ("there is no ONNX export: the network cannot be followed",)
    assert not set(hub.pushed("org/tiny")) & EXPORTED


def test_the_commands_say_which_commit_it_is(hub: Hub, run: Path, call: Call, tmp_path: Path) -> None:
    code, out, err = call("push", run, "hf:org/tiny", "--license", "mit", "--data-license", "none")
    assert code == 0, err
    address = re.findall(r"pushed: (hf:org/tiny@[0-9a-f]{40})$", out.strip())[0]
    code, _, err = call("predict", "the film was superb", "--model", address, "-o", tmp_path / "said.json")
    assert code == 0, err
    assert f"model: {address}" in err
    (said,) = json.loads((tmp_path / "said.json").read_text("utf-8"))
    assert said["score"] == mecam.load(run).predict_text("the film was superb").score
    code, out, err = call("explain", "utterance", "hf:org/tiny/onnx", "nobody", "--data", tmp_path / "no store")
    assert code == 1
    assert "no revision is given: main is commit" in err


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"repository": "org/tiny"}, ConfigError),
        ({"repository": "hf:tiny"}, ConfigError),
        ({"repository": "hf:org/tiny@main"}, ConfigError),
        ({"repository": "hf:../tiny"}, ConfigError),
        ({"licence": "all rights\nreserved"}, ConfigError),
        ({"run": Path("nowhere")}, TrainingError),
    ],
)
def test_a_wrong_question_is_one_error(given: dict[str, Any], kind: type[Exception], hub: Hub, run: Path) -> None:
    with pytest.raises(kind):
        mecam.push(**{"run": run, "repository": "hf:org/tiny", **given})
    assert hub.requests == []


def test_pushing_again_changes_no_weights(hub: Hub, run: Path) -> None:
    first = mecam.push(run, "hf:org/tiny", onnx=False)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in hub.pushed("org/tiny").items()}
    mecam.push(run, "hf:org/tiny", onnx=False)
    again = {name: hashlib.sha256(content).hexdigest() for name, content in hub.pushed("org/tiny").items()}
    assert {name for name in hashes if hashes[name] != again[name]} <= {"README.md"}
    assert first.files["model.safetensors"] == len(hub.pushed("org/tiny")["model.safetensors"])
