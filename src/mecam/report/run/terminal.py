"""Metrics as tables for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

__all__ = ["conflict_view", "filter_view", "metrics_view"]

LOWER_IS_BETTER = {"mae"}
AS_IS = {"mae", "corr"}
"""Printed as numbers; all others are fractions, printed as percentages."""


def metrics_view(title: str, metrics: Mapping[str, Any], split: str) -> Table:
    """One split's metrics beside the constant predictor's."""
    from mecam.evaluation.groups import MIN_GROUPS

    table = Table(title=title, title_justify="left")
    table.add_column("metric")
    for name in ("mean", "± std", "95 % interval", "constant"):
        table.add_column(name, justify="right")
    resampled = metrics.get("resampled", {}).get(split, {})
    few = 0 < int(resampled.get("count", 0)) < MIN_GROUPS
    if resampled:
        table.caption = f"95 % interval: over other {resampled['unit']}, of which there are {resampled['count']}"
        table.caption += f"; it takes {MIN_GROUPS}" if few else ""
    for name, entry in metrics[split].items():
        other = metrics.get("constant", {}).get(split, {}).get(name, {})
        ends = entry["ci95"]
        table.add_row(
            f"{name} {'↓' if name in LOWER_IS_BETTER else '↑'}",
            _number(name, entry["mean"]),
            _number(name, entry["std"]) if entry["std"] is not None else "one seed",
            f"{_number(name, ends[0])} to {_number(name, ends[1])}" if ends else "too few" if few else "–",
            _number(name, other.get("mean")),
        )
    return table


def filter_view(found: Mapping[str, Any]) -> Table:
    """How well the filter finds what was put in: AUROC per modality and kind; 0.5 is chance."""
    kinds = sorted({kind for rows in found.values() for kind in rows}, key=lambda kind: (kind != "all", kind))
    table = Table(title="filter AUROC: rows ranked by how much was removed (0.5 is chance)", title_justify="left")
    table.add_column("modality")
    for kind in kinds:
        table.add_column(kind, justify="right")
    for modality, rows in found.items():
        table.add_row(modality, *(_number("mae", (rows.get(kind) or {}).get("mean")) for kind in kinds))
    return table


def conflict_view(found: Mapping[str, Any]) -> Table:
    """How well it is noticed that a modality contradicts the others: AUROC; 0.5 is chance."""
    table = Table(title="conflict AUROC: utterances ranked by doubt (0.5 is chance)", title_justify="left")
    for name in found:
        table.add_column(name, justify="right")
    table.add_row(*(_number("mae", entry["mean"]) for entry in found.values()))
    return table


def _number(metric: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if metric in AS_IS else f"{100 * value:.1f} %"
