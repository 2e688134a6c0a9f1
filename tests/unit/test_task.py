"""Tasks: what stands in files, and that a new kind of task takes one class and nothing else."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

import tiny
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.evaluation.evaluate_run import evaluate_run
from mecam.prediction.predictor import load
from mecam.report.run_page import write_report
from mecam.runs.config import RunConfig
from mecam.runs.run import RunFolder
from mecam.task import Classes, Labels, Regression, Task
from mecam.training.run import train


@dataclass(frozen=True)
class Ordinal(Classes):
    """Names in an order: a model gives the log odds of lying above each but the last."""

    kind: ClassVar[str] = "ordinal"

    @property
    def outputs(self) -> int:
        return len(self.names) - 1

    def prior(self, encoded: Any) -> tuple[float, ...]:
        rate = [(np.sum(encoded > k) + 1) / (len(encoded) + 2) for k in range(self.outputs)]
        return tuple(float(np.log(r / (1 - r))) for r in rate)

    def probabilities(self, prediction: Tensor) -> Tensor:
        above = torch.cummin(prediction.double().sigmoid(), dim=-1).values
        ends = torch.ones_like(above[:, :1])
        return torch.cat([ends, above], dim=1) - torch.cat([above, 0 * ends], dim=1)

    def signed(self, target: Tensor) -> Tensor:
        return 2.0 * (target[:, None] > torch.arange(self.outputs)) - 1

    def _loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(prediction, (self.signed(target) + 1) / 2)

    def signed_loss(self, prediction: Tensor, label: Tensor, weight: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(prediction, (label + 1) / 2, reduction="none") * weight


TASK = Ordinal(("low", "middle", "high"))


@pytest.mark.parametrize("model", ["mecam", "self_mm"])
def test_a_new_kind_of_task_is_trained_evaluated_predicted_and_shown(model: str, encoder: str, tmp_path: Path) -> None:
    content = tiny.utterances(TASK, 30, modalities=("audio", "vision"))
    store = tiny.write_store(tmp_path / "store", TASK, content)
    assert Store(store.path).task == TASK
    options = tiny.small_options(model, encoder)
    config = RunConfig(model, options, training=tiny.training(epochs=1), accelerator="cpu")
    folder = train(config, store, tmp_path / "run")

    metrics, _ = evaluate_run(folder, store, split="test")
    assert set(metrics["test"]) == {"accuracy", "uar", "macro_f1", "weighted_f1"}
    run = RunFolder.open(folder)
    assert run.task == TASK
    split, (predictions,) = run.labelled or ("", ())
    assert split == "test"
    assert predictions.prediction.shape == (len(store.split("test")), 3)
    assert np.allclose(predictions.prediction.sum(axis=1), 1)
    for answer in load(folder, device="cpu").predict_store(store):
        assert answer.label == max(answer.probabilities, key=lambda name: answer.probabilities[name])
    write_report(folder)
    assert "Least probability for the true class" in run.report.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("task", "values"),
    [
        (Regression(1.0, 5.0), {"kind": "regression", "low": 1, "high": 5, "names": ()}),
        (Classes(("a", "b")), {"kind": "classes", "low": -3.0, "high": 3.0, "names": ("a", "b")}),
        (Labels(("a", "b")), {"kind": "multilabel", "low": -3.0, "high": 3.0, "names": ("a", "b")}),
    ],
)
def test_files_hold_what_they_always_held(task: Task, values: dict[str, Any]) -> None:
    assert task.to_json() == values
    assert list(task.to_json()) == ["kind", "low", "high", "names"]
    assert Task.from_json({**values, "names": list(values["names"])}) == task


@pytest.mark.parametrize(
    "values",
    [None, {}, {"kind": "poetry"}, {"kind": "classes", "names": [[1]]}, {"kind": "regression", "low": "far"}],
)
def test_damaged_tasks_are_refused(values: Any) -> None:
    with pytest.raises(DataError, match="task"):
        Task.from_json(values)


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("regression", Regression()),
        ("regression:0..1", Regression(0.0, 1.0)),
        ("classes:b, a", Classes(("b", "a"))),
        ("multilabel:joy,fear", Labels(("joy", "fear"))),
        ("multilabel", Labels(("happy", "sad", "anger", "surprise", "disgust", "fear"))),
        ("ordinal:a,b", Ordinal(("a", "b"))),
        *((wrong, None) for wrong in ("classes", "classes:a,A", "regression:1..0", "regression:x", "poetry", "")),
    ],
)
def test_tasks_of_the_command_line(text: str, task: Task | None) -> None:
    assert Task.parse(text) == task


@pytest.mark.parametrize("task", tiny.TASKS.values(), ids=lambda task: task.kind)
def test_a_prediction_written_as_columns_is_read_again(task: Task) -> None:
    rng = np.random.default_rng(0)
    predictions, labels = rng.uniform(0, 1, (8, *task.shape)), [tiny.label_of(task, x) for x in rng.uniform(-1, 1, 8)]
    truth = task.encode(labels)
    for i, label in enumerate(labels):
        row = {key: str(cell) for key, cell in task.columns(predictions[i], truth[i]).items()}
        assert np.array_equal(task.read_columns(row), predictions[i])
        assert np.array_equal(task.encode([task.read_label(row["truth"])]), task.encode([label]))


def test_tasks_need_no_pytorch() -> None:
    code = "import sys, mecam.task; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
