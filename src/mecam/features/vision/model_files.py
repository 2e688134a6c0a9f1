"""The networks that look at faces: three come with mecam, one the user brings; every byte is checked.

MediaPipe's face models (Apache-2.0; see `models/NOTICE`) are part of the package. Its Face Landmarker is not: the user
brings `face_landmarker.task`, into the cache folder of the platform or the folder that the environment variable
`MECAM_ASSETS` names.
"""

import hashlib
import os
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from mecam.errors import DataError
from mecam.files import whole_file, writing

__all__ = ["BUILT_IN", "DETECTOR", "GIVEN", "IRIS", "LANDMARKER", "MESH", "Asset"]
__all__ += ["content", "ensure", "find", "folders", "put"]

MODELS = Path(__file__).parent / "models"
"""Where the networks lie that come with mecam."""


@dataclass(frozen=True)
class Asset:
    """One model file.

    Attributes:
        name: its file name.
        size: bytes.
        sha256: hex digest of its content.
        purpose: what it does, for people.
        licence: SPDX name.
        url: where the user gets it; empty for one that comes with mecam.
    """

    name: str
    size: int
    sha256: str
    purpose: str
    licence: str = "Apache-2.0"
    url: str = ""

    @property
    def remedy(self) -> str:
        """What to do when it is missing or damaged."""
        if not self.url:
            return "install mecam again"
        return (
            f"get it ({self.size / 1e6:.1f} MB) from {self.url}, then `mecam assets fetch --source {self.name}`; "
            "or put it into the folder that MECAM_ASSETS names"
        )


DETECTOR = Asset(
    "face_detection_full_range_sparse.tflite",
    676_746,
    "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    "detects faces",
)
MESH = Asset(
    "face_landmark.tflite",
    1_242_398,
    "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    "468 points of a face",
)
IRIS = Asset(
    "iris_landmark.tflite",
    2_640_568,
    "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
    "iris and eye contour",
)
BUILT_IN = (DETECTOR, MESH, IRIS)
"""What comes with mecam."""

LANDMARKER = Asset(
    "face_landmarker.task",
    3_758_596,
    "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    "52 blendshapes",
    url="https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
)
"""MediaPipe's Face Landmarker, version 1: a zip of networks."""
GIVEN = (LANDMARKER,)
"""What the user brings, where it is wanted."""


def folders() -> list[Path]:
    """Where the user's files are looked for, in this order: `MECAM_ASSETS` if set, the platform's cache folder."""
    given = os.environ.get("MECAM_ASSETS")
    return [*([Path(given)] if given else []), user_cache_path("mecam", appauthor=False) / "assets"]


def find(asset: Asset) -> Path | None:
    """The file of an asset, checked; None where there is none.

    Raises: DataError if a file of this name has another content.
    """
    for folder in folders() if asset.url else [MODELS]:
        path = folder / asset.name
        if path.is_file():
            if hashlib.sha256(path.read_bytes()).hexdigest() != asset.sha256:
                raise _damaged(asset, path, "its SHA-256 is not the expected one")
            return path
    return None


@cache
def ensure(asset: Asset) -> Path:
    """The checked file of an asset; looked up once a process.

    Raises: DataError if it is missing or damaged.
    """
    path = find(asset)
    if path is None:
        place = folders()[-1] if asset.url else MODELS
        raise DataError(f"the model file {asset.name} is missing", where=str(place), fix=asset.remedy)
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
        raise _damaged(asset, path, f"it is not a readable zip file ({error})") from error


def put(source: str | Path, folder: str | Path | None = None) -> Path:
    """Put the file that the user brings where it is looked for; what lies there is replaced.

    Args:
        source: `face_landmarker.task`, or a folder that holds it.
        folder: where to put it; None: the cache folder of the platform.

    Raises: DataError if it is not there, or has another content.
    """
    path = Path(source) / LANDMARKER.name if Path(source).is_dir() else Path(source)
    try:
        found = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error}", where=str(source), fix=LANDMARKER.remedy) from error
    if hashlib.sha256(found).hexdigest() != LANDMARKER.sha256:
        raise DataError(f"{path.name} does not have the expected SHA-256", where=str(source), fix=LANDMARKER.remedy)
    target = (Path(folder) if folder is not None else folders()[-1]) / LANDMARKER.name
    fix = "set MECAM_ASSETS, or give --folder"
    with writing(target, fix=fix):
        target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target, fix=fix) as partial:
        partial.write_bytes(found)
    return target


def _damaged(asset: Asset, path: Path, why: str) -> DataError:
    return DataError(f"the model file is damaged: {why}", where=str(path), fix=f"remove it and {asset.remedy}")
