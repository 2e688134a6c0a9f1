from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mecam.data.operations.align import align, mean_per_interval
from mecam.data.operations.check import check
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.types import Word
from store_samples import assert_same, sample, write

NAN = float("nan")


def rows(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_mean_by_hand() -> None:
    times = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0], [3.0, 4.0]])
    words = np.array([[0.0, 2.0], [1.5, 3.5], [3.0, 3.0], [9.0, 10.0], [NAN, NAN]])
    means = mean_per_interval(rows(1, 3, NAN, 7), times, words)
    np.testing.assert_allclose(means[:, 0], [2.0, 5.0, NAN, NAN, NAN])


def test_instants_belong_to_the_word_that_they_fall_into() -> None:
    times = np.array([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]])
    means = mean_per_interval(rows(1, 3, 10), times, np.array([[0.0, 1.0], [1.0, 2.0]]))
    np.testing.assert_allclose(means[:, 0], [2.0, 10.0])


seconds = st.floats(0, 10) | st.just(NAN)


@given(
    values=hnp.arrays(np.float32, (6, 2), elements=st.floats(-9, 9, width=32) | st.just(NAN)),
    times=hnp.arrays(np.float64, (6, 2), elements=seconds),
    words=hnp.arrays(np.float64, (4, 2), elements=seconds),
)
@settings(deadline=None, max_examples=50)
def test_equals_a_slow_reading(values: np.ndarray, times: np.ndarray, words: np.ndarray) -> None:
    found = mean_per_interval(values, times, words)
    for w, (start, stop) in enumerate(words):
        during = [
            t
            for t, (first, last) in enumerate(times)
            if (first < stop and last > start) or (first == last and start <= first < stop)
        ]
        for d in range(2):
            seen = [values[t, d] for t in during if not np.isnan(values[t, d])]
            np.testing.assert_allclose(found[w, d], np.mean(seen) if seen else NAN, rtol=1e-5, atol=1e-6)


def test_every_word_gets_a_row_and_its_time(tmp_path: Path) -> None:
    store = write(tmp_path / "store", sample())
    report = align(store, tmp_path / "aligned")
    aligned = Store(tmp_path / "aligned", verify=True)
    assert report.aligned == ("audio", "vision")
    assert (report.words, report.empty, report.dropped) == (96, {"audio": 0, "vision": 0}, {"audio": 0, "vision": 0})
    assert all(spec.aligned for spec in aligned.specs.values())
    for old, new in zip(store, aligned, strict=True):
        words = np.array([(word.start, word.stop) for word in old.words])
        for modality in ("audio", "vision"):
            np.testing.assert_array_equal(new.intervals[modality], words)
            expected = mean_per_interval(old.streams[modality], old.intervals[modality], words)
            np.testing.assert_array_equal(new.streams[modality], expected)
        assert_same(replace(new, streams={}, intervals={}), replace(old, streams={}, intervals={}))
    assert not [p for p in check(aligned).problems if p.kind == "misaligned"]


def test_constant_rows_stay_what_they_are(tmp_path: Path) -> None:
    content = [replace(u, streams={m: np.full_like(v, 5) for m, v in u.streams.items()}) for u in sample()]
    align(write(tmp_path / "store", content), tmp_path / "aligned")
    assert (Store(tmp_path / "aligned").rows("audio") == 5).all()


def test_what_cannot_be_aligned_is_dropped_and_counted(tmp_path: Path) -> None:
    content = sample()
    content[0] = replace(content[0], words=())
    content[1] = replace(content[1], words=(Word("when"),))
    content[2] = replace(content[2], intervals={"vision": content[2].intervals["vision"]})
    late = np.array([[90.0, 91.0]])
    content[3] = replace(content[3], streams={"audio": np.ones((1, 3), np.float32)}, intervals={"audio": late})
    report = align(write(tmp_path / "store", content), tmp_path / "aligned")
    assert report.dropped == {"audio": 3, "vision": 2}
    assert report.empty == {"audio": 4, "vision": 0}
    aligned = Store(tmp_path / "aligned")
    assert [sorted(aligned[i].streams) for i in range(4)] == [[], [], ["vision"], ["audio"]]


def test_a_stream_without_times_is_kept_or_refused(tmp_path: Path) -> None:
    content = [replace(u, intervals={"vision": u.intervals["vision"]}) for u in sample()]
    store = write(tmp_path / "store", content)
    report = align(store, tmp_path / "aligned")
    assert (report.aligned, report.kept) == (("vision",), ("audio",))
    np.testing.assert_array_equal(Store(tmp_path / "aligned").rows("audio"), store.rows("audio"))
    with pytest.raises(DataError, match="no times"):
        align(store, tmp_path / "other", modalities=["audio"])
    with pytest.raises(DataError, match="no stream with times"):
        align(Store(tmp_path / "aligned"), tmp_path / "other")


def test_there_must_be_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no timed words"):
        align(write(tmp_path / "store", [replace(u, words=()) for u in sample()]), tmp_path / "aligned")
    assert not (tmp_path / "aligned").exists()
