"""What was changed since it was written is noticed when it is opened; what was only copied is not."""

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from mecam import hashes
from mecam.data.store import Store
from mecam.errors import DataError
from store_samples import sample, write


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    place = tmp_path / "cache"
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: place)
    return place


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose every byte is read."""
    seen: list[str] = []
    whole = hashes.sha256_of
    monkeypatch.setattr(hashes, "sha256_of", lambda path: (seen.append(path.name), whole(path))[1])
    return seen


def change(path: Path, *, at: int = -4) -> None:
    """Another byte in a file, whose size stays."""
    content = bytearray(path.read_bytes())
    content[at] ^= 0x40
    path.write_bytes(content)


def test_an_untouched_store_is_opened_without_reading_it(tmp_path: Path, reads: list[str]) -> None:
    write(tmp_path / "a", sample(6))
    os.rename(tmp_path / "a", tmp_path / "b")
    Store(tmp_path / "b")
    shutil.copytree(tmp_path / "b", tmp_path / "c")  # keeps times
    Store(tmp_path / "c")
    assert not reads


def test_a_copy_without_its_times_is_read_once(tmp_path: Path, reads: list[str]) -> None:
    write(tmp_path / "a", sample(6))
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copyfile)
    for number, file in enumerate((tmp_path / "b").iterdir()):
        os.utime(file, (1e9 + number, 1e9 + number))
    assert len(Store(tmp_path / "b")) == 6
    assert set(reads) == {"audio.safetensors", "vision.safetensors", "utterances.jsonl", "words.jsonl"}
    reads.clear()
    Store(tmp_path / "b")
    assert not reads


@pytest.mark.parametrize("name", ["audio.safetensors", "utterances.jsonl", "words.jsonl"])
def test_a_changed_row_is_one_error_that_names_the_file(name: str, tmp_path: Path) -> None:
    write(tmp_path / "a", sample(6))
    time.sleep(0.02)
    change(tmp_path / "a" / name)
    for _ in range(2):
        with pytest.raises(DataError, match=f"{name} differs from the SHA-256") as caught:
            Store(tmp_path / "a")
        assert caught.value.fix
    Store(tmp_path / "a", verify=False)  # to look at what is left


def test_a_change_after_a_comparison_is_noticed_too(tmp_path: Path) -> None:
    write(tmp_path / "a", sample(6))
    os.utime(tmp_path / "a" / "words.jsonl")
    Store(tmp_path / "a")
    time.sleep(0.02)
    change(tmp_path / "a" / "audio.safetensors")
    with pytest.raises(DataError, match="audio"):
        Store(tmp_path / "a")


def test_a_change_that_hides_its_time_is_found_by_the_check(tmp_path: Path) -> None:
    write(tmp_path / "a", sample(6))
    file = tmp_path / "a" / "audio.safetensors"
    facts = file.stat()
    change(file)
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    with pytest.raises(DataError, match="audio"):
        Store(tmp_path / "a", verify=True)


@pytest.mark.parametrize("key", ["name", "task", "count", "provenance"])
def test_a_changed_manifest_is_one_error(key: str, tmp_path: Path) -> None:
    write(tmp_path / "a", sample(6), provenance={"source": "here"})
    file = tmp_path / "a" / "manifest.json"
    manifest = json.loads(file.read_text())
    changed = {"name": "other", "task": {**manifest["task"], "high": 1.0}, "count": 5, "provenance": {}}[key]
    file.write_text(json.dumps({**manifest, key: changed}))
    with pytest.raises(DataError, match=r"manifest\.json was changed"):
        Store(tmp_path / "a")


def test_a_read_only_home_only_costs_time(tmp_path: Path, cache: Path, reads: list[str]) -> None:
    cache.write_text("no folder")
    write(tmp_path / "a", sample(6))
    os.utime(tmp_path / "a" / "words.jsonl")
    for _ in range(2):
        Store(tmp_path / "a")
    assert reads.count("audio.safetensors") == 2


def test_a_worker_does_not_look_again(tmp_path: Path, reads: list[str]) -> None:
    import pickle

    store = write(tmp_path / "a", sample(6))
    os.utime(tmp_path / "a" / "words.jsonl")
    again = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(again.rows("audio"), store.rows("audio"))
    assert not reads


def test_the_outcomes_that_are_remembered_do_not_pile_up(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashes, "MAX_REMEMBERED_FOLDERS", 2)
    for name in "abc":
        write(tmp_path / name, sample(6))
        os.utime(tmp_path / name / "words.jsonl")
        Store(tmp_path / name)
    assert len(list((cache / "compared").iterdir())) == 2
