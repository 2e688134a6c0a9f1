"""What the built-in corpus promises: the same bytes, a clean twin, and sentiment in every modality."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from dataclasses import astuple, fields, replace

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import RidgeCV

from mecam.data.store import Store
from mecam.errors import ConfigError, DataError
from mecam.synthetic import synthesise
from mecam.types import SPLITS

# SHA-256 of what the tiny corpus says (see `digest`). Whoever changes the corpus changes it, and says so in the
# change log: numbers measured on the old corpus do not compare with those on the new one.
PINNED = "74316a26a3bfd78f9da90e5f169901471fadbfe1952804ecfa22c7f07c233758"
SIZES = {"utterances": 500, "speakers": 20, "seed": 3}


@pytest.fixture(scope="module")
def twins(tmp_path_factory) -> tuple[Store, Store]:
    folder = tmp_path_factory.mktemp("synth")
    dirty = synthesise(folder / "dirty", **SIZES)
    clean = synthesise(folder / "clean", **SIZES, negative_rate=0.0, contradiction_rate=0.0)
    return Store(clean, verify=True), Store(dirty, verify=True)


def files(store: Store) -> dict[str, str]:
    return store.manifest["sha256"]


def digest(store: Store) -> str:
    """Hash all that the utterances hold, whatever the store's files look like."""
    found = hashlib.sha256()
    for utterance in store:
        arrays = [utterance.streams[name] for name in sorted(utterance.streams)]
        arrays += [utterance.intervals[name] for name in sorted(utterance.intervals)]
        bare = replace(utterance, streams={}, intervals={})
        content = tuple(
            v for f, v in zip(fields(bare), astuple(bare), strict=True) if f.name != "targets"
        )  # it has one
        found.update(repr(content).encode())
        for array in arrays:
            found.update(array.dtype.str.encode() + repr(array.shape).encode() + array.tobytes())
    return found.hexdigest()


def test_the_content_is_the_pinned_one(tmp_path):
    assert digest(Store(synthesise(tmp_path / "s", utterances=12, speakers=3, seed=5))) == PINNED


def test_another_process_on_plainer_hardware_writes_the_same_bytes_and_another_seed_does_not(tmp_path):
    call = "synthesise(sys.argv[1], utterances=60, speakers=5, seed=8)"
    code = f"import sys; from mecam.synthetic import synthesise; {call}"
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    plain = {
        "PYTHONHASHSEED": "77",
        "NPY_DISABLE_CPU_FEATURES": " ".join(found),
        "OPENBLAS_CORETYPE": "Nehalem",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
    }
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=True, env={**os.environ, **plain})
    here = Store(synthesise(tmp_path / "b", utterances=60, speakers=5, seed=8))
    other = Store(synthesise(tmp_path / "c", utterances=60, speakers=5, seed=9))
    assert files(Store(tmp_path / "a")) == files(here)
    assert not set(files(here).values()) & set(files(other).values())


def test_every_recorded_span_is_exactly_what_differs_from_the_clean_twin(twins):
    clean, dirty = twins
    touched = 0
    assert len(clean) == len(dirty) == SIZES["utterances"]
    for before, after in zip(clean, dirty, strict=True):
        assert before.injected == ()
        for name in ("id", "split", "video", "speaker", "label"):
            assert getattr(before, name) == getattr(after, name)
        assert set(before.streams) == set(after.streams)
        whole = {span.modality for span in after.injected if span.kind == "contradiction"}
        touched += bool(after.injected)
        for modality, old in before.streams.items():
            new = after.streams[modality]
            mask = recorded(after.injected, modality, len(new))
            if modality in whole:
                assert mask.all()
                assert old.shape != new.shape or (old != new).all(axis=1).any()
            else:
                np.testing.assert_array_equal(mask, (old != new).any(axis=1))
                np.testing.assert_array_equal(before.intervals[modality], after.intervals[modality])
        if before.text is None:
            assert after.text is None
            continue
        old_words, new_words = before.text.split(), after.text.split()
        assert [word.text for word in after.words] == new_words
        mask = recorded(after.injected, "text", len(new_words))
        if "text" in whole:
            assert mask.all()
            assert old_words != new_words
        else:
            assert mask.tolist() == [a != b for a, b in zip(old_words, new_words, strict=True)]
    assert touched > 150


