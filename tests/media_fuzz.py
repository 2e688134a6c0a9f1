"""Damage recordings and read them, with little memory: `python -m media_fuzz FOLDER EACH SEED`.

Prints what came of it as JSON. `tests/hostile/test_media_fuzz.py` runs it.
"""

import json
import random
import resource
import sys
import time
from pathlib import Path

import numpy as np

from bounded import SECONDS, TooLong, limit_memory, limit_time
from clips import clip, tone, wav
from import_fuzz import damaged
from mecam.errors import MecamError
from mecam.features.extractor import prepare
from mecam.features.recording import Recipe, read_recording

SOUND, FACES = ("mecam-prosody",), ("mecam-audio", "mecam-vision")
VIDEOS = {
    "mp4": ("libx264", "aac"),
    "webm": ("libvpx", "libopus"),
    "mpg": ("mpeg2video", "mp2"),
    "avi": ("mpeg4", "mp2"),
}
KINDS = ("wav", *VIDEOS, "flac", "mp3")
EVERY = 10
"""One of so many damaged videos is looked at too, which takes long."""
LONGEST_ERROR = 2000
"""Characters."""


def seeds(folder: Path) -> dict[str, bytes]:
    """A whole recording of every kind."""
    voice, rate = tone(2.0, 16_000, 200.0), 48_000
    made = [wav(folder / "a.wav", voice, 16_000)]
    for kind, (codec, sound_codec) in VIDEOS.items():
        sound = {"sound": tone(0.8, rate, 200.0), "sound_rate": rate, "sound_codec": sound_codec}
        made.append(clip(folder / f"a.{kind}", 20, codec=codec, **sound))
    made += [_encoded(folder / "a.flac", "flac", voice), _encoded(folder / "a.mp3", "libmp3lame", voice)]
    return {path.suffix[1:]: path.read_bytes() for path in made}


def _encoded(path: Path, codec: str, voice: np.ndarray) -> Path:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray((voice * 32767).astype(np.int16).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def outcome(path: Path, extractors: tuple[str, ...]) -> str:
    """`read`, `refused`, or what is wrong."""
    try:
        limit_time()
        found = read_recording(path, Recipe(extractors=extractors), id="a")
    except MecamError as error:
        return "refused" if 0 < len(str(error)) < LONGEST_ERROR else f"an error of {len(str(error))} characters"
    except TooLong:
        return f"longer than {SECONDS} s"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        limit_time(0)
    values = [rows for utterance in found.utterances for rows in utterance.streams.values()]
    if any(np.isinf(rows).any() for rows in values):
        return "infinite features"
    return "read" if np.isfinite(found.duration) else f"a duration of {found.duration}"


def main(folder: Path, each: int, seed: int) -> None:
    whole, videos = seeds(folder), 0
    prepare(FACES)
    counts: dict[str, int] = {}
    problems, slowest = [], 0.0
    for kind in whole:  # what is imported only when it is needed is imported now
        assert outcome(folder / f"a.{kind}", FACES if kind in VIDEOS else SOUND) == "read", kind
    limit_memory()
    for kind, content in whole.items():
        random_ = random.Random(f"{seed} {kind}")
        for case in range(each):
            videos += kind in VIDEOS
            extractors = FACES if kind in VIDEOS and videos % EVERY == 0 else SOUND
            path = folder / f"{case}.{kind}"
            path.write_bytes(damaged(content, random_))
            sys.stderr.write(f"{path.name}\n")  # where the process dies, this is the last that it says
            begun = time.monotonic()
            found = outcome(path, extractors)
            slowest = max(slowest, time.monotonic() - begun)
            if found in ("read", "refused"):
                path.unlink()
            else:
                problems.append(f"{path.name}, {extractors}: {found}"[:500])
                found = "problem"
            counts[found] = counts.get(found, 0) + 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    sys.stdout.write(json.dumps({"counts": counts, "problems": problems, "slowest": slowest, "peak": peak}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
