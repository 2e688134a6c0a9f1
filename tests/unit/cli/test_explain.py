"""`mecam explain` as a person uses it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import tiny
from mecam.cli import main
from mecam.data.store import Store
from mecam.evaluation.explanation import explanation
from mecam.types import TEXT, Span

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def place(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `stores/tiny` and `runs/tiny`, which was trained on it."""
    folder = tmp_path_factory.mktemp("explain")
    task = tiny.TASKS["regression"]
    tiny.write_store(folder / "stores" / "tiny", task, tiny.utterances(task, 50))
    settings = ["model.width=16", "model.layers=1", "training.epochs=1", f"model.encoder={encoder}"]
    options = [part for setting in settings for part in ("--set", setting)]
    run = ["--out", str(folder / "runs" / "tiny"), "--accelerator", "cpu"]
    assert main(["train", "--data", str(folder / "stores" / "tiny"), *run, *options]) == 0
    return folder


@pytest.fixture
def call(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run `mecam explain` in the folder: exit code, stdout, stderr."""
    monkeypatch.chdir(place)

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["explain", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def first_whole(place: Path) -> str:
    return next(u.id for u in Store(place / "stores" / "tiny") if u.text and len(u.streams) == 3)


def test_utterances_of_the_store_that_the_run_was_trained_on(call: Call, place: Path, tmp_path: Path) -> None:
    name = first_whole(place)
    why, page = tmp_path / "why.json", tmp_path / "why.html"
    code, out, err = call("utterance", "runs/tiny", name, "--steps", 4, "--json", why, "--html", page)
    assert code == 0, err
    assert name in out
    assert "completeness error" in out
    assert out.strip().splitlines()[-2:] == [f"explanation: {why}", f"page: {page}"]
    document = json.loads(why.read_text("utf-8"))
    assert (document["run"], document["model"], document["data"]) == ("tiny", "mecam", "tiny")
    (one,) = document["utterances"]
    assert set(one["without_modality"]) == set(one["modalities"]) == {TEXT, "audio", "physio", "vision"}
    content = page.read_text("utf-8")
    assert f"{one['score']:+.2f}".replace("-", "−") in content
    assert content.count('class="strip lane"') >= 4
    assert "http" not in content.replace("http-equiv", "")
    assert str(place) not in content


def test_the_run_may_have_moved_and_the_store_may_be_named(call: Call, place: Path, tmp_path: Path) -> None:
    name = first_whole(place)
    shutil.copytree(place / "runs" / "tiny", tmp_path / "elsewhere")
    code, _, err = call("utterance", tmp_path / "elsewhere", name, "--no-gradients")
    assert code == 0, err
    (tmp_path / "elsewhere" / "environment.json").write_text("{}", "utf-8")
    config = (tmp_path / "elsewhere" / "config.yaml").read_text("utf-8")
    (tmp_path / "elsewhere" / "config.yaml").write_text(
        config.replace("sha256:\n", "sha256:\n    lost: '0'\n"), "utf-8"
    )
    code, out, err = call("utterance", tmp_path / "elsewhere", name)
    assert (code, out) == (1, "")
    assert "the store that this run was trained on ('tiny') is not found" in err
    assert "--data" in err
    code, _, err = call("utterance", tmp_path / "elsewhere", name, "--data", "stores/tiny", "--no-gradients")
    assert code == 0, err


def test_what_is_wrong_is_said_once(call: Call, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = first_whole(place)
    cases = [
        (("utterance", "runs/tiny", f"{name}x"), f"did you mean {name}"),
        (("utterance", "runs/nowhere", name), "no checkpoint here"),
        (("recording", "runs/tiny", "clip.mp4"), "features that mecam cannot extract"),
        (("agreement", "runs/tiny", "--split", "nowhere"), "no utterance in nowhere"),
        (("utterance", "runs/tiny", name, "--no-gradients", "--json", tmp_path / "no" / "a.json"), "cannot write here"),
    ]
    for arguments, expected in cases:
        code, _, err = call(*arguments)
        assert code == 1, arguments
        assert expected in err
        assert err.count("error:") == 1
        assert "Traceback" not in err
    monkeypatch.setattr(explanation, "has_captum", lambda: False)
    code, _, err = call("utterance", "runs/tiny", name, "--gradients")
    assert code == 1
    assert "mecam[explain]" in err
    code, out, err = call("utterance", "runs/tiny", name)
    assert code == 0, err
    assert "completeness" not in out, "without captum everything else is there"


def test_the_form_before_there_were_subcommands_is_taken_with_a_warning(call: Call, place: Path) -> None:
    name = first_whole(place)
    for arguments in (("runs/tiny", "-u"), ("runs/tiny", "--utterance="), ("-u", name, "--utterance")):
        code, _, err = call(*arguments)
        assert (code, err.splitlines()[-1]) == (2, "error: Invalid value for --utterance: the id is missing")
    code, out, err = call("runs/tiny", "-u", name, "--no-gradients")
    assert code == 0, err
    assert name in out
    assert f"mecam explain utterance runs/tiny --no-gradients {name}" in " ".join(err.split())
    code, out, err = call("--data", "stores/tiny", "-u", name, "--no-gradients", "runs/tiny")
    assert code == 0, err
    assert name in out
    _, _, err = call("runs/nowhere", "--deletion", "--limit", 3)
    assert "mecam explain deletion runs/nowhere --limit 3" in " ".join(err.split())
    _, _, err = call("runs/tiny", "clip.mp4")
    assert "mecam explain recording runs/tiny clip.mp4" in " ".join(err.split())


def test_deletion_and_agreement(call: Call, tmp_path: Path) -> None:
    results = {}
    for what in ("deletion", "agreement"):
        options = ("--draws", 1) if what == "deletion" else ("--steps", 2)
        files = ("--json", tmp_path / f"{what}.json", "--html", tmp_path / f"{what}.html")
        code, out, err = call(what, "runs/tiny", "--split", "test", "--limit", 4, *options, *files)
        assert code == 0, err
        assert out.strip().splitlines()[-1] == f"page: {tmp_path / what}.html"
        results[what] = json.loads((tmp_path / f"{what}.json").read_text("utf-8"))
        page = (tmp_path / f"{what}.html").read_text("utf-8")
        assert '<script type="application/json"' in page
    assert results["deletion"]["kind"] == "deletion"
    assert results["deletion"]["metric"] == "mae"
    assert results["agreement"]["utterances"] == 4
    assert results["agreement"]["completeness"]["steps"] == 2
    assert results["agreement"]["modalities"]


def test_known_contradictions_are_scored(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`mecam evaluate` on a store in which a modality contradicts in places."""
    task = tiny.TASKS["regression"]
    content = [
        replace(u, injected=(Span(TEXT, "contradiction", 0, 9),) if i % 3 == 0 and u.text else ())
        for i, u in enumerate(tiny.utterances(task, 50))
    ]
    tiny.write_store(place / "stores" / "contradicted", task, content)
    run, data = place / "runs" / "tiny", place / "stores" / "contradicted"
    assert main(["evaluate", str(run), "--data", str(data), "--split", "test"]) == 0
    assert "conflict AUROC" in capsys.readouterr().out
    metrics = json.loads((run / "evaluations" / "contradicted.json").read_text("utf-8"))
    assert set(metrics["conflict"]) == {TEXT, "any"}
    assert 0 <= metrics["conflict"][TEXT]["mean"] <= 1
