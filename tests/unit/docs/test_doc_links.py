"""Links between the pages lead somewhere, on GitHub and on the site; what reads them knows Markdown."""

from pathlib import Path

import pytest

from tools.docs.links import broken_links
from tools.docs.markdown_pages import ROOT, anchors, blocks, links, pages, slug, summary

PAGE = """# A page: its *title*

A first sentence. A second one, with [a link](other.md#part) and ![a picture](p.svg).

## Part

## Part

`[no link](x.md)`

<!-- not run: why -->
```bash
[no](link.md)
```
"""


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(page: Path) -> None:
    assert list(broken_links(page)) == []


def test_what_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# Other\n\n## Part\n")
    (tmp_path / "p.svg").write_text("")
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert list(broken_links(page, tmp_path)) == []
    page.write_text(PAGE + "[a](gone.md) [b](#nowhere) [c](other.md#gone) [d](../out.md) [e](https://example.org)\n")
    assert [one.split(": ")[1] for one in broken_links(page, tmp_path)] == [
        "gone.md",
        "#nowhere",
        "other.md#gone",
        "../out.md",
    ]


def test_pages_are_read_as_github_does() -> None:
    assert links(PAGE) == ["other.md#part", "p.svg"]
    assert anchors(PAGE) == {"a-page-its-title", "part", "part-1"}
    assert slug("Where it is, and `--what` it costs") == "where-it-is-and---what-it-costs"
    assert summary(PAGE) == ("A page: its title", "A first sentence.")
    assert [(one.language, one.comment) for one in blocks(PAGE)] == [("bash", "not run: why")]
