"""The search of a model's options: what it may try, what it looks at, what it leaves behind."""

import csv
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mecam.cli import main
from mecam.config import Between, Choice, apply_overrides, read_yaml
from mecam.data.datasets import Dataset
from mecam.data.store import Store
from mecam.errors import ConfigError, MissingExtraError, ModelError, TrainingError
from mecam.experiments import study, tuning
from mecam.experiments.search import parsed_ranges, space_of
from mecam.experiments.validation import validate_once
from mecam.experiments.variants import tuned_variants
from mecam.models.registry import BUILT_IN
from mecam.report.tuning import tuning_page
from mecam.runs.config import RunConfig
from mecam.training.loop import Fit

pytest.importorskip("optuna", reason="the extra `tune` is not installed")

TUNED = sorted(set(BUILT_IN) - {"constant", "pooled_linear"})


def config(encoder: str, **options: Any) -> RunConfig:
    sizes = {"text_width": 8, "width": 16, "hidden": 64}
    return RunConfig.decode(
        {
            "model": {"name": "lf_dnn", "encoder": encoder, **sizes, **options},
            "training": {"epochs": 3, "precision": "32"},
            "accelerator": "cpu",
        }
    )


class Fake:
    """Stands for training: how good a configuration is follows from its dropout alone."""

    def __init__(self) -> None:
        self.seen: list[tuple[RunConfig, int]] = []
        self.of: Callable[[RunConfig], float] = lambda config: 1 + config.options.dropout

    def __call__(self, config: RunConfig, store: Store, *, seed: int, progress: Any = None, record: Any = None) -> Fit:
        self.seen.append((config, seed))
        error = self.of(config)
        for epoch in range(1, config.training.epochs + 1):
            if record:
                record({"epoch": float(epoch), "valid_mae": error + 1 / epoch})
            progress(epoch, 3, f"epoch {epoch}")
        return Fit(best_score=-error)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    training = Fake()
    monkeypatch.setattr(tuning, "validate_once", training)
    return training


def test_every_model_is_searched_at_the_same_budget() -> None:
    assert {len(space_of(name)) for name in TUNED} == {7}
    with pytest.raises(ConfigError, match="no options to tune"):
        space_of("constant")
    with pytest.raises(ConfigError, match="nothing to tune"):
        space_of("pooled_linear")


@pytest.mark.parametrize("name", TUNED)
def test_every_range_is_of_an_option_and_holds_its_default(name: str) -> None:
    default = RunConfig.decode({"model": name})
    for key, where in space_of(name).items():
        assert study._value(default, key) in where, key
        for end in where.ends:
            changed = RunConfig.decode(apply_overrides({"model": {"name": name}}, [f"{key}={end}"]))
            assert study._value(changed, key) == end


