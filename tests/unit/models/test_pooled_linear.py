"""The linear yardstick: solved in closed form, absent modalities as average ones, every kind of task."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from mecam.data.store import Store
from mecam.models.pooled_linear import PooledLinear
from mecam.models.trained import load_checkpoint
from mecam.runs.config import RunConfig
from mecam.task import Classes, Labels, Regression
from mecam.testing import small
from mecam.training.run import train

RNG = np.random.default_rng(0)
FIGURES = RNG.standard_normal((60, 5))


def test_a_score_is_a_ridge_regression() -> None:
    targets = FIGURES @ [1.0, -1, 0, 0, 2] + 0.5
    weight, bias = Regression().linear(FIGURES, targets, 0.1)
    expected = Ridge(alpha=6.0).fit(FIGURES, targets)
    assert weight.shape == (1, 5)
    assert weight[0] == pytest.approx(expected.coef_)
    assert bias == pytest.approx([expected.intercept_])


@pytest.mark.parametrize("classes", [2, 3])
def test_classes_are_a_logistic_regression_over_those_that_occur(classes: int) -> None:
    """The last name never occurs in training, and is never the most likely."""
    task = Classes(names=tuple("abcd"[: classes + 1]))
    targets = np.argmax(FIGURES[:, :classes], axis=1)
    weight, bias = task.linear(FIGURES, targets, 0.01)
    logits = FIGURES @ weight.T + bias
    expected = LogisticRegression(C=1 / 0.6, max_iter=1000).fit(FIGURES, targets)
    odds = np.exp(logits[:, :classes])
    assert odds / odds.sum(axis=1, keepdims=True) == pytest.approx(expected.predict_proba(FIGURES), abs=2e-3)
    assert not weight[classes].any()
    assert (logits.argmax(axis=1) < classes).mean() > 0.95


def test_each_label_is_a_logistic_regression_and_one_that_is_always_there_keeps_its_prior() -> None:
    task = Labels(names=("a", "b", "c"))
    targets = np.stack([FIGURES[:, 0] > 0, FIGURES[:, 1] > 1, np.ones(60)], axis=1).astype(np.float32)
    weight, bias = task.linear(FIGURES, targets, 0.01)
    for i in range(2):
        expected = LogisticRegression(C=1 / 0.6, max_iter=1000).fit(FIGURES, targets[:, i])
        found = 1 / (1 + np.exp(-(FIGURES @ weight[i] + bias[i])))
        assert found == pytest.approx(expected.predict_proba(FIGURES)[:, 1], abs=2e-3)
    assert not weight[2].any()
    assert bias[2] == pytest.approx(task.prior(targets)[2])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Store]:
    folder = tmp_path_factory.mktemp("pooled")
    encoder = small.make_encoder(folder / "encoder")
    store = small.write_store(folder / "store", small.TASKS["regression"], small.utterances(small.TASKS["regression"]))
    values: dict[str, Any] = {"model": {"name": "pooled_linear", "encoder": encoder}}
    return train(RunConfig.decode(values), store, folder / "run"), store


def test_a_run_tries_every_strength_and_keeps_the_best(run: tuple[Path, Store]) -> None:
    lines = (run[0] / "history.csv").read_text().splitlines()
    head = lines[0].split(",")
    rows = [dict(zip(head, line.split(","), strict=True)) for line in lines[1:]]
    assert [float(row["strength"]) for row in rows] == list(PooledLinear.strengths)
    best = [row for row in rows if float(row["best"])]
    assert len(best) == 1
    assert float(best[0]["valid_mae"]) == min(float(row["valid_mae"]) for row in rows)


def test_an_absent_modality_counts_as_an_average_one(run: tuple[Path, Store]) -> None:
    model = load_checkpoint(run[0]).model
    assert isinstance(model, PooledLinear)
    trained = load_checkpoint(run[0])
    batch = small.collate(trained, run[1])
    output = model(batch)
    figures = output.extra["figures"]
    absent = torch.isnan(figures)
    assert absent.any()
    filled = torch.where(absent, model.get_buffer("centre"), figures)
    standard = ((filled - model.get_buffer("centre")) / model.get_buffer("scale")).clamp(-5, 5)
    some = ~absent.all(dim=1)
    assert torch.allclose(model.head(standard).squeeze(1)[some], output.prediction[some], atol=1e-5)
