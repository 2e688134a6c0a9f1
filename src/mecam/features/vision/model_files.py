"""The networks that look at faces: they come with mecam, and every byte is checked (licences: `models/NOTICE`)."""

import hashlib
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mecam.errors import DataError

__all__ = ["BUILT_IN", "DETECTOR", "EXPRESSION", "IRIS", "LANDMARKER", "MESH", "Asset", "content", "ensure", "find"]

MODELS = Path(__file__).parent / "models"
"""Where the networks lie."""
REMEDY = "install mecam again"
"""What to do when one is missing or damaged."""


@dataclass(frozen=True)
class Asset:
    """One model file.

    Attributes:
        name: its file name.
        size: bytes.
        sha256: hex digest of its content.
        purpose: what it does, for people.
        licence: SPDX name.
    """

    name: str
    size: int
    sha256: str
    purpose: str
    licence: str = "Apache-2.0"


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
LANDMARKER = Asset(
    "face_landmarker.task",
    3_758_596,
    "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    "478 points and 52 blendshapes",
)
"""MediaPipe's Face Landmarker, version 1: a zip of networks."""
EXPRESSION = Asset(
    "face_expressions.onnx",
    343_491,
    "1d15bf558ccb663d59115bc4045dce978bc5dc4aa3f0e0597c8256876676f3e5",
    "probabilities of 7 expressions",
    "MIT",
)
BUILT_IN = (DETECTOR, MESH, IRIS, LANDMARKER, EXPRESSION)
"""What comes with mecam."""


def find(asset: Asset) -> Path | None:
    """The file of an asset, checked; None if there is none.

    Raises: DataError if a file of this name has another content.
    """
    path = MODELS / asset.name
    if not path.is_file():
        return None
    if hashlib.sha256(path.read_bytes()).hexdigest() != asset.sha256:
        raise _damaged(path, "its SHA-256 is not the expected one")
    return path


@cache
def ensure(asset: Asset) -> Path:
    """The checked file of an asset; looked up once a process.

    Raises: DataError if it is missing or damaged.
    """
    path = find(asset)
    if path is None:
        raise DataError(f"the model file {asset.name} is missing", where=str(MODELS), fix=REMEDY)
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
        raise _damaged(path, f"there is no {part} in it") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise _damaged(path, f"it is not a readable zip file ({error})") from error


def _damaged(path: Path, why: str) -> DataError:
    return DataError(f"the model file is damaged: {why}", where=str(path), fix=REMEDY)
