"""The page and the tables of a search, from trials made by hand."""

import json
import re
from dataclasses import replace

import pytest

from mecam.config import Between, Choice
from mecam.evaluation.metrics import metrics_for
from mecam.experiments.search import Trial, Tuned
from mecam.report.tuning import best_table, search_table, tuning_page
from mecam.task import Classes

METRIC = metrics_for(Classes(("a", "b")))["uar"]
SPACE = {"model.width": Choice((16, 32)), "training.learning_rate": Between(1e-4, 1e-2, log=True)}


def trial(number: int, score: float | None, width: int, rate: float, state: str = "complete", error: str = "") -> Trial:
    epochs = () if state == "failed" else (0.3, 0.41)
    return Trial(number, {"model.width": width, "training.learning_rate": rate}, state, score, epochs, error)


@pytest.fixture
def tuned() -> Tuned:
    trials = (
        trial(1, 0.5, 16, 1e-3),
        trial(2, 0.62, 32, 2e-3),
        trial(3, None, 16, 5e-3, "pruned"),
        trial(4, None, 32, 9e-3, "failed", "<b>too little memory</b>"),
    )
    importance = {"model.width": 0.8, "training.learning_rate": 0.2}
    return Tuned("lf_dnn", "films", 1, METRIC, trials, trials[1], trials[0], importance, SPACE)


def test_the_tables_say_what_was_found(tuned: Tuned) -> None:
    (row,) = search_table([tuned]).cells
    assert [cell.text for cell in row] == ["lf_dnn", "62.0 %", "50.0 %", "2", "2", "1", "1", "model.width"]
    table = best_table(tuned)
    assert table is not None
    assert [[cell.text for cell in row] for row in table.cells] == [
        ["model.width", "16, 32", "16", "32", "80.0 %"],
        ["training.learning_rate", "0.0001 to 0.01, log", "0.001", "0.002", "20.0 %"],
    ]
    assert best_table(replace(tuned, best=None)) is None


def test_the_page_draws_every_trial(tuned: Tuned) -> None:
    page = tuning_page(tuned)
    assert "unweighted average recall (uar)" in page
    assert "&lt;b&gt;too little memory" in page
    assert "<b>too little" not in page
    drawn = [json.loads(found) for found in re.findall(r'class="spec">(.*?)</script>', page)]
    assert len(drawn) == 2 + len(SPACE)
    assert '"type":"log"' in page
    search = json.dumps(drawn[0])
    for number, score in ((1, 0.5), (2, 0.62), (3, 0.41)):  # the pruned one at its best epoch
        assert f'"trial": {number}, "score": {score}' in search
    ticks = drawn[0]["layer"][0]["encoding"]["x"]["axis"]["values"]
    assert ticks == [1, 2, 3, 4]


def test_a_search_without_a_result_has_a_page_with_the_reasons(tuned: Tuned) -> None:
    failed = replace(tuned, trials=tuned.trials[3:], best=None, defaults=None, importance={})
    page = tuning_page(failed)
    assert "too little memory" in page
    assert 'class="spec"' not in page
