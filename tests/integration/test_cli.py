"""The command line as a person uses it: the road from a table to a report, and what happens when something is wrong."""

import csv
import importlib.metadata
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer

import tiny
from mecam.cli import app, main
from mecam.data.store import Store

pytestmark = pytest.mark.usefixtures("loggers_as_they_were")


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Store:
    task = tiny.TASKS["regression"]
    return tiny.write_store(tmp_path_factory.mktemp("data") / "corpus", task, tiny.utterances(task, 50))


@pytest.fixture(scope="module")
def trained(corpus: Store, encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder, made by the command."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(train_arguments(corpus.path, out, encoder)) == 0
    return out


def train_arguments(store: Path, out: Path, encoder: str, *more: str) -> list[str]:
    small = ["model.width=16", "model.layers=1", "training.epochs=1", f"model.encoder={encoder}", *more]
    settings = [part for setting in small for part in ("--set", setting)]
    return ["train", "--data", str(store), "--out", str(out), "--accelerator", "cpu", *settings]


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def test_the_whole_road(call: Call, encoder: str, tmp_path: Path) -> None:
    """A table of sentences → store → run → evaluation → prediction → report, each command naming its result last."""
    task = tiny.TASKS["regression"]
    with (tmp_path / "label.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video_id", "clip_id", "text", "label", "mode"])
        for u in tiny.utterances(task, 60, modalities=("text",), holes=False):
            video, _, clip = u.id.partition("_")
            writer.writerow([video, clip, u.text, u.label, u.split])
    code, out, _ = call("data", "import", tmp_path / "label.csv", "-o", tmp_path / "store")
    assert code == 0
    assert last_line(out) == f"store: {tmp_path / 'store'}"
    run = tmp_path / "run"
    code, out, err = call(*train_arguments(tmp_path / "store", run, encoder))
    assert code == 0, err
    assert "mae" in out
    assert "constant" in out
    assert last_line(out) == f"report: {run / 'report.html'}"
    assert (run / "report.html").stat().st_size > 1000
    code, out, _ = call("evaluate", run, "--data", tmp_path / "store", "--split", "test", "--json")
    assert code == 0
    measured = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["test"]["mae"]["mean"]
    assert json.loads(out)["test"]["mae"]["mean"] == pytest.approx(measured, rel=1e-5)
    code, out, _ = call("predict", "the film was superb", "--model", run, "--format", "jsonl")
    assert code == 0
    assert json.loads(out)["text"] == "the film was superb"
    (run / "report.html").unlink()
    code, out, _ = call("report", run)
    assert code == 0
    assert last_line(out) == f"report: {run / 'report.html'}"
    assert (run / "report.html").exists()


