"""What `mecam models` shows in the terminal, as tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mecam.report.table import Cell, Table

if TYPE_CHECKING:
    from mecam.testing import Verdict

__all__ = ["model_table", "option_table", "promise_table"]


def model_table(models: Iterable[tuple[str, str]]) -> Table:
    """Every model: its name and description."""
    return Table(("name", "description"), [list(row) for row in models], words=frozenset({0, 1}))


def option_table(options: Iterable[tuple[str, str, str]]) -> Table:
    """Every option: its name, its default, what it means."""
    return Table(("--set", "default", "meaning"), [list(row) for row in options], words=frozenset({0, 1, 2}))


def promise_table(name: str, verdicts: Sequence["Verdict"], tasks: Mapping[str, str]) -> Table:
    """Every promise of a model, and for which tasks it is kept.

    Args:
        name: of the model.
        verdicts: of all checks.
        tasks: kind of task → its heading.
    """
    marks = {True: Cell("✓", tone="better"), False: Cell("✗", tone="worse")}
    rows = []
    for check in dict.fromkeys(verdict.check for verdict in verdicts):
        kept = {verdict.task: not verdict.error for verdict in verdicts if verdict.check == check}
        rows.append([check, *(marks[kept[task]] if task in kept else "" for task in tasks)])
    return Table((f"what {name} promises", *tasks.values()), rows, words=frozenset(range(len(tasks) + 1)))
