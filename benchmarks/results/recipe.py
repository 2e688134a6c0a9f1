"""Recipes: `configs/results/NAME.yaml`, what is run and which figures make a table.

    title: Sentiment of CMU-MOSI
    question: Does a voice add to the text?
    data: [mosi]                                  # folders of DATA; without them the recipe is left out
    minutes: 12                                   # of one core
    processor: AMD EPYC (Zen 4), AVX-512, bf16    # of this processor
    estimated: true                               # until they were measured
    steps:
      - mecam data import DATA/mosi -o stores/mosi
      - mecam train --data stores/mosi --models mecam,text_only --seeds 3 --out runs/mosi
      - mecam compare runs/mosi/mecam runs/mosi/text_only --baseline text_only --out comparisons/mosi
      - run: mecam robustness runs/mosi/mecam runs/mosi/text_only --protocol corruptions --out robustness/mosi
        makes: robustness/mosi/corruptions        # unless that is what stands after --out
    tables:
      test:
        title: CMU-MOSI, test split
        file: comparisons/mosi/comparison.json
        at: rows/{row}/scores/{column}
        show: [std, ci95, p]
        rows: {mecam: MECAM, text_only: text alone}
        columns:
          mae: {title: MAE, better: lower}
          acc2_nonzero: {title: Acc-2, percent: true, better: higher}

A step is a `mecam` command, written as it is typed below the work folder. `DATA/…` stands for the folder of the data
sets, `CONFIGS/…` for `configs` of this repository. Two recipes that need the same store or run have the same command.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from mecam.config import decode, read_yaml
from mecam.errors import ConfigError

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
RECIPES = CONFIGS / "results"


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        words: what follows `mecam`.
        makes: what it makes, below the work folder.
        needs: what earlier steps of the recipe made and this one reads.
    """

    words: tuple[str, ...]
    makes: str
    needs: tuple[str, ...]

    @property
    def command(self) -> str:
        return shlex.join(["mecam", *self.words])


@dataclass(frozen=True)
class Column:
    """A column of a table. `file` and `at` are those of the table unless they are given here."""

    title: str
    file: str | None = None
    at: str | None = None
    digits: int = 3
    percent: bool = False
    """Fractions as percentages; `digits` is then 1 unless it is given."""
    signed: bool = False
    """A difference: with its sign."""
    better: Literal["lower", "higher"] | None = None
    """Puts an arrow into the title and the best mean in bold."""
    without: tuple[str, ...] = ()
    """Rows that have no such figure."""


@dataclass(frozen=True)
class Table:
    """Where the figures are found.

    `file` is a JSON file of mecam below the work folder, `at` a path in it, as in `rows/{row}/scores/{column}`;
    `{row}` and `{column}` are the keys below. Of a list, the element with this `name` is taken.
    """

    title: str
    rows: dict[str, str]
    """Key → how the row is called."""
    columns: dict[str, Column | str]
    """Key → the column, or only its title."""
    file: str = ""
    at: str = ""
    corner: str = ""
    """Above the names of the rows."""
    show: tuple[Literal["std", "ci95", "p"], ...] = ("std",)
    """What is shown beside a mean: deviation over seeds, 95 % interval, p of the test against the baseline."""
    chart: Literal["lines", "dots"] | None = None
    """Drawn instead of written: columns are places on the x axis (lines), or there is one column (dots)."""
    axes: tuple[str, str] = ("", "")
    """Titles of the axes of a chart."""

    @property
    def shown(self) -> dict[str, Column]:
        """Key → column."""
        return {key: Column(given) if isinstance(given, str) else given for key, given in self.columns.items()}


