"""Talking-face clips with known movements, made out of one portrait: for tests, and for trying the tool without data.

Every picture is the portrait, bent: the mouth opens, its corners rise, brows go up, eyes shut, the head turns. How far
is given as curves over time, so what an extractor measures can be compared with what was done. A clip made here is
synthetic and says nothing about real people.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import grid_sample

from mecam.errors import DataError

__all__ = ["ASTRONAUT", "MOVEMENTS", "Portrait", "render", "write_clip"]

MOVEMENTS = ("mouth_open", "corner_left", "corner_right", "brow_inner", "brow_outer", "blink", "yaw", "pitch", "roll")
"""What can be moved. The first six: 0 (as in the portrait) to 1, corners and brows −1 to 1; the head: degrees."""

Points = NDArray[np.float32]

_INSIDE = (56.0, 18.0, 20.0)
"""Colour of the inside of a mouth."""
_MOUTH, _CORNER, _BROW = 0.42, 0.20, 0.15
"""The largest movements, in distances of the eyes."""
_CORNER_FOLLOWS = 0.25
"""How much of the jaw's drop the corners of the mouth follow."""


@dataclass(frozen=True)
class Portrait:
    """Where the parts of a face lie in a picture, in pixels, measured by eye. *Left* is the person's own.

    Attributes:
        right_eye: centre of the eye.
        left_eye: likewise.
        mouth: middle of the line along which the lips part.
        mouth_width: from corner to corner.
        sag: how much lower the middle of that line is than its ends.
        chin: height of the chin's lower edge.
        window: left, top and side of the square that is shown.
    """

    right_eye: tuple[float, float]
    left_eye: tuple[float, float]
    mouth: tuple[float, float]
    mouth_width: float
    sag: float
    chin: float
    window: tuple[int, int, int]

    @property
    def eyes(self) -> float:
        """Distance of the eyes: the unit of the movements."""
        return float(np.hypot(self.left_eye[0] - self.right_eye[0], self.left_eye[1] - self.right_eye[1]))


ASTRONAUT = Portrait(
    right_eye=(204.0, 101.5),
    left_eye=(247.0, 103.5),
    mouth=(222.5, 149.0),
    mouth_width=46.0,
    sag=8.0,
    chin=178.0,
    window=(96, 12, 256),
)
"""For `skimage.data.astronaut()`: NASA's portrait of Eileen Collins, public domain."""


