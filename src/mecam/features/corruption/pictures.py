"""Corruptions of pictures: pure functions of an H × W × 3 uint8 RGB picture, a level and a context.

Sizes are relative to the picture's shorter side, so that the same severity means the same for every resolution. What
happens to whole frames (blank, frozen, dropped) needs no picture and is in `media.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["PictureContext", "blur", "compression", "low_light", "low_resolution", "occlusion"]

Picture: TypeAlias = NDArray[np.uint8]

ELECTRONS = 200.0
"""That a white pixel in good light stands for; fewer are noisier (a phone's small sensor)."""
GREY = 110
BLUR_REACH = 2.5
"""Deviations after which a Gaussian is cut off."""


@dataclass(frozen=True)
class PictureContext:
    """What a corruption may need besides the picture.

    Attributes:
        rng: where its randomness comes from.
        face: left, top, right and bottom of the face in pixels; None where none was found.
    """

    rng: np.random.Generator
    face: tuple[float, float, float, float] | None = None


PictureCorruption: TypeAlias = Callable[[Picture, float, PictureContext], Picture]


def blur(picture: Picture, share: float, context: PictureContext) -> Picture:
    """Put the picture out of focus: a Gaussian whose deviation is `share` of the shorter side."""
    sigma = share * min(picture.shape[:2])
    reach = int(BLUR_REACH * sigma + 0.5)
    weights = np.exp(-0.5 / sigma**2 * np.arange(-reach, reach + 1) ** 2)
    half = (weights / weights.sum())[reach:]
    columns = _smeared(picture, half)
    return np.asarray(_smeared(columns.swapaxes(0, 1), half).swapaxes(0, 1))


def low_light(picture: Picture, gain: float, context: PictureContext) -> Picture:
    """Let only `gain` of the light in: darker, and noisy as photons are counted."""
    light = picture.astype(np.float32) * (gain * ELECTRONS / 255)
    noise = context.rng.standard_normal(picture.shape, np.float32)
    seen = light + np.sqrt(light + 1.0) * noise  # nearly Poisson's; 1 electron is the sensor's own
    return np.asarray(np.clip(seen * (255 / ELECTRONS), 0, 255), np.uint8)


def occlusion(picture: Picture, share: float, context: PictureContext) -> Picture:
    """Cover this share of the face from below, as a hand or a microphone does; of the middle where there is no face."""
    height, width = picture.shape[:2]
    left, top, right, bottom = context.face or (width * 0.35, height * 0.25, width * 0.65, height * 0.75)
    first = round(bottom - share * (bottom - top))
    result: Picture = picture.copy()
    result[max(first, 0) : max(round(bottom), 0), max(round(left), 0) : max(round(right), 0)] = GREY
    return result


def low_resolution(picture: Picture, lines: float, context: PictureContext) -> Picture:
    """Keep `lines` pixels of the shorter side, and show them as large as before."""
    factor = lines / min(picture.shape[:2])
    if factor >= 1:
        return np.array(picture)
    return _resized(_resized(picture, factor), picture.shape[:2])


def compression(picture: Picture, quantiser: float, context: PictureContext) -> Picture:
    """Compress as JPEG with this quantiser: 2 is fine, 31 shows blocks, 60 hardly a face.

    The colour planes have half the resolution, as in nearly all video.
    """
    import av

    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
    encoder.options = {"qmin": str(round(quantiser)), "qmax": str(round(quantiser)), "strict": "unofficial"}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24").reformat(format="yuvj420p")
    frame.pts = 0
    decoder = av.CodecContext.create("mjpeg", "r")
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    frames = [shown for packet in packets for shown in decoder.decode(packet)] + decoder.decode(None)
    return np.asarray(frames[0].to_ndarray(format="rgb24"), np.uint8)


def _smeared(picture: Picture, weights: NDArray[np.float64]) -> Picture:
    """The mean of every line and those around it; the picture is mirrored at its edges.

    Args:
        picture: H × W × 3.
        weights: of the line itself, of either one beside it, of the next …
    """
    count, reach = len(picture), len(weights) - 1
    lines = np.pad(picture, ((reach, reach), (0, 0), (0, 0)), mode="symmetric").astype(np.float64)
    total = lines[reach : reach + count] * weights[0]
    for step in range(reach, 0, -1):
        total += (lines[reach - step :][:count] + lines[reach + step :][:count]) * weights[step]
    return np.asarray(total, np.uint8)


def _resized(picture: Picture, size: float | tuple[int, int]) -> Picture:
    """By a factor, or to height × width; areas are averaged where it gets smaller."""
    from av import VideoFrame

    height, width = picture.shape[:2]
    if not isinstance(size, tuple):
        size = max(round(height * size), 1), max(round(width * size), 1)
    kind = "AREA" if size[0] < height else "BILINEAR"
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
    return np.asarray(frame.reformat(size[1], size[0], interpolation=kind).to_ndarray(), np.uint8)
