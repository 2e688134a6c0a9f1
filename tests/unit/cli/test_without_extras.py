"""Every command without any extra: it works, or says in one line which one to install."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

import fake_run
import tiny
import trained_runs
import voices
from light import run_light
from mecam.data.store import Store

PROGRAM = """
import contextlib, io, json

from mecam.cli import main


def call(arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return code, out.getvalue(), err.getvalue()


print(json.dumps([call(arguments) for arguments in json.loads(sys.argv[1])]))
"""

HELP = (
    "demo",
    "extract",
    "train",
    "evaluate",
    "report",
    "compare",
    "ablate",
    "robustness",
    "tune",
    "predict",
    "push",
    "assets",
)


def calls(*commands: list[str]) -> list[tuple[int, str, str]]:
    found: list[Any] = json.loads(run_light(PROGRAM, json.dumps(commands)))
    return [(code, out, err) for code, out, err in found]


def test_help_and_lists() -> None:
    commands = [["--help"], ["models"], ["assets"], *[[name, "--help"] for name in (*HELP, "data", "explain")]]
    for command, (code, out, err) in zip(commands, calls(*commands), strict=True):
        assert (code, err) == (0, ""), command
        assert out, command


def test_a_model_of_the_hub_needs_its_client(tmp_path: Path) -> None:
    run = str(fake_run.make_run(tmp_path / "run"))
    for code, _, err in calls(["predict", "good", "--model", "hf:org/name"], ["push", run, "hf:org/name"]):
        assert code == 1
        assert 'this needs huggingface_hub, which is not installed (pip install "mecam[hub]")' in err


def test_a_cluster_needs_ray_and_a_url_its_package(tmp_path: Path) -> None:
    voices.write_wav(tmp_path / "a.wav", voices.buzz(0.2))
    asked = ["extract", str(tmp_path / "a.wav"), "-o", str(tmp_path / "store")]
    clip = str(tmp_path / "a.wav")
    *ray, url = calls([*asked, "--ray", "local"], ["predict", clip, "--ray", "local"], [*asked, "--parts", "arl://b/p"])
    for code, _, err in ray:
        assert code == 1
        assert 'this needs Ray, which is not installed (pip install "mecam[ray]")' in err
    assert url[0] == 1
    assert "cannot use this place" in url[2]


def test_a_plug_in_that_needs_pytorch_hides_no_other_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugged.py").write_text('"""A model."""\nfrom mecam.models.base import Model\n', encoding="utf-8")
    about = tmp_path / "plugged-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1\n", encoding="utf-8")
    (about / "entry_points.txt").write_text("[mecam.models]\nplugged = plugged:ENTRY\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]))
    ((code, out, err),) = calls(["models"])
    assert (code, err) == (0, "")
    (line,) = (line for line in out.splitlines() if "plugged" in line)
    assert 'this needs PyTorch, which is not installed (pip install "mecam[train]")' in line
    assert "MulT" in out


def test_data_is_made_changed_and_written(tmp_path: Path) -> None:
    places = {name: str(tmp_path / name) for name in ("made", "split", "aligned", "relative", "back", "csv", "npz")}
    table, pickle = tmp_path / "label.csv", str(tmp_path / "mmsa.pkl")
    table.write_text("id,text,label\na,it was good,1.5\nb,it was bad,-2\n", encoding="utf-8")
    commands = [
        ["data", "synth", "-o", places["made"], "--utterances", "100"],
        ["data", "info", places["made"]],
        ["data", "check", places["made"]],
        ["data", "split", places["made"], "-o", places["split"]],
        ["data", "align", places["made"], "-o", places["aligned"]],
        ["data", "normalise", places["made"], "-o", places["relative"]],
        ["data", "export", places["made"], "-o", pickle, "--to", "mmsa"],
        ["data", "export", places["made"], "-o", places["csv"], "--to", "csv"],
        ["data", "export", places["made"], "-o", places["npz"], "--to", "npz"],
        ["data", "import", pickle, "-o", places["back"]],
        ["data", "import", str(table), "-o", str(tmp_path / "table"), "--task", "regression:-3..3"],
    ]
    for command, (code, _, err) in zip(commands, calls(*commands), strict=True):
        assert code == 0, (command, err)
    assert len(Store(places["back"])) == len(Store(places["made"]))


def test_an_exported_model_predicts_and_explains(clips_model: Path, tmp_path: Path) -> None:
    model, clip, store = (str(clips_model / name) for name in ("exported", "clip.mp4", "store"))
    made = {name: str(tmp_path / name) for name in ("extracted", "p.csv", "p.html", "u.html", "u.json", "r.html")}
    commands = [
        ["extract", clip, "-o", made["extracted"]],
        ["predict", "it was good", "--model", model],
        ["predict", store, "--model", model, "--output", made["p.csv"]],
        ["predict", clip, "--model", model, "--html", made["p.html"]],
        ["explain", "utterance", model, "clip1", "--data", store, "--html", made["u.html"], "--json", made["u.json"]],
        ["explain", "recording", model, clip, "--html", made["r.html"]],
        ["explain", "agreement", model, "--data", store, "--split", "train"],
    ]
    for command, (code, out, err) in zip(commands, calls(*commands), strict=True):
        assert code == 0, (command, err)
        assert out, command
    for place in made.values():
        assert Path(place).exists(), place


@pytest.fixture(scope="module")
def place(store: Store, encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, the checkpoint of a run, and the tables of two."""
    folder = tmp_path_factory.mktemp("light")
    task = tiny.TASKS["regression"]
    tiny.write_store(folder / "store", task, tiny.utterances(task))
    trained_runs.make_run(folder / "run", "text_only", store, encoder)
    for name in ("one", "two"):
        fake_run.make_run(folder / name)
    return folder


def test_what_needs_pytorch_says_so_in_one_line(place: Path) -> None:
    store, out, checkpoint = str(place / "store"), str(place / "out"), str(place / "run" / "seeds" / "1")
    one, two = str(place / "one"), str(place / "two")
    commands = [
        ["train", "--data", store, "--out", out],
        ["train", "--data", store, "--out", out, "--models", "mecam,mult"],
        ["evaluate", one, "--data", store],
        ["report", one],
        ["compare", one, two, "--out", out],
        ["ablate", "--data", store, "--out", out],
        ["robustness", one, "--out", out],
        ["tune", "--data", store, "--out", out],
        ["predict", "it was good", "--model", checkpoint],
        ["explain", "recording", checkpoint, store],
        ["push", one, "hf:org/one", "--dry-run"],
        ["models", "mecam"],
        ["models", "mecam", "--check"],
        ["explain", "agreement", checkpoint],
        ["data", "export", store, "-o", out, "--to", "mmsa", "--tokenizer", "tiny"],
    ]
    for command, (code, shown, err) in zip(commands, calls(*commands), strict=True):
        assert (code, shown) == (1, ""), (command, err)
        *progress, last = err.splitlines()
        assert last.startswith("error: this needs "), (command, err)
        assert last.endswith(', which is not installed (pip install "mecam[train]")'), (command, err)
        assert all(line.endswith(" …") for line in progress), (command, err)
    assert not (place / "out").exists()


def test_the_demonstration_shows_the_built_in_model(tmp_path: Path) -> None:
    ((code, shown, err),) = calls(["demo", "--out", str(tmp_path / "run")])
    assert code == 1
    assert "positive" in shown
    assert (tmp_path / "run-clip.html").stat().st_size > 10_000
    assert err.splitlines()[-1].startswith("error: this needs ")