def render(
    image: NDArray[np.uint8], portrait: Portrait, moves: Mapping[str, float], side: int = 320
) -> NDArray[np.uint8]:
    """Make one picture.

    Args:
        image: H × W × 3 RGB, the portrait.
        portrait: where its parts lie.
        moves: name of `MOVEMENTS` → how far; 0 where not named.
        side: pixels of the square picture that comes out.

    Returns: side × side × 3 RGB.
    Raises: DataError if a movement is unknown.
    """
    if unknown := set(moves) - set(MOVEMENTS):
        raise DataError(f"no such movement: {min(unknown)!r}", fix=f"one of {', '.join(MOVEMENTS)}")
    now = {name: float(moves.get(name, 0.0)) for name in MOVEMENTS}
    left, top, width = portrait.window
    middles = (np.arange(side, dtype=np.float32) + 0.5) * (width / side)
    x, y = np.meshgrid(left + middles, top + middles)
    x, y = _head(x, y, portrait, now)
    x, y = _brows_and_eyes(x, y, portrait, now)
    x, y, inside = _mouth(x, y, portrait, now)
    picture = _sampled(image, x, y)
    picture += (np.array(_INSIDE, np.float32) - picture) * inside[..., None]
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def write_clip(
    path: str | Path,
    pictures: Iterable[NDArray[np.uint8]],
    *,
    rate: float = 25.0,
    sound: NDArray[np.float32] | None = None,
    sound_rate: int = 16_000,
    codec: str = "libx264",
    sound_codec: str = "aac",
) -> Path:
    """Write pictures, and sound where given, as a video file; the container follows the name.

    Args:
        path: the file to make; it appears when whole.
        pictures: H × W × 3 RGB, all of one size, even in both directions.
        rate: pictures per second.
        sound: samples, mono, or channels × samples; in [−1, 1].
        sound_rate: samples per second.
        codec: libav's name of the video encoder.
        sound_codec: the same for sound.

    Returns: the file.
    Raises: DataError if it cannot be written.
    """
    import av

    target = Path(path)
    partial = target.with_name(f".partial-{target.name}")
    try:
        with av.open(f"file:{partial.absolute()}", "w") as container:
            _write_pictures(container, pictures, rate, codec, with_sound=(sound, sound_rate, sound_codec))
        partial.replace(target)
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"the clip cannot be written: {error.strerror}", where=str(target)) from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def _head(x: Points, y: Points, portrait: Portrait, now: Mapping[str, float]) -> tuple[Points, Points]:
    """Where the pixels of a turned head come from: the portrait is laid over a dome with a nose and turned."""
    if not (now["yaw"] or now["pitch"] or now["roll"]):
        return x, y
    unit = portrait.eyes
    centre_x = (portrait.left_eye[0] + portrait.right_eye[0]) / 2
    centre_y = (portrait.left_eye[1] + portrait.right_eye[1]) / 2 + 0.45 * unit
    u, v = (x - centre_x) / unit, (y - centre_y) / unit
    yaw, pitch, roll = (math.radians(now[name]) for name in ("yaw", "pitch", "roll"))
    a, b = u.copy(), v.copy()
    for _ in range(8):  # find the point of the dome that is seen here
        deep = _dome(a, b)
        across, forward = a * math.cos(yaw) + deep * math.sin(yaw), deep * math.cos(yaw) - a * math.sin(yaw)
        down = b * math.cos(pitch) - forward * math.sin(pitch)
        seen_u = across * math.cos(roll) - down * math.sin(roll)
        seen_v = across * math.sin(roll) + down * math.cos(roll)
        a, b = a + (u - seen_u), b + (v - seen_v)
    # The head moves, the shoulders and the wall behind stay.
    free = np.clip((2.6 - np.hypot(u / 1.0, v / 1.25)) / 1.1, 0, 1)
    free = free * free * (3 - 2 * free)
    return (x + (a - u) * free * unit).astype(np.float32), (y + (b - v) * free * unit).astype(np.float32)


def _dome(u: Points, v: Points) -> Points:
    """Height of a head over its middle plane, in distances of the eyes."""
    # Ears lie about one distance of the eyes behind the eyes, the chin hardly any; the axis of turning is at the ears.
    dome = 1.9 * np.exp(-(np.abs(u / 1.1) ** 3) - ((v + 0.5) / 3.2) ** 2)
    nose = 0.45 * np.exp(-((u / 0.22) ** 2) - ((v - 0.12) / 0.30) ** 2)
    height: Points = (dome + nose - 0.7).astype(np.float32)
    return height


def _brows_and_eyes(x: Points, y: Points, portrait: Portrait, now: Mapping[str, float]) -> tuple[Points, Points]:
    unit = portrait.eyes
    moved = y.copy()
    for outward, (eye_x, eye_y) in ((-1, portrait.right_eye), (1, portrait.left_eye)):
        brow_y = eye_y - 0.28 * unit
        for name, shift in (("brow_inner", -0.20), ("brow_outer", 0.20)):
            spot = _spot(x, y, eye_x + outward * shift * unit, brow_y - 0.05 * unit, 0.22 * unit, 0.15 * unit)
            moved += now[name] * _BROW * unit * spot
        # Shutting an eye: what lies around its middle is squeezed into less height.
        offset = y - eye_y
        near = np.exp(-(((x - eye_x) / (0.30 * unit)) ** 4)) * np.exp(-((offset / (0.11 * unit)) ** 2))
        moved += offset * near * 3.0 * now["blink"]
    return x, moved


