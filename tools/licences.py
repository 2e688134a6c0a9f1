"""The table of docs/licences.md: the packages that `pip install mecam` brings, and their licences.

    python3 -m venv fresh && fresh/bin/pip install dist/mecam-*.whl colorama exceptiongroup tomli
    .venv/bin/python -m tools.licences --python fresh/bin/python

What a package asks for is read from the metadata of the environment that runs this; versions and licences are those of
the environment that is named (pip-licenses). The three packages more are asked for on Windows or by Python 3.10 alone.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from itertools import product
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["PAGE", "default_install"]

PAGE = Path(__file__).parents[1] / "docs" / "licences.md"
BEGIN, END = "<!-- packages -->", "<!-- /packages -->"

PLATFORMS = {
    "Linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
    "macOS": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
    "Windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
}
PYTHONS = [f"3.{minor}" for minor in range(10, 15)]

SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
}
"""Names of trove classifiers → those of SPDX. Jinja2 is the one that says no more than `BSD License`."""


def environments() -> Iterator[tuple[str, dict[str, str]]]:
    """Where mecam runs: a name, and what the markers of requirements are asked about."""
    for (name, platform), version in product(PLATFORMS.items(), PYTHONS):
        facts = {"python_version": version, "python_full_version": f"{version}.0", "implementation_name": "cpython"}
        yield f"{name}, Python {version}", {**platform, **facts, "platform_python_implementation": "CPython"}


def default_install(environment: Mapping[str, str]) -> dict[str, str]:
    """The packages that mecam without extras brings, each with one that asks for it.

    Args:
        environment: for the markers of requirements.
    """
    found: dict[tuple[str, str], str] = {}
    left = [("mecam", "")]
    while left:
        name, extra = left.pop()
        for wanted in map(Requirement, _requirements(name)):
            if wanted.marker is None or wanted.marker.evaluate({**environment, "extra": extra}):
                keys = [(str(canonicalize_name(wanted.name)), part) for part in ("", *wanted.extras)]
                left += [key for key in keys if key not in found]
                found |= {key: name for key in keys if key not in found}
    return {name: by for (name, _), by in sorted(found.items(), reverse=True)}


def _requirements(name: str) -> list[str]:
    try:
        return distribution(name).requires or []
    except PackageNotFoundError:  # of another platform or version of Python
        return []


def table(python: str) -> str:
    """The table, in Markdown.

    Args:
        python: of the environment whose versions and licences are told.
    """
    asked: dict[str, str] = {}
    places: dict[str, list[str]] = {}
    everywhere = [where for where, _ in environments()]
    for where, environment in environments():
        for name, by in default_install(environment).items():
            asked.setdefault(name, by)
            places.setdefault(name, []).append(where)
    command = [sys.executable, "-m", "piplicenses", "--python", python, "--format", "json", "--with-urls"]
    told = json.loads(subprocess.check_output([*command, "--with-system"], text=True, encoding="utf-8"))
    facts = {canonicalize_name(one["Name"]): one for one in told}
    if missing := sorted(set(asked) - set(facts)):
        sys.exit(f"not installed there: {', '.join(missing)}")
    lines = ["| package | version | licence | asked for by | only |", "|---|---|---|---|---|"]
    for name in sorted(asked):
        one = facts[name]
        licence = SPDX.get(one["License"], one["License"])
        lines.append(f"| [{name}]({one['URL']}) | {one['Version']} | {licence} | {asked[name]} | ")
        lines[-1] += f"{_shared(places[name]) if places[name] != everywhere else ''} |"
    return "\n".join(lines)


def _shared(places: list[str]) -> str:
    """What the environments that need a package have in common."""
    for name in PLATFORMS:
        if places == [where for where, _ in environments() if where.startswith(name)]:
            return name
    versions = dict.fromkeys(where.partition(", ")[2] for where in places)
    return ", ".join(versions)


def main() -> None:
    """Write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="of the environment to look at")
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    made = table(parser.parse_args().python)
    PAGE.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
