"""Standings as tables for the terminal: the leading metrics; the files hold all of them."""

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from mecam.evaluation.comparison import Standings
    from mecam.evaluation.metrics import Metric

__all__ = ["costs_view", "delta_view", "standings_view"]

SHOWN = 4
"""Metrics that fit beside each other."""


def standings_view(standings: "Standings") -> Table:
    """Every run on the leading metrics: mean ± std, the interval below, the best in bold, ties marked."""
    from mecam.report.comparison.words import EXPLANATION, explained_ranks, marked, ranked
    from mecam.report.markup import interval

    counted = standings.resampled.of(standings.utterances, standings.videos)
    title = f"{standings.data}, {standings.split}: {counted}"
    caption = EXPLANATION.replace("**", "")
    caption += "" if standings.ranks is None else f" {explained_ranks(standings.ranks)}"
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    table.add_column("")
    metrics = _leading(standings)
    for metric in metrics:
        table.add_column(f"{metric.name} {'↑' if metric.higher_is_better else '↓'}", justify="right", no_wrap=True)
    ranks = standings.ranks
    if ranks is not None:
        table.add_column("rank ↓", justify="right", no_wrap=True)
    for row in standings.rows:
        cells = []
        for metric in metrics:
            score = row.scores[metric.name]
            text = Text(marked(score, metric), style="bold green" if score.best else "")
            cells.append(text.append(f"\n{interval(score.ci95, metric)}", style="dim not bold") if score.ci95 else text)
        cells += [] if ranks is None else [Text("\n".join(ranked(ranks, row.name)))]
        table.add_row(Text(row.name), *cells)
    return table


def costs_view(standings: "Standings") -> Table:
    """What every run took, as far as it is recorded, and how its options were found."""
    from mecam.report.comparison.words import COSTS, costs

    table = Table(title="costs", title_justify="left", caption=COSTS, caption_justify="left")
    table.add_column("")
    table.add_column("budget")
    facts = costs(standings)
    for fact in facts:
        table.add_column(fact.title, justify="right")
    for row in standings.rows:
        table.add_row(Text(row.name), row.budget, *(fact.shown(row) for fact in facts))
    return table


def delta_view(standings: "Standings") -> Table:
    """Every run's difference from the baseline on the leading metrics."""
    from mecam.report.comparison.words import delta, explained_delta

    assert standings.baseline is not None
    caption = explained_delta(standings.baseline)
    table = Table(title=f"against {standings.baseline}", title_justify="left", caption=caption, caption_justify="left")
    table.add_column("")
    metrics = _leading(standings)
    for metric in metrics:
        table.add_column(f"Δ {metric.name} {'↑' if metric.higher_is_better else '↓'}", justify="right", no_wrap=True)
    for row in standings.rows:
        differences = [row.scores[metric.name].against_baseline for metric in metrics]
        if any(differences):
            cells = [delta(difference, metric) for difference, metric in zip(differences, metrics, strict=True)]
            table.add_row(Text(row.name), *cells)
    return table


def _leading(standings: "Standings") -> "list[Metric]":
    from mecam.report.comparison.page import leading

    return leading(standings)[:SHOWN]
