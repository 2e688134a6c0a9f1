"""Pictures that clients send: JPEG only, its size known from its header before anything is decoded."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.errors import DataError

__all__ = ["MAX_PIXELS", "decoded", "size_of"]

MAX_PIXELS = 2_000_000
_LEAST_SIDE = 16
_MAX_SIDE = 640
"""Pixels of the longer side that pictures are scaled down to, as those of recordings are."""
_START, _SCAN = b"\xff\xd8", 0xDA
_MAX_SCANS = 64
"""A picture may come in several passes, each of which costs as much as a whole one."""
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers that begin a frame and tell its size."""
_ALONE = {0x01, *range(0xD0, 0xD8)}
"""Markers without a length."""


def size_of(jpeg: bytes) -> tuple[int, int]:
    """Width and height as the header says.

    Raises: DataError if it is no JPEG, or there is no picture in it.
    """
    if not jpeg.startswith(_START):
        raise DataError("a picture is no JPEG")
    at = len(_START)
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _FRAMES and at + 9 <= len(jpeg):
            return int.from_bytes(jpeg[at + 7 : at + 9], "big"), int.from_bytes(jpeg[at + 5 : at + 7], "big")
        elif marker == _SCAN:
            break
        else:
            at += 2 + max(int.from_bytes(jpeg[at + 2 : at + 4], "big"), 2)
    raise DataError("a picture has no size in its header")


def decoded(jpeg: bytes) -> NDArray[np.uint8]:
    """A picture, H × W × 3 RGB, scaled down to 640 pixels.

    Raises: DataError if it cannot be decoded, or is too large.
    """
    import av

    width, height = size_of(jpeg)
    if min(width, height) < _LEAST_SIDE or width * height > MAX_PIXELS:
        raise DataError(f"a picture has {width} × {height} pixels; at most {MAX_PIXELS / 1e6:g} megapixels are read")
    if jpeg.count(bytes((0xFF, _SCAN))) > _MAX_SCANS:
        raise DataError(f"a picture comes in more than {_MAX_SCANS} passes")
    decoder: Any = av.CodecContext.create("mjpeg", "r")
    decoder.thread_count = 1
    decoder.options = {"max_pixels": str(MAX_PIXELS)}  # a second header may claim more than the first
    try:
        frames = [*decoder.decode(av.Packet(jpeg)), *decoder.decode(None)]
    except (av.FFmpegError, ValueError) as error:
        raise DataError("a picture cannot be decoded") from error
    if not frames or (frames[0].width, frames[0].height) != (width, height):
        raise DataError("a picture cannot be decoded")
    factor = min(1.0, _MAX_SIDE / max(width, height))
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    image: NDArray[np.uint8] = frames[0].reformat(*size, format="rgb24").to_ndarray()
    return image
