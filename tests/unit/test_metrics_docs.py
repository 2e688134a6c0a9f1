"""docs/metrics.md says what the code does: every key and every metric with its exact definition."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

import tiny
from mecam.data.store import Store
from mecam.evaluation.comparison import ComparisonRow, ComparisonTable, Difference, Overlap, Ranks, Score
from mecam.evaluation.metrics import metrics_for
from mecam.evaluation.statistics import summarise
from mecam.runs.config import RunConfig
from mecam.task import Classes, Labels, Regression, Task
from mecam.training.run import train

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
TASKS = {
    "mosi": Regression(),
    "sims": Regression(-1.0, 1.0),
    "range": Regression(1.0, 5.0),
    "classes": Classes(("anger", "calm", "joy")),
    "labels": Labels(("happy", "sad")),
}


def table(task: Task) -> str:
    """The metrics of a task as the page shows them."""
    lines = ["| key | name | | unit | exactly |", "|---|---|---|---|---|"]
    for metric in metrics_for(task).values():
        arrow = "↑" if metric.higher_is_better else "↓"
        unit = {"%": "fraction", "points": "score", "": "−1 to 1"}[metric.unit]
        definition = metric.definition.replace("|", "\\|")
        lines.append(f"| `{metric.name}` | {metric.title} | {arrow} | {unit} | {definition} |")
    return "\n".join(lines)


@pytest.mark.parametrize("name", TASKS)
def test_every_metric_is_documented_with_its_definition(name: str) -> None:
    assert f"<!-- {name} -->\n{table(TASKS[name])}\n" in PAGE.read_text(encoding="utf-8")


def keys(section: str) -> set[str]:
    """The keys that a section names in code style."""
    text = PAGE.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"`([a-z_0-9]+)`", text))


def test_every_key_of_a_run_is_documented(tmp_path: Path, encoder: str) -> None:
    task = tiny.TASKS["regression"]
    store: Store = tiny.write_store(tmp_path / "s", task, tiny.utterances(task, 50))
    model = {"name": "mecam", "encoder": encoder, "width": 16, "layers": 1}
    training = {"epochs": 1, "precision": "32"}
    train(RunConfig.decode({"model": model, "training": training, "accelerator": "cpu"}), store, tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics) <= keys("metrics.json")
    assert set(metrics["calibration"]) <= keys("metrics.json")
    for entry in (metrics["test"]["mae"], metrics["constant"]["valid"]["corr"], metrics["filter"]["audio"]["all"]):
        assert set(entry) == set(summarise([1.0])) <= keys("metrics.json")
    spent = json.loads((tmp_path / "run" / "environment.json").read_text(encoding="utf-8"))
    assert keys("environment.json") - {"gpu_memory_mb"} <= {*spent, *spent["data"]}
    columns = (tmp_path / "run" / "history.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    named = {column for column in columns if not column.startswith(("loss_", "valid_"))}
    assert named == keys("history.csv")
    assert {"loss_task", "valid_mae"} <= set(columns)


def test_every_key_of_a_comparison_is_documented() -> None:
    known = keys("comparison.json")
    for kind in (ComparisonTable, ComparisonRow, Score, Difference, Ranks, Overlap):
        assert {field.name for field in dataclasses.fields(kind)} <= known, kind
