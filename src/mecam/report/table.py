"""A table, made once and shown five times: in the terminal, on a page, as Markdown, LaTeX and CSV."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.table import Table as TerminalTable
from rich.text import Text

from mecam.data.cells import csv_text
from mecam.files import write_whole, writing
from mecam.report.format import UNDEFINED

__all__ = ["STYLES", "Cell", "Table", "Tone", "latex", "latex_tables", "markdown", "markdown_page", "write_files"]

Tone = Literal["", "best", "better", "worse", "warning", "muted", "positive", "negative", "missing", "strong"]
STYLES: Mapping[Tone, str] = {
    "best": "bold green",
    "better": "green",
    "worse": "red",
    "warning": "yellow",
    "muted": "dim",
    "positive": "bold blue",
    "negative": "bold red",
    "missing": "strike",
    "strong": "bold",
}
"""How a terminal shows each tone."""


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table, as plain text.

    Attributes:
        text: the value.
        under: in small print below it.
        tone: what the reader is to see at once: the best of its column, better or worse than what it is compared with.
        number: to sort by; None where undefined.
        title: shown on a page when the pointer rests on it.
        link: where it leads to on a page.
        pieces: the text in pieces, each with a tone of its own.
        shade: strength of the colour behind it on a page, 0 to 1; None has none.
    """

    text: str
    under: str = ""
    tone: Tone = ""
    number: float | None = None
    title: str = ""
    link: str = ""
    pieces: Sequence[tuple[str, Tone]] = ()
    shade: float | None = None

    @classmethod
    def joined(cls, pieces: Sequence[tuple[str, Tone]]) -> "Cell":
        """A text in pieces, each with its tone."""
        return cls("".join(text for text, _ in pieces), pieces=tuple(pieces))


@dataclass(frozen=True)
class Table:
    """A table; its first column names the rows.

    Attributes:
        head: a title per column; what stands under it is shown on pages only.
        rows: a `Cell` per column; anything else is a cell of its text.
        title: above it.
        note: what it shows, in words.
        words: columns of words, aligned left; all others are aligned right.
        sortable: on a page, a click on a heading sorts by the column.
    """

    head: Sequence[object]
    rows: Sequence[Sequence[object]]
    title: str = ""
    note: str = ""
    words: frozenset[int] = frozenset({0})
    sortable: bool = False

    @property
    def cells(self) -> list[list[Cell]]:
        """The rows, every entry a `Cell`."""
        return [_cells(row) for row in self.rows]

    @property
    def heads(self) -> list[Cell]:
        """The head, every entry a `Cell`."""
        return _cells(self.head)

    def compact(self) -> "Table":
        """The same without columns in which nothing is known; the first one stays."""
        cells = self.cells
        known = [i == 0 or any(row[i].text not in ("", UNDEFINED) for row in cells) for i in range(len(self.head))]
        shown = [i for i, keep in enumerate(known) if keep]
        words = frozenset(place for place, i in enumerate(shown) if i in self.words)
        return replace(
            self, head=[self.head[i] for i in shown], rows=[[r[i] for i in shown] for r in cells], words=words
        )

    def terminal(self) -> TerminalTable:
        """For a Rich console."""
        shown = TerminalTable(
            title=self.title or None, title_justify="left", caption=self.note or None, caption_justify="left"
        )
        for place, head in enumerate(self.heads):
            words = place in self.words
            shown.add_column(Text(head.text), justify="left" if words else "right", no_wrap=not words)
        for row in self.cells:
            shown.add_row(*map(_terminal_cell, row))
        return shown

    def markdown(self) -> str:
        """A table of GitHub's Markdown."""
        ruler = ["---" if place in self.words else "---:" for place in range(len(self.head))]
        rows = [[markdown(head.text) for head in self.heads], ruler]
        for row in self.cells:
            shown = [(f"**{markdown(c.text)}**" if c.tone == "best" else markdown(c.text), c.under) for c in row]
            rows.append([f"{text}<br>{markdown(under)}" if under else text for text, under in shown])
        return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"

    def latex(self) -> str:
        r"""A `table*` for `\usepackage{booktabs}`; the title and the note are its caption."""
        columns = "".join("l" if place in self.words else "r" for place in range(len(self.head)))
        lines = [r"\begin{table*}", r"\centering\small", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
        lines += [" & ".join(latex(head.text) for head in self.heads) + r" \\", r"\midrule"]
        for row in self.cells:
            shown = [rf"\textbf{{{latex(c.text)}}}" if c.tone == "best" else latex(c.text) for c in row]
            lines.append(" & ".join(shown) + r" \\")
            if any(cell.under for cell in row):
                below = [rf"{{\scriptsize {latex(cell.under)}}}" if cell.under else "" for cell in row]
                lines.append(" & ".join(below) + r" \\")
        about = f"{self.title}. {self.note}".strip(" .")
        lines += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{latex(about)}.}}", r"\end{table*}"]
        return "\n".join(lines) + "\n"

    def csv(self) -> str:
        """Rows of text; no cell of it is a formula to a spreadsheet."""
        return csv_text([head.text for head in self.heads], ([cell.text for cell in row] for row in self.cells))


def markdown_page(title: str, tables: Iterable[Table], notes: Iterable[str] = ()) -> str:
    """Tables below each other, each under its title and above its note, and a list of notes at the end."""
    parts = [f"# {markdown(title)}\n"]
    for table in tables:
        parts += [f"## {markdown(table.title)}\n"] if table.title else []
        parts += [table.markdown(), f"{markdown(table.note)}\n" if table.note else ""]
    return "\n".join([part for part in [*parts, *(f"- {markdown(note)}" for note in notes)] if part]).rstrip() + "\n"


def latex_tables(tables: Iterable[Table]) -> str:
    """Tables one after the other."""
    return "\n".join(table.latex() for table in tables)


def markdown(text: str) -> str:
    """Text as it is, wherever Markdown would see a sign in it."""
    for sign in "\\`*_[]<>|":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


def latex(text: str) -> str:
    """Text as it is, wherever LaTeX would see a sign in it."""
    signs = {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
        **{"−": "$-$", "±": r"$\pm$", "≈": r"$\approx$", "–": "--", UNDEFINED: "--", "<": "$<$", "≥": r"$\geq$"},
        **{"↑": r"$\uparrow$", "↓": r"$\downarrow$", "κ": r"$\kappa$", "Δ": r"$\Delta$"},
    }
    return "".join(signs.get(sign, sign) for sign in text)


def write_files(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write texts under their names into a folder that is made where it is missing, each whole or not at all.

    Returns: their paths, in the order given.
    Raises: DataError if the folder cannot be written to.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return [write_whole(folder / name, text) for name, text in texts.items()]


def _cells(row: Sequence[object]) -> list[Cell]:
    return [entry if isinstance(entry, Cell) else Cell(str(entry)) for entry in row]


def _terminal_cell(cell: Cell) -> Text:
    pieces = cell.pieces or [(cell.text, cell.tone)]
    text = Text.assemble(*((piece, STYLES.get(tone, "")) for piece, tone in pieces))
    return text.append(f"\n{cell.under}", style="dim not bold") if cell.under else text
