"""How scores, differences and costs are put into words: the same in the terminal, in files and on the page."""

from collections.abc import Callable
from dataclasses import dataclass

from mecam.evaluation.comparison.overlap import Overlap
from mecam.evaluation.comparison.ranks import Ranks
from mecam.evaluation.comparison.standings import ALPHA, Difference, Score, Standing, Standings
from mecam.evaluation.metrics import Metric
from mecam.report.markup import UNDEFINED, plain, spread, value

__all__ = [
    "COSTS",
    "EXPLANATION",
    "FACTS",
    "Fact",
    "alike",
    "costs",
    "delta",
    "explained_delta",
    "explained_ranks",
    "marked",
    "p_value",
    "ranked",
]

EXPLANATION = (
    "Mean ± standard deviation over seeds; below it the 95 % interval over other recordings (or speakers) and seeds "
    "(bootstrap). The best mean of a column is **bold**; ≈ marks what a paired permutation test, adjusted by Holm "
    f"over the column, cannot tell from it (p ≥ {ALPHA:g})."
)


COSTS = (
    "As measured while each run was made, on whatever else the machine did meanwhile: training with its validation; "
    "utterances answered a second at the end, 64 at a time; the most memory that the run's process ever took, "
    "libraries and data included. Budget: how the options were found."
)


def explained_ranks(ranks: Ranks) -> str:
    """What an average rank is, and what its letters say."""
    who = "Wilcoxon's signed-rank" if len(ranks.names) == 2 else "Friedman's"
    return (
        f"Rank: in each of {ranks.recordings} {ranks.unit} the runs are ranked by {ranks.error}, averaged over seeds; "
        f"the mean over {ranks.unit} is shown (1 is best). Runs that share a letter cannot be told apart (Wilcoxon's "
        f"signed ranks, adjusted by Holm over all pairs, {ALPHA:g}; {who} test over all: {p_value(ranks.friedman)})."
    )


def ranked(ranks: Ranks, name: str) -> tuple[str, str]:
    """A run's average rank and its letters, as printed; empty for one that is not ranked."""
    mean = ranks.of(name)
    return ("", "") if mean is None else (f"{mean:.1f}", ranks.letters(name))


def alike(overlap: Overlap) -> str:
    """One sentence on whose mistakes meet most and least; empty where nothing is defined."""
    known = [(overlap.consistency[i][j], i, j) for i, j in overlap.pairs()]
    pairs = sorted((value, i, j) for value, i, j in known if value is not None)
    if len(pairs) < 2:
        return ""
    names = overlap.names
    (low, a, b), (high, c, d) = pairs[0], pairs[-1]
    return (
        f"Mistakes meet most in {names[c]} and {names[d]} (κ {plain(high, 2)}), least in {names[a]} and {names[b]} "
        f"(κ {plain(low, 2)}); 0 is chance, 1 the same mistakes."
    )


def explained_delta(baseline: str) -> str:
    """What a table of differences shows."""
    return (
        f"Difference from {baseline}, with Holm's adjusted p-value of the paired permutation test; * is p < {ALPHA:g}."
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


def _memory(megabytes: float) -> str:
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1024 else f"{megabytes:.0f} MB"


FACTS = (
    Fact("parameters", "parameters", _count),
    Fact("parameters_beside_text", "beside text encoder", _count),
    Fact("seconds_per_seed", "training per seed", _duration),
    Fact("seconds_per_epoch", "per epoch", _duration),
    Fact("utterances_per_second", "utterances/s", lambda rate: f"{rate:.0f}"),
    Fact("peak_memory_mb", "peak memory", _memory),
    Fact("gpu_memory_mb", "on the GPU", _memory),
)
"""Columns of what a run costs, after the metrics."""


def costs(standings: Standings) -> list[Fact]:
    """The columns of `FACTS` that at least one run has recorded."""
    return [fact for fact in FACTS if any(fact.key in row.facts for row in standings.rows)]