@dataclass(frozen=True)
class Recipe:
    """A question and how it is answered."""

    title: str
    question: str
    minutes: float
    """Of one core of this processor, by itself: steps that another recipe has made already take no time."""
    processor: str
    steps: tuple[str | dict[str, str], ...]
    tables: dict[str, Table]
    data: tuple[str, ...] = ()
    """Folders of DATA that it reads."""
    estimated: bool = False
    """The minutes were not measured yet."""
    name: str = ""
    parsed: tuple[Step, ...] = field(default=())

    @property
    def commands(self) -> tuple[str, ...]:
        return tuple(step.command for step in self.parsed)

    @property
    def digest(self) -> str:
        """Of the commands and of what is taken from their output; other words and times leave it as it is."""
        told = {"commands": self.commands, "tables": {key: asdict(table) for key, table in self.tables.items()}}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def read_recipe(path: Path) -> Recipe:
    """Read one recipe.

    Raises: ConfigError if a key is unknown, a value is wrong, a step is no `mecam` command or makes nothing.
    """
    values = read_yaml(path)
    if stray := {"name", "parsed"} & set(values):
        raise ConfigError(f"{min(stray)!r} is not written into a recipe", where=str(path), fix="remove it")
    try:
        recipe = decode(Recipe, values, where="")
    except ConfigError as error:
        raise ConfigError(error.what, where=str(path), fix="see benchmarks/results/recipe.py") from error
    return decode(Recipe, values | {"name": path.stem, "parsed": _parsed(recipe.steps, path)}, where="")


def read_recipes(folder: Path = RECIPES) -> dict[str, Recipe]:
    """All recipes of a folder, in the order of their names.

    Raises: ConfigError as `read_recipe`, and if two of them make the same folder by different commands.
    """
    recipes = {path.stem: read_recipe(path) for path in sorted(folder.glob("*.yaml"))}
    makers: dict[str, tuple[str, str]] = {}
    for name, recipe in recipes.items():
        for step in recipe.parsed:
            other, command = makers.setdefault(step.makes, (name, step.command))
            if command != step.command:
                raise ConfigError(
                    f"{step.makes} is made by two commands: {command} ({other}); {step.command} ({name})",
                    where=str(folder),
                    fix="write the same command, or make another folder",
                )
    return recipes


def chosen(recipes: Mapping[str, Recipe], only: str) -> list[Recipe]:
    """The recipes of a list of names, separated by commas; all of an empty one.

    Raises: ConfigError if there is none of that name.
    """
    names = [name.strip() for name in only.split(",") if name.strip()] or list(recipes)
    if unknown := [name for name in names if name not in recipes]:
        raise ConfigError(f"there is no recipe {unknown[0]!r}", where="--only", fix=f"choose from {', '.join(recipes)}")
    return [recipes[name] for name in dict.fromkeys(names)]


def _parsed(steps: Sequence[str | dict[str, str]], path: Path) -> list[dict[str, Any]]:
    made: list[str] = []
    parsed = []
    for given in steps:
        step = {"run": given} if isinstance(given, str) else given
        if not {"run"} <= set(step) <= {"run", "makes"}:
            raise ConfigError(f"a step is a command, or run and makes: {step}", where=str(path))
        program, *words = shlex.split(step["run"])
        if program != "mecam":
            raise ConfigError(f"a step runs mecam, this one {program}", where=str(path), fix="write mecam commands")
        makes = step.get("makes") or _output(words)
        if makes is None or Path(makes).is_absolute() or ".." in Path(makes).parts:
            raise ConfigError(f"it is unclear what this makes: {step['run']}", where=str(path), fix="add --out FOLDER")
        parsed.append({"words": words, "makes": makes, "needs": [place for place in made if _reads(words, place)]})
        made.append(makes)
    return parsed


def _output(words: Sequence[str]) -> str | None:
    return next((after for word, after in pairwise(words) if word in ("--out", "-o")), None)


def _reads(words: Sequence[str], place: str) -> bool:
    """Whether a folder, or something in it, is named in a command, also as in NAME=FOLDER."""
    named = {part for word in words for part in re.split("[=,[\\]]", word)}
    return any(part == place or part.startswith(place + "/") for part in named)
