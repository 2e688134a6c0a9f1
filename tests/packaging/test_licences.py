"""docs/licences.md names what an installation brings, and what of it is copyleft."""

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.licences import PAGE, default_install, environments

ROOT = Path(__file__).parents[2]
COPYLEFT = re.compile(r"GPL|MPL|EPL|EUPL|CDDL|General Public|Mozilla Public|Eclipse Public")


def listed() -> dict[str, str]:
    """Package → licence, of the table."""
    rows = re.findall(r"^\| \[([a-z0-9-]+)\]\(\S+\) \| [^|]+ \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.M)
    return dict(rows)


def installed() -> set[str]:
    return {name for _, environment in environments() for name in default_install(environment)}


def copyleft_section() -> str:
    return PAGE.read_text(encoding="utf-8").partition("## Copyleft")[2].partition("\n## ")[0]


def test_the_table_lists_every_package_that_mecam_asks_for() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {str(canonicalize_name(Requirement(line).name)) for line in project["dependencies"]}
    assert len(asked) > 15
    assert asked <= set(listed())


@pytest.mark.slow  # of the gate and not of everybody's tests: it follows what other projects publish
def test_the_table_lists_every_package_of_the_default_install() -> None:
    assert sorted(installed() - set(listed())) == [], "make the table again: tools/licences.py says how"


@pytest.mark.slow
def test_copyleft_is_explained() -> None:
    named = {name for name, licence in listed().items() if COPYLEFT.search(licence)}
    for name in installed():
        try:
            about = metadata(name)
        except PackageNotFoundError:  # of another platform
            continue
        kinds = about.get_all("Classifier", [])
        told = [about.get("License-Expression", ""), *(kind for kind in kinds if kind.startswith("License ::"))]
        named |= {name} if COPYLEFT.search(" ".join(map(str, told))) else set()
    assert named
    assert [name for name in sorted(named) if f"**{name}**" not in copyleft_section()] == []


def test_libraries_under_the_gpl_in_the_wheel_of_av_are_named() -> None:
    """Its own licence, which metadata tells, is that of its source alone."""
    from av._core import library_meta

    built = library_meta["libavcodec"]["configuration"]
    under_gpl = re.findall(r"--enable-lib(avisynth|cdio|davs2|rubberband|vidstab|x264|x265|xavs2?|xvid)\b", built)
    assert [name for name in under_gpl if name not in copyleft_section()] == []
