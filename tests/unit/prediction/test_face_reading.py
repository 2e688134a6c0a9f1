"""What is read of a face: means of what is kept, movements by name, relative to a baseline; rows that are damaged."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mecam.features.vision.expression_network import EXPRESSIONS
from mecam.features.vision.face_extractors import CUES
from mecam.prediction import face_reading
from mecam.prediction.face_reading import MOVEMENTS, cues, kept, read_face

SMILE = [CUES.names.index(name) for name in MOVEMENTS["smile"]]
HAPPY, SAD = (CUES.names.index(f"expression_{name}") for name in ("happy", "sad"))


def times(count: int) -> NDArray[np.float64]:
    return np.stack([np.arange(count) / 12.5, (np.arange(count) + 1) / 12.5], axis=1)


def calm(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Rows of a face that moves a little, as faces do."""
    rng = np.random.default_rng(seed)
    rows = 0.2 + 0.02 * np.cumsum(rng.standard_normal((count, len(CUES.names))), axis=0).clip(-5, 5)
    rows[:, -len(EXPRESSIONS) :] = 0.02
    rows[:, CUES.names.index("expression_neutral")] = 1 - 0.02 * (len(EXPRESSIONS) - 1)
    return rows.astype(np.float32)


@pytest.fixture
def all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_reading, "kept", lambda rows: np.ones(len(rows), np.float32))


@pytest.mark.usefixtures("all_kept")
def test_means_between_two_times() -> None:
    rows = calm(50)
    rows[:25, SMILE], rows[25:, SMILE] = 0.1, 0.7
    rows[25:, HAPPY], rows[25:, CUES.names.index("expression_neutral")] = 0.5, 0.4
    face = read_face(times(50), rows, 2.0, 4.0)
    assert face is not None
    assert face.visible == pytest.approx(1.0)
    assert face.movements["smile"] == pytest.approx(0.7, abs=1e-6)
    assert list(face.movements) == list(MOVEMENTS)
    assert list(face.expressions) == list(EXPRESSIONS)
    assert sum(face.expressions.values()) == pytest.approx(1.0)
    assert face.expressions["happy"] == pytest.approx(0.5, abs=0.01)


@pytest.mark.usefixtures("all_kept")
def test_a_face_that_is_seen_half_of_the_time_or_not_at_all() -> None:
    rows = calm(50)
    half = read_face(times(50)[:25], rows[:25], 0.0, 4.0)
    assert half is not None
    assert half.visible == pytest.approx(0.5)
    missing = rows.copy()
    missing[25:] = np.nan
    assert read_face(times(50), missing, 0.0, 4.0) == half
    assert read_face(times(50), missing, 2.1, 4.0) is None
    assert read_face(times(50), rows, 8.0, 9.0) is None
    assert read_face(np.zeros((0, 2)), rows[:0], 0.0, 1.0) is None


@pytest.mark.usefixtures("all_kept")
def test_movements_are_relative_to_the_persons_baseline() -> None:
    rows = calm(50)
    rows[:, SMILE] = 0.3
    usual = calm(10)
    usual[:, SMILE] = 0.5
    usual[3] = np.nan
    face = read_face(times(50), rows, 0.0, 4.0, baseline=usual)
    assert face is not None
    assert face.movements["smile"] == pytest.approx(-0.2, abs=1e-6)
    nothing = read_face(times(50), rows, 0.0, 4.0, baseline=np.full((3, 59), np.nan, np.float32))
    assert nothing == read_face(times(50), rows, 0.0, 4.0)


def test_rows_weigh_what_is_kept_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = calm(50)
    rows[:10, SMILE], rows[10:, SMILE] = 1.0, 0.2
    monkeypatch.setattr(face_reading, "kept", lambda rows: (rows[:, SMILE[0]] < 0.5).astype(np.float32))
    face = read_face(times(50), rows, 0.0, 4.0)
    assert face is not None
    assert face.movements["smile"] == pytest.approx(0.2, abs=1e-6)
    monkeypatch.setattr(face_reading, "kept", lambda rows: np.zeros(len(rows), np.float32))
    corrupted = read_face(times(50), rows, 0.0, 4.0)
    assert corrupted is not None
    assert (corrupted.expressions, corrupted.movements) == ({}, {})


@pytest.mark.parametrize("count", [0, 1, 2, 3, 40])
def test_the_gate_reads_any_number_of_rows(count: int) -> None:
    rows = calm(count)
    if count > 2:
        rows[1] = np.nan
    found = kept(rows)
    assert found.shape == (count,)
    assert ((found >= 0) & (found <= 1)).all()
    assert cues(calm(1)).shape == (1, 20)


def test_a_picture_that_stands_still_is_kept_less() -> None:
    rows = calm(60)
    rows[20:40] = rows[20]
    found = kept(rows)
    assert found[23:37].mean() < found[:18].mean()
