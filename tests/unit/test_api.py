"""The commands as functions: the same files, texts for paths, one error for what is wrong, and nothing loaded early."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import fake_run
import light
import mecam
import tiny
from commands import contents
from mecam.cli import main
from mecam.data.store import Store
from mecam.pretrained.cards import DEMO_CLIP

TABLE = "id,video_id,text,label,mode\na1,a,I loved it,2.4,train\nb1,b,it was <b>dull</b>,-1.2,valid\nc1,c,fine,1,test\n"


pytestmark = pytest.mark.usefixtures("loggers_as_they_were")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Store:
    task = tiny.TASKS["regression"]
    return tiny.write_store(tmp_path_factory.mktemp("data") / "corpus", task, tiny.utterances(task, 50))


@pytest.fixture(scope="module")
def quick(encoder: str) -> dict[str, Any]:
    return {"model.width": 16, "training.epochs": 1, "model.encoder": encoder}


@pytest.fixture(scope="module")
def run(corpus: Store, quick: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> mecam.Run:
    place = tmp_path_factory.mktemp("runs") / "text"
    return mecam.train(corpus, str(place), model="text_only", set=quick, accelerator="cpu", seeds=2)


@pytest.fixture(scope="module")
def constant(corpus: Store, run: mecam.Run) -> mecam.Run:
    return mecam.train(corpus, run.path.with_name("constant"), model="constant", accelerator="cpu")


def tags_of(content: str) -> set[str]:
    """The names of the tags of HTML."""
    found: set[str] = set()
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.add(tag)  # type: ignore[method-assign]
    parser.feed(content)
    return found


PLAIN_TAGS = {"div", "style", "b", "table", "thead", "tbody", "tr", "th", "td", "small"}


# --- the package itself ------------------------------------------------------------------------------------------


def test_importing_mecam_loads_nothing_and_changes_no_environment() -> None:
    said = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            "import os, sys; before, known = dict(os.environ), set(sys.modules)\n"
            "import mecam\n"
            "names = dir(mecam)\n"
            "brought = {name.partition('.')[0] for name in set(sys.modules) - known}\n"
            "print(sorted(brought - set(sys.stdlib_module_names)))\n"
            "print([name for name in sys.modules if name.startswith('mecam.')])\n"
            "from mecam import *\n"
            "print([name for name in names if name not in globals() and name != '__version__'])\n"
            "print([m for m in ('torch', 'transformers', 'scipy', 'altair', 'pandas') if m in sys.modules])\n"
            "print(dict(os.environ) == before)",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.splitlines() == ["['mecam']", "['mecam.version']", "[]", "[]", "True"]


def test_everything_is_there_by_name_and_nothing_else() -> None:
    assert dir(mecam) == sorted(mecam.__all__)
    assert all(getattr(mecam, name) is not None for name in mecam.__all__)
    assert all(getattr(mecam, name).__doc__ for name in mecam.__all__ if name != "__version__")
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        mecam.trian  # noqa: B018
    assert (Path(mecam.__file__).parent / "py.typed").exists()


def test_training_without_the_extra_says_so() -> None:
    said = light.run_light("""
        import mecam
        try:
            mecam.train("store", "run")
        except mecam.MecamError as error:
            print(error)
    """)
    assert "mecam[train]" in said


# --- stores ------------------------------------------------------------------------------------------------------


def test_an_import_is_that_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "label.csv").write_text(TABLE, encoding="utf-8")
    store = mecam.import_data(str(tmp_path / "label.csv"), str(tmp_path / "one"), task="regression:-3..3", name="mine")
    command = ["data", "import", tmp_path / "label.csv", "-o", tmp_path / "two", "--task", "regression:-3..3"]
    assert main([*map(str, command), "--name", "mine"]) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert isinstance(store, mecam.Store)
    assert store.to_table().column("sentiment") == [2.4, -1.2, 1.0]
    assert store.to_table()[1] == {"id": "b1", "split": "valid", "video": "b", "text": TEXT_OF_B, "sentiment": -1.2}
    listed = mecam.import_data([tmp_path / "label.csv"], tmp_path / "three", task=store.task, name="mine")
    assert contents(listed.path) == contents(store.path)


TEXT_OF_B = "it was <b>dull</b>"


def test_what_an_import_repairs_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "label.csv").write_text(TABLE + "d1,d,no label,,train\n", encoding="utf-8")
    store = mecam.import_data(tmp_path / "label.csv", tmp_path / "store")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "label" in caplog.text
    assert caplog.messages[0].partition(": ")[2] in store._repr_html_()


def test_the_synthetic_corpus_is_that_of_the_command(tmp_path: Path) -> None:
    store = mecam.synth(tmp_path / "one", utterances=30, speakers=5, seed=3)
    command = ["data", "synth", "-o", tmp_path / "two", "--utterances", 30, "--speakers", 5, "--seed", 3]
    assert main([str(part) for part in command]) == 0
    assert contents(store.path) == contents(tmp_path / "two")
    assert repr(store) == f"Store({str(store.path)!r}: 30 utterances; regression [-3, 3]; audio 25, vision 20)"
    assert "not comparable with results on real data" in store._repr_html_()


@pytest.mark.slow
def test_recordings_are_extracted_as_by_the_command_in_a_script_without_a_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import mecam, sys\nprint('once')\n"
        "store = mecam.extract(sys.argv[1], sys.argv[2], extractor='mecam-audio', jobs=1, max_seconds=60)\n"
        "print(len(store))\n"
    )
    arguments = [sys.executable, str(script), str(DEMO_CLIP), str(tmp_path / "one")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["once", "1"]
    command = ["extract", DEMO_CLIP, "-o", tmp_path / "two", "--extractor", "mecam-audio", "--max-seconds", 60]
    assert main([str(part) for part in command]) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


# --- runs --------------------------------------------------------------------------------------------------------


def test_a_run_is_that_of_the_command(run: mecam.Run, corpus: Store, quick: dict[str, Any], tmp_path: Path) -> None:
    settings = [part for key, value in quick.items() for part in ("--set", f"{key}={value}")]
    command = ["train", "--data", corpus.path, "--out", tmp_path / "run", "--model", "text_only", "--seeds", 2]
    assert main([str(part) for part in [*command, "--accelerator", "cpu", *settings]]) == 0
    told = ("environment.json", "report.html", "seed.json", "history.csv")  # they hold times
    ours, theirs = contents(run.path, without=told), contents(tmp_path / "run", without=told)
    assert ours == theirs
    assert {path.name for path in run.path.iterdir()} == {path.name for path in (tmp_path / "run").iterdir()}
    other = mecam.Run(tmp_path / "run")
    assert other.metrics() == run.metrics()
    assert other.predictions() == run.predictions()
    assert run.environment["command"] == (
        f"mecam.train({str(corpus.path)!r}, {str(run.path)!r}, model='text_only', seeds=2, accelerator='cpu', "
        f"set={quick!r})"
    )


def test_a_run_is_continued_with_more_seeds_and_made_again_from_its_options(
    constant: mecam.Run, corpus: Store, tmp_path: Path
) -> None:
    again = mecam.train([corpus], tmp_path / "again", config=constant.options)
    assert again.folder.config_text == constant.folder.config_text
    before = (again.path / "seeds" / "1111" / "seed.json").stat().st_mtime_ns
    more = mecam.train({str(corpus.path): 1.0}, tmp_path / "again", config=constant.options, seeds=2)
    assert (len(more.seeds), len(again.seeds)) == (2, 1)
    assert (again.path / "seeds" / "1111" / "seed.json").stat().st_mtime_ns == before
    with pytest.raises(mecam.MecamError, match="another configuration"):
        mecam.train(corpus, tmp_path / "again", model="constant", set={"data.batch_size": 7}, seeds=2)


def test_options_come_from_a_file_a_mapping_and_single_values(corpus: Store, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("model: constant\ndata:\n  batch_size: 4\n", encoding="utf-8")
    steps: list[tuple[int, int, str]] = []
    made = mecam.train(
        corpus,
        tmp_path / "run",
        config=str(tmp_path / "c.yaml"),
        set=["data.batch_size=8"],
        progress=lambda done, total, what: steps.append((done, total, what)),
    )
    assert (made.model, made.options["data"]["batch_size"]) == ("constant", 8)
    with pytest.raises(mecam.MecamError, match=r"training\.epoch: no such option; did you mean 'epochs'"):
        mecam.train(corpus, tmp_path / "no", set={"training.epoch": 3})
    assert not (tmp_path / "no").exists()


def test_metrics_are_those_of_the_file(run: mecam.Run) -> None:
    file = json.loads((run.path / "metrics.json").read_text(encoding="utf-8"))
    table = run.metrics("test")
    assert table.column("metric") == list(file["test"])
    for row in table:
        entry = file["test"][row["metric"]]
        assert (row["mean"], row["std"]) == (entry["mean"], entry["std"])
        assert [row["low"], row["high"]] == (entry["ci95"] or [None, None])
        assert row["constant"] == file["constant"]["test"][row["metric"]]["mean"]
        assert row["higher_is_better"] == (row["metric"] != "mae")
    assert list(dict.fromkeys(run.metrics().column("split"))) == ["test", "valid"]
    with pytest.raises(mecam.MecamError, match="no split 'tset'"):
        run.metrics("tset")


def test_predictions_are_those_of_the_file(run: mecam.Run) -> None:
    with (run.path / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = run.predictions()
    assert set(table.columns) == set(rows[0])
    assert [(r["split"], r["seed"], r["id"]) for r in table] == [(r["split"], int(r["seed"]), r["id"]) for r in rows]
    for ours, theirs in zip(table, rows, strict=True):
        assert ours["prediction"] == pytest.approx(float(theirs["prediction"]))
        assert (ours["text"] or "") == theirs["text"]
    assert len(run.predictions("valid")) + len(run.predictions("test")) == len(table)
    assert table.kinds["id"] == "text"
    assert run.history().column("epoch")[0] == 1


def test_a_run_evaluates_predicts_and_reports(run: mecam.Run, constant: mecam.Run, corpus: Store) -> None:
    assert run.evaluate(corpus, "valid").column("mean") == pytest.approx(run.metrics("valid").column("mean"))
    assert json.loads((run.path / "evaluations" / "corpus.json").read_text(encoding="utf-8"))["valid"]
    assert run.evaluate(split="test").column("split")[0] == "test"
    assert run.store().path.resolve() == corpus.path.resolve()
    assert run.predict("a superb film").score == run.predictor.predict_text("a superb film").score
    assert run.predictor is run.predictor
    page = run.report(against=[constant, constant.path][:1])
    assert page == run.path / "report.html"
    assert "Compared with other runs" in page.read_text(encoding="utf-8")


def test_a_folder_that_is_no_finished_run_is_one_error(run: mecam.Run, constant: mecam.Run, tmp_path: Path) -> None:
    with pytest.raises(mecam.MecamError, match="no run here"):
        mecam.Run(tmp_path / "nothing")
    with pytest.raises(mecam.MecamError, match="contains 2 runs"):
        mecam.Run(run.path.parent)
    (tmp_path / "config.yaml").write_text("model: constant\n")
    with pytest.raises(mecam.MecamError, match="not finished"):
        mecam.Run(tmp_path)
    with pytest.raises(mecam.MecamError, match="Run: path"):
        mecam.Run("")


# --- comparisons -------------------------------------------------------------------------------------------------


def test_a_comparison_is_that_of_the_command(run: mecam.Run, constant: mecam.Run, tmp_path: Path) -> None:
    made = mecam.compare({"text": run, "none": str(constant.path)}, baseline="none", out=tmp_path / "one")
    given = [f"text={run.path}", f"none={constant.path}", "--baseline", "none", "--out", str(tmp_path / "two")]
    assert main(["compare", *given]) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert made.page == tmp_path / "one" / "comparison.html"
    with (tmp_path / "one" / "comparison.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(made.columns) == list(rows[0])
    for ours, theirs in zip(made, rows, strict=True):
        assert (ours["run"], ours["metric"], ours["best"]) == (theirs["run"], theirs["metric"], theirs["best"] == "1")
        for name in ("mean", "low", "high", "p_best", "p_holm_baseline"):
            assert ours[name] == (float(theirs[name]) if theirs[name] else None)
    assert "Against none" in repr(made)
    assert made.to_pandas()["best"].dtype == "boolean"


def test_a_folder_of_runs_is_compared_whole(run: mecam.Run, constant: mecam.Run, corpus: Store) -> None:
    whole = mecam.compare(run.path.parent)
    listed = mecam.compare([constant, run])
    assert whole == listed
    assert whole.files == ()
    assert whole.page is None
    assert mecam.compare([constant, run], on=corpus, split="valid").details.split == "valid"
    with pytest.raises(mecam.MecamError, match="given twice"):
        mecam.compare([run, run.path])
    with pytest.raises(mecam.MecamError, match="nothing to compare"):
        mecam.compare([])


# --- what is wrong -----------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "a number for a store": (lambda: mecam.train(5, "out"), "data: expected .*Store.*, got int 5"),
    "no store": (lambda: mecam.train([], "out"), "no store in the list"),
    "a store twice": (lambda: mecam.train(["a", "a"], "out"), "given twice"),
    "a text for a weight": (lambda: mecam.train({"a": "much"}, "out"), "data: expected"),
    "a list for a folder": (lambda: mecam.train("a", ["out"]), r"out: expected str \| Path, got list"),
    "an empty folder": (lambda: mecam.train("a", ""), "must be a path, got an empty text"),
    "a text for a number": (lambda: mecam.train("a", "out", seeds="3"), r"seeds: expected int \| None, got str '3'"),
    "a truth for a number": (lambda: mecam.train("a", "out", seeds=True), "seeds: expected"),
    "a name that is close": (lambda: mecam.train("a", "out", seed=3), "did you mean 'seeds'"),
    "nothing at all": (lambda: mecam.train(), "missing a required argument"),
    "no such store": (lambda: mecam.train("nowhere", "out"), "nowhere"),
    "no such model": (lambda: mecam.train("nowhere", "out", model="x"), "there is no model 'x'"),
    "no paths": (lambda: mecam.import_data([], "out"), "no path in the list"),
    "bytes for paths": (lambda: mecam.import_data(b"x", "out"), "paths: expected"),
    "a task that is none": (lambda: mecam.import_data("x", "out", task="joy"), "describes no task"),
    "a number for a task": (lambda: mecam.import_data("x", "out", task=3), "task: expected"),
    "a rate that is none": (lambda: mecam.synth("out", negative_rate=2.0), "rate is in"),
    "a text for a rate": (lambda: mecam.synth("out", negative_rate="2"), "negative_rate: expected float"),
    "no recordings": (lambda: mecam.extract("nowhere", "out"), "nowhere"),
    "an extractor that is none": (lambda: mecam.extract(DEMO_CLIP, "out", extractor="no-such"), "no-such"),
    "a number for a run": (lambda: mecam.Run(3), r"path: expected str \| Path, got int 3"),
    "a number among runs": (lambda: mecam.compare(["a", 3]), "runs: expected"),
    "a number to be called": (lambda: mecam.compare("a", progress=3), "progress: expected"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_one_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call, told = WRONG[name]
    with pytest.raises(mecam.MecamError, match=told):
        call()
    assert list(tmp_path.iterdir()) == []


# --- notebooks ---------------------------------------------------------------------------------------------------


def test_a_notebook_shows_runs_stores_and_comparisons_as_text(
    run: mecam.Run, constant: mecam.Run, corpus: Store, tmp_path: Path
) -> None:
    hostile = mecam.Run(fake_run.make_run(tmp_path / "run<script>"))
    for shown in (run, corpus, mecam.compare([run, constant]), hostile, hostile.predictions("test"), run.metrics()):
        content = shown._repr_html_()
        assert tags_of(content) <= PLAIN_TAGS
        assert "http" not in content
    assert "&lt;script&gt;" in hostile._repr_html_()
    assert "&lt;script&gt;" in hostile.predictions("test")._repr_html_()
    assert "95 % interval" in hostile._repr_html_()
    assert repr(run) == f"Run({str(run.path)!r}: text_only on {corpus.name}, 2 seeds)"


def test_predictions_say_what_they_are() -> None:
    one = mecam.predict("I loved every minute of it")
    assert repr(one).startswith("Prediction(id='1', text='I loved every minute of it', ")
    assert one.to_table()[0]["label"] == "positive"
    assert repr(mecam.load()).startswith("BuiltIn(the built-in model")
