"""Features relative to a person: the same values as `mecam data normalise` takes from all that a speaker says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny
import voices
from mecam.data.operations.speakers import RELATIVE, normalise_by_speaker
from mecam.data.store import Store, StoreWriter
from mecam.errors import DataError, ModelError
from mecam.features.baseline import AUTO, relative_to_baseline
from mecam.features.extractor import extractor, extractor_of
from mecam.features.recording import Recipe, read_recording
from mecam.types import AUDIO, Utterance

PLAIN = Recipe(("mecam-audio",))


def relative(baseline: str | Path) -> Recipe:
    return replace(PLAIN, relative=(AUDIO,), baseline=baseline)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return voices.write_wav(tmp_path_factory.mktemp("voice") / "calm.wav", voices.buzz(2.0, slope=0.1))


@pytest.fixture(scope="module")
def glad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sound = voices.buzz(1.5, hertz=190.0, slope=0.4, gain=0.3)
    return voices.write_wav(tmp_path_factory.mktemp("voice") / "glad.wav", sound)


def test_the_recording_itself_gives_what_a_store_of_it_gives(glad: Path, tmp_path: Path) -> None:
    found = read_recording(glad, PLAIN, id="a")
    with StoreWriter(tmp_path / "s", name="s", task=tiny.TASKS["regression"], specs=PLAIN.specs()) as writer:
        for utterance in found.utterances:
            writer.add(replace(utterance, split="train", speaker="anna", label=0.0))
    normalise_by_speaker(Store(tmp_path / "s"), tmp_path / "n")
    expected = [utterance.streams[AUDIO] for utterance in Store(tmp_path / "n")]
    ours = [utterance.streams[AUDIO] for utterance in read_recording(glad, relative(AUTO), id="a").utterances]
    assert len(ours) == len(expected) > 0
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_baseline_of_its_own_is_zero_and_another_is_where_the_voice_moved_to(calm: Path, glad: Path) -> None:
    (own,) = read_recording(calm, relative(calm), id="a").utterances
    known = np.isfinite(own.streams[AUDIO])
    assert np.nanmean(own.streams[AUDIO][:, known.any(axis=0)], axis=0) == pytest.approx(0, abs=1e-4)
    (moved,) = read_recording(glad, relative(calm), id="b").utterances
    names = extractor("mecam-audio").spec.names
    assert np.nanmean(moved.streams[AUDIO][:, names.index("f0_semitones")]) > 2  # deviations of the calm pitch


def test_a_baseline_without_such_features_is_one_error(glad: Path, tmp_path: Path) -> None:
    silent = voices.write_wav(tmp_path / "silent.wav", np.zeros(voices.RATE_HZ, np.float32))
    with pytest.raises(DataError, match="the baseline holds no audio") as caught:
        read_recording(glad, relative(silent), id="a")
    assert "silent.wav" in str(caught.value)
    picture = Utterance("a", streams={"vision": np.ones((3, 2), np.float32)})
    with pytest.raises(DataError, match="the baseline cannot be used: the file has no picture"):
        relative_to_baseline([picture], glad, {"vision": extractor("mecam-vision")})


def test_a_model_that_reads_relative_features_needs_a_baseline() -> None:
    made = extractor("mecam-prosody")
    spec = replace(made.spec, extractor=made.spec.extractor + RELATIVE)
    with pytest.raises(ModelError, match="normalised for each speaker") as caught:
        extractor_of(AUDIO, spec)
    assert "--baseline" in str(caught.value.fix)
    assert extractor_of(AUDIO, spec, baseline=True) == made
    with pytest.raises(ModelError, match="version 0"):
        extractor_of(AUDIO, replace(spec, version="0"), baseline=True)
