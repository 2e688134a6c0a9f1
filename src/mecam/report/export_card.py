"""What `mecam export` shows of an exported model."""

from collections.abc import Mapping
from typing import Any

from mecam.report.table import Table

__all__ = ["card_table"]


def card_table(card: Mapping[str, Any]) -> Table:
    """How an export was checked, and what came out."""
    size = sum(card["bytes"].values())
    rows = [
        ["model", f"{card['model']}, trained on {card['trained_on'] or 'unknown data'}"],
        ["checked on", card["checked_on"]],
        ["largest difference from PyTorch", f"{max(card['differences'].values()):.1e}"],
    ]
    if cost := card.get("quantisation"):
        change = f"{cost['metric']} {cost['before']:.4f} → {cost['after']:.4f} on the whole validation split"
        rows.append(["cost of 8-bit integers", change])
        changes = f"{cost['mean_change']:.3f} on average, {cost['largest_change']:.3f} at most"
        rows.append(["change of a prediction by them", changes])
    rows.append(["size", f"{size / 1e6:.1f} MB"])
    return Table(("exported model", ""), rows, words=frozenset({0, 1}))
