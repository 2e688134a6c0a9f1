"""Runs side by side: what may be compared, what is best, what is tied."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mecam.cli import main
from mecam.errors import DataError, TrainingError
from mecam.evaluation.comparison import ComparisonTable, compare, read_run_results
from mecam.evaluation.metrics import score
from mecam.evaluation.statistics import holm, metrics_table
from mecam.task import Classes, Labels, Regression, Task
from mecam.types import Predictions

TASK = Regression()
CLASSES = Classes(("anger", "calm", "joy"))
LABELS = Labels(("happy", "sad"))
RNG = np.random.default_rng(0)
TRUTH = np.round(RNG.uniform(-3, 3, 60), 1)


def answer(noise: float, seed: int) -> np.ndarray:
    return TRUTH + np.random.default_rng(seed).normal(0, noise, len(TRUTH))


def write_run(
    folder: Path,
    seeds: Sequence[Any],
    *,
    task: Task = TASK,
    truth: Sequence[Any] = TRUTH.tolist(),
    split: str = "test",
    order: Sequence[int] | None = None,
    prior: tuple[float, ...] = (0.0,),
    **facts: Any,
) -> Path:
    """A run folder with what a comparison reads; utterance i belongs to recording i // 4."""
    folder.mkdir(parents=True)
    rows = []
    for number, values in enumerate(seeds):
        for i in order if order is not None else range(len(truth)):
            row = {"split": split, "seed": 1111 + number, "id": f"u{i}", "video": f"v{i // 4}", "truth": truth[i]}
            odds = np.atleast_1d(values[i])
            if task.kind == "regression":
                rows.append({**row, "prediction": float(odds[0])})
            else:
                rows.append({**row, "prediction": "", **{f"prob_{n}": odds[c] for c, n in enumerate(task.names)}})
    with (folder / "predictions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    environment = {
        "model": "mecam",
        "seeds": list(range(len(seeds))),
        "parameters": 22_900_000,
        "parameters_beside_text": 300_000,
        "utterances_per_second": 51.5,
        "peak_memory_mb": 2048,
        "seconds": 120.0 * len(seeds),
        "command": f"mecam train --out {folder.name}",
        "data": {"name": "films & more", "sha256": {"a": "0"}, "task": task.to_json(), "synthetic": False},
        **facts,
    }
    (folder / "environment.json").write_text(json.dumps(environment))
    (folder / "metrics.json").write_text("{}")
    (folder / "config.yaml").write_text("model: mecam\n")
    (folder / "history.csv").write_text("seed,epoch,seconds,best\n1111,1.0,3.0,0\n1111,2.0,5.0,1\n")
    (folder / "checkpoint").mkdir()
    (folder / "checkpoint" / "config.json").write_text(json.dumps({"inputs": {"prior": prior}}))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return {
        name: write_run(folder / name, [answer(noise, seed) for seed in seeds], order=order)
        for name, noise, seeds, order in (
            ("sharp", 0.3, (1, 2, 3), None),
            ("like_sharp", 0.31, (4, 5, 6), list(reversed(range(60)))),  # the same utterances in another order
            ("blunt", 1.2, (7, 8, 9), None),
        )
    }


@pytest.fixture(scope="module")
def comparison(runs: dict[str, Path]) -> ComparisonTable:
    task, split, run_results = read_run_results(list(runs.values()))
    return compare(run_results, task, split, baseline="sharp", permutations=2000)


def row(comparison: ComparisonTable, name: str) -> Any:
    return next(row for row in comparison.rows if row.name == name)


def test_rows_and_costs(comparison: ComparisonTable) -> None:
    assert [r.name for r in comparison.rows] == ["sharp", "like_sharp", "blunt", "constant"]
    assert (comparison.split, comparison.utterances, comparison.videos) == ("test", 60, 15)
    facts = row(comparison, "blunt").facts
    assert facts == {
        **{"parameters": 22_900_000, "parameters_beside_text": 300_000, "utterances_per_second": 51.5},
        **{"peak_memory_mb": 2048, "seconds_per_seed": 120.0, "seconds_per_epoch": 4.0, "epochs": 2 / 3},
    }
    assert row(comparison, "constant").facts == {}


