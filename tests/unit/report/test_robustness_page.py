"""What a robustness protocol found, as tables and as a page, from values made by hand."""

import csv
import io
import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mecam.evaluation.groups import Resampled
from mecam.evaluation.metrics import metrics_for
from mecam.evaluation.robustness.changes import Changed
from mecam.evaluation.robustness.conditions import CLEAN, Condition, FeatureCorruption, RandomMissing
from mecam.evaluation.robustness.findings import AgainstBest, RobustnessFindings
from mecam.evaluation.robustness.interventions import Intervention
from mecam.evaluation.robustness.missing import Blocks, Imbalanced, NoisyMissing
from mecam.evaluation.robustness.protocols import Plan, Summary
from mecam.evaluation.robustness.scores import RunScores, Value
from mecam.evaluation.statistics import Difference
from mecam.report import robustness as written
from mecam.report.robustness_conditions import amount_of
from mecam.report.robustness_page import robustness_page, write_findings
from mecam.task import Regression

TASK = Regression()
METRICS = metrics_for(TASK)
RATES = (CLEAN, *(RandomMissing.at(rate / 10) for rate in range(1, 11)))


def value(*seeds: float) -> Value:
    return Value(np.array(seeds), np.array([min(seeds) - 0.1, max(seeds) + 0.1] * 50))


def scored(
    name: str, start: float, slope: float, steps: tuple[Condition, ...], summaries: tuple[str, ...]
) -> RunScores:
    """A run whose every metric changes by `slope` from one condition to the next; seeds lie 0.02 apart."""
    values: dict[str, Any] = {
        metric: {step.key: value(start + slope * i, start + slope * i + 0.02) for i, step in enumerate(steps)}
        for metric in METRICS
    }
    values["coverage"] = {step.key: value(0.9) for step in steps}
    mean = {metric: value(start + slope * len(steps) / 2) for metric in METRICS}
    return RunScores(name, "mecam", f"runs/{name}", (1, 2), (), 2.3, values, dict.fromkeys(summaries, mean), {})


def findings(
    protocol: str, steps: tuple[Condition, ...], summaries: tuple[Summary, ...], **more: Any
) -> RobustnessFindings:
    names = tuple(summary.name for summary in summaries)
    runs = (scored("steady", 0.5, 0.0, steps, names), scored("frail<i>", 0.45, 0.05, steps, names))
    against = {"frail<i>": Difference(0.2, (0.1, 0.3), 0.001, 0.002)}
    tests = dict.fromkeys(names[:1], dict.fromkeys(("mae", "acc7"), AgainstBest("steady", against)))
    given: dict[str, Any] = {
        "plan": Plan(protocol, steps, summaries),
        "task": TASK,
        "data": "films",
        "identity": {},
        "split": "test",
        "utterances": 60,
        "videos": 15,
        "resampled": Resampled("recordings", 15),
        "synthetic": False,
        "seeds": (1111, 1112),
        "runs": runs,
        "constant": None,
        "tests": tests,
    }
    return RobustnessFindings(**(given | more))


@pytest.fixture
def missing() -> RobustnessFindings:
    keys = {step.key: 0.1 for step in RATES}
    return findings("random-missing", RATES, (Summary("mean", "mean over the rates", keys),))


@pytest.fixture
def corrupted() -> RobustnessFindings:
    steps = (CLEAN, *(FeatureCorruption.at("audio", "noise", level, words=False) for level in range(1, 6)))
    keys = {step.key: 0.2 for step in steps[1:]}
    names = (("mean", "mean over all"), ("audio", "mean over audio"), ("audio.noise", "mean over noise"))
    return findings("corruptions", steps, tuple(Summary(name, title, keys) for name, title in names))


def specs(page: str) -> list[dict[str, Any]]:
    return [json.loads(found) for found in re.findall(r'class="spec">(.*?)</script>', page)]


def test_the_page_draws_a_line_and_a_band_for_every_run(missing: RobustnessFindings) -> None:
    page = robustness_page(missing)
    drawn = specs(page)
    assert len(drawn) == len(missing.leading)
    band, line = drawn[0]["layer"][:2]
    rows = [(row["name"], row["x"], row["low"], row["high"]) for row in band["data"]["values"]]
    assert len(rows) == 2 * len(RATES)
    assert all(low < high for *_, low, high in rows)
    frail = [row["mean"] for row in line["data"]["values"] if row["name"] != "steady"]
    assert frail == pytest.approx([0.46 + 0.05 * i for i in range(len(RATES))])
    assert "frail<i>" not in page
    assert "frail&lt;i&gt;" in page


