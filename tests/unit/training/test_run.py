import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from lightning_fabric import Fabric

import tiny
from mecam.data.store import Store
from mecam.errors import ConfigError, DataError, ModelError, TrainingError
from mecam.evaluation.evaluate_run import evaluate_run
from mecam.evaluation.metrics import metrics_for
from mecam.models.trained import load_checkpoint
from mecam.runs import tables
from mecam.runs.config import RunConfig
from mecam.runs.seed import SeedResult
from mecam.task import Regression
from mecam.training import loop, run
from mecam.training.run import train
from mecam.types import Utterance


def config(encoder: str, *, model: str = "mecam", **changes: Any) -> RunConfig:
    training = {"epochs": 2, "precision": "32", **changes.pop("training", {})}
    options = {"encoder": encoder, "width": 16, "layers": 1} if model != "constant" else {}
    return RunConfig.decode(
        {"model": {"name": model, **options}, "training": training, "accelerator": "cpu", "seeds": 2, **changes}
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Enough validation utterances for an interval that covers 90 %."""
    task = tiny.TASKS["regression"]
    return tiny.write_store(tmp_path_factory.mktemp("stores") / "fifty", task, tiny.utterances(task, 50))


@pytest.fixture(scope="module")
def finished(store: Store, encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two seeds. Copy it before changing it."""
    return train(config(encoder), store, tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that says what was learned, apart from what tells the time."""
    timed = {"environment.json", "history.csv", "seed.json", "report.html"}
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in timed
    }


def test_the_run_folder(finished: Path, store: Store) -> None:
    found = {path.name for path in finished.iterdir()}
    assert found == {
        *("config.yaml", "environment.json", "metrics.json", "history.csv", "predictions.csv"),
        *("checkpoint", "seeds", "filter_maps.json", "embeddings.npz"),
    }
    assert {path.name for path in (finished / "checkpoint").iterdir()} == {
        *("model.safetensors", "config.json", "text_encoder"),
    }
    assert {path.name for path in (finished / "seeds").iterdir()} == {"1111", "1112"}
    assert not list(finished.rglob("*.partial")) + list(finished.rglob("resume.pt"))
    facts = read(finished / "environment.json")
    assert facts["seeds"] == [1111, 1112]
    assert facts["data"]["sha256"] == store.manifest["sha256"]
    assert facts["data"]["splits"] == {"train": 30, "valid": 10, "test": 10}


def test_metrics(finished: Path, store: Store) -> None:
    metrics = read(finished / "metrics.json")
    assert set(metrics) == {"valid", "test", "constant", "filter", "calibration", "resampled"}
    names = set(metrics_for(store.task))
    for table in (metrics["valid"], metrics["test"], metrics["constant"]["valid"], metrics["constant"]["test"]):
        assert set(table) == names
        for entry in table.values():
            assert set(entry) == {"mean", "std", "ci95", "per_seed"}
    assert len(metrics["test"]["mae"]["per_seed"]) == 2
    assert len(metrics["constant"]["test"]["mae"]["per_seed"]) == 1
    per_seed = metrics["test"]["mae"]["per_seed"]
    assert metrics["test"]["mae"]["mean"] == pytest.approx(np.mean(per_seed))
    assert set(metrics["filter"]) == set(tiny.ALL)
    assert all(set(entry) == {"mean", "std", "ci95", "per_seed"} for entry in metrics["filter"]["audio"].values())
    assert set(metrics["calibration"]["coverage"]) == {"valid", "test"}


def test_tables(finished: Path, store: Store) -> None:
    history = rows(finished / "history.csv")
    assert [(row["seed"], row["epoch"]) for row in history] == [
        (seed, epoch) for seed in ("1111", "1112") for epoch in ("1.0", "2.0")
    ]
    assert {"loss_task", "loss_conflict", "loss_gate_audio", "valid_mae", "learning_rate", "best"} <= set(history[0])
    for seed in ("1111", "1112"):
        mine = [row for row in history if row["seed"] == seed]
        best = min(mine, key=lambda row: float(row["valid_mae"]))
        assert [float(row["best"]) for row in mine] == [float(row is best) for row in mine]
    predictions = rows(finished / "predictions.csv")
    assert len(predictions) == 2 * 20
    truth = {u.id: u.label for u in store}
    metrics = read(finished / "metrics.json")
    for seed, mae in zip(("1111", "1112"), metrics["test"]["mae"]["per_seed"], strict=True):
        test = [row for row in predictions if row["seed"] == seed and row["split"] == "test"]
        assert all(float(row["truth"]) == truth[row["id"]] for row in test)
        assert mae == pytest.approx(np.mean([abs(float(r["prediction"]) - float(r["truth"])) for r in test]))
        assert all(float(row["low"]) < float(row["prediction"]) < float(row["high"]) for row in test)
    with np.load(finished / "embeddings.npz") as arrays:
        assert {"truth", "before_text", "after_physio"} <= set(arrays.files)
    maps = read(finished / "filter_maps.json")
    for entry in maps:
        audio = entry["modalities"].get("audio")
        if audio:
            assert len(audio["kept"]) == len(store[store.column("id").index(entry["id"])].streams["audio"])


def test_the_checkpoint_is_of_the_seed_that_is_best_on_validation(finished: Path) -> None:
    per_seed = read(finished / "metrics.json")["valid"]["mae"]["per_seed"]
    best = ("1111", "1112")[int(np.argmin(per_seed))]
    weights = (finished / "checkpoint" / "model.safetensors").read_bytes()
    for seed in ("1111", "1112"):
        same = weights == (finished / "seeds" / seed / "checkpoint" / "model.safetensors").read_bytes()
        assert same == (seed == best)


def test_a_second_call_retrains_nothing(out: Path, store: Store, encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(out)
    monkeypatch.setattr(run, "fit", None)
    train(config(encoder), store, out)
    assert contents(out) == before


def test_a_run_goes_on_with_the_seed_that_is_missing(
    out: Path, store: Store, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(out)
    shutil.rmtree(out / "seeds" / "1112")
    shutil.rmtree(out / "checkpoint")
    real, seeds = run.fit, []

    def counted(*args: Any, seed: int, **rest: Any) -> Any:
        seeds.append(seed)
        return real(*args, seed=seed, **rest)

    monkeypatch.setattr(run, "fit", counted)
    train(config(encoder), store, out)
    assert seeds == [1112]
    assert contents(out) == before


def test_a_run_killed_in_its_second_seed_ends_the_same(
    finished: Path, store: Store, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", -1)
    real, calls = run.SplitData.batches, 0

    def killed(self: Any, epoch: int) -> Iterator[Any]:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return real(self, epoch)

    monkeypatch.setattr(run.SplitData, "batches", killed)
    with pytest.raises(KeyboardInterrupt):
        train(config(encoder), store, tmp_path / "run")
    assert (tmp_path / "run" / "seeds" / "1112" / "resume.pt").exists()
    train(config(encoder), store, tmp_path / "run")
    assert calls == 5
    assert contents(tmp_path / "run") == contents(finished)


def test_another_configuration_or_other_data_are_refused(out: Path, store: Store, encoder: str, tmp_path: Path) -> None:
    before = contents(out)
    with pytest.raises(TrainingError, match="another configuration") as caught:
        train(config(encoder, training={"epochs": 3}), store, out)
    assert "--overwrite" in str(caught.value)
    task = tiny.TASKS["regression"]
    other = tiny.write_store(tmp_path / "other", task, tiny.utterances(task, 30, seed=1))
    with pytest.raises(TrainingError, match="other data"):
        train(config(encoder), other, out)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(TrainingError, match="is not a run folder"):
            train(config(encoder), store, tmp_path / "notes", overwrite=overwrite)
    assert contents(out) == before
    train(config(encoder, model="constant", seeds=1), store, out, overwrite=True)
    assert read(out / "environment.json")["model"] == "constant"
    assert not (out / "seeds" / "1112").exists()


def unlabelled(utterance: Utterance, *splits: str) -> Utterance:
    return Utterance(**{**vars(utterance), "label": None if utterance.split in splits else utterance.label})


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"training": {"select": "acc9"}}, ConfigError),
        ({"accelerator": "tpuu"}, ConfigError),
        ({"strategy": "dpp"}, ConfigError),
        ({"broken": "encoder"}, ModelError),
        ({"broken": "valid"}, DataError),
        ({"broken": "train"}, DataError),
    ],
    ids=str,
)
def test_bad_input_leaves_nothing_behind(
    changes: dict[str, Any],
    kind: type[Exception],
    finished: Path,
    out: Path,
    store: Store,
    encoder: str,
    tmp_path: Path,
) -> None:
    broken = changes.get("broken")
    chosen = config(
        str(tmp_path) if broken == "encoder" else encoder, **{k: v for k, v in changes.items() if k != "broken"}
    )
    if broken in ("valid", "train"):
        store = tiny.write_store(tmp_path / "s", store.task, [unlabelled(u, broken) for u in store])
    with pytest.raises(kind):
        train(chosen, store, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(kind):
        train(chosen, store, out, overwrite=True)
    assert contents(out) == contents(finished)  # what was there is not given up for a run that cannot start


def test_training_never_touches_the_test_split(
    finished: Path, store: Store, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An utterance of the test split raises when it is read before a seed is trained."""
    forbidden, fitting = set(store.split("test").tolist()), True
    real_get, real_fit = Store.__getitem__, run.fit
    reads = []

    def guarded(self: Store, index: int) -> Utterance:
        assert not (fitting and int(index) in forbidden), "the test split was read"
        reads.append(int(index))
        return real_get(self, index)

    def watched(*args: Any, **rest: Any) -> Any:
        nonlocal fitting
        fitting = True
        result = real_fit(*args, **rest)
        fitting = False
        return result

    monkeypatch.setattr(Store, "__getitem__", guarded)
    monkeypatch.setattr(run, "fit", watched)
    train(config(encoder), store, tmp_path / "run")
    assert forbidden <= set(reads)  # and it is read in the end
    assert contents(tmp_path / "run") == contents(finished)


def test_the_test_split_cannot_change_what_is_learned(
    finished: Path, store: Store, encoder: str, tmp_path: Path
) -> None:
    changed = [
        Utterance(**{**vars(u), "label": -float(u.label or 0), "text": "awful dull"}) if u.split == "test" else u  # type: ignore[arg-type]
        for u in store
    ]
    other = tiny.write_store(tmp_path / "store", store.task, changed)
    train(config(encoder), other, tmp_path / "run")
    for name in ("seeds/1111/checkpoint/model.safetensors", "seeds/1112/valid.npz", "checkpoint/model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (finished / name).read_bytes(), name
    there, here = read(finished / "metrics.json"), read(tmp_path / "run" / "metrics.json")
    assert there["valid"] == here["valid"]
    assert there["test"] != here["test"]


@pytest.mark.parametrize("model", ["constant", "mecam"])
@pytest.mark.parametrize("kind", ["classes", "multilabel"])
def test_every_task_ends_in_a_run_folder(kind: str, model: str, encoder: str, tmp_path: Path) -> None:
    task = tiny.TASKS[kind]
    store = tiny.write_store(tmp_path / "store", task, tiny.utterances(task))
    train(config(encoder, model=model, seeds=1, training={"epochs": 1}), store, tmp_path / "run")
    metrics = read(tmp_path / "run" / "metrics.json")
    assert set(metrics["test"]) == set(metrics_for(task))
    assert "calibration" not in metrics
    probabilities = [name for name in rows(tmp_path / "run" / "predictions.csv")[0] if name.startswith("prob_")]
    assert probabilities == [f"prob_{name}" for name in task.names]
    if model == "constant":
        assert metrics["test"] == metrics["constant"]["test"]


def test_the_constant_predictor_with_a_metric_that_is_undefined_for_it(store: Store, tmp_path: Path) -> None:
    """Its correlation does not exist; that is no reason to fall over."""
    train(config("", model="constant", training={"select": "corr"}), store, tmp_path / "run")
    assert read(tmp_path / "run" / "metrics.json")["test"]["corr"]["mean"] is None


def test_no_test_split_or_an_unlabelled_one(store: Store, tmp_path: Path) -> None:
    for name, content in {
        "none": [u for u in store if u.split != "test"],
        "unlabelled": [unlabelled(u, "test") for u in store],
    }.items():
        part = tiny.write_store(tmp_path / name, store.task, content)
        train(config("", model="constant", seeds=1), part, tmp_path / f"run-{name}")
        metrics = read(tmp_path / f"run-{name}" / "metrics.json")
        assert "test" not in metrics
        assert "valid" in metrics
    splits = {row["split"]: row["truth"] for row in rows(tmp_path / "run-unlabelled" / "predictions.csv")}
    assert splits["test"] == ""


def test_evaluating_on_the_own_store_gives_the_same_numbers(out: Path, store: Store) -> None:
    calls: list[tuple[int, int]] = []
    metrics, place = evaluate_run(out, store, progress=lambda *call: calls.append(call))
    ours = read(out / "metrics.json")
    for split in ("valid", "test"):
        assert metrics[split]["mae"]["per_seed"] == pytest.approx(ours[split]["mae"]["per_seed"], rel=1e-5)
    assert read(place) == json.loads(json.dumps(metrics))
    again, first = rows(place.with_suffix(".csv")), rows(out / "predictions.csv")
    assert [(r["split"], r["seed"], r["id"], r["truth"]) for r in again] == [
        (r["split"], r["seed"], r["id"], r["truth"]) for r in first
    ]
    for column in ("prediction", "low", "high"):
        assert [float(r[column]) for r in again] == pytest.approx([float(r[column]) for r in first], rel=1e-4)
    assert calls[-1] == (2 * 20, 2 * 20)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    only, _ = evaluate_run(out, store, split="valid")
    assert "test" not in only


def test_evaluating_on_what_does_not_fit(out: Path, store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no utterance in tset"):
        evaluate_run(out, store, split="tset")
    with pytest.raises(ModelError, match="no checkpoint"):
        evaluate_run(tmp_path / "nothing", store)
    other = tiny.write_store(tmp_path / "c", tiny.TASKS["classes"], tiny.utterances(tiny.TASKS["classes"]))
    with pytest.raises(ModelError, match="has other labels"):
        evaluate_run(out, other)
    blank = tiny.write_store(tmp_path / "b", store.task, [unlabelled(u, "valid", "test", "train") for u in store])
    with pytest.raises(DataError, match="no labels"):
        evaluate_run(out, blank)


def test_seed_results_read_back(finished: Path, tmp_path: Path) -> None:
    found = SeedResult.read(finished / "seeds" / "1111")
    assert found is not None
    tmp_path.joinpath("copy").mkdir()
    found.write(tmp_path / "copy")
    again = SeedResult.read(tmp_path / "copy")
    assert again is not None
    assert str(again.predictions) == str(found.predictions)
    assert again.history == found.history
    assert (again.seed, again.score, again.half_width) == (found.seed, found.score, found.half_width)
    assert SeedResult.read(tmp_path) is None
    with pytest.raises(ValueError, match="not JSON compliant"):
        tables.write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not (tmp_path / "x.json").exists()


def test_the_resolved_configuration_trains_the_same_run_again(finished: Path, store: Store, tmp_path: Path) -> None:
    again = RunConfig.decode(yaml.safe_load((finished / "config.yaml").read_text(encoding="utf-8")))
    train(again, store, tmp_path / "run")
    assert contents(tmp_path / "run") == contents(finished)


def test_a_checkpoint_knows_what_it_was_trained_on(finished: Path, store: Store) -> None:
    checkpoint = load_checkpoint(finished).checkpoint
    assert (checkpoint.data_name, checkpoint.synthetic) == ("tiny", False)
    assert set(checkpoint.calibration) == {"0.9"}
    assert checkpoint.inputs.task == store.task == Regression()


def test_the_order_follows_from_seed_and_epoch_alone(store: Store, encoder: str) -> None:
    trained = tiny.build("mecam", store, encoder)
    train_split, valid = (tiny.dataset(trained, store, store.split(name)) for name in ("train", "valid"))
    chosen = config(encoder, data={"batch_size": 4})

    def order(seed: int, epoch: int) -> list[tuple[str, ...]]:
        fabric = Fabric(accelerator="cpu", devices=1)
        data = run.SplitData(train_split, valid, trained.collator, chosen, views=True, fabric=fabric, seed=seed)
        found = [batch.ids for batch in data.batches(epoch)]
        assert len(found) == data.steps
        return found

    assert order(1, 0) == order(1, 0)
    assert len({str(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1, 2)}) == 6
