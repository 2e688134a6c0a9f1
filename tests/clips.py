"""Small video and sound files made on the spot, for the tests of everything that reads media."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from mecam.synthetic.clips.render import ASTRONAUT, render, write_clip

DATA = Path(__file__).parents[2] / "shared" / "data"
"""Real recordings, where they are to be had."""

TALK_RATE = 12.5
"""Pictures a second of clips with mouths that talk."""


def need_data(name: str) -> Path:
    """A real recording; skip the test where it is missing."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no real data at {path}")
    return path


def portrait() -> NDArray[np.uint8]:
    return pytest.importorskip("skimage.data").astronaut()


def talking(moves: Callable[[float], dict[str, float]], times: NDArray[np.float64]) -> Iterator[NDArray[np.uint8]]:
    """Pictures of the portrait moved as `moves(time)` says."""
    image = portrait()
    return (render(image, ASTRONAUT, moves(float(time)), side=256) for time in times)


def numbered(count: int, width: int = 64, height: int = 48) -> Iterator[NDArray[np.uint8]]:
    """Pictures of growing brightness: frame k has grey 2 k + 20; a white block marks the top left corner."""
    for k in range(count):
        picture = np.full((height, width, 3), (2 * k + 20) % 236, np.uint8)
        picture[: height // 4, : width // 4] = 255
        yield picture


def tone(seconds: float, rate: int = 16_000, hertz: float = 440.0) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def moving_face(path: Path, moves: Mapping[str, Callable[[float], float]], *, seconds: float, rate: float) -> Path:
    """A clip of the portrait; each movement follows its curve."""
    image, times = portrait(), np.arange(0, seconds, 1 / rate)
    pictures = (render(image, ASTRONAUT, {name: float(curve(time)) for name, curve in moves.items()}) for time in times)
    return write_clip(path, pictures, rate=rate)


def clip(path: Path, count: int = 25, **options: object) -> Path:
    """A clip of numbered pictures, 25 a second unless told."""
    size = {key: int(options.pop(key)) for key in ("width", "height") if key in options}  # type: ignore[call-overload]
    return write_clip(path, numbered(count, **size), **options)  # type: ignore[arg-type]


def wav(path: Path, samples: NDArray[np.float32], rate: int) -> Path:
    """Sound alone, without loss; channels × samples or samples."""
    channels = np.atleast_2d(samples)
    layout = {1: "mono", 2: "stereo", 8: "7.1"}[len(channels)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout=layout)
        container.start_encoding()
        whole = (np.clip(channels, -1, 1) * 32767).astype(np.int16)
        if whole.size:
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(whole.T.reshape(1, -1)), format="s16", layout=layout
            )
            frame.sample_rate = rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def written_video(
    path: Path, codec: str, *, pixels: str = "yuv420p", seconds: float = 2.0, sound: str | None = None
) -> Path:
    """Pictures of 640 × 400 and a tone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 400, pixels
        heard = container.add_stream(sound, rate=48_000, layout="mono") if sound else None
        for picture in numbered(round(25 * seconds), 640, 400):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pixels)))
        container.mux(stream.encode(None))
        if heard is not None:
            samples = tone(seconds, 48_000)
            for start in range(0, len(samples), 960):
                piece = np.ascontiguousarray(samples[None, start : start + 960])
                frame = av.AudioFrame.from_ndarray(piece, "fltp", "mono")
                frame.sample_rate, frame.pts = 48_000, start
                container.mux(heard.encode(frame))
            container.mux(heard.encode(None))
    return path


def talk(seed: int, seconds: float) -> NDArray[np.float32]:
    """How far a mouth is open, `TALK_RATE` a second: syllables of its own."""
    rng = np.random.default_rng(seed)
    values = np.abs(np.convolve(rng.standard_normal(round(seconds * TALK_RATE) + 4), np.ones(3) / 3, "valid"))
    return values[: round(seconds * TALK_RATE)].astype(np.float32)


def two_people(path: Path) -> Path:
    """Two people, in front of other colours; one speaks; then a cut, after which they have swapped sides."""
    image = portrait()
    other = np.ascontiguousarray(image[:, :, ::-1] // 2 + 60)  # blue skin, paler hair
    lips = talk(1, 6.0)
    still = render(other, ASTRONAUT, {"roll": 4.0}, side=160)
    pictures = []
    for number, wide in enumerate(lips):
        speaks = render(image, ASTRONAUT, {"mouth_open": float(min(wide, 1.0))}, side=160)
        pair = (speaks, still) if number < len(lips) // 2 else (still, speaks)
        pictures.append(np.concatenate(pair, axis=1))
    times = np.arange(round(6.0 * 16_000)) / 16_000
    sound = np.interp(times, np.arange(len(lips)) / TALK_RATE, lips) * np.random.default_rng(0).standard_normal(
        len(times)
    )
    return write_clip(path, pictures, rate=TALK_RATE, sound=(0.3 * sound).astype(np.float32).clip(-1, 1))
