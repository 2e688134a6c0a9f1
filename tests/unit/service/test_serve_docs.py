"""docs/serve.md names every option of the service, with its default."""

import re
from dataclasses import fields
from pathlib import Path

from mecam.service.settings import Settings

PAGE = (Path(__file__).parents[3] / "docs" / "serve.md").read_text(encoding="utf-8")
OTHERWISE = {"allow_hosts": "--allow-host", "allow_origins": "--allow-origin"}
IN_WORDS = ("model", "tier", "data", "token", "readers", "allow_hosts", "allow_origins")
"""Options whose default is told in words."""


def documented() -> dict[str, str]:
    """Option → default, as the table has it."""
    table = PAGE.partition("<!-- options -->")[2].partition("<!-- /options -->")[0]
    found: dict[str, str] = {}
    for row in table.strip().splitlines()[2:]:
        options, defaults = (cell.strip() for cell in row.split("|")[1:3])
        names = re.findall(r"`(--[a-z-]+)`", options)
        told = [one.strip(" `").replace(" ", "") for one in defaults.split(",")] if len(names) > 1 else [defaults]
        found |= dict(zip(names, told, strict=True))
    return found


def test_every_option_is_documented_with_its_default() -> None:
    table = documented()
    for field in fields(Settings):
        option = OTHERWISE.get(field.name, f"--{field.name.replace('_', '-')}")
        assert option in table, option
        if field.name not in IN_WORDS:
            told = table.pop(option).strip("`").replace(" ", "")
            assert told == (field.default if isinstance(field.default, str) else f"{field.default:g}"), option
