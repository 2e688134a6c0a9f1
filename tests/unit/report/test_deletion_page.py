"""The pages of the deletion test and of the agreement: orders and units are told, and nothing from outside runs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mecam.evaluation.explanation.deletion import ARMS
from mecam.report.deletion import agreement_summary, deletion_table, write_agreement, write_deletion
from mecam.task import Classes, Regression

ABOUT = {"run": "r<1>", "model": "mecam", "data": "tiny", "split": "test", "notes": ["Only a <test>."]}
CLASSES = Classes(("a", "b"))


def curve(*costs: float | None) -> dict[str, Any]:
    points = [{"cost": cost, "ci95": None if cost is None else [cost - 0.01, cost + 0.02]} for cost in costs]
    return {"shares": points, "mean": points[-1]}


def found(metric: str, costs: tuple[float | None, ...] = (0.01, 0.02, 0.05)) -> dict[str, Any]:
    test = {"value": -0.125, "ci95": [-0.2, -0.05], "p_value": 0.001, "p_holm": 0.0004}
    group = {
        "utterances": 9,
        "videos": 4,
        "score": 0.5,
        "removed": [0.11, 0.21],
        "curves": {arm: curve(cost and cost / 2, cost) for arm, cost in zip(ARMS, costs, strict=True)},
        "tests": {"marked": test, "kept": {"value": None, "ci95": None, "p_value": None, "p_holm": None}},
    }
    tables = {"audio": {"all": group, "injected": group}}
    return {**ABOUT, "metric": metric, "shares": [0.1, 0.2], "draws": 3, "seeds": 1, "modalities": tables}


def printed(table: Any) -> str:
    console = Console(record=True, width=240)
    console.print(table.terminal())
    return console.export_text()


def test_the_page_of_a_deletion_test(tmp_path: Path) -> None:
    page = write_deletion(tmp_path / "d.html", found("mae"), Regression()).read_text("utf-8")
    assert "Only a &lt;test&gt;." in page
    assert "r<1>" not in page
    assert page.count('class="spec"') == 2
    for spec in re.findall(r'class="spec">(.*?)</script>', page):
        json.loads(spec)
    assert (
        "Audio, all utterances: lowest gates &lt; at random &lt; highest gates: in order; lowest gates differs" in page
    )
    assert "mean absolute error (mae)" in page
    assert len(page) < 1_500_000


def test_differences_of_shares_are_in_points() -> None:
    shown = printed(deletion_table(found("uar"), CLASSES))
    assert "−12.5" in shown
    assert "−20.0 to −5.0 points" in shown
    assert ".001" in shown
    assert "< .001" in shown
    assert "in points" in shown
    shown = printed(deletion_table(found("mae"), Regression()))
    assert "−0.125" in shown
    assert "points" not in shown


@pytest.mark.parametrize(("costs", "told"), [((0.05, 0.02, 0.01), "not in order"), ((None, 0.1, 0.2), "undefined")])
def test_what_is_not_in_order_is_said(tmp_path: Path, costs: tuple[float | None, ...], told: str) -> None:
    page = write_deletion(tmp_path / "d.html", found("mae", costs), Regression()).read_text("utf-8")
    assert told in page


def test_the_page_of_an_agreement(tmp_path: Path) -> None:
    entry = {
        "spearman": {"mean": 0.4, "ci95": [0.1, 0.6]},
        "overlap": {"mean": 0.5, "ci95": None},
        "chance": 0.25,
        "utterances": 8,
    }
    given = {"steps": 50, "median_error": 0.01, "largest_error": 0.2, "median_total": 1.0}
    content = {"utterances": 9, "videos": 4, "top": 0.25, "modalities": {"text": {"kept_occlusion": entry}}}
    result = {**ABOUT, **content, "completeness": given}
    shown = printed(agreement_summary(result))
    assert "gate – occlusion" in shown
    assert "0.100 to 0.600" in shown
    page = write_agreement(tmp_path / "a.html", result).read_text("utf-8")
    assert "In 50 steps they miss it by 0.0100" in page
    assert page.count('class="spec"') == 2
    assert "Gradients" not in write_agreement(tmp_path / "a.html", {**result, "completeness": None}).read_text("utf-8")
