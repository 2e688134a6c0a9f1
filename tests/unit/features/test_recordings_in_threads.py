"""Recordings that are read in many threads, or in processes that are forked or spawned, give what one thread reads."""

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import voices
from clips import DATA, moving_face, portrait
from mecam.features import side_threads
from mecam.features.recording import Recipe, Recording, read_recording
from mecam.features.vision import face_models
from mecam.synthetic.clips.render import ASTRONAUT, render, write_clip

RECIPE = Recipe(("mecam-prosody", "mecam-vision"))
THREADS = 8


def read(path: Path) -> Recording:
    return read_recording(path, RECIPE, id=path.stem, text="it was good", whole=True)


def told(recording: Recording) -> dict[str, Any]:
    """All that a recording says, arrays as bytes."""
    utterances = [
        {m: (values.shape, values.tobytes(), u.intervals[m].tobytes()) for m, values in u.streams.items()}
        for u in recording.utterances
    ]
    rest = {m: [dict(row) for row in rows] for m, rows in recording.details.items()}
    return {"rows": utterances, "details": rest, "absent": dict(recording.absent), "findings": recording.findings}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Different faces and voices; two faces at once, whose mouths are held against the sound; one without picture."""
    folder = tmp_path_factory.mktemp("recordings")
    image, times = portrait(), np.arange(0, 0.8, 0.1)
    made = [
        voices.write_wav(folder / "voice.wav", voices.buzz(1.0)),
        moving_face(folder / "silent.mp4", {"yaw": lambda t: 12 * t}, seconds=0.8, rate=10.0),
    ]
    for number in range(2):
        faces = [render(image, ASTRONAUT, {"mouth_open": float(np.sin(9 * t + number)) ** 2}, side=256) for t in times]
        still = render(image, ASTRONAUT, {"yaw": 8.0 * number}, side=256)
        pictures = [np.concatenate([face, still], axis=1) if number else face for face in faces]
        sound = np.stack([voices.buzz(0.8, hertz=110.0 + 60 * number), np.zeros(12_800, np.float32)])
        made.append(write_clip(folder / f"{number}.mp4", pictures, rate=10.0, sound=sound))
    return made


def check(paths: list[Path], times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as alone:
        alone.setattr(side_threads, "available_cores", lambda: 1)
        expected = {path: told(read(path)) for path in paths}
    monkeypatch.setattr(side_threads, "available_cores", lambda: 2)
    face_models._idle.clear()  # as in a fresh process
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda path: (path, told(read(path))), paths * times))
    assert [path.name for path, got in found if got != expected[path]] == []


def test_eight_threads_read_what_one_reads(recordings: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    check(recordings, 4, monkeypatch)
    several, single = told(read(recordings[3])), told(read(recordings[1]))
    assert several["details"]["vision"][0]["most_faces_at_once"] == 2  # the sound was read for the faces, too
    assert several["findings"] == ("1 of 2 channels are silent, or nearly; they are left out of the mix",)
    assert single["absent"] == {"audio": "the file has no sound"}


@pytest.mark.slow
def test_eight_threads_read_real_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = sorted((DATA / "video").glob("*.m*")) if (DATA / "video").is_dir() else []
    if not paths:
        pytest.skip("no real recordings")
    check(paths, -(-50 // len(paths)), monkeypatch)


PROGRAM = """
import hashlib, multiprocessing, sys
from pathlib import Path

from mecam.features.recording import Recipe, read_recording


RECIPE = Recipe(("mecam-prosody", "mecam-vision"))


def digest(path):
    recording = read_recording(Path(path), RECIPE, id="clip", text="good", whole=True)
    (utterance,) = recording.utterances
    return hashlib.sha256(b"".join(rows.tobytes() for _, rows in sorted(utterance.streams.items()))).hexdigest()


if __name__ == "__main__":
    path, method = sys.argv[1:]
    here = digest(path)
    with multiprocessing.get_context(method).Pool(2) as pool:
        there = pool.map_async(digest, [path] * 4).get(timeout=60)
    assert there == [here] * 4, (here, there)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_made_after_a_first_use_read_the_same(method: str, recordings: list[Path], tmp_path: Path) -> None:
    if method == "fork" and not hasattr(os, "fork"):
        pytest.skip("no fork here")
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(PROGRAM), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script, recordings[3], method], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
