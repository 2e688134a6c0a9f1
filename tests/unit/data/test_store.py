import ast
import contextlib
import hashlib
import json
import multiprocessing
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from mecam.data.store import Store, StoreWriter, check_modality_name
from mecam.errors import DataError
from mecam.task import Classes, Labels, Regression, Task
from mecam.types import FeatureSpec, Utterance, Word
from store_samples import WIDTHS, assert_same, built, fields, sample, write

DOCUMENT = Path(__file__).parents[3] / "docs" / "data.md"
CLASSES = Classes(("joy", "anger"))
EMOTIONS = Labels(("joy", "anger"))
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.mark.parametrize("task", [Regression(), CLASSES, EMOTIONS], ids=lambda task: task.kind)
@given(data=st.data())
@settings(in_one_folder, max_examples=40)
def test_everything_comes_back_to_the_last_bit(task: Task, data: st.DataObject, tmp_path: Path) -> None:
    content = [built(drawn) for drawn in data.draw(fields(task))]
    store = write(tmp_path / "store", content, task=task, overwrite=True, provenance={"from": ["tests"]})
    assert (len(store), store.name, store.task) == (len(content), "sample", task)
    assert store.manifest["provenance"] == {"from": ["tests"]}
    for actual, expected in zip(store, content, strict=True):
        assert_same(actual, expected)
    assert store.column("id") == [u.id for u in content]
    assert store.column("text") == [u.text for u in content]
    assert store.has_text == any(u.text is not None for u in content)
    for name in ("train", "valid", "test", ""):
        assert store.split(name).tolist() == [i for i, u in enumerate(content) if u.split == name]
    for modality in WIDTHS:
        lengths = [len(u.streams.get(modality, ())) for u in content]
        assert (modality in store.specs) == any(lengths)
        if any(lengths):
            assert store.lengths(modality).tolist() == lengths
            assert store.rows(modality).shape == (sum(lengths), WIDTHS[modality])
    store.verify()


def test_features_are_plain_safetensors(tmp_path: Path) -> None:
    content = sample()
    write(tmp_path / "store", content)
    arrays = load_file(tmp_path / "store" / "audio.safetensors")
    np.testing.assert_array_equal(arrays["values"], np.concatenate([u.streams["audio"] for u in content]))
    np.testing.assert_array_equal(arrays["intervals"], np.concatenate([u.intervals["audio"] for u in content]))
    np.testing.assert_array_equal(np.diff(arrays["offsets"]), [len(u.streams["audio"]) for u in content])


def test_indices_count_from_both_ends_and_stop(tmp_path: Path) -> None:
    content = sample(5)
    store = write(tmp_path / "store", content)
    assert_same(store[-1], content[-1])
    for index in (5, -6):
        with pytest.raises(IndexError):
            store[index]


def test_rows_cannot_be_changed_through_the_map(tmp_path: Path) -> None:
    store = write(tmp_path / "store", sample(2))
    with pytest.raises(ValueError, match="read-only"):
        store[0].streams["audio"][0, 0] = 1.0


