"""How the runs relate, for the page: average ranks with who cannot be told apart, and whose mistakes meet."""

from typing import Any

from mecam.evaluation.comparison.overlap import Matrix, Overlap
from mecam.evaluation.comparison.ranks import Ranks
from mecam.report.comparison.words import alike, explained_ranks, p_value
from mecam.report.figures import Figure, axis, compose
from mecam.report.markup import details, escape, figure, percent, plain, table, titled

__all__ = ["mistakes_section", "ranks_section"]

WRITTEN = 12
"""Models up to which the cells of a matrix hold their numbers."""


def ranks_section(ranks: Ranks | None) -> str:
    """The critical-difference plot, upright, and every pair's p-value."""
    if ranks is None:
        return ""
    caption = (
        "Average rank of every run; runs that a bar joins cannot be told apart. As in Demšar (JMLR 2006), but blocks "
        "are recordings of one data set, since those are what is independent in it, and pairs are tested as Benavoli "
        "et al. (JMLR 2016) ask."
    )
    rows = [
        [escape(one), *("" if i == j else escape(p_value(ranks.p_holm[i][j])) for j in range(len(ranks.names)))]
        for i, one in enumerate(ranks.names)
    ]
    pairs = table(["", *(escape(name) for name in ranks.names)], rows, numbers=len(ranks.names))
    return titled(
        "Ranks",
        f'<p class="note">{escape(explained_ranks(ranks))} It speaks of other recordings of this data set.</p>',
        figure(_ladder(ranks), caption, label="Average ranks and groups that cannot be told apart"),
        details("Adjusted p-value of every pair", pairs),
    )


def _ladder(ranks: Ranks) -> Figure:
    names = [escape(name) for name in ranks.names]
    step = max(0.35, 0.05 * len(names))
    worst, every = max(ranks.means), 1 if len(names) < 8 else 2 if len(names) < 14 else 5
    joined = [group for group in ranks.groups if len(group) > 1]
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [worst + step * (place + 1)] * len(group),
            "y": [escape(name) for name in group],
            "line": {"color": "var(--ink)", "width": 4},
            "hovertemplate": f"cannot be told apart: {escape(', '.join(group))}<extra></extra>",
        }
        for place, group in enumerate(joined)
    ]
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": list(ranks.means),
            "y": names,
            "marker": {"color": "var(--accent)", "size": 9},
            "hovertemplate": "%{y}: %{x:.2f}<extra></extra>",
        }
    )
    return compose(
        data,
        axis(
            "average rank (1 is best)",
            range=[min(1.0, min(ranks.means)) - step / 2, worst + step * (len(joined) + 1)],
            tickvals=[1, *range(max(2, every), int(worst) + 1, every)],
            zeroline=False,
        ),
        axis("", type="category", autorange="reversed", categoryorder="array", categoryarray=names, showgrid=False),
        height=90 + 28 * len(names),
    )


def mistakes_section(overlap: Overlap | None) -> str:
    """Who errs together, and whose scores are off in the same direction."""
    if overlap is None:
        return ""
    rates = ", ".join(
        f"{escape(name)} {percent(rate)}" for name, rate in zip(overlap.names, overlap.rates, strict=True)
    )
    note = (
        f"A mistake is {escape(overlap.mistake)}; {overlap.decisions} decisions. {escape(alike(overlap))} The diagonal "
        "compares a model's own seeds: how much alike two trainings of one model are."
    )
    consistency = (
        "<b>Do they err together?</b> Cohen's κ of the mistakes (error consistency, Geirhos et al., NeurIPS 2020): 0 "
        "is what chance gives two models that err this often."
    )
    drawn = [
        figure(_matrix(overlap, overlap.consistency, "κ", both=True), consistency, label="Consistency of mistakes")
    ]
    if overlap.residuals:
        caption = "<b>Are they off in the same direction?</b> Correlation of prediction − truth over all utterances."
        drawn.append(figure(_matrix(overlap, overlap.residuals, "r"), caption, label="Correlation of residuals"))
    return titled(
        "Mistakes",
        f'<p class="note">{note}</p>',
        f'<div class="pair">{"".join(drawn)}</div>',
        details("How often each errs", f"<p>{rates}</p>"),
    )


def _matrix(overlap: Overlap, values: Matrix, symbol: str, *, both: bool = False) -> Figure:
    names = [escape(name) for name in overlap.names]
    few = len(names) <= WRITTEN
    told = [
        [
            f"{one} and {other}: {symbol} {plain(values[i][j], 2)}"
            + (f"<br>both err on {percent(overlap.both[i][j])}, by chance {percent(overlap.expected[i][j])}" * both)
            for j, other in enumerate(names)
        ]
        for i, one in enumerate(names)
    ]
    data = [
        {
            "type": "heatmap",
            "z": values,
            "x": names,
            "y": names,
            "text": [[plain(value, 2) if few else "" for value in row] for row in values],
            "texttemplate": "%{text}",
            "customdata": told,
            "colorscale": [[0.0, "var(--paper)"], [1.0, "var(--accent)"]],
            "zmin": 0,
            "zmax": 1,
            "showscale": False,
            "xgap": 1,
            "ygap": 1,
            "hoverongaps": False,
            "hovertemplate": "%{customdata}<extra></extra>",
        }
    ]
    x = axis("", type="category", showgrid=False, tickangle=-90)
    y = axis("", type="category", showgrid=False, autorange="reversed")
    return compose(data, x, y, height=min(560, 130 + 26 * len(names)))
