"""The command as a user meets it, on untrained runs: files, figures that agree with each other, clear errors."""

import csv
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

import tiny
from mecam.cli.main import main
from mecam.evaluation.metrics import metrics_for
from mecam.evaluation.predict import predict
from mecam.evaluation.robustness.assess import find_store
from mecam.evaluation.robustness.findings import best_of, mean_ranks
from mecam.evaluation.robustness.protocols import Plan, Summary
from mecam.evaluation.robustness.scores import Resample, RunScores, Value
from mecam.evaluation.statistics import metrics_table
from mecam.models.trained import load_checkpoint
from mecam.runs.run import RunFolder
from trained_runs import make_run


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """With as many recordings in its test split as intervals take."""
    task = tiny.TASKS["regression"]
    return tiny.write_store(tmp_path_factory.mktemp("stores") / "scores", task, tiny.utterances(task, 60))


@pytest.fixture(scope="module")
def run(store, encoder, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "filtered", "mecam", store, encoder, seeds=2)


@pytest.fixture(scope="module")
def text(store, encoder, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "words", "text_only", store, encoder)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def measured(run, text, store, out):
    """The results' folder of random missing data; the whole is measured once."""
    assert command(run, text, "--data", store.path, "--out", out, "--seeds", 2) == 0
    return out / "random-missing"


def command(*arguments) -> int:
    return main(["robustness", *map(str, arguments)])


def found(out, protocol: str) -> dict:
    return json.loads((out / protocol / "robustness.json").read_text(encoding="utf-8"))


