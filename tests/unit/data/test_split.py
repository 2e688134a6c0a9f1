from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mecam.data.importing.official_folds import _folds
from mecam.data.operations.split import (
    fold_splits,
    groups_of,
    official_splits,
    random_splits,
    table_splits,
    write_splits,
)
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.types import Utterance
from store_samples import assert_same, sample, write

UNITS = ("video", "speaker")


def made(path: Path, *pairs: tuple[str, str]) -> Store:
    content = [Utterance(f"u{i}", "train", video, speaker, label=0.0) for i, (video, speaker) in enumerate(pairs)]
    return write(path / "store", content, specs={}, overwrite=True)


def torn(store: Store, splits: list[str], unit: str) -> set[str]:
    """The videos (or speakers) that lie in more than one split."""
    found = defaultdict(set)
    for value, split in zip(store.column(unit), splits, strict=True):
        if value:
            found[value].add(split)
    return {value for value, where in found.items() if len(where) > 1}


names = st.sampled_from(["", "a", "b", "c", "d", "e", "f", "g"])


@given(
    pairs=st.lists(st.tuples(names, names), min_size=8, max_size=40),
    seed=st.integers(0, 99),
    unit=st.sampled_from(UNITS),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_group_is_ever_torn_apart(pairs: list[tuple[str, str]], seed: int, unit: str, tmp_path: Path) -> None:
    store = made(tmp_path, *pairs)
    groups = set(groups_of(store, unit))
    if len(groups) < 3 or (unit == "speaker" and not any(speaker for _, speaker in pairs)):
        with pytest.raises(DataError):
            random_splits(store, unit=unit, seed=seed)
        return
    for splits in (
        random_splits(store, unit=unit, seed=seed),
        fold_splits(store, folds=3, fold=0, unit=unit, seed=seed),
    ):
        assert set(splits) == {"train", "valid", "test"}
        assert not torn(store, splits, "video")
        if unit == "speaker":
            assert not torn(store, splits, "speaker")


def test_speakers_tie_recordings_together_only_when_asked(tmp_path: Path) -> None:
    store = made(tmp_path, ("v1", "s1"), ("v2", "s1"), ("v2", "s2"), ("v3", "s3"), ("", ""))
    assert len(set(groups_of(store, "video"))) == 4
    groups = groups_of(store, "speaker")
    assert groups[0] == groups[1] == groups[2]
    assert len(set(groups)) == 3


@pytest.mark.parametrize("unit", UNITS)
def test_shares_are_kept_and_the_seed_decides(unit: str, tmp_path: Path) -> None:
    store = write(tmp_path / "store", sample(400, videos=80, speakers=40))
    first = random_splits(store, unit=unit, seed=1)
    counts = Counter(first)
    assert counts["train"] == pytest.approx(280, abs=10)
    assert counts["valid"] == pytest.approx(40, abs=10)
    assert first == random_splits(store, unit=unit, seed=1)
    assert first != random_splits(store, unit=unit, seed=2)
    assert set(random_splits(store, unit=unit, shares=(8.0, 2.0, 0.0))) == {"train", "valid"}


def test_every_utterance_is_tested_once_in_cross_validation(tmp_path: Path) -> None:
    store = write(tmp_path / "store", sample(100, videos=25))
    rounds = [fold_splits(store, folds=5, fold=fold, seed=3) for fold in range(5)]
    for splits in rounds:
        assert Counter(splits) == {"train": 60, "valid": 20, "test": 20}
    for each in zip(*rounds, strict=True):
        assert Counter(each) == {"train": 3, "valid": 1, "test": 1}


@pytest.mark.parametrize(("folds", "fold"), [(2, 0), (5, 5), (5, -1)])
def test_a_fold_that_does_not_exist_is_refused(folds: int, fold: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="fold"):
        fold_splits(write(tmp_path / "store", sample()), folds=folds, fold=fold)


@pytest.mark.parametrize("shares", [(0.0, 1.0, 1.0), (1.0, -1.0, 1.0), (float("nan"), 1.0, 1.0)])
def test_impossible_shares_are_refused(shares: tuple[float, float, float], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="shares"):
        random_splits(write(tmp_path / "store", sample()), shares=shares)


def test_official_folds_go_by_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folds' ids are digests, so known recordings are put in their place here."""
    import hashlib

    digests = {hashlib.sha256(f"video{i}".encode()).hexdigest()[:10]: ("test" if i < 4 else "train") for i in range(10)}
    monkeypatch.setitem(_folds(), "mosi", digests)
    store = write(tmp_path / "store", sample(24))
    for video, before, after in zip(store.column("video"), store.column("split"), official_splits(store), strict=True):
        number = int(video.removeprefix("video"))
        assert after == ("test" if number < 4 else "train" if number < 10 else before)


def test_official_folds_of_unknown_recordings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="official folds"):
        official_splits(write(tmp_path / "store", sample()))


@pytest.mark.parametrize("header", ["id,split", "video_id,mode", "speaker,split"])
def test_a_table_decides_by_id_or_by_recording_or_by_speaker(header: str, tmp_path: Path) -> None:
    store = write(tmp_path / "store", sample())
    keys = store.column(header.partition(",")[0].removesuffix("_id"))
    table = tmp_path / "splits.csv"
    rows = {key: ("train", "valid", "test")[len(key) % 3] for key in keys}
    table.write_text("\n".join([header, *(f"{key},{split}" for key, split in rows.items())]))
    assert table_splits(store, table) == [rows[key] for key in keys]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2", "columns"),
        ("", "columns"),
        ("id,split\nvideo0_0,dev", "no split"),
        ("id,split\nvideo0_0,test", "not in the table"),
    ],
)
def test_a_wrong_table_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "splits.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        table_splits(write(tmp_path / "store", sample()), tmp_path / "splits.csv")
    with pytest.raises(DataError, match="no such file"):
        table_splits(Store(tmp_path / "store"), tmp_path / "absent.csv")


def test_writing_splits_changes_nothing_else(tmp_path: Path) -> None:
    store = write(tmp_path / "store", sample(), provenance={"files": ["a.pkl"]})
    splits = random_splits(store)
    seen: list[tuple[int, int]] = []
    write_splits(store, tmp_path / "new", splits, step={"command": "split"}, progress=lambda *at: seen.append(at))
    new = Store(tmp_path / "new", verify=True)
    assert new.column("split") == splits
    for old, changed, split in zip(store, new, splits, strict=True):
        assert_same(changed, Utterance(**{**vars(old), "split": split}))
    assert new.specs == store.specs
    assert seen[-1] == (24, 24)
    assert new.manifest["provenance"]["step"] == {"command": "split"}
    origin = new.manifest["provenance"]["made_from"][0]
    assert origin["sha256"] == store.manifest["sha256"]
    assert origin["provenance"] == {"files": ["a.pkl"]}