def test_scores_are_those_of_the_predictions(comparison: ComparisonTable) -> None:
    for name, noise, seeds in (("sharp", 0.3, (1, 2, 3)), ("blunt", 1.2, (7, 8, 9))):
        values = [score(TASK, answer(noise, seed), TRUTH) for seed in seeds]
        for metric, found in row(comparison, name).scores.items():
            assert found.per_seed == pytest.approx([value[metric] for value in values])
            assert found.mean == pytest.approx(np.mean([value[metric] for value in values]))
            assert found.ci95[0] <= found.mean <= found.ci95[1]
    constant = row(comparison, "constant").scores
    assert constant["mae"].mean == pytest.approx(np.abs(TRUTH).mean())
    assert constant["corr"].mean is None


def test_the_best_the_tied_and_the_worse(comparison: ComparisonTable) -> None:
    for metric in comparison.metrics.values():
        means = {r.name: r.scores[metric.name].mean for r in comparison.rows if r.name != "constant"}
        best = (max if metric.higher_is_better else min)(means, key=lambda name: means[name])
        assert [r.name for r in comparison.rows if r.scores[metric.name].best] == [best]
        assert row(comparison, best).scores[metric.name].against_best is None
    mae = {r.name: r.scores["mae"] for r in comparison.rows}
    assert mae["blunt"].against_best.p_holm < 0.01
    assert not mae["blunt"].tied
    other = next(s for name, s in mae.items() if name in ("sharp", "like_sharp") and not s.best)
    assert other.tied
    assert other.against_best.p_holm > 0.05
    assert not mae["constant"].tied
    assert mae["constant"].against_best is None


def test_each_family_of_tests_is_adjusted_by_holm(comparison: ComparisonTable) -> None:
    for metric in comparison.metrics:
        for which in ("against_best", "against_baseline"):
            family = [d for r in comparison.rows if (d := getattr(r.scores[metric], which)) is not None]
            assert len(family) == 2
            assert [d.p_holm for d in family] == pytest.approx(holm([d.p_value for d in family]))


def test_the_baseline(comparison: ComparisonTable, runs: dict[str, Path]) -> None:
    gap = row(comparison, "blunt").scores["mae"].against_baseline
    assert gap.value == pytest.approx(
        row(comparison, "blunt").scores["mae"].mean - row(comparison, "sharp").scores["mae"].mean
    )
    assert gap.ci95[0] < gap.value < gap.ci95[1]
    assert gap.significant
    assert row(comparison, "sharp").scores["mae"].against_baseline is None
    task, split, run_results = read_run_results([runs["blunt"]])
    alone = compare(run_results, task, split, baseline="constant", permutations=500)
    assert row(alone, "blunt").scores["mae"].against_baseline.p_value < 0.05
    with pytest.raises(DataError, match="no run is called 'shrap'") as caught:
        compare(run_results, task, split, baseline="shrap")
    assert "blunt, constant" in str(caught.value)


def test_the_interval_covers_other_seeds_too() -> None:
    """Seeds that differ much must widen it, however many utterances there are."""
    truth = np.zeros(400)
    videos = tuple(f"v{i}" for i in range(400))
    ids = tuple(f"u{i}" for i in range(400))
    seeds = [Predictions(ids, videos, np.full(400, level), truth) for level in (0.5, 1.0, 1.5)]
    assert metrics_table(TASK, seeds)["mae"]["ci95"] == pytest.approx([1.0, 1.0])
    low, high = metrics_table(TASK, seeds, resample_seeds=True)["mae"]["ci95"]
    assert low < 0.7
    assert high > 1.3
    one = metrics_table(TASK, seeds[:1], resample_seeds=True)["mae"]["ci95"]
    assert one == pytest.approx([0.5, 0.5])