def test_what_is_lost_is_what_is_shaded(corrupted: RobustnessFindings) -> None:
    drawn = [spec for spec in specs(robustness_page(corrupted)) if spec["layer"][0]["mark"]["type"] == "rect"]
    assert len(drawn) == 3  # of both runs together, and of each
    cells = [spec["data"]["values"] for spec in drawn]
    assert [cell["shade"] for cell in cells[1]] == [0.0] * 5
    assert [cell["shade"] for cell in cells[2]] == pytest.approx([0.05 * level for level in range(1, 6)])
    tops = {spec["layer"][0]["encoding"]["color"]["scale"]["domain"][1] for spec in drawn[1:]}
    assert len(tops) == 1
    assert tops.pop() == pytest.approx(0.25)


def test_a_summary_that_says_the_same_as_another_has_no_table_of_its_own(corrupted: RobustnessFindings) -> None:
    titles = [table.title for table in written.tables(corrupted)]
    assert titles.count("Mean over all") == 1
    assert "Mean over audio" not in titles


def test_every_file_says_the_same(missing: RobustnessFindings, tmp_path: Any) -> None:
    places = write_findings(missing, tmp_path)
    assert [place.name for place in places] == [f"robustness.{kind}" for kind in ("md", "tex", "csv", "json", "html")]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "robustness.csv").read_text(encoding="utf-8"))))
    line = next(r for r in rows if (r["run"], r["condition"], r["measure"]) == ("frail<i>", "clean", "mae"))
    assert float(line["mean"]) == pytest.approx(0.46)
    assert line["seeds"] == "2"
    for kind in ("md", "tex", "html"):
        text = (tmp_path / f"robustness.{kind}").read_text(encoding="utf-8")
        assert "0.460" in text
        assert "10 % missing" in text.replace("\\%", "%")


def test_differences_have_one_unit(missing: RobustnessFindings) -> None:
    table = written.tests_table(missing)
    assert table is not None
    rows = {row[0].text: row for row in table.cells}
    acc7 = rows["frail<i>: mean, acc7"][2]
    assert (acc7.text, acc7.under) == ("+20.0", "10.0 to 30.0 points")
    mae = rows["frail<i>: mean, mae"][2]
    assert (mae.text, mae.under) == ("+0.200", "0.100 to 0.300")
    assert rows["frail<i>: mean, mae"][4].text == "p = .002 *"


def test_a_single_run_shows_every_condition_in_the_terminal(missing: RobustnessFindings) -> None:
    alone = replace(missing, runs=missing.runs[:1], tests={})
    assert [table.title for table in written.terminal_tables(alone)] == [
        "Mean over the rates",
        "steady under every condition",
    ]
    assert written.tests_table(alone) is None


@pytest.fixture
def exchanged() -> RobustnessFindings:
    """Exchanging does harm where something is corrupted; of the second run nothing is known."""
    step = Intervention.at(CLEAN, "both", "exchanged")
    harm = {
        kind: Changed(20.0, dict.fromkeys(METRICS, Difference(number, (number - 0.05, number + 0.05), 0.03, 0.06)))
        for kind, number in (("all", 0.04), ("corrupted", 0.1), ("intact", 0.01))
    }
    return findings("permutation", (CLEAN, step), (), tests={}, changes={"steady": {step.key: harm}, "frail<i>": {}})


def test_what_an_intervention_changes_is_drawn_and_marked_where_it_is_sure(exchanged: RobustnessFindings) -> None:
    page = robustness_page(exchanged)
    (drawn,) = specs(page)
    rows = [(row["kind"], row["value"], row["low"]) for row in drawn["layer"][2]["data"]["values"]]
    assert rows == [
        (kind, v, pytest.approx(v - 0.05)) for kind, v in (("all", 0.04), ("corrupted", 0.1), ("intact", 0.01))
    ]
    assert "with gates and weights exchanged" in page
    first, *rest = written.tables(exchanged)
    assert first.title == "steady: change of the mean absolute error (mae)"
    ((_, *cells),) = first.cells
    assert [cell.text for cell in cells] == ["+0.040", ".030", "+0.100", ".030", "+0.010", ".030"]
    assert [cell.tone for cell in cells[::2]] == ["", "worse", ""]
    others = next(table for table in rest if "other metrics" in table.title)
    assert [cell.text for cell in others.cells[0][1:]] == ["+0.040", "+4.0", "+4.0", "+4.0"]
    under_every = [table for table in rest if "under every condition" in table.title]
    assert [[row[0].text for row in table.cells] for table in under_every] == [["clean"], ["clean"]]


def test_conditions_have_names_in_words() -> None:
    burst = FeatureCorruption.at("audio", "burst", 3, words=False)
    assert [
        amount_of(condition)
        for condition in (
            NoisyMissing.at(0.3),
            Blocks.at(0.5),
            Imbalanced.at("audio", 0.7),
            Intervention.at(burst, "gates", "exchanged-alike"),
        )
    ] == ["30 % missing", "50 % missing", "70 % of audio missing", "audio burst 3 (30 %): gates exchanged (alike)"]