def test_a_pickled_store_is_its_path_and_works_in_another_process(tmp_path: Path) -> None:
    store = write(tmp_path / "store", sample())
    assert len(pickle.dumps(store)) < 500
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(store.__getitem__, [3])[0].id == store[3].id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": ""}, "empty or occurs twice"),
        ({"id": "video0_0"}, "empty or occurs twice"),
        ({"streams": {"radar": np.zeros((1, 3), np.float32)}}, "no spec"),
        ({"streams": {"audio": np.zeros((1, 4), np.float32)}}, "width 3"),
        ({"streams": {"audio": np.zeros(3, np.float32)}}, "width 3"),
        ({"streams": {"audio": np.full((1, 3), np.inf, np.float32)}}, "infinite"),
        ({"intervals": {"audio": np.zeros((1, 2))}}, "times"),
        ({"label": "joy"}, "does not fit"),
        ({"label": float("nan")}, "JSON"),
        ({"label": float("inf")}, "JSON"),
        ({"text": "half a pair: \ud800"}, "JSON"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_refused_utterance_leaves_no_trace(change: dict[str, object], message: str, tmp_path: Path) -> None:
    first, second, third = sample(3)
    specs = {m: FeatureSpec(w) for m, w in WIDTHS.items()}
    with StoreWriter(tmp_path / "store", name="x", task=Regression(), specs=specs) as writer:
        writer.add(first)
        with pytest.raises(DataError, match=message):
            writer.add(Utterance(**{**vars(second), **change}))
        writer.add(third)
    store = Store(tmp_path / "store")
    assert len(store) == 2
    assert_same(store[1], third)


def test_labels_must_be_of_the_task(tmp_path: Path) -> None:
    for task, label in ((CLASSES, "fear"), (CLASSES, 1.0), (EMOTIONS, {"fear": 1.0}), (EMOTIONS, 1.0)):
        with pytest.raises(DataError, match="does not fit"):
            write(tmp_path / "store", [Utterance("a", label=label)], task=task)
    assert not list(tmp_path.iterdir())


def test_numpy_labels_and_unknown_unimodal_scores_are_plain(tmp_path: Path) -> None:
    one = Utterance("a", label=np.float64(0.5), unimodal={"text": np.float64(1), "audio": float("nan")})
    store = write(tmp_path / "store", [one])
    assert (store[0].label, store[0].unimodal) == (0.5, {"text": 1.0})


def test_an_existing_place_is_kept_unless_a_store_is_to_be_replaced(tmp_path: Path) -> None:
    write(tmp_path / "store", sample(2))
    with pytest.raises(DataError, match="exists already"):
        write(tmp_path / "store", sample(3))
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="exists already"):
        write(tmp_path / "folder", sample(3), overwrite=True)  # no store: never deleted
    assert len(Store(tmp_path / "store")) == 2
    assert len(write(tmp_path / "store", sample(3), overwrite=True)) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "store"]


def test_a_failed_replacement_keeps_the_old_store(tmp_path: Path) -> None:
    write(tmp_path / "store", sample(2))
    twice = [*sample(3), *sample(3)]
    with pytest.raises(DataError, match="occurs twice"):
        write(tmp_path / "store", twice, overwrite=True)
    assert len(Store(tmp_path / "store", verify=True)) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["store"]


def test_an_empty_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no utterance"):
        write(tmp_path / "store", [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "Audio", "a b", "../x", "a/b", "1a", "a-b"])
def test_a_modality_name_is_a_plain_file_name(name: str) -> None:
    with pytest.raises(DataError, match="no modality name"):
        check_modality_name(name)


def read_all(path: Path, *, verify: bool) -> None:
    store = Store(path, verify=verify)
    for utterance in store:
        assert utterance.id
    for name in ("split", "text", "words"):
        store.column(name)
    assert store.has_text


@pytest.mark.parametrize("file", ["manifest.json", "utterances.jsonl", "words.jsonl", "audio.safetensors"])
@given(data=st.data())
@settings(in_one_folder, max_examples=60)
def test_a_damaged_file_is_one_data_error(file: str, data: st.DataObject, tmp_path: Path) -> None:
    """Flipped bytes may go unseen without `verify`; nothing but a DataError may ever come of them."""
    path = tmp_path / "store"
    if not path.exists():
        write(path, sample(6))
    original = (path / file).read_bytes()
    content = bytearray(original)
    match data.draw(st.sampled_from(["flip", "cut", "empty", "grow"])):
        case "flip":
            for _ in range(data.draw(st.integers(1, 5))):
                # The padding of the safetensors header is most of the file; look mostly elsewhere.
                at = data.draw(st.integers(0, min(len(content), 400) - 1) | st.integers(0, len(content) - 1))
                content[at] ^= data.draw(st.integers(1, 255))
        case "cut":
            del content[data.draw(st.integers(0, len(content) - 1)) :]
        case "empty":
            content.clear()
        case "grow":
            content += data.draw(st.binary(min_size=1, max_size=9))
    (path / file).write_bytes(content)
    try:
        if file != "manifest.json" and content != original:
            with pytest.raises(DataError):
                Store(path, verify=True)
            if len(content) != len(original):
                with pytest.raises(DataError, match="bytes instead of"):
                    Store(path)
        with contextlib.suppress(DataError):
            read_all(path, verify=False)
    finally:
        (path / file).write_bytes(original)
    read_all(path, verify=True)


