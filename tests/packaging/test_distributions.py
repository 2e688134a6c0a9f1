"""What is published: the sdist and the wheel hold the package, all of it, and nothing else."""

import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata

import mecam
from empty_environment import done

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BESIDE = {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg"}
"""Files of the sdist that are not of the package."""


def of_the_package() -> set[str]:
    """All files of `src/mecam`, from there."""
    inside = (path for path in (ROOT / "src/mecam").rglob("*") if path.is_file())
    return {path.relative_to(ROOT / "src").as_posix() for path in inside if "__pycache__" not in path.parts}


def contents(wheel: Path) -> dict[str, bytes]:
    """Name → bytes; without the list of these, whose order may differ."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


def metadata(wheel: Path) -> Metadata:
    (text,) = (data for name, data in contents(wheel).items() if name.endswith(".dist-info/METADATA"))
    return Metadata.from_email(text, validate=True)


def test_the_index_would_take_them(distributions: tuple[Path, Path], tmp_path: Path) -> None:
    done(sys.executable, "-m", "twine", "check", "--strict", *distributions, folder=tmp_path)
    configured = ("--config", ROOT / "pyproject.toml")
    done(sys.executable, "-m", "check_wheel_contents", *configured, distributions[1], folder=tmp_path)


def test_the_wheel_holds_the_package_and_nothing_else(distributions: tuple[Path, Path]) -> None:
    names = set(contents(distributions[1]))
    assert {name for name in names if name.startswith("mecam/")} == of_the_package()
    others = {name.partition("/")[0] for name in names if not name.startswith("mecam/")}
    assert others == {f"mecam-{mecam.__version__}.dist-info"}


def test_the_sdist_holds_what_builds_the_wheel_and_nothing_else(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[0]) as archive:
        files = [member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()]
    assert {name for name in files if "/" not in name} == BESIDE
    inside = {name.removeprefix("src/") for name in files if "/" in name}
    assert {name for name in inside if not name.startswith("mecam.egg-info/")} == of_the_package()


def test_the_sdist_builds_the_same_wheel_as_the_sources(
    distributions: tuple[Path, Path], source: Path, tmp_path: Path
) -> None:
    """The wheel that is published came from the sdist."""
    done(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, source, folder=tmp_path)
    (direct,) = tmp_path.glob("*.whl")
    assert contents(direct) == contents(distributions[1])


def test_the_metadata_says_what_it_is(distributions: tuple[Path, Path]) -> None:
    about = metadata(distributions[1])
    assert (about.name, str(about.version)) == ("mecam", mecam.__version__)
    assert str(about.requires_python) == ">=3.10"
    assert str(about.license_expression) == "Apache-2.0"
    assert len(about.license_files or ()) == 3
    assert {"train", "serve", "dev"} <= set(about.provides_extra or ())
    entry_points = contents(distributions[1])[f"mecam-{mecam.__version__}.dist-info/entry_points.txt"]
    assert entry_points.decode().split() == ["[console_scripts]", "mecam", "=", "mecam.cli:main"]
