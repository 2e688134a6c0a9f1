"""A decoded picture that becomes colours only where it is looked at: most of one is never looked at."""

import threading
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Image", "Picture", "packed", "to_rgb"]

_BYTES = {"yuv420p": 1, "yuvj420p": 1, "yuv422p": 1, "yuvj422p": 1, "yuv444p": 1, "yuvj444p": 1, "yuv420p10le": 2}
"""Formats whose parts can be taken out, as rows of numbers of so many bytes."""
_STEP = 32
"""Pixels of the scaled picture by which parts begin and end: libswscale works on so many at once."""
_AROUND = 4
"""Pixels by which a part is larger than asked, as scaling looks at neighbours."""


class Picture:
    """Stands where an H × W × 3 array may stand: it has a `shape`, and `picture[top:bottom, left:right]`.

    A part is the same to the last bit, whatever else is looked at.

    Args:
        frame: as PyAV decodes it; nobody may change it.
        width: in pixels, upright, that it is scaled to.
        height: likewise.
        rotation: degrees, counter-clockwise, by which it is turned to stand upright.
    """

    def __init__(self, frame: Any, width: int, height: int, rotation: int) -> None:
        self.shape = (height, width, 3)
        self._quarter = round(rotation / 90) % 4
        self._frame = frame
        self._stored = (width, height) if self._quarter % 2 else (height, width)
        times = frame.height // self._stored[0]
        # By other than whole numbers, what a pixel is made from would depend on where a part begins.
        whole = (frame.height, frame.width) == tuple(times * size for size in self._stored)
        self._times = times if whole and frame.format.name in _BYTES else 0
        self._known: tuple[int, int, int, int] = (0, 0, 0, 0)
        self._pixels = np.zeros((0, 0), np.int32)

    def __getitem__(self, part: tuple[slice, slice]) -> NDArray[np.uint8]:
        """The colours of some rows and columns."""
        pixels = np.ascontiguousarray(self.packed(*part))
        return pixels.view(np.uint8).reshape(*pixels.shape, 4)[..., :3]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All of it."""
        return np.asarray(self[:, :], dtype)

    def packed(self, rows: slice, columns: slice) -> NDArray[np.int32]:
        """As `packed`, of some rows and columns."""
        (top, bottom, _), (left, right, _) = rows.indices(self.shape[0]), columns.indices(self.shape[1])
        height, width = self._stored
        stored = (
            (top, bottom, left, right),
            (left, right, width - bottom, width - top),
            (height - bottom, height - top, width - right, width - left),
            (height - right, height - left, top, bottom),
        )[self._quarter]
        return np.rot90(self._part(*stored), self._quarter)

    def _part(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.int32]:
        """Of the picture as it is stored; what was looked at last is kept, as eyes lie in a face."""
        known = self._known
        if not (known[0] <= top and bottom <= known[1] and known[2] <= left and right <= known[3]):
            known = (*_grown(top, bottom, self._stored[0]), *_grown(left, right, self._stored[1]))
            if not self._times:
                known = (0, self._stored[0], 0, self._stored[1])
            self._known, self._pixels = known, self._converted(*known)
        return self._pixels[top - known[0] : bottom - known[0], left - known[2] : right - known[2]]

    def _converted(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.int32]:
        frame, times = self._frame, self._times
        if times:
            frame = _taken_out(frame, top * times, bottom * times, left * times, right * times)
        # Four bytes a pixel take libswscale half of the time of three.
        plane = _scaled(frame, right - left, bottom - top, "rgb0", "AREA").planes[0]
        rows = np.frombuffer(plane, np.dtype("<i4")).reshape(-1, plane.line_size // 4)
        return rows[: bottom - top, : right - left]


def packed(image: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Each pixel as one number: red in its lowest byte, then green, then blue; what is in the highest says nothing."""
    pixels = np.zeros((*image.shape[:2], 4), np.uint8)
    for colour in range(3):
        pixels[..., colour] = image[..., colour]
    return pixels.view(np.dtype("<i4"))[..., 0]


Image: TypeAlias = NDArray[np.uint8] | Picture
"""H × W × 3 RGB."""


class _Scaler(threading.local):
    """A thread's own: it keeps what it has worked out for one size."""

    def __init__(self) -> None:
        import av
        from av.video.reformatter import VideoReformatter

        self.reformat = VideoReformatter().reformat
        # By default, newer ones share a picture among all cores.
        self.alone = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}


@cache
def _scaler() -> _Scaler:
    return _Scaler()


def to_rgb(frame: Any, width: int, height: int) -> NDArray[np.uint8]:
    """The colours of a decoded picture, scaled: height × width × 3."""
    # libswscale is asked once for both the size and RGB; the fast kind, as the picture is scaled down anyway.
    return np.asarray(_scaled(frame, width, height, "rgb24", "FAST_BILINEAR").to_ndarray(), np.uint8)


def _scaled(frame: Any, width: int, height: int, kind: str, interpolation: str) -> Any:
    scaler = _scaler()
    return scaler.reformat(frame, width, height, kind, interpolation=interpolation, **scaler.alone)


def _grown(first: int, last: int, size: int) -> tuple[int, int]:
    """A stretch, and a little around it."""
    return max(first - _AROUND, 0) // _STEP * _STEP, min(-(-(last + _AROUND) // _STEP) * _STEP, size)


def _taken_out(frame: Any, top: int, bottom: int, left: int, right: int) -> Any:
    """A part of a picture as a picture of its own, not converted."""
    import av

    part: Any = av.VideoFrame(right - left, bottom - top, frame.format.name)
    size = _BYTES[frame.format.name]
    for there, here in zip(frame.planes, part.planes, strict=True):
        down, across = -(-frame.height // there.height), -(-frame.width // there.width)
        rows = np.frombuffer(there, np.uint8).reshape(-1, there.line_size)[top // down :, left // across * size :]
        mine = np.frombuffer(here, np.uint8).reshape(-1, here.line_size)[: here.height, : here.width * size]
        mine[:] = rows[: here.height, : here.width * size]
    part.colorspace, part.color_range = frame.colorspace, frame.color_range
    return part
