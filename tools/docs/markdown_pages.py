"""Reads a page as GitHub does: its title, links, anchors and blocks of code. A page is Markdown, or a notebook."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import nbformat
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def pages(root: Path = ROOT) -> list[Path]:
    """Every page that readers see: those at the root of the repository, and those of docs/."""
    return [root / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
        path for ending in ("md", "ipynb") for path in (root / "docs").rglob(f"*.{ending}")
    )


def text_of(page: Path) -> str:
    """The Markdown of a page; of a notebook, what stands between its code."""
    if page.suffix == ".md":
        return page.read_text(encoding="utf-8")
    cells = nbformat.read(page, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown") + "\n"


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table")


def _tokens(text: str) -> list[Token]:
    return _parser().parse(text)


def _inline(text: str) -> Iterator[Token]:
    for token in _tokens(text):
        yield from token.children or ()


def links(text: str) -> list[str]:
    """Where links and pictures of a page lead, in its order, as they are written."""
    found = [token.attrGet("href") or token.attrGet("src") for token in _inline(text)]
    return [str(target) for target in found if target]


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def headings(text: str) -> list[tuple[int, str]]:
    """Level and plain text of the headings of a page."""
    tokens = _tokens(text)
    found = []
    for i, token in enumerate(tokens):
        if token.type == "heading_open":
            spoken = "".join(child.content for child in tokens[i + 1].children or () if child.type != "html_inline")
            found.append((int(token.tag[1]), spoken))
    return found


def anchors(text: str) -> set[str]:
    """The anchors of a page. Of headings that are written alike, GitHub numbers the second and those after it."""
    found: set[str] = set()
    for _, heading in headings(text):
        name, number = slug(heading), 0
        while (name if not number else f"{name}-{number}") in found:
            number += 1
        found.add(name if not number else f"{name}-{number}")
    return found


def summary(text: str) -> tuple[str, str]:
    """Title and first sentence of a page."""
    title = headings(text)[0][1]
    tokens = _tokens(text)
    for token, following in pairwise(tokens):
        if token.type == "paragraph_open":
            spoken = "".join(
                " " if child.type == "softbreak" else child.content for child in following.children or ()
            ).strip()
            if spoken:
                return title, re.split(r"(?<=[.!?])\s", spoken, maxsplit=1)[0]
    return title, ""


@dataclass(frozen=True)
class Block:
    """A fenced block of code.

    Attributes:
        language: the first word after the fence; may be empty.
        code: as it stands.
        line: of the fence, counted from 1.
        comment: of HTML, right before it; empty if there is none.
    """

    language: str
    code: str
    line: int
    comment: str


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in its order."""
    found = []
    comment = ""
    for token in _tokens(text):
        if token.type == "fence" and token.map:
            language = token.info.split()[0] if token.info.split() else ""
            found.append(Block(language, token.content, token.map[0] + 1, comment))
        if token.type == "html_block":
            written = re.findall(r"<!--\s*(.*?)\s*-->", token.content, re.DOTALL)
            comment = written[-1] if written else ""
        elif token.nesting == 0:
            comment = ""
    return found