def test_synth_and_info(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("data", "synth", "-o", tmp_path / "s", "--utterances", 40, "--speakers", 8)
    assert code == 0
    assert last_line(out) == f"store: {tmp_path / 's'}"
    assert len(Store(tmp_path / "s")) == 40
    code, out, _ = call("data", "info", tmp_path / "s", "--json")
    assert code == 0
    assert json.loads(out)


def test_the_record_of_a_run_names_its_command(trained: Path) -> None:
    facts = json.loads((trained / "environment.json").read_text(encoding="utf-8"))
    assert facts["command"].split()[0] == "mecam"
    assert facts["data"]["name"] == "tiny"


def test_predictions_of_a_store(call: Call, trained: Path, corpus: Store, tmp_path: Path) -> None:
    code, out, _ = call("predict", corpus.path, "--model", trained, "--split", "test", "--format", "csv")
    assert code == 0
    rows = list(csv.DictReader(out.splitlines()))
    assert [row["id"] for row in rows] == [u.id for u in corpus if u.split == "test"]
    assert all(float(row["low"]) < float(row["score"]) < float(row["high"]) for row in rows)
    for name in ("p.csv", "p.jsonl"):
        code, out, _ = call("predict", corpus.path, "-m", trained, "-o", tmp_path / name)
        assert code == 0
        assert last_line(out) == f"50 predictions: {tmp_path / name}"
    lines = (tmp_path / "p.jsonl").read_text(encoding="utf-8").splitlines()
    table = list(csv.DictReader((tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()))
    assert len(lines) == len(table) == 50
    assert [json.loads(line)["score"] for line in lines] == pytest.approx([float(row["score"]) for row in table])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.csv", "p.jsonl"]


def test_sentences_of_a_file_and_of_the_command_line(call: Call, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "sentences.txt").write_text("the film was good\n\nTHE FOOD WAS BAD\n", encoding="utf-8")
    sentences = tmp_path / "sentences.txt"
    code, out, _ = call("predict", sentences, "really superb", "--format", "jsonl", "--model", trained)
    assert code == 0
    assert [json.loads(line)["text"] for line in out.splitlines()] == [
        *("the film was good", "THE FOOD WAS BAD", "really superb"),
    ]
    code, out, _ = call("predict", "really superb", "--model", trained)
    assert code == 0
    assert "really superb" in out
    assert "100 %" in out  # text is all there is


def test_the_same_command_again_is_quick_and_another_is_refused(
    call: Call, trained: Path, corpus: Store, encoder: str
) -> None:
    weights = (trained / "checkpoint" / "model.safetensors").read_bytes()
    code, out, _ = call(*train_arguments(corpus.path, trained, encoder))
    assert code == 0
    assert last_line(out) == f"report: {trained / 'report.html'}"
    code, _, err = call(*train_arguments(corpus.path, trained, encoder, "training.epochs=2"))
    assert code == 1
    assert "--overwrite" in err
    assert (trained / "checkpoint" / "model.safetensors").read_bytes() == weights


def test_a_configuration_file_and_the_run_s_own(call: Call, corpus: Store, encoder: str, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("model: constant\ntraining:\n  select: corr\nseeds: 2\n", encoding="utf-8")
    code, _, err = call("train", "--data", corpus.path, "--out", tmp_path / "a", "--config", file, "--seeds", 1)
    assert code == 0, err
    facts = json.loads((tmp_path / "a" / "environment.json").read_text(encoding="utf-8"))
    assert (facts["model"], facts["seeds"]) == ("constant", [1111])
    again = tmp_path / "a" / "config.yaml"
    code, _, err = call("train", "--data", corpus.path, "--out", tmp_path / "b", "--config", again)
    assert code == 0, err
    metrics = [(tmp_path / name / "metrics.json").read_text(encoding="utf-8") for name in "ab"]
    assert metrics[0] == metrics[1]


BAD: dict[str, tuple[int, Sequence[str], str]] = {
    "no command": (2, ["tran"], "No such command"),
    "no option": (2, ["train", "--data", "{store}", "--out", "{new}", "--epohcs", "3"], "--epohcs"),
    "nothing to train on": (2, ["train", "--out", "{new}"], "--data"),
    "no such store": (1, ["train", "--data", "{nowhere}", "--out", "{new}"], "no such store"),
    "a folder that is no store": (1, ["train", "--data", "{empty}", "--out", "{new}"], "this is no store"),
    "no such key": (1, ["train", "--data", "{store}", "--out", "{new}", "--set", "training.epoch=3"], "did you mean"),
    "a bad value": (1, ["train", "--data", "{store}", "--out", "{new}", "--set", "training.epochs=x"], "'x'"),
    "no value": (1, ["train", "--data", "{store}", "--out", "{new}", "--set", "epochs"], "key=value"),
    "a group as a value": (1, ["train", "--data", "{store}", "--out", "{new}", "--set", "training=3"], "training"),
    "no such model": (1, ["train", "--data", "{store}", "--out", "{new}", "--model", "mecan"], "there is no model"),
    "no such encoder": (
        *(1, ["train", "--data", "{store}", "--out", "{new}", "--set", "model.encoder={empty}"]),
        "no text encoder",
    ),
    "no such metric": (
        *(1, ["train", "--data", "{store}", "--out", "{new}", "--model", "constant", "--set", "training.select=acc9"]),
        "there is no metric",
    ),
    "no seeds": (2, ["train", "--data", "{store}", "--out", "{new}", "--seeds", "0"], "seeds"),
    "no such accelerator": (
        *(1, ["train", "--data", "{store}", "--out", "{new}", "--model", "constant", "--accelerator", "abacus"]),
        "abacus",
    ),
    "no such file of options": (
        1,
        ["train", "--data", "{store}", "--out", "{new}", "--config", "{nowhere}"],
        "nowhere",
    ),
    "options that are none": (1, ["train", "--data", "{store}", "--out", "{new}", "--config", "{broken}"], "broken"),
    "a file in the way": (1, ["train", "--data", "{store}", "--out", "{broken}", "--model", "constant"], "broken"),
    "no run to evaluate": (1, ["evaluate", "{nowhere}", "--data", "{store}"], "no checkpoint"),
    "no such split": (1, ["evaluate", "{run}", "--data", "{store}", "--split", "tset"], "no utterance in tset"),
    "no run to report": (1, ["report", "{nowhere}"], "nowhere"),
    "no run to predict with": (1, ["predict", "good", "--model", "{nowhere}"], "no checkpoint"),
    "a tier of a run": (1, ["predict", "good", "--tier", "permissive", "--model", "{run}"], "built-in model"),
    "no such file": (1, ["predict", "{nowhere}.txt", "--model", "{run}"], "there is no file"),
    "an empty sentence": (1, ["predict", "good", " ", "--model", "{run}"], "sentence is empty"),
    "a file without sentences": (1, ["predict", "{blank}", "--model", "{run}"], "no sentence"),
    "a file that is no text": (1, ["predict", "{binary}", "--model", "{run}"], "UTF-8"),
    "a folder that cannot be predicted": (1, ["predict", "{empty}", "--model", "{run}"], "this is no store"),
    "an output that cannot be": (1, ["predict", "good", "--model", "{run}", "-o", "{nowhere}/x.csv"], "cannot write"),
    "a store that is none": (1, ["train", "--data", "{store}", "{nowhere}", "--out", "{new}"], "no such store"),
    "a store given twice": (1, ["train", "--data", "{store}", "{store}=2", "--out", "{new}"], "given twice"),
    "a weight that is none": (1, ["train", "--data", "{store}=much", "--out", "{new}"], "'much' is not a number"),
    "a weight of nothing": (1, ["train", "--data", "{store}=0", "--out", "{new}"], "a number above 0"),
    "another target": (
        1,
        ["train", "--data", "{store}", "--validate-on", "{empty}", "--out", "{new}"],
        "is not one of the stores",
    ),
    "no run to start from": (
        *(1, ["train", "--data", "{store}", "--out", "{new}", "--model", "constant", "--init", "{nowhere}"]),
        "no checkpoint",
    ),
    "nothing to compare": (1, ["compare"], "nothing to compare"),
    "a run that is none": (1, ["compare", "{run}", "{empty}"], "config.yaml"),
    "a run against itself": (1, ["compare", "{run}", "{run}"], "given twice"),
    "no such baseline": (1, ["compare", "{run}", "--baseline", "x"], "there is no run 'x'"),
    "no such split to compare on": (1, ["compare", "{run}", "--split", "tset"], "no labelled predictions of tset"),
    "nothing there to compare on": (1, ["compare", "{run}", "--on", "{empty}"], "no store"),
    "no such split there": (1, ["compare", "{run}", "--on", "{store}", "--split", "tset"], "no utterance in tset"),
    "models to compare that are not trained": (1, ["compare", "--models", "mecam"], "reads finished runs"),
    "one name for two runs": (1, ["compare", "a={run}", "a={store}"], "two runs have the name 'a'"),
    "no search to compare": (
        *(1, ["train", "--data", "{store}", "--tuned", "{empty}", "--out", "{new}"]),
        "no finished search",
    ),
    "not a range": (1, ["tune", "--data", "{store}", "--out", "{new}", "--search", "model.width=3"], "is not a range"),
    "no options to tune": (
        *(1, ["tune", "--data", "{store}", "--out", "{new}", "--models", "constant"]),
        "no options to tune",
    ),
    "no model to check": (1, ["models", "--check"], "no model is given"),
    "seeds of finished runs": (1, ["compare", "{run}", "--seeds", "3"], "reads finished runs"),
    "one model and several": (
        *(1, ["train", "--data", "{store}", "--models", "mecam", "--model", "misa", "--out", "{new}"]),
        "cannot be combined with --models",
    ),
    "a place for what the old form trains": (1, ["compare", "--data", "{store}", "--models", "mecam"], "--out"),
    "no such model in a grid": (
        *(1, ["train", "--data", "{store}", "--models", "mecan", "--out", "{new}"]),
        "there is no model 'mecan'",
    ),
    "no such row": (1, ["ablate", "--data", "{store}", "--out", "{new}", "--only", "no-filtr"], "there is no variant"),
    "an option of no row": (
        *(1, ["ablate", "--data", "{store}", "--out", "{new}", "--set", "training.epoch=1"]),
        "did you mean 'epochs'",
    ),
    "no such model to show": (1, ["models", "mecan"], "there is no model"),
    "an interval of shares": (2, ["data", "split", "{store}", "-o", "{new}", "--shares", "a,b"], "three numbers"),
}


@pytest.mark.parametrize(("code", "arguments", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_message(
    code: int,
    arguments: Sequence[str],
    message: str,
    call: Call,
    corpus: Store,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No traceback, nothing on stdout, nothing half-written."""
    places = {name: tmp_path / name for name in ("nowhere", "empty", "new", "broken", "blank", "binary")}
    places["empty"].mkdir()
    places["broken"].write_text("a: [")
    places["blank"].write_text("\n \n")
    places["binary"].write_bytes(b"\x00\x01\x02\xff")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    filled = [argument.format(store=corpus.path, run=trained, **places) for argument in arguments]
    actual, out, err = call(*filled)
    assert actual == code, err
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert not out
    if code == 1:
        assert err.count("error:") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_is_compared(call: Call, trained: Path, tmp_path: Path) -> None:
    code, out, err = call("compare", trained, "--baseline", "constant", "--out", tmp_path / "c", "--split", "valid")
    assert code == 0, err
    assert "Against constant" in out
    assert last_line(out) == f"comparison: {tmp_path / 'c' / 'comparison.html'}"
    code, out, _ = call("compare", trained, "--json")
    assert code == 0
    mae = json.loads((trained / "metrics.json").read_text(encoding="utf-8"))["test"]["mae"]["mean"]
    assert json.loads(out)["rows"][0]["scores"]["mae"]["mean"] == pytest.approx(mae, rel=1e-5)


def test_runs_are_compared_on_another_store(call: Call, trained: Path, corpus: Store, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(corpus.path, other)
    files = sorted(trained.rglob("*"))
    code, out, err = call("compare", trained, "--on", other, "--split", "train", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["data"] == "other"
    assert told["utterances"] == len(corpus.split("train"))
    assert any(note.startswith("Evaluated on: other") for note in told["notes"])
    assert sorted(trained.rglob("*")) == files
    kept = json.loads((trained / "metrics.json").read_text(encoding="utf-8"))["test"]["mae"]["per_seed"]
    _, out, _ = call("compare", trained, "--on", other, "--json")
    assert json.loads(out)["rows"][0]["scores"]["mae"]["per_seed"] == pytest.approx(kept, rel=1e-5)


def test_the_rows_of_an_ablation_are_listed(call: Call, corpus: Store, tmp_path: Path) -> None:
    code, out, _ = call("ablate", "--data", corpus.path, "--out", tmp_path / "new", "--list")
    assert code == 0
    assert "model.filter.enabled=false" in out
    assert "data.without=physio" in out
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_grid_is_trained_compared_and_gone_on_with(call: Call, corpus: Store, encoder: str, tmp_path: Path) -> None:
    small = ["model.width=16", "training.epochs=1", f"model.encoder={encoder}"]
    settings = [part for setting in small for part in ("--set", setting)]
    place = tmp_path / "g"
    grid = ["--data", corpus.path, "--out", place, *settings]
    code, out, err = call("train", "--models", "text_only,mecam", "--jobs", 2, *grid)
    assert code == 0, err
    assert out.split() == ["run:", str(place / "text_only"), "run:", str(place / "mecam")]
    made = {path: path.stat().st_mtime_ns for path in place.glob("*/metrics.json")}
    assert len(made) == 2
    code, _, err = call("train", "--models", "text_only,mecam,constant", *grid)
    assert code == 0, err
    assert all(path.stat().st_mtime_ns == time for path, time in made.items())
    (place / "failed.json").write_text('{"mult": "it needs vision"}', "utf-8")
    code, out, err = call("compare", place, "--out", tmp_path / "c")
    assert code == 0, err
    assert last_line(out) == f"comparison: {tmp_path / 'c' / 'comparison.html'}"
    assert "mult is missing from the table: it needs vision" in err
    (place / "failed.json").write_text("[1]", "utf-8")
    code, _, err = call("compare", place)
    assert code == 1
    assert "failed.json is not a JSON object" in err
    (place / "failed.json").unlink()
    place.rename(place / "../old")
    code, out, err = call("compare", "--models", "text_only", *grid)  # the form before `train --models`
    assert code == 0, err
    assert "mecam train --data" in err
    assert last_line(out) == f"comparison: {place / 'comparison.html'}"
    place.rename(place / "../older")
    code, out, err = call("ablate", "--only", "no-filter,text-only", "--seeds", 1, *grid)
    assert code == 0, err
    assert "Against full" in out
    assert {path.name for path in (tmp_path / "g" / "runs").iterdir()} == {"full", "no-filter", "text-only"}


def commands() -> Iterator[tuple[str, ...]]:
    def walk(command: Any, name: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if hasattr(command, "commands"):
            for key, sub in command.commands.items():
                yield from walk(sub, (*name, key))
        else:
            yield name

    yield from walk(typer.main.get_command(app), ())


@pytest.mark.parametrize("command", list(commands()), ids=" ".join)
def test_help_has_an_example(command: tuple[str, ...], call: Call) -> None:
    code, out, _ = call(*command, "--help")
    assert code == 0
    example = " ".join(out.split()).partition("Example: ")[2]
    assert example.startswith(" ".join(("mecam", *command)))


def test_the_commands_are_those_that_others_rely_on() -> None:
    assert {("demo",), ("train",), ("evaluate",), ("predict",), ("report",), ("models",)} <= set(commands())
    assert {("data", "import"), ("data", "synth"), ("data", "info")} <= set(commands())


def test_models_lists_every_model_and_every_option(call: Call) -> None:
    from mecam.models.registry import MODELS

    code, out, _ = call("models")
    assert code == 0
    assert all(name in out for name in MODELS)
    code, out, _ = call("models", "mecam")
    assert code == 0
    assert "model.filter.contrast" in out
    assert "training.learning_rate" in out
    assert "[audio]" in out, "brackets are no markup here"


HEAVY = ("torch", "transformers", "lightning_fabric", "sklearn", "scipy", "altair", "h5py", "jaxtyping")


@pytest.mark.parametrize(
    "statement", ["import mecam", "import mecam.cli; mecam.cli.main(['--help'])", "import mecam.cli.main"]
)
def test_what_need_not_wait_for_torch_does_not(statement: str) -> None:
    code = f"import sys\n{statement}\nprint([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_the_installed_command(capsys: pytest.CaptureFixture[str]) -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="mecam")
    assert script.load() is main
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mecam {importlib.metadata.version('mecam')}\n"


def test_an_interrupt_is_not_a_traceback(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mecam.prediction.predictor.load", interrupted)
    code, _, err = call("predict", "good", "--model", "somewhere")
    assert code == 130
    assert "Traceback" not in err