def _mouth(x: Points, y: Points, portrait: Portrait, now: Mapping[str, float]) -> tuple[Points, Points, Points]:
    """Also how much of each pixel is the inside of the mouth, 0 to 1."""
    unit, (mouth_x, mouth_y) = portrait.eyes, portrait.mouth
    half = portrait.mouth_width / 2
    y = y.copy()
    for name, side in (("corner_right", -1), ("corner_left", 1)):
        spot = _spot(x, y, mouth_x + side * half, mouth_y - portrait.sag, 0.24 * unit, 0.24 * unit)
        y += now[name] * _CORNER * unit * spot
    across = np.clip((x - mouth_x) / half, -1, 1)
    line = mouth_y - portrait.sag * across**2
    arch = np.sqrt(np.maximum(1 - across**2, 0))
    # The jaw drops; the lower lip follows in its middle, the corners a little, the upper lip hardly.
    drop = now["mouth_open"] * _MOUTH * unit * np.exp(-(((x - mouth_x) / (0.9 * unit)) ** 2))
    lower, upper = drop * (_CORNER_FOLLOWS + (1 - _CORNER_FOLLOWS) * arch), drop * _CORNER_FOLLOWS * (1 - arch)
    to_chin = np.clip((y - line - drop) / (portrait.chin - mouth_y), 0, 1)
    below = np.clip((portrait.chin + drop + 0.9 * unit - y) / (0.9 * unit), 0, 1)  # the neck gives way
    above = np.clip(1 - (line - y) / (0.45 * unit), 0, 1)
    is_lower = y > line + (lower + upper) / 2
    source = np.where(is_lower, y - (lower + (drop - lower) * to_chin) * below, y - upper * above)
    source = np.where(is_lower, np.maximum(source, line), np.minimum(source, line))
    inside = np.clip(np.minimum(y - line - upper, line + lower - y) + 0.5, 0, 1) * (lower - upper > 0.5)
    return x, source.astype(np.float32), inside.astype(np.float32)


def _spot(x: Points, y: Points, centre_x: float, centre_y: float, wide: float, high: float) -> Points:
    """A soft spot, 1 in its middle."""
    return np.exp(-(((x - centre_x) / wide) ** 2) - ((y - centre_y) / high) ** 2)


def _sampled(image: NDArray[np.uint8], x: Points, y: Points) -> NDArray[np.float32]:
    """The picture at some places, in between its pixels too; beyond its border the border goes on."""
    height, width = image.shape[:2]
    planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float()[None]
    grid = torch.from_numpy(np.stack([2 * x / width - 1, 2 * y / height - 1], axis=-1).astype(np.float32))[None]
    found = grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return found[0].permute(1, 2, 0).contiguous().numpy()


def _write_pictures(
    container: Any,
    pictures: Iterable[NDArray[np.uint8]],
    rate: float,
    codec: str,
    with_sound: tuple[NDArray[np.float32] | None, int, str],
) -> None:
    import av

    sound, sound_rate, sound_codec = with_sound
    video = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1000))
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
    channels = None if sound is None else np.atleast_2d(np.asarray(sound, np.float32))
    audio = None
    if channels is not None:
        audio = container.add_stream(sound_codec, rate=sound_rate, layout=layout[len(channels)])
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        if number == 0:
            video.height, video.width = picture.shape[:2]
            video.pix_fmt = video.codec.video_formats[0].name if codec == "ffv1" else "yuv420p"
        frame.pts = number
        container.mux(video.encode(frame))
    container.mux(video.encode())
    if audio is None or channels is None:
        return
    for begin in range(0, channels.shape[1], 1024):
        piece = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(channels[:, begin : begin + 1024]), format="fltp", layout=layout[len(channels)]
        )
        piece.sample_rate, piece.pts = sound_rate, begin
        container.mux(audio.encode(piece))
    container.mux(audio.encode())
