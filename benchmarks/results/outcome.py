"""What came of a recipe: the figures of its tables and how they were made, `docs/results/NAME.json`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.results.recipe import ROOT, Column, Recipe, Table
from benchmarks.results.steps import StepError, Workshop
from mecam.files import write_whole

OUTCOMES = ROOT / "docs" / "results"
DIGITS = 6
"""Significant digits of a figure."""


def collect(recipe: Recipe, shop: Workshop) -> dict[str, Any]:
    """The figures of a recipe whose steps are finished.

    Raises: StepError if a figure is not where the recipe says.
    """
    records = [shop.record(step) for step in recipe.parsed]
    return {
        "title": recipe.title,
        "question": recipe.question,
        "recipe": recipe.digest,
        "commands": list(recipe.commands),
        "made_with": _makers(recipe, shop),
        "date": max(record["date"] for record in records),
        "processor": sorted({record["processor"] for record in records}),
        "minutes": round(sum(record["seconds"] for record in records) / 60, 1),
        "core_minutes": round(sum(record["core_seconds"] for record in records) / 60, 1),
        "data": dict(_stores(recipe, shop.work)),
        "seeds": _seeds(recipe, shop.work),
        "tables": {name: _filled(table, shop.work) for name, table in recipe.tables.items()},
    }


def write_outcome(name: str, outcome: Mapping[str, Any], folder: Path = OUTCOMES) -> Path:
    return write_whole(folder / f"{name}.json", json.dumps(outcome, indent=1, ensure_ascii=False) + "\n")


def read_outcomes(folder: Path = OUTCOMES) -> dict[str, dict[str, Any]]:
    """Name of the recipe → what came of it."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def _filled(table: Table, work: Path) -> dict[str, Any]:
    columns = {
        key: {
            "title": column.title,
            "digits": column.digits if not column.percent or column.digits != Column.digits else 1,
            "percent": column.percent,
            "signed": column.signed,
            "better": column.better,
        }
        for key, column in table.shown.items()
    }
    rows = {
        row: {
            "title": title,
            "cells": {
                key: None if row in column.without else _cell(table, column, row, key, work)
                for key, column in table.shown.items()
            },
        }
        for row, title in table.rows.items()
    }
    shape = {"title": table.title, "corner": table.corner, "show": list(table.show)}
    return shape | {"chart": table.chart, "axes": list(table.axes), "columns": columns, "rows": rows}


def _cell(table: Table, column: Column, row: str, key: str, work: Path) -> dict[str, Any] | None:
    """One figure with what was said about it; None where it is undefined."""
    file = (column.file or table.file).format(row=row, column=key)
    at = (column.at or table.at).format(row=row, column=key)
    try:
        found: Any = json.loads((work / file).read_text(encoding="utf-8"))
        for step in at.split("/"):
            found = _inside(found, step)
    except (OSError, LookupError, TypeError, StopIteration) as error:
        raise StepError(f"there is no {at}", where=str(work / file), fix="correct the recipe's table") from error
    if not isinstance(found, Mapping):
        return None if found is None else {"mean": _rounded(found)}
    against = found.get("against_baseline") or found
    told = {
        "mean": found.get("mean", found.get("value")),
        "std": found.get("std"),
        "ci95": found.get("ci95"),
        "p": against.get("p_holm", against.get("p_value")),
        "tied": found.get("tied") or None,
    }
    return {name: _rounded(value) for name, value in told.items() if value is not None}


def _inside(found: Any, step: str) -> Any:
    if isinstance(found, list):
        return next(item for item in found if item["name"] == step)
    return found[step]


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _stores(recipe: Recipe, work: Path) -> Iterator[tuple[str, str]]:
    for step in recipe.parsed:
        manifest = work / step.makes / "manifest.json"
        if manifest.exists():
            yield step.makes, json.loads(manifest.read_text(encoding="utf-8"))["manifest_sha256"]


def _makers(recipe: Recipe, shop: Workshop) -> list[str]:
    """mecam's versions and commits: those that the runs name, or, without runs, those of the commands."""
    runs = {f"mecam {run['mecam']}, commit {run['git']}" for run in _environments(recipe, shop.work) if run.get("git")}
    return sorted(runs or {shop.record(step)["made_with"] for step in recipe.parsed})


def _seeds(recipe: Recipe, work: Path) -> list[int]:
    """Of all runs that the recipe made."""
    return sorted({seed for run in _environments(recipe, work) for seed in run.get("seeds", [])})


def _environments(recipe: Recipe, work: Path) -> list[dict[str, Any]]:
    """How each run was made."""
    files = {path for step in recipe.parsed for path in (work / step.makes).rglob("environment.json")}
    return [json.loads(path.read_text(encoding="utf-8")) for path in files]
