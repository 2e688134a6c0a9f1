"""Turns a notebook into a page of Markdown: its text, its code, and the outputs that are saved in it."""

import base64
import re
from collections.abc import Mapping
from pathlib import Path

import nbformat
import nh3
from nbformat import NotebookNode

TAGS = {"b", "br", "div", "p", "small", "table", "tbody", "td", "th", "thead", "tr"}
"""What an output of HTML may consist of: headlines, tables and remarks. Styles are those of the site."""
LONG = re.compile(r"<(td|th)>(?=[^<]{30})")


def notebook_page(path: Path) -> tuple[str, Mapping[str, bytes]]:
    """The page of a notebook, and the pictures that it shows: name → PNG, to be put beside it."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(_fenced("python", cell.source))
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{path.stem}_{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode(data["image/png"])
                parts.append(_picture(name, output))
            elif "text/html" in data:
                parts.append(_html(data["text/html"]))
            else:
                parts.append(_fenced("text", data.get("text/plain", output.get("text", ""))))
    return "\n\n".join(parts) + "\n", pictures


def with_download(page: str, name: str) -> str:
    """The page with a link to the notebook itself below its first paragraph, which says what it is about."""
    title, about, *rest = page.split("\n\n")
    return "\n\n".join([title, about, f"[Download this notebook]({name}), to run it in Jupyter.", *rest])


def _fenced(language: str, text: str) -> str:
    fence = "````" if "```" in text else "```"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _picture(name: str, output: NotebookNode) -> str:
    width = output.metadata.get("image/png", {}).get("width")
    size = f'{{ width="{width}" }}' if width else ""
    return f"![Picture that the code above draws]({name}){size}"


def _html(text: str) -> str:
    """Clean HTML in one block: Markdown would end it at an empty line."""
    clean = nh3.clean(text, tags=TAGS, attributes={"div": {"class"}}, link_rel=None)
    lines = (line.strip() for line in clean.splitlines())
    return f'<div class="output">{LONG.sub(_marked, "".join(line for line in lines if line))}</div>'


def _marked(cell: re.Match[str]) -> str:
    """A cell with much text, which the style sheet gives room."""
    return f'<{cell.group(1)} class="long">'
