"""A comparison on its page, in the terminal and in files: every place says the same, and no name becomes markup."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from mecam.evaluation.comparison import ComparisonTable, RunResult, compare
from mecam.evaluation.comparison.run_results import CONSTANT
from mecam.evaluation.metrics import leading_metrics
from mecam.report import comparison as written
from mecam.report.comparison_page import comparison_page, comparison_sections, write_comparison
from mecam.report.export import charts_of, write_figures
from mecam.task import Regression
from mecam.types import Predictions

TASK = Regression()
TRUTH = np.round(np.random.default_rng(0).uniform(-3, 3, 60), 1)
FACTS = {"parameters": 22_900_000.0, "seconds_per_seed": 120.0}


def contender(name: str, noise: float, seeds: int = 3, **more: Any) -> RunResult:
    """A run whose predictions are off by so much; utterance i belongs to recording i // 4."""
    ids, videos = tuple(f"u{i}" for i in range(60)), tuple(f"v{i // 4}" for i in range(60))
    draws = np.random.default_rng(len(name))
    given = tuple(Predictions(ids, videos, TRUTH + draws.normal(0, noise, 60), TRUTH) for _ in range(seeds))
    known: dict[str, Any] = {"facts": FACTS, "learned_from": {"name": "films & more"}, "model": "mecam"} | more
    return RunResult(name=name, folder=Path(name), predictions=given, **known)


@pytest.fixture(scope="module")
def comparison() -> ComparisonTable:
    constant = contender(CONSTANT, 0.0, 1, model=CONSTANT, facts={})
    middle = Predictions(constant.predictions[0].ids, constant.predictions[0].videos, np.zeros(60), TRUTH)
    runs = [
        contender("sharp", 0.3),
        contender("like_sharp", 0.31, tuned="30 trials"),
        contender("blunt", 1.2, settings=("model.unimodal=0.9",)),
        RunResult(CONSTANT, CONSTANT, None, (middle,), {}, {}),
    ]
    return compare(runs, TASK, "test", baseline="sharp", permutations=2000, missing={"tfn": "out of memory"})


def row(comparison: ComparisonTable, name: str) -> Any:
    return next(row for row in comparison.rows if row.name == name)


def specs(page: str) -> list[dict[str, Any]]:
    return [json.loads(found) for found in re.findall(r'class="spec">(.*?)</script>', page)]


def test_every_file_says_the_same(comparison: ComparisonTable, tmp_path: Path) -> None:
    places = write_comparison(comparison, tmp_path / "new" / "out")
    names = [f"comparison.{s}" for s in ("csv", "html", "json", "md", "tex")]
    assert sorted(place.name for place in places) == [*names, "comparison_pairs.csv"]
    assert sorted(path.name for path in (tmp_path / "new" / "out").iterdir()) == sorted(p.name for p in places)
    content = json.loads((tmp_path / "new" / "out" / "comparison.json").read_text(encoding="utf-8"))
    table = {(r["run"], r["metric"]): r for r in csv.DictReader(io.StringIO(written.as_csv(comparison)))}
    for r in content["rows"]:
        for metric, entry in r["scores"].items():
            line = table[r["name"], metric]
            assert line["mean"] == ("" if entry["mean"] is None else repr(entry["mean"]))
            gap = entry["against_baseline"]
            assert line["p_holm_baseline"] == ("" if gap is None or gap["p_holm"] is None else repr(gap["p_holm"]))
    assert len(table) == 4 * len(comparison.metrics)
    shown = f"{row(comparison, 'blunt').scores['mae'].mean:.3f}"
    for text in (written.as_markdown(comparison), written.as_latex(comparison), comparison_page(comparison)):
        assert shown in text
        assert "blunt" in text
        assert text.count("≈") + text.count(r"\approx") >= 2
        assert "tuned with 30 trials" in text
        assert "defaults, 1 set" in text


def test_pairs_are_written_with_full_precision(comparison: ComparisonTable) -> None:
    lines = list(csv.DictReader(io.StringIO(written.pairs_as_csv(comparison))))
    assert [(line["run"], line["other"]) for line in lines] == [
        ("sharp", "like_sharp"), ("sharp", "blunt"), ("like_sharp", "blunt")
    ]  # fmt: skip
    assert comparison.overlap is not None
    assert float(lines[1]["error_consistency"]) == comparison.overlap.consistency[0][2]


