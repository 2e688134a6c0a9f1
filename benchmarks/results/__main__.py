"""Makes the tables and charts of the documentation by the recipes of `configs/results`.

    python -m benchmarks.results --list
    python -m benchmarks.results --data FOLDER --work FOLDER                        # all whose data are there
    python -m benchmarks.results --data FOLDER --work FOLDER --only mosi,ravdess
    python -m benchmarks.results --docs           # no runs: charts and pages, from docs/results/*.json

What was finished is not run again; the same command continues. Runs and full tables are in the work folder.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results.charts import write_charts
from benchmarks.results.outcome import OUTCOMES, collect, read_outcomes, write_outcome
from benchmarks.results.pages import write_pages
from benchmarks.results.recipe import RECIPES, ROOT, Recipe, chosen, read_recipes
from benchmarks.results.steps import Workshop
from mecam.errors import MecamError


def state(recipe: Recipe, shop: Workshop, outcomes: Mapping[str, Mapping[str, Any]]) -> str:
    """How far a recipe is, in words."""
    if absent := shop.absent(recipe):
        made = f"no data: {', '.join(absent)}"
    else:
        done = len(shop.finished(recipe))
        made = f"{done} of {len(recipe.parsed)} steps" if done < len(recipe.parsed) else "made"
    if recipe.name not in outcomes:
        return f"{made}; no outcome"
    return made if outcomes[recipe.name]["recipe"] == recipe.digest else f"{made}; the outcome is old"


def expected(recipe: Recipe) -> str:
    """The time of a recipe, and on which processor."""
    return f"{recipe.minutes:.0f} minutes of one core ({'estimated; ' * recipe.estimated}{recipe.processor})"


def make(recipes: Sequence[Recipe], shop: Workshop, outcomes: Path = OUTCOMES) -> list[str]:
    """Run recipes and write their outcomes; the names of those that failed."""
    failed = []
    for recipe in recipes:
        if absent := shop.absent(recipe):
            print(f"{recipe.name}: left out, there is no {', '.join(map(str, (shop.data / name for name in absent)))}")
            continue
        left = len(recipe.parsed) - len(shop.finished(recipe))
        print(f"{recipe.name}: {left} of {len(recipe.parsed)} steps to run; all take {expected(recipe)}", flush=True)
        try:
            shop.run(recipe)
            outcome = collect(recipe, shop)
            place = write_outcome(recipe.name, outcome, outcomes)
            print(f"{recipe.name}: took {outcome['minutes']} minutes, {outcome['core_minutes']} of one core; {place}")
        except MecamError as error:
            failed.append(recipe.name)
            print(f"{recipe.name}: failed. {error}", flush=True)
    return failed


def write_docs(recipes: Mapping[str, Recipe], root: Path = ROOT, folder: Path = OUTCOMES) -> list[Path]:
    """Draw the charts and fill the pages; what was changed."""
    outcomes = read_outcomes(folder)
    return [*write_charts(outcomes, folder), *write_pages(outcomes, old_ones(recipes, outcomes), root, folder)]


def old_ones(recipes: Mapping[str, Recipe], outcomes: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Outcomes of recipes that have changed since, or are gone."""
    return {
        name for name, outcome in outcomes.items() if name not in recipes or recipes[name].digest != outcome["recipe"]
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the data sets")
    parser.add_argument("--work", type=Path, default=Path("work/results"), help="folder for stores, runs and tables")
    parser.add_argument("--only", default="", help="names of recipes, separated by commas")
    parser.add_argument("--list", action="store_true", help="list the recipes, their times and how far they are")
    parser.add_argument("--docs", action="store_true", help="only write the pages")
    options = parser.parse_args(arguments)
    recipes = read_recipes(RECIPES)
    shop = Workshop(options.work, options.data)
    failed: list[str] = []
    try:
        wanted = chosen(recipes, options.only)
        if options.list:
            outcomes = read_outcomes()
            for recipe in wanted:
                print(f"{recipe.name:14} {state(recipe, shop, outcomes)}\n    {recipe.title}; {expected(recipe)}")
            return 0
        failed = [] if options.docs else make(wanted, shop)
        for place in write_docs(recipes):
            print(f"written: {place.relative_to(ROOT)}")
    except MecamError as error:
        print(error, file=sys.stderr)
        return 1
    if failed:
        print(f"failed: {', '.join(failed)}; the same command continues")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
