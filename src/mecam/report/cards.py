"""The cards of the built-in model in the terminal."""

from rich.console import Group
from rich.text import Text

from mecam.pretrained.cards import Card, Measured, cards
from mecam.report.format import plain
from mecam.report.table import Table

__all__ = ["card_view", "quality_table"]


def card_view(card: Card) -> Group:
    """What a part says, what it learned from, how good it is, and what it is not for."""
    head = Text.assemble((card.name, "bold"), f" · reads {card.reads} · {card.tier}")
    learned = ", ".join(f"{data} ({licence})" for data, licence in card.learned_from.items())
    lines = (card.says, f"Learned from: {learned}. Licence of the weights: {card.licence}.", f"Limits: {card.limits}")
    columns = ["measured on", "metric", "value", "95 % interval"]
    rows = [[one.data, one.metric, plain(one.value, 3), _interval(one)] for one in card.measured]
    if any(one.note for one in card.measured):
        columns.append("note")
        rows = [[*row, one.note] for row, one in zip(rows, card.measured, strict=True)]
    table = [Table(columns, rows, words=frozenset({0, 1, 4})).terminal()] if rows else []
    return Group(head, *map(Text, lines), *table, Text(f"Not for: {card.not_for}"), Text())


def _interval(one: Measured) -> str:
    return "" if one.low is None or one.high is None else f"{plain(one.low, 3)} to {plain(one.high, 3)}"


def quality_table() -> str:
    """What all cards measured, as a table in Markdown."""
    lines = ["| part | measured on | metric | value | 95 % interval |", "|---|---|---|---|---|"]
    for card in cards().values():
        for one in card.measured:
            note = f" ({one.note})" if one.note else ""
            cells = (card.name, one.data, f"{one.metric}{note}", plain(one.value, 3), _interval(one) or "–")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
