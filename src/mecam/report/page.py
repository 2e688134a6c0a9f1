"""One HTML page: a file that works from disk, offline, on paper and on a phone, and loads nothing from anywhere.

Every page is a list of sections, each a template and what it shows; templates escape whatever they are given.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mecam.evaluation.metrics import Metric
from mecam.report import format as formats
from mecam.report.table import Table
from mecam.version import __version__

__all__ = ["PALETTES", "Chart", "Section", "asset", "page", "palette", "render", "section"]

PALETTES: Mapping[str, Mapping[str, str]] = {
    "light": {
        "paper": "#ffffff", "ink": "#1d1f23", "muted": "#5b6068", "line": "#d9dbdf", "soft": "#f4f5f7",
        "accent": "#1f5fa8", "full": "#85a9d2", "tint": "rgba(31, 95, 168, .16)", "accent-rgb": "31 95 168",
        "mark": "#b1440e",
        "good": "#1c6b3c", "negative": "#b2381f", "neutral": "#b9bcc2", "positive": "#1f5fa8",
        "class0": "#0072b2", "class1": "#d55e00", "class2": "#009e73", "class3": "#b4589a",
        "class4": "#b8860b", "class5": "#4a9fd0", "class6": "#6a51a3", "class7": "#7a7d82",
    },
    "dark": {
        "paper": "#15171a", "ink": "#e6e7e9", "muted": "#a2a7af", "line": "#363a41", "soft": "#1e2125",
        "accent": "#74abe8", "full": "#46658a", "tint": "rgba(116, 171, 232, .2)", "accent-rgb": "116 171 232",
        "mark": "#f0945c",
        "good": "#7fcf9c", "negative": "#f0805f", "neutral": "#6d727a", "positive": "#74abe8",
        "class0": "#56a8e0", "class1": "#f08a4b", "class2": "#35c49a", "class3": "#dd8fc4",
        "class4": "#e0b040", "class5": "#8fd0f5", "class6": "#a795dd", "class7": "#a5a8ad",
    },
}  # fmt: skip
"""Theme → colour → value: `var(--colour)` in styles and charts; `ink` is readable on all from `paper` to `full`."""


@dataclass(frozen=True)
class Chart:
    """A chart where it stands on a page.

    Attributes:
        spec: what `charts.spec` gives.
        label: what it shows, read to those who do not see it, and the name of its file.
        title: of the caption, in bold.
        caption: what is to be seen.
        min_width: pixels below which it scrolls sideways.
        max_width: pixels that it takes at most; 0 takes what is there.
    """

    spec: Mapping[str, Any]
    label: str
    title: str = ""
    caption: str = ""
    min_width: int = 0
    max_width: int = 0


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        key: anchor.
        name: in the table of contents; "" leaves it out there.
        template: in `templates`.
        content: what the template shows; None leaves the section out.
    """

    key: str
    name: str
    template: str
    content: Mapping[str, Any] | None = field(default_factory=dict)


def section(
    key: str,
    name: str,
    *,
    heading: str = "",
    texts: Sequence[str] = (),
    charts: Sequence[Chart] = (),
    shown: int = 4,
    rest: str = "The other charts",
    tables: Sequence[Table | None] = (),
    folded: Sequence[tuple[str, Table | None]] = (),
    metrics: Sequence[Metric] = (),
    pairs: Sequence[Sequence[str]] = (),
    text_only: bool = False,
) -> Section:
    """A section of texts, charts and tables, in this order; it is left out where it has nothing but texts.

    Args:
        key: anchor.
        name: in the table of contents.
        heading: "" takes the name.
        texts: what is to be known before, a paragraph each.
        charts: beside each other where there is room.
        shown: so many of the charts are open, the others are folded away.
        rest: what those are called.
        tables: below; None is left out.
        folded: further tables that are folded away, each with its summary.
        metrics: whose definitions are folded away.
        pairs: terms and their meanings, each with any number of lines of code after it.
        text_only: keep the section where it has nothing but texts.
    """
    content = {
        "heading": heading or name,
        "texts": texts,
        "charts": charts,
        "shown": shown,
        "rest": rest,
        "tables": [table for table in tables if table is not None],
        "folded": [(summary, table) for summary, table in folded if table is not None],
        "metrics": metrics,
        "pairs": pairs,
    }
    parts = ("charts", "tables", "folded", "pairs", *(("texts",) if text_only else ()))
    filled = any(content[part] for part in parts)
    return Section(key, name, "section.j2", content if filled else None)


def page(
    title: str,
    *,
    kicker: str,
    sections: Sequence[Section],
    heading: str | None = None,
    badges: Sequence[str] = (),
    lede: str | Markup = "",
    notes: Sequence[str] = (),
    top: Section | None = None,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    media: bool = False,
    attributes: Mapping[str, Any] | None = None,
) -> str:
    """Put sections together to one page.

    Args:
        title: of the browser's tab.
        kicker: small print above the heading: what made the page, and when.
        sections: below each other; those without content are left out, also in the table of contents.
        heading: of the page; None takes the title.
        badges: warnings at the top of the page.
        lede: the first sentence.
        notes: neutral facts, in small print.
        top: between the first sentence and the notes.
        styles: further style sheets of this package.
        scripts: further scripts of this package.
        media: the page plays a recording, held by it or beside it.
        attributes: data attributes of the body.
    """
    shown = [section for section in sections if section.content is not None]
    bodies = [(section, render(section.template, **(section.content or {}))) for section in shown]
    above = "" if top is None or top.content is None else render(top.template, **top.content)
    drawn = 'class="spec"' in "".join([*(body for _, body in bodies), above])
    charts = ""
    if drawn:
        # Altair takes half a second, which a page without charts need not wait for.
        from mecam.report.charts import script

        charts = script()
    return render(
        "page.j2",
        title=title,
        heading=title if heading is None else heading,
        kicker=kicker,
        badges=badges,
        lede=lede,
        notes=notes,
        top=above,
        sections=bodies,
        contents=[section for section in shown if section.name],
        charts=charts,
        style=Markup("\n".join([palette(), *map(asset, ("style.css", *styles))])),
        script=Markup("\n".join(map(asset, ("page.js", *scripts)))),
        media=media,
        attributes=attributes or {},
        version=__version__,
    )


def render(template: str, **content: Any) -> Markup:
    """One template, filled."""
    return Markup(_templates().get_template(template).render(**content))


def asset(name: str) -> str:
    """A style sheet or script of this package."""
    return resources.files("mecam.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("mecam.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {name: getattr(formats, name) for name in formats.__all__ if name.islower()}
    made.filters["compact_json"] = _json
    return made


def _json(content: Any) -> Markup:
    """JSON that may stand in a script element."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def palette() -> str:
    """The colours as a style sheet: light, and dark where the reader's system is."""
    light, dark = ("".join(f"--{name}:{value};" for name, value in colours.items()) for colours in PALETTES.values())
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root:not([data-print]){{{dark}}}}}"
