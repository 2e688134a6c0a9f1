"""A decoded picture that becomes colours only where it is looked at: most of one is never looked at."""

import threading
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Image", "Picture", "to_rgb"]

_BYTES = {"yuv420p": 1, "yuvj420p": 1, "yuv422p": 1, "yuvj422p": 1, "yuv444p": 1, "yuvj444p": 1, "yuv420p10le": 2}
"""Formats whose parts can be taken out, as rows of numbers of so many bytes."""
_STEP = 32
"""Pixels of the scaled picture by which parts begin and end: libswscale works on so many at once."""
_AROUND = 4
"""Pixels by which a part is larger than asked, as scaling looks at neighbours."""


class Picture:
    """Stands where an H × W × 3 array of colours may stand: it has a `shape`, and gives `picture[top:bottom, left:right]`.

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
        self._times = times if (frame.height, frame.width) == tuple(times * size for size in self._stored) else 0
        self._known: tuple[int, int, int, int] = (0, 0, 0, 0)
        self._colours = np.zeros((0, 0, 3), np.uint8)

    def __getitem__(self, part: tuple[slice, slice]) -> NDArray[np.uint8]:
        """The colours of some rows and columns."""
        (top, bottom, _), (left, right, _) = (at.indices(size) for at, size in zip(part, self.shape, strict=False))
        height, width = self._stored
        stored = (
            (top, bottom, left, right),
            (left, right, width - bottom, width - top),
            (height - bottom, height - top, width - right, width - left),
            (height - right, height - left, top, bottom),
        )[self._quarter]
        return np.rot90(self._part(*stored), self._quarter)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All of it."""
        return np.asarray(self[:, :], dtype)

    def _part(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.uint8]:
        """Of the picture as it is stored; what was looked at last is kept, as eyes lie in a face."""
        known = self._known
        if not (known[0] <= top and bottom <= known[1] and known[2] <= left and right <= known[3]):
            known = self._known = (*_grown(top, bottom, self._stored[0]), *_grown(left, right, self._stored[1]))
            if not self._times or self._frame.format.name not in _BYTES:
                known = self._known = (0, self._stored[0], 0, self._stored[1])
            self._colours = self._converted(*known)
        return self._colours[top - known[0] : bottom - known[0], left - known[2] : right - known[2]]

    def _converted(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.uint8]:
        frame, times = self._frame, self._times
        if times and frame.format.name in _BYTES:
            frame = _taken_out(frame, top * times, bottom * times, left * times, right * times)
        return to_rgb(frame, right - left, bottom - top, "AREA")


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


def to_rgb(frame: Any, width: int, height: int, interpolation: str) -> NDArray[np.uint8]:
    """The colours of a decoded picture, scaled at once: height × width × 3."""
    scaler = _scaler()
    scaled = scaler.reformat(frame, width, height, "rgb24", interpolation=interpolation, **scaler.alone)
    return np.asarray(scaled.to_ndarray(), np.uint8)


def _grown(first: int, last: int, size: int) -> tuple[int, int]:
    """A stretch, and a little around it."""
    return max(first - _AROUND, 0) // _STEP * _STEP, min(-(-(last + _AROUND) // _STEP) * _STEP, size)


def _taken_out(frame: Any, top: int, bottom: int, left: int, right: int) -> Any:
    """A part of a picture as a picture of its own, not converted."""
    import av

    part = av.VideoFrame(right - left, bottom - top, frame.format.name)
    size = _BYTES[frame.format.name]
    for there, here in zip(frame.planes, part.planes, strict=True):
        down, across = -(-frame.height // there.height), -(-frame.width // there.width)
        rows = np.frombuffer(there, np.uint8).reshape(-1, there.line_size)[top // down :, left // across * size :]
        mine = np.frombuffer(here, np.uint8).reshape(-1, here.line_size)[: here.height, : here.width * size]
        mine[:] = rows[: here.height, : here.width * size]
    part.colorspace, part.color_range = frame.colorspace, frame.color_range
    return part
