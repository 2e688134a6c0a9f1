"""A comparison as tables, each made once for the terminal, the page and the files; and the files themselves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mecam.data.cells import csv_text
from mecam.evaluation.comparison.comparison_table import ComparisonRow, ComparisonTable, Score
from mecam.evaluation.comparison.overlap import Overlap
from mecam.evaluation.comparison.ranks import Ranks
from mecam.evaluation.metrics import Metric, leading_metrics
from mecam.evaluation.statistics import ALPHA, Difference
from mecam.report.format import (
    UNDEFINED,
    capital,
    count,
    difference,
    duration,
    interval,
    memory,
    named,
    p_value,
    percent,
    plain,
)
from mecam.report.scores import difference_cell, metric_head, score_cell
from mecam.report.table import Cell, Table, latex_tables, markdown_page

__all__ = [
    "agreement",
    "baseline_table",
    "comparison_rows",
    "cost_table",
    "explained_ranks",
    "mistake_table",
    "score_table",
    "tables",
    "terminal_tables",
    "test_tables",
    "title_of",
]

TERMINAL_METRICS = 4
"""Metrics that fit beside each other in a terminal."""

EXPLANATION = (
    "Mean ± standard deviation over seeds; below it the 95 % interval over other recordings (or speakers) and seeds "
    "(bootstrap). The best mean of a column is bold; ≈ marks what a paired permutation test, adjusted by Holm "
    f"over the column, cannot tell from it (p ≥ {ALPHA:g})."
)
COSTS = (
    "Measured during each run; other work on the machine may have slowed it down. Training includes validation; "
    "utterances predicted per second at the end, 64 at a time; peak memory of the process, including libraries and "
    "data. Budget: how the options were found."
)
TESTS = (
    "Paired permutation test: the predictions of the two models are exchanged at random, recording by recording (or "
    "speaker by speaker). The difference is the model minus the best, with a "
    "bootstrap interval; * is p < {alpha:g}. The best was chosen by the same numbers, which favours it a little."
)


@dataclass(frozen=True)
class Cost:
    """What a run costs, as a column.

    Attributes:
        key: in `ComparisonRow.facts`, and in the CSV file.
        title: of the column.
        shown: turns the number into text.
    """

    key: str
    title: str
    shown: Callable[[float], str]

    def cell(self, row: ComparisonRow) -> Cell:
        """The number as text; a dash where it is not recorded."""
        number = row.facts.get(self.key)
        return Cell(UNDEFINED) if number is None else Cell(self.shown(number), number=number)


COST_COLUMNS = (
    Cost("parameters", "parameters", count),
    Cost("parameters_beside_text", "without text encoder", count),
    Cost("seconds_per_seed", "training per seed", duration),
    Cost("seconds_per_epoch", "per epoch", duration),
    Cost("utterances_per_second", "utterances/s", lambda rate: f"{rate:.0f}"),
    Cost("peak_memory_mb", "peak memory", memory),
    Cost("gpu_memory_mb", "on the GPU", memory),
)


def tables(comparison: ComparisonTable) -> list[Table]:
    """Everything, the scores first."""
    found = [score_table(comparison), baseline_table(comparison), *test_tables(comparison), cost_table(comparison)]
    found += [rank_table(comparison.ranks), mistake_table(comparison.overlap)]
    return [table for table in found if table is not None]


def terminal_tables(comparison: ComparisonTable) -> list[Table]:
    """The first metrics, against the baseline too, and what the runs cost; the files hold the rest."""
    first = leading_metrics(comparison.task)[:TERMINAL_METRICS]
    found = [score_table(comparison, first), baseline_table(comparison, first), cost_table(comparison)]
    return [table for table in found if table is not None]


def title_of(comparison: ComparisonTable) -> str:
    """What was compared on what."""
    return f"{comparison.data}, {comparison.split}: {comparison.resampled.of(comparison.utterances, comparison.videos)}"


def score_table(comparison: ComparisonTable, metrics: Sequence[Metric] | None = None) -> Table:
    """A row per run: its scores and its average rank.

    Args:
        comparison: all of it.
        metrics: the columns; None for all metrics of the task.
    """
    chosen, ranks = list(comparison.metrics.values()) if metrics is None else metrics, comparison.ranks
    head = ["model", *map(metric_head, chosen)]
    head += [] if ranks is None else [Cell("rank ↓", "average over recordings")]
    rows: list[list[Cell]] = []
    for row in comparison.rows:
        cells = [Cell(row.name, row.note), *(_score(row.scores[metric.name], metric) for metric in chosen)]
        rows.append([*cells, *([] if ranks is None else [_rank(ranks, row.name)])])
    note = EXPLANATION + ("" if ranks is None else f" {explained_ranks(ranks)}")
    return Table(head, rows, title_of(comparison), note, sortable=True)


def baseline_table(comparison: ComparisonTable, metrics: Sequence[Metric] | None = None) -> Table | None:
    """A row per run: its differences from the baseline; None without one."""
    if comparison.baseline is None:
        return None
    chosen = list(comparison.metrics.values()) if metrics is None else metrics
    rows = [
        [row.name, *(_delta(row.scores[metric.name].against_baseline, metric) for metric in chosen)]
        for row in comparison.rows
        if any(score.against_baseline for score in row.scores.values())
    ]
    note = (
        f"Difference from {comparison.baseline}, that of percentages in points, with the p-value of the paired "
        f"permutation test, adjusted by Holm; * is p < {ALPHA:g}."
    )
    head = ["model", *(metric_head(metric, delta=True) for metric in chosen)]
    return Table(head, rows, f"Against {comparison.baseline}", note, sortable=True)


def test_tables(comparison: ComparisonTable) -> list[Table]:
    """For each of the leading metrics: every run against the best of it."""
    found: list[Table] = []
    for metric in leading_metrics(comparison.task):
        best = next((row.name for row in comparison.rows if row.scores[metric.name].best), None)
        tested = [(row.name, row.scores[metric.name].against_best) for row in comparison.rows]
        rows = [_test_row(name, test, metric) for name, test in tested if test is not None]
        if best is not None and rows:
            head = ("model", "difference", "95 % interval", "p", "p adjusted")
            note = "" if found else TESTS.format(alpha=ALPHA)  # once is enough
            found.append(Table(head, rows, f"{capital(named(metric))}: against {best}", note))
    return found


def cost_table(comparison: ComparisonTable) -> Table:
    """A row per run: how its options were found, and what it took, as far as it is recorded."""
    columns = [cost for cost in COST_COLUMNS if any(cost.key in row.facts for row in comparison.rows)]
    rows = [[row.name, row.budget, *(cost.cell(row) for cost in columns)] for row in comparison.rows]
    head = ("model", "budget", *(cost.title for cost in columns))
    return Table(head, rows, "Costs", COSTS, words=frozenset({0, 1}), sortable=True)


def rank_table(ranks: Ranks | None) -> Table | None:
    """Average ranks, groups, and the adjusted p-value of every pair; None where nothing is ranked."""
    if ranks is None:
        return None
    rows = []
    for place, (name, mean) in enumerate(zip(ranks.names, ranks.means, strict=True)):
        pairs = ["" if place == other else p_value(p) for other, p in enumerate(ranks.p_holm[place])]
        rows.append([name, Cell(plain(mean, 1), number=mean), ranks.letters(name), *pairs])
    note = f"{explained_ranks(ranks)} The last columns are the adjusted p-value of every pair."
    return Table(("model", "rank", "groups", *ranks.names), rows, "Ranks", note)


def mistake_table(overlap: Overlap | None) -> Table | None:
    """How often each run errs, and how much alike its mistakes are to those of the others; None for a single run."""
    if overlap is None:
        return None
    residuals = overlap.residuals
    rows = []
    for i, (name, rate) in enumerate(zip(overlap.names, overlap.rates, strict=True)):
        cells = [
            Cell(plain(kappa, 2), f"r {plain(residuals[i][j], 2)}" if residuals else "", number=kappa)
            for j, kappa in enumerate(overlap.consistency[i])
        ]
        rows.append([name, Cell(percent(rate), number=rate), *cells])
    note = (
        f"An error is {overlap.mistake}; {overlap.decisions} decisions. Cohen's κ of the errors of two models: 0 is "
        "chance, 1 means identical errors; the diagonal compares the seeds of one model."
        + (" r: correlation of prediction − truth." if residuals else "")
    )
    return Table(("model", "errs on", *overlap.names), rows, "Mistakes", note)


def explained_ranks(ranks: Ranks) -> str:
    """What an average rank is, and what its letters say."""
    who = "Wilcoxon's signed-rank" if len(ranks.names) == 2 else "Friedman's"
    return (
        f"Rank: in each of {ranks.recordings} {ranks.unit} the runs are ranked by {ranks.error}, averaged over seeds; "
        f"the mean over {ranks.unit} is shown (1 is best). Runs that share a letter cannot be told apart (Wilcoxon's "
        f"signed ranks, adjusted by Holm over all pairs, {ALPHA:g}; {who} test over all: {p_value(ranks.friedman)})."
    )


def agreement(overlap: Overlap | None) -> str:
    """One sentence on whose mistakes agree most and least; empty where nothing is defined."""
    known = [] if overlap is None else [(overlap.consistency[i][j], i, j) for i, j in overlap.pairs()]
    pairs = sorted((kappa, i, j) for kappa, i, j in known if kappa is not None)
    if overlap is None or len(pairs) < 2:
        return ""
    names = overlap.names
    (low, a, b), (high, c, d) = pairs[0], pairs[-1]
    return (
        f"The errors of {names[c]} and {names[d]} agree most (κ {plain(high, 2)}), those of {names[a]} and "
        f"{names[b]} least (κ {plain(low, 2)}); 0 is chance, 1 means identical errors."
    )


def as_markdown(comparison: ComparisonTable) -> str:
    """All tables, and further notes."""
    first, *others = tables(comparison)
    missing = [f"{name} is missing: {reason}" for name, reason in comparison.missing.items()]
    notes = [agreement(comparison.overlap), *missing, *comparison.notes]
    return markdown_page(first.title, [replace(first, title="Scores"), *others], filter(None, notes))


def as_latex(comparison: ComparisonTable) -> str:
    r"""One `table*` per table, for `\usepackage{booktabs}`; cut the columns that a paper does not need."""
    return latex_tables(tables(comparison))


def as_csv(comparison: ComparisonTable) -> str:
    """One line per run and metric, in full precision."""
    rows = comparison_rows(comparison)
    return csv_text(list(rows[0]), (list(row.values()) for row in rows))


def comparison_rows(comparison: ComparisonTable) -> list[dict[str, Any]]:
    """The rows of `comparison.csv`: one per run and metric, in full precision; None where there is no value."""
    tests = [f"{what}_{against}" for against in ("best", "baseline") for what in ("difference", "low", "high", "p")]
    tests = [*tests[:4], "p_holm_best", *tests[4:], "p_holm_baseline"]
    keys, ranks = [cost.key for cost in COST_COLUMNS], comparison.ranks
    head = ["run", "model", "metric", "mean", "std", "low", "high", "seeds", "best", "tied", *tests, *keys]
    rows = [
        [row.name, row.model, name, score.mean, score.std, *(score.ci95 or (None, None)), row.seeds]
        + [int(score.best), int(score.tied), *_numbers(score.against_best), *_numbers(score.against_baseline)]
        + [row.facts.get(key) for key in keys]
        + ([None, None] if ranks is None else [ranks.of(row.name), ranks.letters(row.name)])
        + [row.budget]
        for row in comparison.rows
        for name, score in row.scores.items()
    ]
    head += ["rank", "rank_groups", "budget"]
    return [dict(zip(head, row, strict=True)) for row in rows]


def pairs_as_csv(comparison: ComparisonTable) -> str:
    """One line per two runs: whether recordings tell them apart, and whether they err together."""
    head = ["run", "other", "rank_p_holm", "both_err", "both_err_by_chance", "error_consistency"]
    overlap, ranks = comparison.overlap, comparison.ranks
    rows = []
    for i, j in [] if overlap is None else overlap.pairs():
        assert overlap is not None
        one, other = overlap.names[i], overlap.names[j]
        p = None if ranks is None else ranks.p_holm[ranks.names.index(one)][ranks.names.index(other)]
        matrices = (overlap.both, overlap.expected, overlap.consistency, overlap.residuals)
        rows.append([one, other, p, *(matrix[i][j] if matrix else None for matrix in matrices)])
    return csv_text([*head, "residual_correlation"], rows)


def _score(score: Score, metric: Metric) -> Cell:
    return score_cell(score.mean, metric, std=score.std, ci95=score.ci95, best=score.best, tied=score.tied)


def _rank(ranks: Ranks, name: str) -> Cell:
    mean = ranks.of(name)
    return Cell("") if mean is None else Cell(plain(mean, 1), ranks.letters(name), number=mean)


def _delta(found: Difference | None, metric: Metric) -> Cell:
    if found is None or found.value is None:
        return Cell(UNDEFINED)
    under = p_value(found.p_holm) + " *" * found.significant
    return difference_cell(found.value, metric, significant=found.significant, under=under)


def _test_row(name: str, test: Difference, metric: Metric) -> list[Cell | str]:
    """Of a table of tests; the stars are in the last column."""
    return [
        name,
        Cell(difference(test.value, metric, unit=True), number=test.value),
        interval(test.ci95, metric, points=True),
        Cell(p_value(test.p_value), number=test.p_value),
        Cell(p_value(test.p_holm) + " *" * test.significant, number=test.p_holm),
    ]


def _numbers(test: Difference | None) -> list[float | None]:
    return [None] * 5 if test is None else [test.value, *(test.ci95 or (None, None)), test.p_value, test.p_holm]
