"""Rendered clips: the voice has the pitch that was asked for, and the set is what a label table says."""

import csv
import stat
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import voices
from mecam.features.audio.acoustics import HOP, NAMES, SEMITONES_ABOVE_HZ, measure
from mecam.features.clips import find_clips
from mecam.synthetic.clips.speech import Spoken, espeak, formant_voice
from mecam.synthetic.clips.talking import _scripts, _write_labels, _write_words

TEXT = "I could not get enough of the bathroom, I loved it"


@pytest.mark.parametrize("feeling", [-1.0, 0.0, 1.0])
def test_the_voice_has_its_pitch(feeling: float) -> None:
    spoken = formant_voice(TEXT, feeling, base_hz=140.0, seed=3)
    rows = measure(spoken.sound)
    pitch = rows[:, NAMES.index("f0_semitones")]
    known = 12 * np.log2(
        spoken.hertz[np.minimum(np.arange(len(rows)) * HOP, len(spoken.hertz) - 1)] / SEMITONES_ABOVE_HZ
    )
    both = ~np.isnan(pitch) & ~np.isnan(known)
    assert both.sum() > 0.9 * (~np.isnan(known)).sum()
    assert np.median(np.abs(pitch - known)[both]) < 0.5


def test_feeling_is_heard() -> None:
    sad, glad = (formant_voice(TEXT, feeling, base_hz=140.0, seed=3) for feeling in (-1.0, 1.0))
    means = [np.nanmean(measure(s.sound)[:, NAMES.index("f0_semitones")]) for s in (sad, glad)]
    assert means[1] - means[0] > 5
    assert len(glad.sound) < len(sad.sound)


def test_words_lie_where_they_are_said() -> None:
    spoken = formant_voice(TEXT, 0.3, base_hz=140.0, seed=3)
    assert [word.text for word in spoken.words] == TEXT.split()
    times = [t for word in spoken.words for t in (word.start, word.stop)]
    assert times == sorted(times)
    level = np.abs(spoken.sound)
    for word, after in pairwise(spoken.words):
        inside = level[int(word.start * 16000) : int(word.stop * 16000)].mean()
        between = level[int(word.stop * 16000) + 400 : int(after.start * 16000) - 400]
        assert not len(between) or inside > 2 * between.mean()


def test_scripts_are_spread_over_speakers_and_feelings(tmp_path: Path) -> None:
    scripts = list(_scripts(48, 0))
    assert list(_scripts(48, 0)) == scripts
    splits = {s.video: s.split for s in scripts}
    assert sorted(splits.values()) == ["test", "train", "train", "train", "train", "valid"]
    scores = np.array([s.sentiment for s in scripts])
    assert (scores > 0.5).mean() > 0.25
    assert (scores < -0.5).mean() > 0.25
    for script in scripts:
        place = tmp_path / "Raw" / script.video / f"{script.clip}.wav"
        voices.write_wav(place, voices.buzz(0.01))
        _write_words(place.with_suffix(".csv"), formant_voice("so it is", 0.0, base_hz=120.0, seed=1))
    _write_labels(tmp_path / "label.csv", scripts)
    found = find_clips([tmp_path])
    assert [(c.id, c.row and c.row.split) for c in found.clips] == [(f"{s.video}_{s.clip}", s.split) for s in scripts]
    assert not found.missing
    assert all(c.transcript for c in found.clips)
    with (tmp_path / "label.csv").open(encoding="utf-8") as file:
        assert [float(row["label"]) for row in csv.DictReader(file)] == [s.sentiment for s in scripts]


@pytest.mark.posix
def test_espeak_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the program, which copies a sound to where it is told."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert espeak(TEXT, 0.5, base_hz=140.0) is None
    sound = voices.write_wav(tmp_path / "said.wav", voices.buzz(1.0), 22_050)
    program = tmp_path / "espeak-ng"
    program.write_text(f"#!/bin/sh\n/bin/cat > /dev/null\n/bin/cp '{sound}' \"$2\"\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    spoken = espeak(TEXT, 0.5, base_hz=140.0)
    assert isinstance(spoken, Spoken)
    assert spoken.voice == "espeak-ng"
    assert len(spoken.sound) / 16_000 == pytest.approx(0.4 + 16_000 / 22_050, abs=0.01)
    assert [word.text for word in spoken.words] == TEXT.split()
    program.write_text("#!/bin/sh\nexit 1\n")
    assert espeak(TEXT, 0.5, base_hz=140.0) is None