def recorded(spans, modality: str, count: int) -> np.ndarray:
    mask = np.zeros(count, bool)
    for span in spans:
        if span.modality == modality:
            assert 0 <= span.start < span.stop <= count
            mask[span.start : span.stop] = True
    return mask


def test_every_split_has_its_share_of_every_kind(twins):
    _, dirty = twins
    for split in SPLITS:
        members = [dirty[int(i)] for i in dirty.split(split)]
        negative = [u for u in members if u.injected and u.injected[0].kind != "contradiction"]
        contradicting = [u for u in members if any(s.kind == "contradiction" for s in u.injected)]
        assert len(negative) == round(0.3 * len(members))
        assert len(contradicting) == round(0.1 * len(members))
        assert all(len({s.modality for s in u.injected}) == 1 for u in contradicting)
        kinds = {(s.modality, s.kind) for u in negative for s in u.injected}
        assert kinds == {("text", "missing"), ("text", "shuffled")} | {
            (m, k) for m in ("audio", "vision") for k in ("burst", "frozen", "dropped", "scattered", "impulse")
        }


def test_a_contradiction_comes_from_the_opposite_side(twins):
    clean, dirty = twins
    by_rows = {u.streams["audio"].tobytes(): u for u in clean if "audio" in u.streams}
    found = 0
    for utterance in dirty:
        if any(s.kind == "contradiction" and s.modality == "audio" for s in utterance.injected):
            partner = by_rows[utterance.streams["audio"].tobytes()]
            assert partner.split == utterance.split
            assert partner.label * utterance.label < 0
            found += 1
    assert found >= 5


def test_splits_share_no_speaker_and_have_their_sizes(twins):
    _, store = twins
    speakers = {split: {store[int(i)].speaker for i in store.split(split)} for split in SPLITS}
    assert not speakers["train"] & speakers["valid"]
    assert not speakers["train"] & speakers["test"]
    assert not speakers["valid"] & speakers["test"]
    shares = [len(store.split(split)) / len(store) for split in SPLITS]
    np.testing.assert_allclose(shares, [0.7, 0.12, 0.18], atol=0.05)
    videos = {(u.video, u.speaker) for u in store}
    assert len({video for video, _ in videos}) == len(videos) == 40
    assert max(Counter(u.id for u in store).values()) == 1


def test_labels_are_human_like_and_cover_the_range(twins):
    _, store = twins
    labels = np.array(store.column("label"))
    assert labels.min() == -3
    assert labels.max() == 3
    np.testing.assert_allclose(labels / 0.2, np.round(labels / 0.2), atol=1e-9)
    assert 1.2 < labels.std() < 2.0
    assert abs(labels.mean()) < 0.6


def test_rows_and_words_lie_in_the_field_s_ranges(twins):
    clean, _ = twins
    assert clean.specs["audio"].extractor == clean.specs["vision"].extractor == "mecam-synth"
    for modality, low, high in (("audio", 40, 120), ("vision", 32, 96)):
        lengths = clean.lengths(modality)
        lengths = lengths[lengths > 0]
        assert low <= lengths.min() <= lengths.max() <= high
        assert 40 < lengths.mean() < 70
        assert len(clean.specs[modality].names) == clean.specs[modality].width == clean.rows(modality).shape[1]
        assert np.isfinite(clean.rows(modality)).all()
        assert clean.rows(modality).std(axis=0).min() > 0
    for utterance in clean:
        times = [t for word in utterance.words for t in (word.start, word.stop)]
        assert times == sorted(times)
        for rows in utterance.intervals.values():
            assert not times or (rows[0, 0] <= times[0] and times[-1] <= rows[-1, 1] + 0.2)
            np.testing.assert_array_equal(rows[1:, 0], rows[:-1, 1])


def test_a_few_utterances_lack_a_modality(twins):
    clean, _ = twins
    lacking = Counter(
        name
        for u in clean
        for name in ("text", "audio", "vision")
        if (u.text is None if name == "text" else name not in u.streams)
    )
    assert set(lacking) == {"text", "audio", "vision"}
    assert 0.01 < sum(lacking.values()) / len(clean) < 0.06


