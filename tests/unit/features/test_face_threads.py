"""Many threads that look and listen at once find what one thread finds."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import voices
from clips import moving_face
from mecam.features.audio.voice_extractors import Acoustics
from mecam.features.media import Media
from mecam.features.vision import face_models
from mecam.features.vision.face_extractors import Expressions
from mecam.features.vision.face_models import Box


def test_many_threads_see_what_one_sees(tmp_path: Path) -> None:
    paths = [
        moving_face(tmp_path / f"{k}.mp4", {"yaw": lambda t, k=k: 8 * k * t - 10}, seconds=0.8, rate=10.0)
        for k in range(4)
    ]
    alone = [Expressions()(Media(path)).values for path in paths]
    assert np.isfinite(alone[0]).any()
    face_models._idle.clear()  # as in a fresh process, all threads build at once
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda path: Expressions()(Media(path)).values, paths * 4))
    for values, expected in zip(together, alone * 4, strict=True):
        np.testing.assert_array_equal(values, expected)


class _Shared:
    """In the place of an interpreter: it tells when two use it at once."""

    def __init__(self) -> None:
        self.given = np.zeros(0, np.float32)

    def set_tensor(self, _: int, given: np.ndarray) -> None:
        self.given = given

    def invoke(self) -> None:
        before = self.given.copy()
        sum(range(20_000))  # long enough for another thread to come
        assert np.array_equal(before, self.given)

    def get_tensor(self, _: int) -> np.ndarray:
        return self.given


def test_no_interpreter_is_used_by_two_threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    def build(*_: object) -> tuple[_Shared, int, list[int]]:
        built.append(_Shared())
        return built[-1], 0, [0]

    monkeypatch.setattr(face_models, "_built", build)
    monkeypatch.setattr(face_models, "_idle", type(face_models._idle)(list))
    inputs = [np.full(4, k, np.float32) for k in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda given: face_models._run(face_models.MESH, given)[0], inputs))
    assert all(np.array_equal(out[0], given) for out, given in zip(found, inputs, strict=True))
    assert 1 <= len(built) <= 8


def test_building_in_many_threads_leaves_stderr_where_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    face_models._idle.clear()
    picture = np.zeros((64, 64, 3), np.uint8)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: face_models.mesh(picture, Box(32.0, 32.0, 40.0)), range(16)))

    os.write(2, b"still here\n")
    assert "still here" in capfd.readouterr().err


def test_many_threads_hear_what_one_hears(tmp_path: Path) -> None:

    paths = [voices.write_wav(tmp_path / f"{k}.wav", voices.buzz(0.5, hertz=100 + 30 * k)) for k in range(4)]
    alone = [Acoustics()(Media(path)).values for path in paths]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda path: Acoustics()(Media(path)).values, paths * 4))
    for values, expected in zip(together, alone * 4, strict=True):
        np.testing.assert_array_equal(values, expected)
