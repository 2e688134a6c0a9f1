"""`mecam export` as a person uses it: what the folder is good for, and what is refused in one line."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from exported_models import one_network
from mecam.arrays import OutputArrays
from mecam.cli import main
from mecam.errors import ModelError
from mecam.export import export as exporting
from mecam.prediction.exported import DESCRIPTION, NETWORK, TOKENIZER, WEIGHTS
from mecam.prediction.onnx_backend import OnnxBackend

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def place(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `stores/tiny` and `runs/tiny`, a text model that was trained on it."""
    folder = tmp_path_factory.mktemp("export")
    task = tiny.TASKS["regression"]
    tiny.write_store(folder / "stores" / "tiny", task, tiny.utterances(task, 50))
    settings = ["training.epochs=1", f"model.encoder={encoder}"]
    options = [part for setting in settings for part in ("--set", setting)]
    run = ["--model", "text_only", "--out", str(folder / "runs" / "tiny"), "--accelerator", "cpu"]
    assert main(["train", "--data", str(folder / "stores" / "tiny"), *run, *options]) == 0
    with one_network():
        yield folder


@pytest.fixture
def call(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run `mecam` in the folder: exit code, stdout, stderr."""
    monkeypatch.chdir(place)

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([*map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, " ".join(captured.err.split())

    return run


def test_the_folder_predicts_as_the_run_does(call: Call, place: Path) -> None:
    code, out, err = call("export", "runs/tiny", "-o", "light")
    assert code == 0, err
    assert "validation split of tiny" in out
    assert out.strip().splitlines()[-1] == "exported model: light"
    assert {path.name for path in (place / "light").iterdir()} == {DESCRIPTION, NETWORK, WEIGHTS, TOKENIZER}
    assert {path.stat().st_mode & 0o777 for path in (place / "light").iterdir()} == {0o644}
    description = (place / "light" / DESCRIPTION).read_text("utf-8")
    assert str(place.parent) not in description, "it names no place of this machine"
    card = json.loads(description)["card"]
    assert max(card["differences"].values()) < 1e-4
    written = []
    for model in ("runs/tiny", "light"):
        code, _, err = call("predict", "the film was superb", "-m", model, "-o", "said.json")
        assert code == 0, err
        written.append(json.loads((place / "said.json").read_text("utf-8")))
    (by_run,), (by_export,) = written
    assert by_run.keys() == by_export.keys()
    assert by_run["score"] == pytest.approx(by_export["score"], abs=1e-5)
    assert (by_run["label"], by_run["text"]) == (by_export["label"], by_export["text"])


def test_integers_are_smaller_and_their_cost_is_told(call: Call, place: Path) -> None:
    code, out, err = call("export", "runs/tiny", "--int8", "--max-loss", 1)
    assert code == 0, err
    assert "cost of 8-bit integers" in out
    folder = place / "runs" / "tiny" / "onnx-int8"
    assert not (folder / WEIGHTS).exists()
    cost = json.loads((folder / DESCRIPTION).read_text("utf-8"))["card"]["quantisation"]
    assert cost["metric"] == "mae"
    assert cost["loss"] == pytest.approx(cost["after"] - cost["before"])
    assert call("predict", "the film was superb", "-m", folder)[0] == 0


def test_nothing_is_replaced_unless_told(call: Call, place: Path) -> None:
    (place / "taken").mkdir()
    (place / "taken" / "mine").write_text("mine")
    code, _, err = call("export", "runs/tiny", "-o", "taken")
    assert code == 1
    assert "this folder exists" in err
    assert (place / "taken" / "mine").read_text() == "mine"
    assert call("export", "runs/tiny", "-o", "taken", "--overwrite")[0] == 0
    assert not (place / "taken" / "mine").exists()


def test_what_costs_too_much_is_refused(call: Call, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = exporting._measured
    monkeypatch.setattr(exporting, "_measured", lambda a, b, c, limit: measured(a, b, c, -100.0))
    code, _, err = call("export", "runs/tiny", "--int8", "-o", "lossy")
    assert code == 1
    assert "8-bit integers cost too much: mean absolute error" in err
    assert not (place / "lossy").exists()


def test_other_answers_than_those_of_pytorch_are_refused(
    call: Call, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "MAX_DIFFERENCE", 0.0)
    code, _, err = call("export", "runs/tiny", "-o", "other")
    assert code == 1
    assert "the exported network differs from PyTorch's" in err
    assert not (place / "other").exists()


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_answers_that_are_no_numbers_are_refused(
    wrong: float, call: Call, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = OnnxBackend.run

    def broken(self: OnnxBackend, *args: Any, **options: Any) -> OutputArrays:
        output = run(self, *args, **options)
        return replace(output, prediction=np.full_like(output.prediction, wrong))

    monkeypatch.setattr(OnnxBackend, "run", broken)
    code, _, err = call("export", "runs/tiny", "-o", "broken")
    assert code == 1
    assert "the exported network differs from PyTorch's by inf (prediction)" in err
    assert not (place / "broken").exists()


def test_a_store_of_other_labels_is_refused(call: Call, tmp_path: Path) -> None:
    task = tiny.TASKS["classes"]
    tiny.write_store(tmp_path / "other store", task, tiny.utterances(task, 20))
    for options in ((), ("--int8",)):
        code, _, err = call("export", "runs/tiny", "--data", tmp_path / "other store", "-o", tmp_path / "out", *options)
        assert code == 1
        assert "the store has other labels" in err
        assert not (tmp_path / "out").exists()


def test_a_network_that_cannot_be_exported_leaves_nothing(
    call: Call, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ModelError("PyTorch cannot export this model: no operator")

    monkeypatch.setattr(exporting, "network_of", fails)
    before = sorted(place.iterdir())
    code, _, err = call("export", "runs/tiny", "-o", "never")
    assert code == 1
    assert "no operator" in err
    assert sorted(place.iterdir()) == before


def test_without_its_data(call: Call, place: Path, tmp_path: Path) -> None:
    checkpoint = place / "runs" / "tiny" / "checkpoint"
    code, out, err = call("export", checkpoint, "-o", tmp_path / "made-up")
    assert code == 0, err
    assert "checked on made-up utterances" in err
    assert "made-up utterances" in out
    code, _, err = call("export", checkpoint, "--int8", "-o", tmp_path / "int8")
    assert code == 1
    assert "--data" in err
    assert not (tmp_path / "int8").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("export", "light2"),
        ("evaluate", "light2", "--data", "stores/tiny"),
        ("robustness", "light2", "--data", "stores/tiny"),
    ],
)
def test_commands_that_need_the_run_say_so(command: tuple[str, ...], call: Call, place: Path) -> None:
    if not (place / "light2").exists():
        assert call("export", "runs/tiny", "-o", "light2")[0] == 0
    code, _, err = call(*command)
    assert code == 1
    assert "give the run folder that it was exported from" in err
