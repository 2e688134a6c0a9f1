"""A small set of talking-face clips whose words, voice and face carry a known sentiment, to try the tool without data.

A folder in the MMSA-FET layout: `label.csv`, `Raw/speaker/clip.mp4`, and word times beside each clip. Everything is
rendered from one portrait; a model that learns from it knows no real faces or voices.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mecam.errors import MissingExtraError
from mecam.synthetic.clips.render import ASTRONAUT, render, write_clip
from mecam.synthetic.clips.speech import RATE_HZ, Spoken, speak
from mecam.synthetic.lexicon import TOPICS
from mecam.synthetic.sentences import clear_sentence

__all__ = ["render_set"]

PICTURES_PER_S = 12.5
SIDE = 192
SPLITS = ("train", "train", "train", "train", "valid", "test")
"""Of speakers, in turn."""


@dataclass(frozen=True)
class _Script:
    """What one clip says and feels."""

    video: str
    clip: int
    sentiment: float
    text: str
    split: str
    base_hz: float
    seed: int


def render_set(
    folder: Path, *, clips: int = 60, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> str:
    """Render the clips that are not there yet.

    Args:
        folder: where to.
        clips: how many; six speakers.
        seed: of everything.
        progress: called with (clips done, all).

    Returns: what the voices are made by.
    Raises: MissingExtraError without the portrait; DataError if a clip cannot be written.
    """
    portrait = _portrait()
    scripts = list(_scripts(clips, seed))
    voice = "our own formant voice"
    for done, script in enumerate(scripts, 1):
        place = folder / "Raw" / script.video / f"{script.clip}.mp4"
        spoken = speak(script.text, script.sentiment / 3, base_hz=script.base_hz, seed=script.seed)
        voice = spoken.voice
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            _write_words(place.with_suffix(".csv"), spoken)
            pictures = _pictures(portrait, spoken, script)
            write_clip(place, pictures, rate=PICTURES_PER_S, sound=spoken.sound, sound_rate=RATE_HZ)
        if progress:
            progress(done, len(scripts))
    _write_labels(folder / "label.csv", scripts)
    return voice


def _scripts(clips: int, seed: int) -> Iterator[_Script]:
    topics = list(TOPICS)
    for number in range(clips):
        rng = np.random.default_rng((seed, number))
        speaker = number % len(SPLITS)
        wanted = float(rng.uniform(1.0, 3.0) * rng.choice([-1, 1]))
        reading = clear_sentence(str(rng.choice(topics)), wanted, rng)
        yield _Script(
            video=f"speaker{speaker + 1}",
            clip=number // len(SPLITS) + 1,
            sentiment=round(float(np.clip(reading.valence, -3, 3)), 1),
            text=reading.text,
            split=SPLITS[speaker],
            base_hz=110.0 + 22.0 * speaker,
            seed=int(rng.integers(2**31)),
        )


def _pictures(portrait: NDArray[np.uint8], spoken: Spoken, script: _Script) -> Iterator[NDArray[np.uint8]]:
    """The face over time: the mouth follows the voice, corners and brows the sentiment, the head wanders."""
    rng = np.random.default_rng(script.seed + 1)
    count = max(2, int(len(spoken.sound) / RATE_HZ * PICTURES_PER_S))
    pieces = np.array_split(np.square(spoken.sound.astype(np.float64)), count)
    level = np.sqrt([piece.mean() for piece in pieces])
    mouth = np.clip(level / max(1e-9, float(level.max())), 0, 1) * 0.8
    feeling, t = script.sentiment / 3, np.arange(count) / PICTURES_PER_S
    phases = 6 * rng.random(4)
    swell = feeling * (0.75 + 0.25 * np.sin(2 * np.pi * 0.4 * t + phases[0]))
    blink_at = rng.uniform(0, t[-1] + 1e-6)
    for i in range(count):
        yield render(
            portrait,
            ASTRONAUT,
            {
                "mouth_open": float(mouth[i]),
                "corner_left": float(swell[i]),
                "corner_right": float(swell[i] * (0.9 + 0.1 * np.sin(phases[1]))),
                "brow_inner": float(0.5 * swell[i]),
                "brow_outer": float(0.3 * swell[i]),
                "blink": float(abs(t[i] - blink_at) < 0.1),
                "yaw": float(5 * np.sin(2 * np.pi * 0.3 * t[i] + phases[2])),
                "pitch": float(3 * np.sin(2 * np.pi * 0.5 * t[i] + phases[3]) + 3 * feeling),
            },
            side=SIDE,
        )


def _portrait() -> NDArray[np.uint8]:
    try:
        from skimage.data import astronaut
    except ImportError as error:
        raise MissingExtraError("skimage") from error
    return np.asarray(astronaut())  # type: ignore[no-untyped-call]


def _write_words(path: Path, spoken: Spoken) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["word", "start", "end"])
        writer.writerows([word.text, f"{word.start:.3f}", f"{word.stop:.3f}"] for word in spoken.words)


def _write_labels(path: Path, scripts: list[_Script]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video_id", "clip_id", "text", "label", "annotation", "mode", "speaker"])
        for s in scripts:
            annotation = "Positive" if s.sentiment > 0 else "Negative" if s.sentiment < 0 else "Neutral"
            writer.writerow([s.video, s.clip, s.text, s.sentiment, annotation, s.split, s.video])