def test_best_is_bold_and_ties_are_marked(comparison: ComparisonTable) -> None:
    scores = {r.name: r.scores["mae"] for r in comparison.rows}
    best = next(name for name, s in scores.items() if s.best)
    tied = next(name for name, s in scores.items() if s.tied)
    first = written.as_markdown(comparison).split("## ")[1]
    lines = {line.split(" | ")[0].strip("| ").replace("\\", ""): line for line in first.splitlines()}
    assert re.search(rf"\*\*{scores[best].mean:.3f} ± \d\.\d{{3}}\*\*", lines[best])
    assert re.search(rf" {scores[tied].mean:.3f} ± \d\.\d{{3}} ≈", lines[tied])
    assert "**" not in lines["blunt"].split(" | ")[1]
    latex = written.as_latex(comparison)
    assert rf"\textbf{{{scores[best].mean:.3f} $\pm$" in latex
    assert re.search(rf"{scores[tied].mean:.3f} \$\\pm\$ \d\.\d{{3}} \$\\approx\$", latex)


def test_latex_is_whole_and_escaped(comparison: ComparisonTable) -> None:
    text = written.as_latex(comparison)
    assert r"like\_sharp" in text
    assert r"films \& more" in text
    tables = text.split(r"\begin{tabular}{")[1:]
    assert len(tables) == len(written.tables(comparison))
    for table in tables:
        columns = table.split("}")[0]
        body = table.split(r"\toprule")[1].split(r"\bottomrule")[0]
        for line in filter(None, body.replace(r"\midrule", "").split("\\\\\n")):
            if line.strip():
                assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1, line
    assert text.count("{") == text.count("}")
    assert text.isascii()


def test_names_from_outside_are_never_markup() -> None:
    evil = contender("<script>x</script>|*", 0.5, command="<b>")
    found = compare([evil], TASK, "test", permutations=100, missing={"<i>": "it is <u>broken</u>"})
    page = comparison_page(found)
    assert "<script>x" not in page
    assert "<u>broken" not in page
    assert "&lt;u&gt;broken" in page
    assert "&lt;b&gt;" in page
    assert r"\<script\>x\</script\>\|\*" in written.as_markdown(found)


def test_the_page_sorts_by_numbers_and_loads_nothing(comparison: ComparisonTable) -> None:
    page = comparison_page(comparison)
    table = page.split('class="sortable"')[1].split("</table>")[0]
    assert f'data-value="{row(comparison, "blunt").scores["mae"].mean!r}"' in table
    assert 'data-value="22900000.0"' in page
    assert "aria-sort" in page
    assert not re.search(r'(src|href)="(?!#)', page.split('id="vega"')[0])
    drawn = specs(page)
    assert len(drawn) == len(comparison.metrics) + 3  # ranks, mistakes, residuals
    for metric, spec in zip(leading_metrics(TASK), drawn, strict=False):
        (means,) = [layer for layer in spec["layer"] if layer["mark"]["type"] == "point"]
        found = {d["name"]: d["value"] for d in means["data"]["values"]}
        known = {r.name: r.scores[metric.name].mean for r in comparison.rows}
        assert found == {name: mean for name, mean in known.items() if mean is not None}


def test_a_page_says_what_its_metrics_are_and_what_was_set(comparison: ComparisonTable) -> None:
    page = comparison_page(comparison)
    for metric in comparison.metrics.values():
        assert metric.title in page
    assert "different from the defaults: model.unimodal=0.9" in page
    assert "tfn" in page
    assert 'class="badge"' not in page  # nothing here is a warning
    synthetic = contender("a", 0.5, learned_from={"name": "s", "synthetic": True})
    assert '<p class="badge">Synthetic data' in comparison_page(compare([synthetic], TASK, "test", permutations=100))


def test_differences_have_one_unit() -> None:
    """A difference of percentages and its interval are in points, in the tables of tests."""
    found = compare([contender("a", 0.3), contender("bb", 2.0)], TASK, "test", permutations=200)
    tables = {table.title: table for table in written.test_tables(found)}
    cells = next(table for title, table in tables.items() if "(acc7)" in title).cells[0]
    assert re.fullmatch(r"[−+]\d+\.\d points", cells[1].text)
    assert cells[2].text.endswith(" points")
    assert not any("%" in cell.text for cell in cells)


def test_the_terminal_shows_the_leading_metrics_and_the_costs(comparison: ComparisonTable) -> None:
    console = Console(width=120, record=True, force_terminal=False)
    for table in written.terminal_tables(comparison):
        console.print(table.terminal())
    text = console.export_text()
    assert "Against sharp" in text
    assert "22.9 M" in text
    for metric in leading_metrics(TASK)[: written.TERMINAL_METRICS]:
        assert f"{metric.name} " in text
    assert f"{row(comparison, 'sharp').scores['mae'].mean:.3f}" in text


def test_its_charts_can_be_written_for_a_paper(comparison: ComparisonTable, tmp_path: Path) -> None:
    sections = comparison_sections(comparison)
    places = write_figures(sections, tmp_path)
    assert [place.stem for place in places] == list(charts_of(sections))
    assert len(places) == comparison_page(comparison).count('class="spec"')
    assert all('width="244.67pt"' in place.read_text("utf-8") for place in places)