@pytest.mark.parametrize("file", ["manifest.json", "utterances.jsonl", "words.jsonl", "audio.safetensors"])
def test_a_missing_file_is_one_data_error(file: str, tmp_path: Path) -> None:
    write(tmp_path / "store", sample(6))
    (tmp_path / "store" / file).unlink()
    with pytest.raises(DataError, match=r"missing|no store"):
        Store(tmp_path / "store")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "not a mecam store"),
        ({"version": 99}, "newer"),
        ({"version": "x"}, "damaged"),
        ({"count": 7}, "utterances"),
        ({"task": {"kind": "poetry"}}, "damaged"),
        ({"streams": {"../audio": {"features": {"width": 3}, "rows": 1}}}, "no modality name"),
        ({"streams": {"audio": {"features": {"width": 4}, "rows": 1}}}, "other files"),
        ({"bytes": {"../../etc/passwd": 1}}, "other files"),
    ],
)
def test_a_wrong_manifest_says_what_is_wrong(change: dict[str, object], message: str, tmp_path: Path) -> None:
    write(tmp_path / "store", sample(6))
    file = tmp_path / "store" / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["manifest_sha256"]  # as a program that is no mecam writes it: what it says counts
    file.write_text(json.dumps({**manifest, **change}))
    with pytest.raises(DataError, match=message):
        Store(tmp_path / "store")


def test_a_store_of_another_language_may_leave_out_what_is_optional(tmp_path: Path) -> None:
    """What `docs/data.md` promises to readers and writers in other languages."""
    write(tmp_path / "store", [Utterance("a", label=1.0), Utterance("b", label=2.0)])
    file = tmp_path / "store" / "utterances.jsonl"
    lines = b'{"id":"a","split":"train","video":"v","label":1}\n{"label":-2.5,"video":"","split":"","id":"b"}'
    file.write_bytes(lines)  # no spaces, an integer, no last newline
    manifest = json.loads((tmp_path / "store" / "manifest.json").read_text())
    manifest["bytes"][file.name] = len(lines)
    manifest["sha256"][file.name] = hashlib.sha256(lines).hexdigest()
    del manifest["manifest_sha256"]
    (tmp_path / "store" / "manifest.json").write_text(json.dumps(manifest))
    store = Store(tmp_path / "store")
    assert [(u.id, u.label, u.text) for u in store] == [("a", 1, None), ("b", -2.5, None)]


def test_the_documented_reader_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program in `docs/data.md` that shows how another language would read a store, run as it stands."""
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    reader = next(block for block in blocks if "struct.unpack" in block)
    content = sample()
    write(tmp_path / "store", content)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(reader, str(DOCUMENT), "exec"), names)
    np.testing.assert_array_equal(names["audio_of_utterance_7"], content[7].streams["audio"])
    assert names["utterance_7"]["id"] == content[7].id


def test_words_may_begin_late(tmp_path: Path) -> None:
    content = [Utterance("a"), Utterance("b", words=(Word("hello", 0.5, 1.0), Word("you"))), Utterance("c")]
    store = write(tmp_path / "store", content, specs={})
    assert [len(u.words) for u in store] == [0, 2, 0]
    assert store.column("words")[1] == [["hello", 0.5, 1.0], ["you", None, None]]


def test_times_may_begin_late(tmp_path: Path) -> None:
    rows = np.ones((2, 3), np.float32)
    times = np.array([[0.0, 1.0], [1.0, 2.0]])
    content = [
        Utterance("a", streams={"audio": rows}),
        Utterance("b", streams={"audio": rows}, intervals={"audio": times}),
    ]
    store = write(tmp_path / "store", content)
    assert np.isnan(store[0].intervals["audio"]).all()
    np.testing.assert_array_equal(store[1].intervals["audio"], times)


KILL = """
import itertools, os, random, signal, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from store_samples import sample, write
from mecam.data.store import Store
path, moments, found = Path({path!r}), random.Random(7), []
for _ in range(20):
    child = os.fork()
    if child == 0:
        for seed in itertools.count():
            write(path, sample(40, seed=seed), overwrite=True)
    time.sleep(moments.uniform(0.0, 0.2))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found.append(len(Store(path, verify=True)) if path.exists() else None)
print(found)
"""


@pytest.mark.posix
def test_a_killed_writer_leaves_a_whole_store_or_none(tmp_path: Path) -> None:
    """Killed at 20 random moments: what is at the place opens and has its hashes, or nothing is there."""
    script = KILL.format(tests=str(Path(__file__).parents[2]), path=str(tmp_path / "store"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = ast.literal_eval(done.stdout)
    assert len(found) == 20
    assert set(found) <= {40, None}
    assert 40 in found  # the test would be empty if nothing were ever there
