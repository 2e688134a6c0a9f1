"""Features relative to the speaker: nobody's own level is left, what they feel is."""

from pathlib import Path

import numpy as np
import pytest

import tiny
from mecam.cli.main import main
from mecam.data.operations.speakers import RELATIVE, normalise_by_speaker
from mecam.data.store import Store, StoreWriter
from mecam.errors import DataError, ModelError
from mecam.features.extractor import extractor_of
from mecam.types import FeatureSpec, Utterance


def store_of(path: Path, *, named: bool = True) -> Store:
    """Three speakers, each with a level and a loudness of their own, who raise their voice when they are glad."""
    rng = np.random.default_rng(0)
    with StoreWriter(
        path, name="people", task=tiny.TASKS["regression"], specs={"audio": FeatureSpec(3, "mecam-audio")}
    ) as w:
        for i in range(24):
            who, glad = i % 3, i // 3 % 2
            rows = rng.standard_normal((6, 3)).astype(np.float32) * 0.1 + 2 * glad
            rows = rows * (1 + who) + 10 * who
            rows[1] = np.nan
            rows[:, 2] = 7.0  # constant
            name = f"s{who}" if named or i else ""
            w.add(
                Utterance(
                    f"u{i}", split="train", video=f"v{i}", speaker=name, label=float(glad), streams={"audio": rows}
                )
            )
    return Store(path)


def test_every_speaker_has_mean_zero_and_deviation_one(tmp_path: Path) -> None:
    store = store_of(tmp_path / "a")
    normalise_by_speaker(store, tmp_path / "b")
    found = Store(tmp_path / "b")
    for speaker in ("s0", "s1", "s2"):
        rows = np.concatenate([u.streams["audio"] for u in found if u.speaker == speaker])
        assert np.nanmean(rows[:, :2], axis=0) == pytest.approx([0, 0], abs=1e-4)
        assert np.nanstd(rows[:, :2], axis=0) == pytest.approx([1, 1], abs=1e-4)
        assert np.nanmax(np.abs(rows[:, 2])) < 1e-5  # a constant is no reason to divide by nothing
    for before, after in zip(store, found, strict=True):
        assert np.array_equal(np.isnan(before.streams["audio"]), np.isnan(after.streams["audio"]))
    glad = [np.nanmean(u.streams["audio"][:, 0]) for u in found if u.label == 1]
    sad = [np.nanmean(u.streams["audio"][:, 0]) for u in found if u.label == 0]
    assert min(glad) > max(sad)  # of all speakers; before, the level told who speaks


def test_the_store_says_so_and_no_model_is_given_other_features(tmp_path: Path) -> None:
    store_of(tmp_path / "a")
    assert main(["data", "normalise", str(tmp_path / "a"), "-o", str(tmp_path / "b")]) == 0
    found = Store(tmp_path / "b")
    assert found.specs["audio"].extractor == "mecam-audio" + RELATIVE
    with pytest.raises(ModelError, match="normalised for each speaker"):
        extractor_of("audio", found.specs["audio"])
    with pytest.raises(DataError, match="already"):
        normalise_by_speaker(found, tmp_path / "c")


def test_what_cannot_be_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    store = store_of(tmp_path / "a", named=False)
    with pytest.raises(DataError, match="1 of 24 utterances name no speaker"):
        normalise_by_speaker(store, tmp_path / "b")
    with pytest.raises(DataError, match="no feature stream vision"):
        normalise_by_speaker(store, tmp_path / "b", modalities=["vision"])
    assert not (tmp_path / "b").exists()