def test_two_trials_on_a_store(store: Store, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The defaults first; the best is a configuration that trains to the score that the search saw.

    No utterance of the test split is read.
    """
    opened: list[str] = []
    real = Dataset.__init__

    def watched(self: Dataset, source: Any, indices: Any = None, **others: Any) -> None:
        splits = source.column("split")
        opened.extend(splits[i] for i in indices)
        real(self, source, indices, **others)

    monkeypatch.setattr(Dataset, "__init__", watched)
    out = tmp_path / "search"
    calls: list[tuple[int, int, str]] = []
    pages: list[str] = []
    tuned = tuning.tune(
        config(encoder),
        store,
        out,
        trials=2,
        page=lambda found: pages.append(tuning_page(found)),
        progress=lambda *call: calls.append(call),
    )
    assert set(opened) == {"train", "valid"}
    assert [trial.state for trial in tuned.trials] == ["complete", "complete"]
    assert tuned.defaults == tuned.trials[0]
    assert tuned.trials[0].options["model.dropout"] == config(encoder).options.dropout
    assert tuned.trials[0].options != tuned.trials[1].options
    assert tuned.best is not None
    assert tuned.best.score == min(trial.score for trial in tuned.trials if trial.score is not None)
    assert [done for done, *_ in calls] == sorted(done for done, *_ in calls)
    assert calls[-1][0] == calls[-1][1]
    best = RunConfig.decode(read_yaml(out / "best.yaml"))
    assert best.options.text_width == 8
    assert best.tuned == "2 trials"
    assert -validate_once(best, store, seed=1111).best_score == pytest.approx(tuned.best.score)
    (page,) = pages
    assert all(key in page for key in space_of("lf_dnn"))
    assert not re.search(r'(src|href)="(?!#)', page.split('id="vega"')[0])
    rows = list(csv.reader((out / "trials.csv").read_text(encoding="utf-8").splitlines()))
    assert [row[:2] for row in rows[1:]] == [["1", "complete"], ["2", "complete"]]
    assert {path.name for path in out.iterdir()} == {"study.db", "best.yaml", "trials.csv"}


def test_a_search_that_is_interrupted_ends_as_one_that_is_not(
    fake: Fake, store: Store, encoder: str, tmp_path: Path
) -> None:
    """Killed in its first trial and again in its fifth: the defaults come first, nothing is tried twice or lost."""
    whole = tuning.tune(config(encoder), store, tmp_path / "whole", trials=8)
    fake.seen.clear()
    kills = [1, 6]

    def killed(config: RunConfig) -> float:
        if len(fake.seen) in kills:
            raise KeyboardInterrupt
        return 1 + config.options.dropout

    fake.of = killed
    for _ in kills:
        with pytest.raises(KeyboardInterrupt):
            tuning.tune(config(encoder), store, tmp_path / "search", trials=8)
    tuned = tuning.tune(config(encoder), store, tmp_path / "search", trials=8)
    assert tuned == whole
    assert len(tuned.trials) == 8
    assert len({str(trial.options) for trial in tuned.trials}) == 8
    assert len(fake.seen) == 10
    assert tuned.best is not None
    assert tuned.best.score is not None
    assert tuned.best.score < 1.3
    assert tuned.best.options["model.dropout"] == pytest.approx(tuned.best.score - 1)
    assert max(tuned.importance, key=lambda key: tuned.importance[key]) == "model.dropout"
    assert tuning.tune(config(encoder), store, tmp_path / "search", trials=8) == tuned
    assert len(fake.seen) == 10


def test_a_trial_is_scored_by_the_mean_of_its_seeds(fake: Fake, store: Store, encoder: str, tmp_path: Path) -> None:
    fake.of = lambda config: 1.0 + len(fake.seen) % 2
    several = RunConfig.decode({**read_plain(config(encoder)), "seeds": 2})
    tuned = tuning.tune(several, store, tmp_path / "search", trials=2)
    assert [seed for _, seed in fake.seen] == [1111, 1112] * 2
    assert [trial.score for trial in tuned.trials] == [1.5, 1.5]
    assert all(len(trial.epochs) == 3 for trial in tuned.trials)
    assert tuned.budget == "2 trials of 2 seeds"


def read_plain(given: RunConfig) -> dict[str, Any]:
    import yaml

    return dict(yaml.safe_load(given.to_yaml()))


def test_the_search_of_something_else_is_refused(fake: Fake, store: Store, encoder: str, tmp_path: Path) -> None:
    tuning.tune(config(encoder), store, tmp_path / "search", trials=1)
    with pytest.raises(TrainingError, match="the search of another model"):
        tuning.tune(config(encoder, text_width=9), store, tmp_path / "search", trials=2)
    with pytest.raises(TrainingError, match="the search of another model"):
        tuning.tune(config(encoder), store, tmp_path / "search", trials=2, search={"model.hidden": Choice((32, 64))})
    assert len(fake.seen) == 1


def test_a_file_that_is_no_database_is_named(fake: Fake, store: Store, encoder: str, tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("not a database, but longer than nothing" * 50)
    with pytest.raises(TrainingError, match="the search cannot be stored here") as caught:
        tuning.tune(config(encoder), store, tmp_path, trials=1)
    assert "study.db" in str(caught.value)


def test_a_trial_that_lags_behind_is_cut_short_and_one_that_diverges_has_failed(
    fake: Fake, store: Store, encoder: str, tmp_path: Path
) -> None:
    def error(config: RunConfig) -> float:
        if len(fake.seen) == 3:
            raise TrainingError("training produced a value that is not finite")
        if len(fake.seen) == 4:
            raise RuntimeError("not enough memory")
        return 9.0 if len(fake.seen) == 9 else 1 + config.options.dropout

    fake.of = error
    tuned = tuning.tune(config(encoder), store, tmp_path / "search", trials=9, page=tuning_page)
    assert [trial.state for trial in tuned.trials[2:4]] == ["failed", "failed"]
    assert tuned.trials[3].error == "not enough memory"
    assert tuned.trials[8].state == "pruned"
    assert len(tuned.trials[8].epochs) == 2
    assert tuned.best is not None
    assert tuned.best.state == "complete"
    assert "not enough memory" in tuning_page(tuned)


def test_what_would_spoil_every_trial_is_told_at_once(fake: Fake, store: Store, encoder: str, tmp_path: Path) -> None:
    def refuse(config: RunConfig) -> float:
        raise ModelError("this model needs text")

    fake.of = refuse
    with pytest.raises(ModelError, match="needs text"):
        tuning.tune(config(encoder), store, tmp_path / "search", trials=5)
    assert len(fake.seen) == 1
    fake.of = lambda config: 1.0  # nothing was tried: other options may take the folder
    assert len(tuning.tune(config(encoder, text_width=9), store, tmp_path / "search", trials=1).trials) == 1
    with pytest.raises(ConfigError, match=r"model\.dropout"):
        tuning.tune(config(encoder), store, tmp_path / "b", trials=1, search={"model.dropout": Between(0.0, 2.0)})
    with pytest.raises(ConfigError, match="no such option"):
        tuning.tune(config(encoder), store, tmp_path / "c", trials=1, search={"model.drop": Between(0.0, 0.2)})


def test_ranges_of_the_command_line() -> None:
    found = parsed_ranges(
        ["model.width=16|32", "training.learning_rate=1e-4..1e-2:log", "model.layers=1..4", "model.base=a|b"]
    )
    assert found == {
        "model.width": Choice((16, 32)),
        "training.learning_rate": Between(1e-4, 1e-2, log=True),
        "model.layers": Between(1, 4),
        "model.base": Choice(("a", "b")),
    }
    assert all(isinstance(end, int) for end in found["model.layers"].ends)
    for wrong in (
        "model.width",
        "width=1..2",
        "model.width=16",
        "model.width=2..1",
        "model.width=0..1:log",
        "m.w=a..b",
    ):
        with pytest.raises(ConfigError):
            parsed_ranges([wrong])


def test_whole_numbers_stay_whole(fake: Fake, store: Store, encoder: str, tmp_path: Path) -> None:
    ranges = {"model.hidden": Between(8, 64)}
    tuned = tuning.tune(config(encoder), store, tmp_path / "search", trials=4, search=ranges)
    assert all(isinstance(trial.options["model.hidden"], int) for trial in tuned.trials)


def test_without_optuna_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, store: Store, encoder: str, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"mecam\[tune\]"):
        tuning.tune(config(encoder), store, tmp_path / "search", trials=1)
    assert not (tmp_path / "search").exists()


def test_the_command_searches_several_models_and_says_what_came_of_it(
    fake: Fake, store: Store, encoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that cannot be searched is named and stops no other; its folder is where `compare --tuned` looks."""

    def error(config: RunConfig) -> float:
        if config.model == "mult":
            raise ModelError("mult needs vision")
        return 1 + config.options.dropout

    fake.of = error
    data = ["--data", str(store.path), "--set", f"model.encoder={encoder}", "--set", "training.epochs=2"]
    out = tmp_path / "searches"
    command = ["tune", *data, "--models", "lf_dnn,mult,misa", "--trials", "2", "--out", str(out)]
    assert main([*command, "--search", "training.average=0..0.99"]) == 0
    told = capsys.readouterr()
    assert "mult was not tuned: mult needs vision" in told.err
    assert "best of 2 trials" in told.out
    assert [row.name for row in tuned_variants(out)] == ["lf_dnn", "misa"]
    best = RunConfig.decode(read_yaml(out / "misa" / "best.yaml"))
    assert (best.tuned, best.options.encoder) == ("2 trials", encoder)
    assert main(["tune", *data, "--models", "mult", "--trials", "1", "--out", str(out)]) == 1
    assert "mult needs vision" in capsys.readouterr().err
    assert main(["tune", *data, "--models", "lf_dnn", "--out", str(out), "--search", "model.width=9"]) == 1
    assert "is not a range" in capsys.readouterr().err
    assert main(["compare", "--tuned", str(out), "--out", str(tmp_path / "c")]) == 1
    assert "reads finished runs" in capsys.readouterr().err
