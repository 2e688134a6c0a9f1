"""Draws the tables that are charts, as SVG files beside the outcomes."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MARK = "<!-- made from {} -->"
"""At the end of a file: the hash of its table. What the renderer makes of it may differ between its versions."""

WIDTH_INCHES, HEIGHT = 6.5, 260


def charts(outcomes: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """File name and table of every chart."""
    for name, outcome in outcomes.items():
        for key, table in outcome["tables"].items():
            if table["chart"]:
                yield f"{name}-{key}.svg", table


def mark_of(table: Mapping[str, Any]) -> str:
    """The last line of the chart of a table."""
    return MARK.format(hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:16])


def write_charts(outcomes: Mapping[str, Mapping[str, Any]], folder: Path) -> list[Path]:
    """Draw what is missing or belongs to other figures, remove what no outcome has; the files that were changed."""
    from mecam.files import write_whole

    wanted = dict(charts(outcomes))
    changed = [path for path in folder.glob("*.svg") if path.name not in wanted]
    for path in changed:
        path.unlink()
    for file, table in wanted.items():
        place, mark = folder / file, mark_of(table)
        if not place.exists() or not place.read_text(encoding="utf-8").endswith(mark + "\n"):
            changed.append(write_whole(place, f"{_drawn(table).rstrip()}\n{mark}\n"))
    return changed


def _drawn(table: Mapping[str, Any]) -> str:
    import altair as alt

    from mecam.report.charts import as_bytes, forest, interval_curves, spec
    from mecam.report.page import PALETTES

    columns, rows = table["columns"], table["rows"]
    first = next(iter(columns.values()))
    x_title, y_title = table["axes"]
    if table["chart"] == "dots":
        key = next(iter(columns))
        cells = {row["title"]: row["cells"][key] for row in rows.values() if row["cells"][key]}
        ordered = sorted(cells, key=lambda name: cells[name]["mean"], reverse=first["better"] == "higher")
        chart = forest(
            [(name, cells[name]["mean"], cells[name].get("ci95"), ()) for name in ordered],
            x_title,
            percent=first["percent"],
        )
        described = spec(chart, height=24 * len(ordered) + 40)
    else:
        axis = alt.Axis(format=".0%" if first["percent"] else "")
        points = [
            {"name": row["title"], "x": float(key), "mean": cell["mean"]}
            | dict(zip(("low", "high"), cell.get("ci95") or (None, None), strict=True))
            for row in rows.values()
            for key, cell in row["cells"].items()
            if cell
        ]
        curves = interval_curves(
            points,
            [row["title"] for row in rows.values()],
            x=alt.X("x:Q", title=x_title),
            y=alt.Y("mean:Q", title=y_title, scale=alt.Scale(zero=False), axis=axis),
            form=".3f",
        )
        described = spec(curves, height=HEIGHT)
    drawn = as_bytes(described, PALETTES["light"], "svg", width=WIDTH_INCHES).decode("utf-8")
    return drawn.replace("<svg ", '<svg style="background: white" ', 1)  # also on a dark page