def test_it_says_that_it_is_synthetic(twins):
    clean, _ = twins
    assert "synthetic" in clean.name
    assert "synthetic" in clean.manifest["provenance"]["source"]


@pytest.fixture(scope="module")
def correlations(tmp_path_factory) -> dict[str, float]:
    """Pearson r on the unseen speakers, of ridge regressions on pooled features and on bags of words."""
    store = Store(
        synthesise(
            tmp_path_factory.mktemp("ridge") / "s",
            utterances=1200,
            speakers=30,
            negative_rate=0.0,
            contradiction_rate=0.0,
        )
    )
    utterances = list(store)
    train, rest = store.split("train"), np.concatenate([store.split("valid"), store.split("test")])
    design = {}
    for modality in ("audio", "vision"):
        pooled = [u.streams.get(modality, np.full((1, store.specs[modality].width), np.nan)) for u in utterances]
        values = np.array([np.concatenate([rows.mean(axis=0), rows.std(axis=0)]) for rows in pooled])
        centre, spread = np.nanmean(values[train], axis=0), np.nanstd(values[train], axis=0)
        design[modality] = np.nan_to_num((values - centre) / spread)
    texts = [u.text or "" for u in utterances]
    design["text"] = (
        CountVectorizer(binary=True).fit([texts[i] for i in train]).transform(texts).toarray().astype(float)
    )
    design["all"] = np.hstack(list(design.values()))
    label = np.array([u.label for u in utterances])
    scores = {}
    for name, values in design.items():
        model = RidgeCV(alphas=[1, 10, 100, 1000]).fit(values[train], label[train])
        scores[name] = float(np.corrcoef(model.predict(values[rest]), label[rest])[0, 1])
    return scores


def test_every_modality_tells_the_sentiment_and_none_tells_all(correlations):
    assert 0.5 < correlations["audio"] < 0.75
    assert 0.5 < correlations["vision"] < 0.78
    assert 0.35 < correlations["text"] < 0.75


def test_together_they_tell_more_than_any_alone(correlations):
    assert correlations["all"] > max(correlations[name] for name in ("audio", "vision", "text")) + 0.04


def test_the_test_speakers_words_are_known_from_training(twins):
    clean, _ = twins
    known = {word for i in clean.split("train") for word in (clean[int(i)].text or "").split()}
    heard = [word for i in clean.split("test") for word in (clean[int(i)].text or "").split()]
    assert np.mean([word in known for word in heard]) > 0.93


def test_progress_counts_every_utterance(tmp_path):
    calls = []
    synthesise(tmp_path / "s", utterances=9, speakers=3, progress=lambda done, of: calls.append((done, of)))
    assert calls == [(i, 9) for i in range(1, 10)]


@pytest.mark.parametrize(
    "options",
    [
        {"speakers": 2},
        {"utterances": 5, "speakers": 6},
        {"negative_rate": -0.1},
        {"negative_rate": 0.8, "contradiction_rate": 0.4},
        {"contradiction_rate": float("nan")},
    ],
)
def test_impossible_options_are_refused_and_leave_nothing(tmp_path, options):
    with pytest.raises(ConfigError):
        synthesise(tmp_path / "s", **options)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_store_is_replaced_only_when_asked(tmp_path):
    synthesise(tmp_path / "s", utterances=9, speakers=3)
    with pytest.raises(DataError, match="exists"):
        synthesise(tmp_path / "s", utterances=9, speakers=3)
    synthesise(tmp_path / "s", utterances=10, speakers=3, overwrite=True)
    assert len(Store(tmp_path / "s")) == 10


@pytest.mark.parametrize("seed", range(12))
def test_the_smallest_corpora_and_the_highest_rates_work(tmp_path, seed):
    rates = {"negative_rate": float(seed % 2), "contradiction_rate": float(1 - seed % 2)}
    store = Store(synthesise(tmp_path / "s", utterances=3 + seed % 3, speakers=3, seed=seed, **rates), verify=True)
    assert {u.split for u in store} == set(SPLITS)
    if rates["negative_rate"]:
        assert all(u.injected for u in store)
