"""What is usual for a person: from a recording of them, or from the calm parts of the recording itself."""

from pathlib import Path

import numpy as np
import pytest

import clips
import voices
from mecam.errors import DataError
from mecam.features.audio.prosody import NAMES, LevelledProsody
from mecam.features.media import Media
from mecam.features.vision.face_extractors import CUES
from mecam.prediction import person_baseline, voice_reading
from mecam.prediction.person_baseline import baseline_from_file, calm_face, calm_voice
from mecam.prediction.result import Voice
from mecam.prediction.voice_reading import baseline_of

EXTRACTORS = ("mecam-voice", "mecam-face")
PITCH = NAMES.index("f0_semitones_mean")


def test_a_sound_file_gives_a_voice_and_no_face(tmp_path: Path) -> None:
    calm = voices.write_wav(tmp_path / "calm.wav", voices.buzz(2.0, slope=0.1))
    found = baseline_from_file(calm, EXTRACTORS)
    expected = baseline_of(LevelledProsody()(Media(calm)).values)
    assert found.voice is not None
    assert expected is not None
    np.testing.assert_array_equal(found.voice, expected)
    assert found.face is None


def test_a_file_with_neither_is_one_error(tmp_path: Path) -> None:
    silent = voices.write_wav(tmp_path / "silent.wav", np.zeros(voices.RATE_HZ, np.float32))
    with pytest.raises(DataError, match="neither a voice nor a face") as caught:
        baseline_from_file(silent, EXTRACTORS)
    assert "silent.wav" in str(caught.value)
    numbers = clips.clip(tmp_path / "numbers.mp4")
    with pytest.raises(DataError, match="neither a voice nor a face"):
        baseline_from_file(numbers, EXTRACTORS)


def test_the_calmest_third_of_the_stretches_is_what_is_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = np.arange(0, 24, 0.25)
    rows = np.ones((len(starts), len(NAMES)), np.float32)
    rows[:, PITCH] = starts  # a pitch that tells the time
    intervals = np.column_stack([starts, starts + 0.25])
    calm = {4.0, 10.0, 16.0, 22.0}
    monkeypatch.setattr(
        person_baseline,
        "read_voice",
        lambda times, values, start, stop: Voice(activation=0.2 if start in calm else 0.8),
    )
    monkeypatch.setattr(voice_reading, "kept", lambda values: np.ones(len(values), np.float32))
    found = calm_voice(intervals, rows)
    assert found is not None
    assert found[PITCH] == pytest.approx(np.mean([start + 0.875 for start in calm]))
    assert calm_voice(intervals[:32], rows[:32]) is None  # four stretches are too few
    assert calm_voice(intervals[:0], rows[:0]) is None


def test_the_most_neutral_third_of_a_face_is_what_is_usual() -> None:
    rows = np.zeros((9, len(CUES.names)), np.float32)
    rows[:, person_baseline.NEUTRAL] = 0.1, 0.9, 0.2, 0.8, 0.3, 0.0, 0.7, 0.1, 0.2
    rows[:, 0] = np.arange(9)
    found = calm_face(rows)
    assert found is not None
    assert sorted(found[:, 0]) == [1, 3, 6]
    assert calm_face(np.full((9, len(CUES.names)), np.nan, np.float32)) is None
    assert calm_face(rows[:0]) is None
