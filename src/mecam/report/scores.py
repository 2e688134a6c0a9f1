"""How a metric stands in a table: its heading, a value with its interval, a difference with its test."""

from collections.abc import Sequence

from mecam.evaluation.metrics import Metric
from mecam.report.format import UNDEFINED, arrow, difference, interval, spread, value
from mecam.report.table import Cell, Tone

__all__ = ["difference_cell", "metric_head", "score_cell"]


def metric_head(metric: Metric, *, loss: bool = False, delta: bool = False) -> Cell:
    """The heading of a column: the metric's key and which way is better; on pages also its name and definition.

    Args:
        metric: what the column holds.
        loss: the column says how much of the metric is lost.
        delta: the column holds differences.
    """
    unit = ", in points" if delta and metric.fraction else ""
    key = f"{'Δ ' * delta}{metric.name} {arrow(metric, loss=loss)}"
    return Cell(key, f"{metric.title}{unit}", title=metric.definition)


def score_cell(
    mean: float | None,
    metric: Metric,
    *,
    std: float | None = None,
    ci95: Sequence[float] | None = None,
    best: bool = False,
    tied: bool = False,
) -> Cell:
    """Mean ± standard deviation over seeds, ≈ where it is tied with the best, the interval below."""
    text = " ".join(part for part in (value(mean, metric), spread(std, metric), "≈" if tied else "") if part)
    return Cell(text, interval(ci95, metric) if ci95 else "", "best" if best else "", mean)


def difference_cell(number: float | None, metric: Metric, *, significant: bool, under: str = "") -> Cell:
    """A difference with its sign, coloured where it is significant; `under` says by which test."""
    if number is None:
        return Cell(UNDEFINED)
    better = (number > 0) == metric.higher_is_better
    tone: Tone = "" if not significant else "better" if better else "worse"
    return Cell(difference(number, metric), under, tone, number)
