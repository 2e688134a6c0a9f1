"""Damaged recordings: an answer or one clear error, in little memory and time."""

from pathlib import Path

import numpy as np
import pytest

from bounded import mutants, run_bounded, write_all
from clips import clip, tone, wav

IMPORTS = """
from pathlib import Path
from mecam.features.utterances import Recipe, read_recording
import av, scipy.fft
"""
CALL = """(lambda r: [len(r.utterances), r.duration, list(r.findings)])(
    read_recording(Path(given), Recipe(extractors=("mecam-prosody",)), id="a"))"""


@pytest.fixture(scope="module")
def sound_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    voice = tone(2.0, 16_000, 200.0)
    made = [wav(folder / "a.wav", voice, 16_000)]
    for suffix, codec, sound in (
        ("mp4", "libx264", "aac"),
        ("webm", "libvpx", "libopus"),
        ("mpg", "mpeg2video", "mp2"),
        ("avi", "mpeg4", "mp2"),
    ):
        rate = 48_000
        made.append(
            clip(
                folder / f"a.{suffix}",
                20,
                sound=tone(0.8, rate, 200.0),
                sound_rate=rate,
                codec=codec,
                sound_codec=sound,
            )
        )
    made.append(_encoded(folder / "a.flac", "flac", voice))
    made.append(_encoded(folder / "a.mp3", "libmp3lame", voice))
    return {path.suffix: path.read_bytes() for path in made}


def _encoded(path: Path, codec: str, voice: np.ndarray) -> Path:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray((voice * 32767).astype(np.int16).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _tried(folder: Path, files: dict[str, bytes], each: int, seed: int) -> None:
    paths = []
    for number, (suffix, content) in enumerate(sorted(files.items())):
        paths += write_all(folder / suffix[1:], mutants(content, each, seed + number), suffix)
    ended = run_bounded(paths, imports=IMPORTS, call=CALL)
    bad = [(path, one) for path, one in zip(paths, ended, strict=True) if not one.well]
    assert not bad, f"{len(bad)} of {len(paths)}: {bad[:5]}"
    assert any(one.how == "done" for one in ended), "some mutants are still recordings"
    assert any(one.how == "refused" for one in ended), "some are not"


def test_mutants_of_recordings(sound_files: dict[str, bytes], tmp_path: Path) -> None:
    _tried(tmp_path, sound_files, 4, seed=1)


@pytest.mark.slow
def test_five_hundred_mutants_of_recordings(sound_files: dict[str, bytes], tmp_path: Path) -> None:
    _tried(tmp_path, sound_files, 72, seed=1000)
