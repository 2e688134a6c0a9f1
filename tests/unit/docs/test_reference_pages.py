"""The reference knows every command and option, and the navigation every page."""

from typing import Any

import pytest

from tools.docs.reference import command_page, commands, reference_pages

COMMANDS = dict(commands())


def test_every_command_has_a_page_with_every_option() -> None:
    assert {("mecam",), ("mecam", "train"), ("mecam", "data", "import")} <= set(COMMANDS)
    for path, command in COMMANDS.items():
        page = command_page(path, command)
        assert page.startswith(f"# {' '.join(path)}\n")
        for one in command.params:
            if one.param_type_name == "option" and not one.hidden:
                assert all(written in page for written in one.opts), (path, one.opts)


def test_cells_hold_no_bars_and_no_links() -> None:
    """Limits and defaults stand in brackets, choices between bars: Markdown would read both otherwise."""
    page = command_page(("mecam", "predict"), COMMANDS["mecam", "predict"])
    for row in (line for line in page.splitlines() if line.startswith("| `")):
        assert row.replace("\\|", "").count("|") == 3, row
        assert "[" not in row.replace("\\[", "").partition("` | ")[2], row


def test_every_page_is_in_the_navigation() -> None:
    site: Any = pytest.importorskip("tools.docs.site", reason="Python 3.10 reads no TOML without the extra docs")
    named = {page for pages in site.sections().values() for page in pages}
    generated = {f"reference/{name}" for name, _ in reference_pages()}
    written = {path.relative_to(site.DOCS).as_posix() for path in site.DOCS.rglob("*.md")}
    written |= {path.relative_to(site.DOCS).with_suffix(".md").as_posix() for path in site.DOCS.rglob("*.ipynb")}
    at_the_root = {"changelog.md", "contributing.md"}
    assert named == generated | written | at_the_root
