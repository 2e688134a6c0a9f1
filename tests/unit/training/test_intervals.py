"""The interval around a score: as wide as validation asks for, and wider where data is missing."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny
from mecam.data.store import Store
from mecam.errors import DataError, ModelError
from mecam.evaluation.calibration import LEVEL, RATES, half_width, widening, with_missing
from mecam.evaluation.predict import calibrated, predict
from mecam.evaluation.robustness.cells import read_cell
from mecam.evaluation.robustness.conditions import CLEAN, RandomMissing
from mecam.evaluation.robustness.evaluation_split import read_split
from mecam.evaluation.robustness.measure import jobs_of, measure
from mecam.evaluation.robustness.scores import calibration_metrics, seen_by
from mecam.models.calibration import IntervalScale
from mecam.models.trained import Trained, load_checkpoint
from mecam.prediction.predictor import Predictor
from mecam.report.run_page import write_report
from mecam.runs.config import RunConfig
from mecam.runs.predictions import interval_around, read_predictions, write_predictions
from mecam.runs.run import RunFolder
from mecam.runs.seed import SeedResult
from mecam.training.run import train


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    task = tiny.TASKS["regression"]
    return tiny.write_store(tmp_path_factory.mktemp("stores") / "hundred", task, tiny.utterances(task, 100))


@pytest.fixture(scope="module")
def run(store: Store, encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = {"name": "mecam", "encoder": encoder, "width": 16, "layers": 1}
    config = RunConfig.decode({"model": model, "training": {"epochs": 1, "precision": "32"}, "accelerator": "cpu"})
    return train(config, store, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def trained(run: Path) -> Trained:
    """With slopes of its own, so that what is not widened would show."""
    found = load_checkpoint(run)
    assert found.checkpoint.widening is not None
    slope = {modality: 0.5 + i for i, modality in enumerate(found.model.reads)}
    return replace(
        found, checkpoint=replace(found.checkpoint, widening=IntervalScale(found.checkpoint.widening.usual, slope))
    )


def test_whole_is_one_and_every_loss_adds() -> None:
    wider = IntervalScale({"text": 0.0, "audio": 0.2}, {"text": 2.0, "audio": 0.5})
    lost = {"text": np.array([0.0, 0.5, 1.0, 0.0]), "audio": np.array([0.2, 0.1, 1.0, 0.6])}
    np.testing.assert_allclose(wider(lost), [1.0, 2.0, 3.5, 1.25])
    assert IntervalScale.from_json(json.loads(json.dumps(wider.to_json()))) == wider
    with pytest.raises(DataError, match="audio"):
        wider({"text": lost["text"]})


def test_where_a_modality_is_lost_the_learned_interval_holds_as_often_as_promised(run: Path, store: Store) -> None:
    """On the very utterances that it was learned from, which the conformal quantile guarantees."""
    trained = load_checkpoint(run)
    valid = trained.dataset(store, store.split("valid"))
    whole = predict(trained.model, valid, trained.collator)
    width = half_width(store.task, whole)
    assert width is not None
    assert whole.truth is not None
    learned = widening(trained, valid, whole, width / 2, seed=5)  # of half the width, so that something is asked for
    assert learned == widening(trained, valid, whole, width / 2, seed=5)
    trained = replace(trained, checkpoint=replace(trained.checkpoint, widening=learned))
    rates = (*RATES, 1.0)
    for modality in trained.model.reads:
        spoilt = with_missing(trained, valid, lambda i: rates[i % len(rates)], 5, "interval", only=(modality,))
        said = calibrated(trained, predict(trained.model, spoilt, trained.collator))
        asked = said.interval_half_widths(1.0) > 1 if learned.slope[modality] > 0 else np.zeros(len(said), bool)
        held = np.abs(said.prediction - whole.truth) <= said.interval_half_widths(width / 2) + 1e-9
        if asked.any():
            assert held[asked].sum() >= min(asked.sum(), math.ceil((asked.sum() + 1) * LEVEL))
    assert any(slope > 0 for slope in learned.slope.values())


def test_only_the_named_modality_loses_anything(trained: Trained, store: Store) -> None:
    valid = trained.dataset(store, store.split("valid"))
    spoilt = with_missing(trained, valid, lambda _: 1.0, 1, "interval", only=("audio",))
    for before, after in zip(valid, spoilt, strict=True):
        assert {span.modality for span in {*after.injected} - {*before.injected}} <= {"audio"}
        assert after.tokens == before.tokens
        for modality, rows in after.streams.items():
            same = np.array_equal(rows, before.streams[modality], equal_nan=True)
            assert same == (modality != "audio")


def test_the_run_keeps_it_and_its_files_agree(run: Path, store: Store) -> None:
    trained = load_checkpoint(run)
    result = SeedResult.read(run / "seeds" / "1111")
    assert result is not None
    assert result.half_width is not None
    kept = result.predictions["test"]
    again = calibrated(trained, predict(trained.model, trained.dataset(store, store.split("test")), trained.collator))
    assert kept.interval_scales is not None
    assert again.interval_scales is not None
    np.testing.assert_allclose(kept.interval_scales, again.interval_scales)
    assert kept.truth is not None
    inside = np.abs(kept.prediction - kept.truth) <= kept.interval_half_widths(result.half_width)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["calibration"]["coverage"]["test"] == pytest.approx(inside.mean())


def test_factors_survive_the_files_of_a_seed(tmp_path: Path, trained: Trained, store: Store) -> None:
    said = calibrated(trained, predict(trained.model, trained.dataset(store, store.split("test")), trained.collator))
    assert said.interval_scales is not None
    write_predictions(tmp_path / "some.npz", said)
    np.testing.assert_array_equal(read_predictions(tmp_path / "some.npz").interval_scales, said.interval_scales)
    write_predictions(tmp_path / "none.npz", replace(said, interval_scales=None))
    assert read_predictions(tmp_path / "none.npz").interval_scales is None


def test_an_answer_without_sound_is_less_sure(trained: Trained, store: Store) -> None:
    calibrated = replace(trained, checkpoint=replace(trained.checkpoint, calibration={"0.9": 0.05}))
    (answer,) = Predictor(calibrated).predict(["it was good"])
    assert answer.low is not None
    assert answer.high is not None
    absent = sum(slope for modality, slope in calibrated.checkpoint.widening.slope.items() if modality != "text")  # type: ignore[union-attr]
    assert answer.high - answer.low == pytest.approx(0.1 * (1 + absent), rel=1e-5)


def test_robustness_measures_the_interval_that_grew(run: Path, trained: Trained, store: Store, tmp_path: Path) -> None:
    material = read_split(store, "test", raw_text=True)
    conditions = [CLEAN, RandomMissing.at(0.5)]
    jobs = jobs_of(run / "seeds" / "1111" / "checkpoint", material, conditions, [7], tmp_path)
    measure(trained, material, jobs)
    cells = [read_cell(job.path, material)[0] for job in jobs]
    metrics = {metric.name: metric for metric in calibration_metrics(store.task, 0.4)}
    for said in cells:
        assert said.interval_scales is not None
        assert said.truth is not None
        half = 0.4 * said.interval_scales
        found = {}
        for name, metric in metrics.items():
            seen = seen_by(name, said)
            found[name] = metric(seen.prediction, seen.truth)
        assert found["coverage"] == pytest.approx((np.abs(said.prediction - said.truth) <= half).mean())
        low, high = (np.clip(said.prediction + sign * half, store.task.low, store.task.high) for sign in (-1, 1))
        assert found["width"] == pytest.approx((high - low).mean())
    assert cells[1].interval_scales.mean() > cells[0].interval_scales.mean()


def test_the_report_states_one_coverage_for_one_interval(run: Path) -> None:
    """The text and the row of its level; and both are the share of the intervals in predictions.csv that hold."""
    record = RunFolder.open(run)
    page = write_report(run).read_text("utf-8")
    told = record.metrics["calibration"]["coverage"]["test"]
    ends, truth = record.intervals("test"), record.predictions["test"][0].truth
    assert ends is not None
    assert np.mean((ends[0] <= truth) & (truth <= ends[1])) == pytest.approx(told)
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    assert [[float(row["low"]), float(row["high"])] for row in rows] == np.stack(ends, -1).reshape(-1, 2).tolist()
    row = page.partition('<th scope="row">90 %</th>')[2].partition("</tr>")[0]
    assert f"{100 * told:.1f} %" in row


def test_intervals_never_leave_the_scale(run: Path, trained: Trained, store: Store) -> None:
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(-3 <= float(row["low"]) <= float(row["high"]) <= 3 for row in rows)
    wide = replace(trained, checkpoint=replace(trained.checkpoint, calibration={"0.9": 2.5}))
    said = Predictor(wide).predict_store(store, split="test")
    assert all(one.low is not None and one.high is not None and -3 <= one.low < one.high <= 3 for one in said)
    assert any(one.high == 3 for one in said)
    truth = [float(store[int(i)].label) for i in store.split("test")]  # type: ignore[arg-type]
    held = [one.low <= t <= one.high for one, t in zip(said, truth, strict=True)]  # type: ignore[operator]
    halves = calibrated(
        wide, predict(wide.model, wide.dataset(store, store.split("test")), wide.collator)
    ).interval_half_widths(2.5)
    unlimited = [abs(one.score - t) <= half for one, t, half in zip(said, truth, halves, strict=True)]  # type: ignore[operator]
    assert held == unlimited, "no truth lies beyond the scale"
    assert interval_around(wide.checkpoint.inputs.task, 3.4, 0.2) == (3.0, 3.0)
    with pytest.raises(ModelError, match="not finite"):
        interval_around(wide.checkpoint.inputs.task, 0.0, float("nan"))
