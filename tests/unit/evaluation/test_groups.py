"""Who is resampled: speakers where they are named and fewer than the recordings; and when nobody is."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny
from mecam.data.store import Store
from mecam.evaluation.comparison.comparison_table import compare
from mecam.evaluation.comparison.run_results import read_run_results
from mecam.evaluation.groups import MIN_GROUPS, Groups, resample_groups
from mecam.evaluation.metrics import metrics_for
from mecam.evaluation.statistics import central, metrics_table, paired_permutation_test
from mecam.report.format import interval
from mecam.report.run_page import write_report
from mecam.runs.config import RunConfig
from mecam.runs.predictions import read_predictions, write_predictions
from mecam.runs.run import RunFolder
from mecam.task import Classes, Regression
from mecam.training.run import train
from mecam.types import Predictions

SCORES, CLASSES = Regression(), Classes(("a", "b"))


def of_speakers(speakers: int, clips: int = 10, seed: int = 0) -> Predictions:
    """Each speaker in many recordings, whose errors are all alike: what a speaker does, they do in all of them."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(speakers), clips)
    names = tuple(f"s{i}" for i in who)
    clip = tuple(f"c{i}" for i in range(len(who)))
    error = rng.normal(0, 1, speakers)[who]
    return Predictions(clip, clip, error, np.zeros(len(who)), speakers=names)


def test_speakers_where_they_are_fewer() -> None:
    one = of_speakers(8)
    assert (Groups.of(one).unit, Groups.of(one).count) == ("speakers", 8)
    assert (Groups.of(replace(one, speakers=())).unit, Groups.of(replace(one, speakers=())).count) == ("recordings", 80)
    half = replace(one, speakers=("", *one.speakers[1:]))
    assert Groups.of(half).unit == "recordings", "not all are named"
    talks = replace(one, videos=tuple(name[:1] for name in one.ids))
    assert Groups.of(talks).unit == "recordings", "fewer than the speakers"
    assert Groups.among(("b", "a", "b"), ()).numbers.tolist() == [0, 1, 0]


def test_an_interval_over_speakers_is_as_wide_as_speakers_differ() -> None:
    one = of_speakers(12)
    wide = metrics_table(SCORES, [one])["mae"]["ci95"]
    narrow = metrics_table(SCORES, [replace(one, speakers=())])["mae"]["ci95"]
    single = of_speakers(12, clips=1)
    assert wide == pytest.approx(metrics_table(SCORES, [single])["mae"]["ci95"])
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_a_test_swaps_speakers() -> None:
    """Three speakers can be swapped in eight ways: no p-value is below a quarter."""
    one = of_speakers(3)
    better = replace(one, prediction=one.prediction / 10)
    found = paired_permutation_test(SCORES, [better], [one], "mae", permutations=2000)
    assert found.p_value is not None
    assert found.p_value > 0.2
    assert found.ci95 is None
    apart = paired_permutation_test(SCORES, [replace(better, speakers=())], [replace(one, speakers=())], "mae")
    assert apart.p_value is not None
    assert apart.p_value < 0.01


def test_too_few_say_nothing() -> None:
    rng = np.random.default_rng(0)
    assert resample_groups(MIN_GROUPS - 1, 10, rng) is None
    assert resample_groups(MIN_GROUPS, 10, rng) is not None
    assert metrics_table(SCORES, [of_speakers(MIN_GROUPS - 1)])["mae"]["ci95"] is None
    assert metrics_table(SCORES, [of_speakers(MIN_GROUPS)])["mae"]["ci95"] is not None
    resampled = Groups.of(of_speakers(3)).resampled
    assert resampled.of(30, 30) == (
        "30 utterances of 30 recordings by 3 speakers, which intervals and tests resample; "
        "3 speakers are too few for confidence intervals (6 at least)"
    )
    assert Groups.among(tuple(map(str, range(9))), ()).resampled.of(9, 9) == "9 utterances of 9 recordings"


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("groups", [6, 20, 200])
def test_nothing_is_certain(right: bool, groups: int) -> None:
    """All right or all wrong in every recording: Clopper's and Pearson's interval, as scipy has it."""
    from scipy.stats import binomtest

    clip = tuple(f"c{i}" for i in range(groups))
    odds = np.tile([0.9, 0.1], (groups, 1))
    one = Predictions(clip, clip, odds, np.zeros(groups) if right else np.ones(groups))
    expected = binomtest(groups if right else 0, groups).proportion_ci(0.95, "exact")
    found = metrics_table(CLASSES, [one])["accuracy"]["ci95"]
    assert found == pytest.approx([expected.low, expected.high])
    assert central(np.full(100, 0.5), groups=groups) == (0.5, 0.5)
    assert central(np.ones(100)) == (1.0, 1.0), "of a metric that is no share"


