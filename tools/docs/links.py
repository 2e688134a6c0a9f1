"""Checks where the links of the pages lead: those inside the repository, and, over the network, all others."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.docs.markdown_pages import ROOT, anchors, links, pages, text_of

GIVEN_UP_S = 20
OUTSIDE = ("http://", "https://", "mailto:")


def broken_links(page: Path, root: Path = ROOT) -> Iterator[str]:
    """Links of a page to files or headings of the repository that do not exist.

    Args:
        page: of Markdown, or a notebook.
        root: of the repository; no link may leave it.
    """
    text = text_of(page)
    for link in links(text):
        if link.startswith(OUTSIDE):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page.resolve()
        if not target.exists() or root.resolve() not in target.parents:
            yield f"{page.relative_to(root)}: {link}: no such file"
        elif anchor and target.suffix == ".md" and anchor not in anchors(text_of(target)):
            yield f"{page.relative_to(root)}: {link}: no such heading"


def external_links(found: Iterable[Path] | None = None) -> dict[str, list[str]]:
    """Address → the pages that link to it, for all addresses outside of the repository."""
    result: dict[str, list[str]] = {}
    for page in found if found is not None else pages():
        for link in links(text_of(page)):
            if link.startswith(("http://", "https://")):
                result.setdefault(link.partition("#")[0], []).append(str(page.relative_to(ROOT)))
    return result


def check_external() -> int:
    """Ask for every address that the pages link to, and print those that do not answer; how many there are."""
    import httpx

    failed = 0
    with httpx.Client(follow_redirects=True, timeout=GIVEN_UP_S, headers={"User-Agent": "mecam-docs"}) as client:
        for address, where in sorted(external_links().items()):
            if address.startswith(("http://127.0.0.1", "http://localhost")):
                continue
            try:
                with client.stream("GET", address) as answer:
                    problem = f"status {answer.status_code}" if answer.status_code >= 400 else ""
            except httpx.HTTPError as error:
                problem = f"{type(error).__name__}: {error}"
            if problem:
                failed += 1
                sys.stdout.write(f"{address} ({', '.join(sorted(set(where)))}): {problem}\n")
    return failed