def test_the_store_is_found_as_explain_finds_it(run, store, tmp_path, monkeypatch, capsys):
    """Beside the run, under its own name or another: known by the SHA-256 of its files."""
    moved = tmp_path / "runs" / "mine"
    shutil.copytree(run, moved)
    known = {"store": {"name": "tiny", "sha256": dict(store.manifest["sha256"])}}
    (moved / "config.yaml").write_text(json.dumps(known), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert command("runs/mine", "--protocol", "missing-modality") == 1
    assert "is not found" in capsys.readouterr().err
    shutil.copytree(store.path, tmp_path / "runs" / "mine-corpus")
    assert find_store([moved]).path.name == RunFolder(moved).store().path.name == "mine-corpus"
    assert command("runs/mine", "--protocol", "missing-modality") == 0


def test_random_missing_end_to_end(measured, run, text, store, out, capsys):
    result = found(out, "random-missing")
    assert result["mask_seeds"] == [1111, 1112]
    assert set(result["runs"]) == {"filtered", "words", "constant"}
    assert result["runs"]["filtered"]["seeds"] == [1, 2]
    for row in result["runs"].values():
        rates = [row["conditions"][key]["mae"]["mean"] for key in result["conditions"]]
        assert row["summaries"]["mean"]["mae"]["mean"] == pytest.approx(np.mean(rates[:-1]))
        area = 0.1 * (sum(rates) - (rates[0] + rates[-1]) / 2)
        assert row["summaries"]["auilc"]["mae"]["mean"] == pytest.approx(area)
        assert row["summaries"]["effective"]["mae"]["mean"] == pytest.approx(rates[0] - area)
        low, high = row["summaries"]["mean"]["mae"]["ci95"]
        assert low < row["summaries"]["mean"]["mae"]["mean"] < high
    assert len(set(rates)) == 1  # the constant predictor
    varied = result["runs"]["filtered"]["conditions"]
    assert len({entry["mae"]["mean"] for entry in varied.values()}) > 5
    assert varied["random-missing.0.5"]["filter_text"]["mean"] is not None
    assert "coverage" in varied["clean"]
    width = varied["clean"]["width"]  # in points of the scale: no share that could not pass 1
    assert 1 < width["ci95"][0] <= width["mean"] <= width["ci95"][1]
    assert result["runs"]["filtered"]["interval_width"] == pytest.approx(2 * 1.15)
    tested = result["tests"]["mean"]["mae"]
    assert {tested["best"], *tested["against"]} == {"filtered", "words"}

    cells = {path.name: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    assert len(cells) == 2 * 21 + 21
    capsys.readouterr()
    assert command(run, text, "--data", store.path, "--out", out, "--seeds", 2, "--json") == 0
    assert json.loads(capsys.readouterr().out) == result
    assert {path.name: path.stat().st_mtime_ns for path in (out / "cells").iterdir()} == cells


def test_clean_figures_are_those_of_an_evaluation(measured, run, store, out):
    seeds = []
    for seed in (1, 2):
        trained = load_checkpoint(run / "seeds" / str(seed))
        seeds.append(predict(trained.model, trained.dataset(store, store.split("test")), trained.collator))
    table = metrics_table(store.task, seeds, resample_seeds=True)
    for name, entry in table.items():
        ours = found(out, "random-missing")["runs"]["filtered"]["conditions"]["clean"][name]
        assert ours["per_seed"] == pytest.approx(entry["per_seed"], abs=1e-5)
        assert ours["mean"] == pytest.approx(entry["mean"], abs=1e-5)


def test_every_kind_of_file_tells_the_same(measured, out):
    result = found(out, "random-missing")
    folder = measured
    mean = result["runs"]["words"]["summaries"]["mean"]["mae"]["mean"]
    rows = list(csv.DictReader((folder / "robustness.csv").read_text(encoding="utf-8").splitlines()))
    line = next(r for r in rows if (r["run"], r["summary"], r["measure"]) == ("words", "mean", "mae"))
    assert float(line["mean"]) == mean
    shown = f"{mean:.3f}"
    for suffix in ("md", "tex", "html"):
        assert shown in (folder / f"robustness.{suffix}").read_text(encoding="utf-8")
    page = (folder / "robustness.html").read_text(encoding="utf-8")
    body = page.split('id="vega"')[0]
    assert not re.search(r'(src|href)="(?!#)', body)
    assert body.count('class="spec"') >= 5
    assert r"\bottomrule" in (folder / "robustness.tex").read_text(encoding="utf-8")


def test_corruptions_and_missing_modalities_end_to_end(run, text, store, out, capsys):
    place = ("--data", store.path, "--out", out, "--seeds", 1)
    assert command(run, "--protocol", "missing-modality", *place) == 0
    assert capsys.readouterr().out.strip().splitlines()[-1].endswith("missing-modality/robustness.html")
    assert len(found(out, "missing-modality")["conditions"]) == 15  # of four modalities, and clean is the whole
    patterns = "text.jumbled.*,audio.noise.*,vision.contradiction.*"
    assert command(run, text, "--protocol", "corruptions", "--only", patterns, *place) == 0
    result = found(out, "corruptions")
    kinds = {"text.jumbled", "audio.noise", "vision.contradiction"}
    assert set(result["summaries"]) == {"mean", "text", "audio", "vision", *kinds}
    assert set(result["ranks"]) == {"all", "text", "audio", "vision"}
    for places in result["ranks"].values():
        assert sum(place["mean"] for place in places.values()) == pytest.approx(3)  # the ranks of two
        assert all(place["ci95"][0] <= place["mean"] <= place["ci95"][1] for place in places.values())
    assert "Mean rank over the corruptions" in (out / "corruptions" / "robustness.md").read_text(encoding="utf-8")
    words = result["runs"]["words"]["conditions"]
    blind = [entry["mae"]["mean"] for key, entry in words.items() if not key.startswith("text")]
    assert blind == pytest.approx([words["clean"]["mae"]["mean"]] * len(blind), rel=1e-6)
    ours = result["runs"]["filtered"]["conditions"]
    assert ours["vision.contradiction.5"]["conflict_vision"]["mean"] is not None
    assert "filter_audio" in ours["audio.noise.3"]
    assert "words does not read audio" in capsys.readouterr().err
    page = (out / "corruptions" / "robustness.html").read_text(encoding="utf-8")
    assert "Heat maps" in page
    assert "Mean rank over the corruptions" in page
    assert "mae per corruption and run" in page
    assert "mae of words per corruption and severity" in page


def test_whether_the_filter_matters_end_to_end(run, text, store, out, tmp_path, capsys):
    place = ("--protocol", "permutation", "--data", store.path, "--seeds", 2)
    only = "*.gates.exchanged,*.weights.inverted,audio.burst.3"
    assert command(run, *place, "--out", out, "--corrupted", "audio.burst.3", "--only", only) == 0
    assert "change of the mean absolute error" in capsys.readouterr().out
    result = found(out, "permutation")
    changes = result["runs"]["filtered"]["changes"]
    assert {key.rpartition(".")[0] for key in changes} == {
        f"{data}.{part}" for data in ("clean", "audio.burst.3") for part in ("gates", "weights")
    }
    for key, changed in changes.items():
        assert result["conditions"][key]["class"] == "Intervention"
        found_here = changed["all"]["metrics"]["mae"]
        base = result["conditions"][key]["corruption"]["key"]
        after, before = (result["runs"]["filtered"]["conditions"][k]["mae"]["mean"] for k in (key, base))
        assert found_here["value"] == pytest.approx(after - before, abs=1e-5)
        assert found_here["ci95"][0] <= found_here["value"] <= found_here["ci95"][1]
    page = (out / "permutation" / "robustness.html").read_text(encoding="utf-8")
    assert "gates exchanged" in page
    assert "Heat maps" not in page
    for arguments, says in (
        ((text, *place), "neither gates nor modality weights"),
        ((run, *place, "--corrupted", "audio.sabotage.3"), "audio.sabotage.3"),
        ((run, "--data", store.path, "--corrupted", "audio.burst.3"), "--corrupted"),
    ):
        assert command(*arguments, "--out", tmp_path / "x") == 1
        assert says in capsys.readouterr().err


def test_several_protocols_give_one_mean_rank(run, text, store, out, tmp_path, capsys):
    place = ("--data", store.path, "--seeds", 1, "--only", "blocks.0.[1-3],imbalanced.audio.0.9")
    assert command(run, text, "--protocol", "blocks,imbalanced", *place, "--out", out) == 0
    assert "Mean rank over all protocols" in capsys.readouterr().out
    joint = json.loads((out / "mean_rank.json").read_text(encoding="utf-8"))
    assert joint["protocols"] == ["blocks", "imbalanced"]
    single = [found(out, protocol)["ranks"]["all"] for protocol in joint["protocols"]]
    for name in ("filtered", "words"):
        means = [ranks[name]["mean"] for ranks in single]
        assert [joint["ranks"][protocol][name]["mean"] for protocol in joint["protocols"]] == means
        assert joint["ranks"]["all"][name]["mean"] == pytest.approx((3 * means[0] + means[1]) / 4)
        low, high = joint["ranks"]["all"][name]["ci95"]
        assert low <= joint["ranks"]["all"][name]["mean"] <= high
    assert (out / "imbalanced" / "robustness.html").read_text(encoding="utf-8").count('class="spec"') >= 1
    assert command(run, "--protocol", "blocks,sabotage", *place, "--out", tmp_path / "x") == 1
    assert "sabotage" in capsys.readouterr().err


def test_classes_have_a_calibration_error_and_a_single_run_its_own_folder(encoder, tmp_path, capsys):
    task = tiny.TASKS["classes"]
    store = tiny.write_store(tmp_path / "store", task, tiny.utterances(task, modalities=("audio", "vision")))
    run = make_run(tmp_path / "run", "late_fusion", store, encoder)
    assert command(run, "--data", store.path, "--protocol", "missing-modality") == 0
    entry = found(run / "robustness", "missing-modality")["runs"]["run"]["conditions"]["present.audio"]
    assert 0 <= entry["ece"]["mean"] <= 1
    assert command(run, "--data", store.path, "--protocol", "corruptions", "--only", "text.*") == 1
    assert "text.*" in capsys.readouterr().err


def test_what_cannot_be_measured_is_said(run, text, store, tmp_path, capsys):
    for arguments, says in (
        ((run, text), "--out"),
        ((tmp_path,), "no checkpoint"),
        ((run, "--data", store.path, "--protocol", "sabotage"), "sabotage"),
        ((run, "--data", store.path, "--split", "dev"), "dev"),
        ((run,), "--data"),
        ((run, "--data", tmp_path), str(tmp_path)),
        ((run, run, "--data", store.path, "--out", tmp_path / "x"), "twice"),
    ):
        assert command(*arguments) == 1, arguments
        error = capsys.readouterr().err
        assert says in error
        assert "Traceback" not in error
    assert not (tmp_path / "x").exists()
    assert not (run / "robustness").exists()


def test_the_best_of_a_loss_is_the_smallest():
    metric = metrics_for(tiny.TASKS["classes"])["accuracy"]

    def scored(name: str, number: float) -> RunScores:
        value = Value(np.array([number]), None)
        return RunScores(name, name, "", (1,), (), None, {}, {"s": {metric.name: value}}, {})

    runs = [scored("a", 0.2), scored("b", 0.5), scored("c", np.nan)]
    assert best_of(runs, Summary("s", "", {}), metric) == 1
    assert best_of(runs, Summary("s", "", {}, loss=True), metric) == 0
    assert best_of(runs[2:], Summary("s", "", {}), metric) is None


def test_mean_ranks_by_hand():
    def scored(name: str, *numbers: float, drawn: bool = True) -> RunScores:
        values = [Value(np.array([n, n + 0.1]), np.array([n, -n], float) if drawn else None) for n in numbers]
        kinds = dict(zip(("text.a", "audio.b", "audio.c"), ({"mae": value} for value in values), strict=True))
        return RunScores(name, name, "", (1, 2), (), None, {}, {"mean": {"mae": values[0]}, **kinds}, {})

    plan = Plan("corruptions", (), tuple(Summary(name, "", {}) for name in ("mean", "text.a", "audio.b", "audio.c")))
    mae = metrics_for(tiny.TASKS["regression"])["mae"]
    runs = [scored("x", 1, 1, 2), scored("y", 2, 3, 2), scored("z", 3, 2, 5)]
    ranks = mean_ranks(runs, plan, mae)
    means = {group: {name: place.mean for name, place in places.items()} for group, places in ranks.items()}
    assert means["text"] == {"x": 1, "y": 2, "z": 3}
    assert means["audio"] == {"x": 1.25, "y": 2.25, "z": 2.5}
    assert means["all"] == pytest.approx({"x": 3.5 / 3, "y": 6.5 / 3, "z": 8 / 3})
    low, high = ranks["text"]["x"].ci95  # first in one draw, last in the other
    assert (low, high) == pytest.approx((1.05, 2.95))
    assert mean_ranks([scored("x", 1, 1, 2, drawn=False), runs[1]], plan, mae)["all"]["x"].ci95 is None
    runs[0].summaries["audio.b"]["mae"].per_seed[:] = np.nan
    assert mean_ranks(runs, plan, mae)["audio"]["x"].mean == 1.5  # what is undefined ranks nobody
    runs[1].summaries["audio.c"]["mae"].drawn[0] = np.nan
    assert all(np.isfinite(mean_ranks(runs, plan, mae)["all"]["z"].ci95))
    higher = mean_ranks(runs, plan, replace(mae, higher_is_better=True))
    assert higher["text"]["z"].mean == 1
    assert mean_ranks(runs[:1], plan, mae) == {}
    assert mean_ranks(runs, Plan("random-missing", (), plan.summaries[:1]), mae) == {}


def test_the_resampled_mean_by_hand():
    resample = Resample(groups=3, resamples=4000)
    values = np.array([[1.0, 2.0], [5.0, 6.0]])  # two seeds, two masks
    drawn = np.repeat(values[:, :, None], 4000, axis=2)
    together = resample.mean(values, drawn, share=False)
    assert together.per_seed.tolist() == [1.5, 5.5]
    assert together.drawn.mean() == pytest.approx(3.5, abs=0.1)
    # Two seeds drawn with replacement: both of one kind in half of the draws. The masks' own part is far smaller.
    assert together.drawn.std() == pytest.approx(np.sqrt(4 / 2 + 0.25 / 2), rel=0.05)
