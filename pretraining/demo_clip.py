"""Render the clip that ships with mecam, and its captions: a portrait that speaks three sentences.

    python pretraining/demo_clip.py

Everything in it is made: NASA's portrait of Eileen Collins (public domain) is moved, the voice is espeak-ng's. In the
second sentence a noise burst covers some of the sound, in the third the face smiles at words that are negative.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.data import astronaut

from mecam.pretrained.cards import FOLDER
from mecam.synthetic.clips.render import ASTRONAUT, render, write_clip
from mecam.synthetic.clips.speech import RATE_HZ, espeak

PICTURES_PER_S = 12.5
SIDE = 320
PAUSE_S = 0.5


@dataclass(frozen=True)
class Line:
    """A sentence, how it is said and how the face looks, -1 to 1, and the seconds of it that noise covers."""

    text: str
    voice: float
    face: float
    noise: tuple[float, float] | None = None


LINES = (
    Line("I watched it last night with my sister, and we loved every minute of it.", 0.8, 0.3),
    Line("The film is about a woman who flies to a station in orbit.", 0.0, -0.8, (1.2, 2.0)),
    Line("But the ending was awful, far too long and really boring.", -0.6, 0.4),
)


def main() -> None:
    draw = np.random.default_rng(7)
    sounds, faces, captions, at = [], [], [], 0.0
    for line in LINES:
        spoken = espeak(line.text, line.voice, base_hz=190.0)
        if spoken is None:
            raise SystemExit("espeak-ng is not installed")
        sound = 0.7 * spoken.sound / np.abs(spoken.sound).max()
        if line.noise is not None:
            first, last = (int(edge * RATE_HZ) for edge in line.noise)
            sound[first:last] += draw.normal(0, 0.35, last - first).astype(np.float32)
        sound = np.concatenate([sound, np.zeros(int(PAUSE_S * RATE_HZ), np.float32)])
        start, stop = at + spoken.words[0].start, at + spoken.words[-1].stop
        captions.append(f"{_clock(start)} --> {_clock(stop)}\n{line.text}\n")
        sounds.append(sound)
        faces.append(np.full(len(sound), line.face))
        at += len(sound) / RATE_HZ
    sound, face = np.concatenate(sounds), np.concatenate(faces)
    folder = FOLDER / "demo"
    folder.mkdir(exist_ok=True)
    write_clip(folder / "clip.mp4", pictures(sound, face), rate=PICTURES_PER_S, sound=sound, sound_rate=RATE_HZ)
    (folder / "clip.vtt").write_text("WEBVTT\n\n" + "\n".join(captions), encoding="utf-8")
    print(f"{at:.1f} s, {(folder / 'clip.mp4').stat().st_size / 1e3:.0f} kB")


def _clock(seconds: float) -> str:
    return f"00:{int(seconds // 60):02d}:{seconds % 60:06.3f}"


def pictures(sound: NDArray[np.float32], face: NDArray[np.float64]) -> Iterator[NDArray[np.uint8]]:
    """The portrait: its mouth follows the voice, its corners and brows the expression, its head wanders."""
    portrait = np.asarray(astronaut())
    count = int(len(sound) / RATE_HZ * PICTURES_PER_S)
    level = np.sqrt([piece.mean() for piece in np.array_split(np.square(sound.astype(np.float64)), count)])
    mouth = np.clip(level / np.quantile(level, 0.98), 0, 1) * 0.8
    felt = np.array([piece.mean() for piece in np.array_split(face, count)])
    felt = np.convolve(np.pad(felt, 4, mode="edge"), np.ones(9) / 9, mode="valid")
    for i, t in enumerate(np.arange(count) / PICTURES_PER_S):
        moves = {
            "mouth_open": float(mouth[i]),
            "corner_left": float(felt[i]),
            "corner_right": float(felt[i]),
            "brow_inner": float(0.6 * felt[i]),
            "brow_outer": float(0.3 * felt[i]),
            "blink": float(t % 3.7 < 0.12),
            "yaw": float(5 * np.sin(1.9 * t)),
            "pitch": float(3 * np.sin(2.7 * t)),
        }
        yield render(portrait, ASTRONAUT, moves, side=SIDE)


if __name__ == "__main__":
    main()