def test_runs_of_unequal_seeds_are_tested_on_those_that_both_have(runs: dict[str, Path], tmp_path: Path) -> None:
    two = write_run(tmp_path / "two", [answer(1.2, 20), answer(1.2, 21)])
    task, split, run_results = read_run_results([runs["sharp"], two])
    found = compare(run_results, task, split, permutations=500)
    assert row(found, "two").seeds == 2
    assert row(found, "two").scores["mae"].against_best.p_value < 0.05
    assert any("2, 3 seeds" in note for note in found.notes)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"task": CLASSES, "truth": ["joy"] * 60, "seeds": [np.eye(3)[[0] * 60]]}, DataError, "different tasks"),
        ({"truth": TRUTH[:59].tolist()}, DataError, "59 here, 59 in both"),
        ({"truth": [*TRUTH[:59].tolist(), 2.97]}, DataError, "in 1 utterances, the first is u59"),
        ({"split": "valid"}, DataError, "no labelled predictions of valid"),
    ],
    ids=["task", "utterances", "truth", "split"],
)
def test_what_cannot_be_compared(
    change: dict[str, Any], kind: type[Exception], message: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    seeds = change.pop("seeds", [answer(0.5, 1)])
    other = write_run(tmp_path / "other", seeds, **change)
    with pytest.raises(kind, match=message):
        read_run_results([runs["sharp"], other])


@pytest.mark.parametrize("name", ["predictions.csv", "environment.json", "history.csv", "metrics.json"])
def test_a_file_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [answer(0.5, 1)])
    (run / name).unlink()
    with pytest.raises(TrainingError, match=name):
        read_run_results([run])


def test_a_run_without_its_checkpoint_is_compared_without_the_constant_predictor(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [answer(0.5, 1)])
    (run / "checkpoint" / "config.json").unlink()
    assert [c.name for c in read_run_results([run])[2]] == ["run"]


def test_names_tell_folders_apart(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / part / "run", [answer(0.5, 1)]) for part in "ab"]
    assert [c.name for c in read_run_results(folders)[2]] == ["a/run", "b/run", "constant"]
    with pytest.raises(DataError, match="given twice"):
        read_run_results([folders[0], folders[0]])


def test_runs_are_called_what_the_command_calls_them(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["compare", f"ours={runs['sharp']}", str(runs["blunt"]), "--baseline", "ours", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "ours" in told
    content = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert [r["name"] for r in content["rows"]] == ["ours", "blunt", "constant"]
    assert main(["compare", f"a={runs['sharp']}", f"a={runs['blunt']}"]) == 1
    assert main(["compare", str(runs["sharp"]), f"a={runs['sharp']}"]) == 1
    told = capsys.readouterr().err
    assert "two runs have the name 'a'" in told
    assert "given twice" in told


def test_classes_and_labels(tmp_path: Path) -> None:
    truth = [CLASSES.names[i % 3] for i in range(60)]
    good = np.eye(3)[[i % 3 for i in range(60)]] * 0.8 + 0.1
    runs = [write_run(tmp_path / "c1", [good], task=CLASSES, truth=truth, prior=(0.0, 0.0, 1.0))]
    runs.append(write_run(tmp_path / "c2", [good[::-1]], task=CLASSES, truth=truth))
    found = compare(read_run_results(runs)[2], CLASSES, "test", permutations=500)
    assert row(found, "c1").scores["accuracy"].mean == 1.0
    assert row(found, "constant").scores["accuracy"].mean == pytest.approx(1 / 3)
    names = [("happy", "sad", "happy|sad", "")[i % 4] for i in range(60)]
    odds = np.array([[[0.9, 0.1], [0.1, 0.9], [0.9, 0.9], [0.1, 0.1]][i % 4] for i in range(60)])
    run = write_run(tmp_path / "l", [odds], task=LABELS, truth=names, prior=(0.0, 0.0))
    found = compare(read_run_results([run])[2], LABELS, "test", permutations=500)
    assert row(found, "l").scores["f1_mean"].mean == 1.0


def test_the_budget_of_every_run_is_stated(tmp_path: Path) -> None:
    """What was set for all alike is a note; what was set for one is its own; a search says how large it was."""
    runs = {}
    for name, text in {
        "plain": "",
        "set": "  unimodal: 0.9\n",
        "tuned": "  dropout: 0.4\ntuned: 30 trials\n",
    }.items():
        runs[name] = write_run(tmp_path / name, [answer(0.5, len(name))])
        shared = "training:\n  epochs: 6\n  seed: 5\n"
        (runs[name] / "config.yaml").write_text(f"{shared}model:\n  name: mecam\n  gone: 1\n{text}")
    task, split, run_results = read_run_results(list(runs.values()))
    found = compare(run_results, task, split, permutations=100)
    assert [r.budget for r in found.rows] == ["defaults", "defaults, 1 set", "tuned with 30 trials", ""]
    assert row(found, "set").settings == ("model.unimodal=0.9", "training.epochs=6")
    assert any(note == "Set for all runs: training.epochs=6." for note in found.notes)
    assert any("searches of different size: 30 trials, none" in note for note in found.notes)
