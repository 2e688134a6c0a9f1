"""A comparison as one HTML page: tables that sort by any column, intervals, ranks, mistakes, and how it was made."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import altair as alt

from mecam.evaluation.comparison.comparison_table import ComparisonTable
from mecam.evaluation.comparison.overlap import Matrix, Overlap
from mecam.evaluation.comparison.ranks import Ranks
from mecam.evaluation.comparison.run_results import CONSTANT
from mecam.evaluation.metrics import Metric, leading_metrics
from mecam.report.charts import chart_of, forest, heat_map, spec
from mecam.report.comparison import (
    agreement,
    as_csv,
    as_latex,
    as_markdown,
    baseline_table,
    cost_table,
    explained_ranks,
    mistake_table,
    pairs_as_csv,
    rank_table,
    score_table,
    test_tables,
)
from mecam.report.format import capital, named, percent, plain, plural
from mecam.report.page import Chart, Section, page, section
from mecam.report.table import write_files

__all__ = ["comparison_page", "comparison_sections", "write_comparison"]

SYNTHETIC = "Synthetic data"
"""How the note begins that is a badge on the page."""

NAMES, COLUMN = 140, 44
"""Pixels that a matrix needs for the names of its rows, and for each column."""

INTERVALS = (
    "Dots are means over seeds, bars 95 % intervals, ticks single seeds. The dotted line is the best mean. Intervals "
    "that overlap may still belong to different models: the tests below compare the same utterances."
)
RANKS = (
    "Runs that a bar joins cannot be told apart. As in Demšar (JMLR 2006), but blocks are recordings of one data set, "
    "since those are what is independent in it, and pairs are tested as Benavoli et al. (JMLR 2016) ask."
)
CONSISTENCY = (
    "Cohen's κ of the errors (error consistency, Geirhos et al., NeurIPS 2020): 0 is expected by chance from the "
    "error rates."
)


def write_comparison(comparison: ComparisonTable, folder: Path) -> list[Path]:
    """Write `comparison.md`, `.tex`, `.csv`, `.json`, `.html` and `comparison_pairs.csv`, each whole or not at all.

    Returns: their paths, the page last.
    Raises: DataError if the folder cannot be written to.
    """
    made = {
        ".md": as_markdown(comparison),
        ".tex": as_latex(comparison),
        ".csv": as_csv(comparison),
        "_pairs.csv": pairs_as_csv(comparison),
        ".json": json.dumps(comparison.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        ".html": comparison_page(comparison),
    }
    return write_files(folder, {f"comparison{suffix}": text for suffix, text in made.items()})


def comparison_page(comparison: ComparisonTable) -> str:
    """The whole page."""
    runs = [row for row in comparison.rows if row.name != CONSTANT]
    badges = [note for note in comparison.notes if note.startswith(SYNTHETIC)]
    counted = comparison.resampled.of(comparison.utterances, comparison.videos)
    return page(
        f"{plural(len(runs), 'model')} on {comparison.data}",
        kicker=f"mecam comparison · {date.today().isoformat()}",
        sections=comparison_sections(comparison),
        heading=f"{plural(len(runs), 'run')} on {comparison.data}",
        badges=badges,
        lede=_summary(comparison),
        notes=[f"{capital(comparison.split)} split: {counted}", *(n for n in comparison.notes if n not in badges)],
    )


def comparison_sections(comparison: ComparisonTable) -> list[Section]:
    """What the page shows; its charts can also be written for a paper (`mecam.report.export`)."""
    metrics, leading = list(comparison.metrics.values()), leading_metrics(comparison.task)
    return [
        section(
            "table",
            "Scores",
            tables=[replace(score_table(comparison, leading), title="Scores")],
            folded=[("All metrics", replace(score_table(comparison), note=""))] if len(metrics) > len(leading) else (),
            metrics=metrics,
        ),
        section("intervals", "Intervals", texts=[INTERVALS], charts=_intervals(comparison), rest="The other metrics"),
        section(
            "baseline",
            "Against the baseline",
            heading=f"Against {comparison.baseline}",
            tables=[baseline_table(comparison, leading)],
            folded=[("All metrics", baseline_table(comparison))] if len(metrics) > len(leading) else (),
        ),
        section("tests", "Tests against the best", tables=test_tables(comparison)),
        section(
            "ranks",
            "Ranks",
            texts=[] if comparison.ranks is None else [explained_ranks(comparison.ranks)],
            charts=[] if comparison.ranks is None else [_ladder(comparison.ranks)],
            folded=[("Adjusted p-value of every pair", rank_table(comparison.ranks))],
        ),
        section(
            "mistakes",
            "Mistakes",
            texts=list(filter(None, [agreement(comparison.overlap)])),
            charts=[] if comparison.overlap is None else _matrices(comparison.overlap),
            folded=[("Error rates, and agreement between models", mistake_table(comparison.overlap))],
        ),
        section("costs", "Costs", tables=[cost_table(comparison)]),
        section("missing", "Missing runs", pairs=list(comparison.missing.items())),
        section("made", "Method", pairs=_made(comparison)),
    ]


def _summary(comparison: ComparisonTable) -> str:
    """One sentence: the best on the first metric that is defined, and who is tied with it."""
    for metric in leading_metrics(comparison.task):
        best = next((row for row in comparison.rows if row.scores[metric.name].best), None)
        if best is not None:
            break
    else:
        return "No metric is defined for any run."
    cell = next(row for row in score_table(comparison, [metric]).cells if row[0].text == best.name)[1]
    tied = [row.name for row in comparison.rows if row.scores[metric.name].tied]
    text = f"By {named(metric)}, {best.name} is best: {cell.text}"
    if tied:
        return f"{text}. The test cannot tell {', '.join(tied)} from it."
    compared = any(row.scores[metric.name].against_best for row in comparison.rows)
    return f"{text}. The difference from every other run is significant." if compared else f"{text}."


def _intervals(comparison: ComparisonTable) -> list[Chart]:
    first = leading_metrics(comparison.task)
    rest = [metric for metric in comparison.metrics.values() if metric.leading is None]
    return [_forest(comparison, metric) for metric in (*first, *rest)]


def _forest(comparison: ComparisonTable, metric: Metric) -> Chart:
    scores = [(row.name, row.scores[metric.name]) for row in comparison.rows]
    best = next((score.mean for _, score in scores if score.best), None)
    rows = [(name, score.mean, score.ci95, score.per_seed if len(score.per_seed) > 1 else ()) for name, score in scores]
    better = "higher" if metric.higher_is_better else "lower"
    chart = forest(rows, f"{metric.name} ({better} is better)", line=best, percent=metric.fraction)
    height = 60 + 28 * len(rows)
    return Chart(spec(chart, height=height), f"{metric.name} of all runs", capital(named(metric)), metric.definition)


def _ladder(ranks: Ranks) -> Chart:
    """The critical-difference plot, upright."""
    names, worst = list(ranks.names), max(ranks.means)
    step = max(0.35, 0.05 * len(names))
    joined = [group for group in ranks.groups if len(group) > 1]
    bars = [
        {"rank": worst + step * place, "name": group[0], "last": group[-1], "told": ", ".join(group)}
        for place, group in enumerate(joined, 1)
    ]
    dots = [{"name": name, "rank": mean} for name, mean in zip(names, ranks.means, strict=True)]
    scale = alt.Scale(domain=[min(1.0, *ranks.means) - step / 2, worst + step * (len(joined) + 1)], nice=False)
    axis = alt.Axis(values=list(range(1, int(worst) + 1)), grid=True, format="d")
    x = alt.X("rank:Q", title="average rank (1 is best)", scale=scale, axis=axis)
    y = alt.Y("name:N", scale=alt.Scale(domain=names), title=None)
    told = [alt.Tooltip("name:N", title="run"), alt.Tooltip("rank:Q", title="average rank", format=".2f")]
    points = (
        chart_of(dots).mark_point(filled=True, size=80, opacity=1, color="var(--accent)").encode(x, y, tooltip=told)
    )
    groups = chart_of(bars).mark_rule(strokeWidth=4, strokeCap="round", color="var(--ink)")
    told = [alt.Tooltip("told:N", title="cannot be told apart")]
    drawn = points + groups.encode(x, y, alt.Y2("last:N"), tooltip=told) if bars else points
    label = "Average ranks and groups that cannot be told apart"
    return Chart(spec(drawn, height=70 + 26 * len(names)), label, "Average rank of every run", RANKS)


def _matrices(overlap: Overlap) -> list[Chart]:
    """Who errs together, and whose scores are off in the same direction."""
    first, width = "Do the models make the same errors?", NAMES + COLUMN * len(overlap.names)
    drawn = [Chart(_matrix(overlap, overlap.consistency, "κ"), "Consistency of errors", first, CONSISTENCY, width)]
    if overlap.residuals:
        title = "Do the errors have the same direction?"
        caption = "Correlation of prediction − truth over all utterances."
        drawn.append(Chart(_matrix(overlap, overlap.residuals, "r"), "Correlation of residuals", title, caption, width))
    return drawn


def _matrix(overlap: Overlap, values: Matrix, symbol: str) -> dict[str, object]:
    names = overlap.names
    cells = []
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            told = f"{one} and {other}: {symbol} {plain(values[i][j], 2)}"
            if symbol == "κ":
                told += (
                    f"; both are wrong on {percent(overlap.both[i][j])}, by chance {percent(overlap.expected[i][j])}"
                )
            cells.append({"x": other, "y": one, "shade": values[i][j], "text": plain(values[i][j], 2), "told": told})
    return spec(heat_map(cells, x=names, y=names), height=min(560, 110 + 30 * len(names)))


def _made(comparison: ComparisonTable) -> list[tuple[str, ...]]:
    """Each run: what it is, its folder, its command, its options."""
    pairs = []
    for row in comparison.rows:
        if row.run:
            options = f"different from the defaults: {', '.join(row.settings)}" if row.settings else ""
            about = ", ".join(filter(None, [row.model, plural(row.seeds, "seed"), row.budget]))
            pairs.append((row.name, about, *filter(None, [row.run, row.command, options])))
    return pairs