@pytest.fixture(scope="module")
def run(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on data of twenty recordings a split, whose test split has four speakers."""
    folder = tmp_path_factory.mktemp("spoken")
    task = tiny.TASKS["regression"]
    spoken = [replace(u, speaker=f"{u.split}-{i % 4}") for i, u in enumerate(tiny.utterances(task, 60))]
    store: Store = tiny.write_store(folder / "s", task, [replace(u, video=u.id) for u in spoken])
    model = {"name": "text_only", "encoder": encoder}
    config = RunConfig.decode({"model": model, "training": {"epochs": 1, "precision": "32"}, "accelerator": "cpu"})
    return train(config, store, folder / "run")


def test_speakers_reach_the_files_and_the_report(run: Path) -> None:
    record = RunFolder.open(run)
    count = Groups.of(record.predictions["test"][0]).count
    assert count <= 4
    assert record.metrics["resampled"]["test"] == {"unit": "speakers", "count": count}
    assert record.metrics["test"]["mae"]["ci95"] is None
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        assert all(row["speaker"].startswith(row["split"]) for row in csv.DictReader(file))
    page = write_report(run).read_text("utf-8")
    assert f"bootstrap over {count} speakers, too few for an interval" in page
    assert "too few</td>" in page
    assert not re.search(r"100\.0 to 100\.0", page)


def test_runs_are_compared_by_the_speakers_that_one_of_them_names(run: Path, tmp_path: Path) -> None:
    """An older run kept no speakers: both are resampled alike all the same."""
    import shutil

    older = tmp_path / "older"
    shutil.copytree(run, older)
    shutil.rmtree(older / "seeds")
    facts = json.loads((older / "environment.json").read_text("utf-8"))
    del facts["files"]
    (older / "environment.json").write_text(json.dumps(facts), "utf-8")
    rows = list(csv.DictReader((older / "predictions.csv").read_text("utf-8").splitlines()))
    with (older / "predictions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [key for key in rows[0] if key != "speaker"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    for order in ((run, older), (older, run)):
        task, split, run_results = read_run_results(order)
        comparison = compare(run_results, task, split, permutations=10)
        assert comparison.resampled == Groups.of(RunFolder.open(run).predictions["test"][0]).resampled
        assert len({str(c.predictions[0].speakers) for c in run_results}) == 1


def test_a_difference_of_shares_is_in_points() -> None:
    accuracy = metrics_for(CLASSES)["accuracy"]
    assert interval((-0.274, -0.095), accuracy, points=True) == "−27.4 to −9.5 points"
    assert interval((0.274, 0.395), accuracy) == "27.4 to 39.5 %"
    assert interval((-0.2, 0.1), metrics_for(SCORES)["mae"], points=True) == "−0.200 to 0.100"


def test_speakers_survive_the_files_of_a_seed(tmp_path: Path) -> None:
    one = of_speakers(3)
    write_predictions(tmp_path / "a.npz", one)
    assert read_predictions(tmp_path / "a.npz").speakers == one.speakers
    write_predictions(tmp_path / "b.npz", replace(one, speakers=()))
    assert read_predictions(tmp_path / "b.npz").speakers == ()
