"""How scores, differences and costs are put into words: the same in the terminal, in files and on the page."""

from collections.abc import Callable
from dataclasses import dataclass

from mecam.evaluation.comparison.standings import ALPHA, Difference, Score, Standing, Standings
from mecam.evaluation.metrics import Metric
from mecam.evaluation.report.markup import UNDEFINED, plain, spread, value

__all__ = ["EXPLANATION", "FACTS", "Fact", "costs", "delta", "explained_delta", "marked", "p_value"]

EXPLANATION = (
    "Mean ± standard deviation over seeds; below it the 95 % interval over other recordings and seeds (bootstrap). "
    f"The best mean of a column is **bold**; ≈ marks what a paired permutation test over recordings, adjusted by Holm "
    f"over the column, cannot tell from it (p ≥ {ALPHA:g})."
)


def explained_delta(baseline: str) -> str:
    """What a table of differences shows."""
    return (
        f"Difference from {baseline}, with Holm's adjusted p-value of the paired permutation test over recordings; "
        f"* is p < {ALPHA:g}."
    )


@dataclass(frozen=True)
class Fact:
    """What a run costs, as a column.

    Attributes:
        key: in `Standing.facts`.
        title: of the column.
        print: turns the number into words.
    """

    key: str
    title: str
    print: Callable[[float], str]

    def shown(self, row: Standing) -> str:
        """The number in words; a dash where it is not recorded."""
        number = row.facts.get(self.key)
        return UNDEFINED if number is None else self.print(number)


def marked(score: Score, metric: Metric) -> str:
    """Mean ± std, with ≈ where the run is tied with the best."""
    text = value(score.mean, metric)
    if score.std is not None:
        text += f" {spread(score.std, metric)}"
    return f"{text} ≈" if score.tied else text


def delta(difference: Difference | None, metric: Metric) -> str:
    """A difference with its sign and p-value; a star where it is significant."""
    if difference is None or difference.value is None:
        return UNDEFINED
    number = plain(100 * difference.value, 1) if metric.fraction else plain(difference.value)
    sign = "" if number.startswith("−") else "+"
    star = " *" if difference.significant else ""
    return f"{sign}{number} ({p_value(difference.p_holm)}){star}"


def p_value(p: float | None) -> str:
    """A p-value as papers print it."""
    if p is None:
        return "p undefined"
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".")


def _count(number: float) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1e6 else f"{number / 1e3:.0f} k" if number >= 1e4 else f"{number:.0f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


FACTS = (
    Fact("parameters", "parameters", _count),
    Fact("seconds_per_seed", "training per seed", _duration),
    Fact("seconds_per_epoch", "per epoch", _duration),
)
"""Columns of what a run costs, after the metrics."""


def costs(standings: Standings) -> list[Fact]:
    """The columns of `FACTS` that at least one run has recorded."""
    return [fact for fact in FACTS if any(fact.key in row.facts for row in standings.rows)]
