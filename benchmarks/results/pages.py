"""Writes outcomes into the documentation.

A block `<!-- results NAME -->…<!-- /results -->` of README.md or docs/*.md is what `docs/results/NAME.md.j2` gives: a
Jinja template that sees every outcome by its name. `{{ mosi.test }}` is a table or a chart, `{{ mosi.test.mecam.mae }}`
a figure of it (`.spread` with ±, `.interval`, `.p`, `.mean` the number), `{{ mosi.made }}` how it was made. So text,
tables and figures say the same.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError, meta

from benchmarks.results.outcome import OUTCOMES
from benchmarks.results.recipe import ROOT
from mecam.errors import ConfigError
from mecam.files import write_whole
from mecam.report.format import UNDEFINED, p_value, percent, plain, signed

BLOCK = re.compile(r"<!-- results ([\w-]+) -->\n.*?<!-- /results -->", re.DOTALL)


@dataclass(frozen=True)
class Figure:
    """A cell of a table, as it is quoted."""

    cell: Mapping[str, Any]
    column: Mapping[str, Any]

    def __str__(self) -> str:
        return self._text(self.cell.get("mean"))

    @property
    def mean(self) -> float:
        return float(self.cell.get("mean", math.nan))

    @property
    def spread(self) -> str:
        """The mean and the deviation over seeds."""
        std = self.cell.get("std")
        scale = 100 if self.column["percent"] else 1
        return str(self) if std is None else f"{self} ± {plain(scale * std, self.column['digits'])}"

    @property
    def interval(self) -> str:
        """The ends of the 95 % interval; nothing where there is none."""
        ends = self.cell.get("ci95")
        return "" if ends is None else f"{self._text(ends[0]).removesuffix(' %')} to {self._text(ends[1])}"

    @property
    def p(self) -> str:
        """Of the test against the baseline; nothing for the baseline."""
        return p_value(self.cell["p"]) if "p" in self.cell else ""

    def _text(self, number: float | None) -> str:
        if number is None:
            return UNDEFINED
        if self.column["percent"]:
            text = percent(number, self.column["digits"])
            return text if not self.column["signed"] or number < 0 else f"+{text}"
        return (signed if self.column["signed"] else plain)(number, self.column["digits"])


@dataclass(frozen=True)
class TablePage:
    """A table, or the chart that is drawn of it; `table.ROW.COLUMN` is a figure."""

    name: str
    values: Mapping[str, Any]
    pictures: str
    """From the page to the folder of the charts."""

    def __getitem__(self, row: str) -> dict[str, Figure]:
        cells = self.values["rows"][row]["cells"]
        return {key: Figure(cells[key] or {}, column) for key, column in self.values["columns"].items()}

    def __str__(self) -> str:
        if self.values["chart"]:
            return f"![{self.values['title']}]({self.pictures}{self.name}.svg)"
        columns, rows = self.values["columns"], self.values["rows"]
        arrows = {"lower": " ↓", "higher": " ↑", None: ""}
        head = [self.values["corner"], *(c["title"] + arrows[c["better"]] for c in columns.values())]
        lines = [head, ["---", *("---:" for _ in columns)]]
        lines += [[rows[row]["title"], *(self._written(row, key) for key in columns)] for row in rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def _written(self, row: str, key: str) -> str:
        figure, show = self[row][key], self.values["show"]
        text = figure.spread if "std" in show else str(figure)
        text = f"**{text}**" if row in self._best[key] else text + " ≈" * figure.cell.get("tied", False)
        below = [figure.interval if "ci95" in show else "", f"({figure.p})" if "p" in show and figure.p else ""]
        return "<br>".join([text, *filter(None, [" ".join(filter(None, below))])])

    @cached_property
    def _best(self) -> dict[str, set[str]]:
        """Column → the rows of the best mean."""
        found = {}
        for key, column in self.values["columns"].items():
            means = {row: self[row][key].cell["mean"] for row in self.values["rows"] if self[row][key].cell}
            choose = {"lower": min, "higher": max}.get(column["better"])
            found[key] = {row for row in means if choose and means[row] == choose(means.values())}
        return found


class OutcomePage:
    """An outcome as templates see it: its tables by name, its values, and how it was made."""

    def __init__(self, name: str, values: Mapping[str, Any], *, pictures: str, old: bool) -> None:
        self.name, self.values, self.old = name, values, old
        self.tables = {key: TablePage(f"{name}-{key}", table, pictures) for key, table in values["tables"].items()}

    def __getitem__(self, key: str) -> Any:
        return self.tables[key] if key in self.tables else self.values[key]

    @property
    def made(self) -> str:
        """The commands, and where and when they ran."""
        seeds = self.values["seeds"]
        told = [
            f"`make results ONLY={self.name}`, {self.values['minutes']:.0f} minutes "
            f"({self.values['core_minutes']:.0f} of one core)",
            "; ".join(self.values["processor"]),
            f"{len(seeds)} seed{'s' * (len(seeds) != 1)}",
            "; ".join(self.values["made_with"]),
            self.values["date"],
        ]
        old = "**Older:** the recipe has changed since.\n\n" if self.old else ""
        commands = "\n".join(self.values["commands"])
        facts = " · ".join(told)
        return f"{old}<details><summary>{facts}</summary>\n\n```\n{commands}\n```\n\n</details>"


def rendered(template: str, page: Path, outcomes: Mapping[str, Mapping[str, Any]], old: set[str], folder: Path) -> str:
    """What a template gives on a page; a line that says so where it quotes what was not measured yet.

    Args:
        template: its name, without `.md.j2`.
        page: for links.
        outcomes: recipe → what came of it.
        old: recipes whose commands have changed since.
        folder: of the templates and charts.

    Raises: ConfigError if the template quotes a figure that no outcome has.
    """
    environment = Environment(
        loader=FileSystemLoader(folder), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = (folder / f"{template}.md.j2").read_text(encoding="utf-8")
    pictures = folder.relative_to(page.parent).as_posix() + "/"
    seen = {name: OutcomePage(name, values, pictures=pictures, old=name in old) for name, values in outcomes.items()}
    try:
        return environment.from_string(source).render(seen).strip()
    except UndefinedError as error:
        quoted = meta.find_undeclared_variables(environment.parse(source))
        if absent := sorted(quoted - (set(outcomes) - old)):
            return f"*Not measured yet: `make results ONLY={','.join(absent)}`.*"
        raise ConfigError(
            f"the template quotes what no outcome has: {error}", where=str(folder / f"{template}.md.j2")
        ) from error


def pages(
    outcomes: Mapping[str, Mapping[str, Any]], old: set[str], root: Path = ROOT, folder: Path = OUTCOMES
) -> Iterator[tuple[Path, str]]:
    """Every page with blocks, and what it should say."""
    for page in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        parts = BLOCK.split(page.read_text(encoding="utf-8"))  # text, template, text, template, … text
        if len(parts) > 1:
            blocks = [
                f"<!-- results {name} -->\n{rendered(name, page, outcomes, old, folder)}\n<!-- /results -->"
                for name in parts[1::2]
            ]
            yield page, "".join(text + block for text, block in zip(parts[::2], [*blocks, ""], strict=True))


def write_pages(
    outcomes: Mapping[str, Mapping[str, Any]], old: set[str], root: Path = ROOT, folder: Path = OUTCOMES
) -> list[Path]:
    """Fill the blocks of all pages; the pages that were changed."""
    changed = [(page, text) for page, text in pages(outcomes, old, root, folder) if page.read_text("utf-8") != text]
    return [write_whole(page, text) for page, text in changed]
