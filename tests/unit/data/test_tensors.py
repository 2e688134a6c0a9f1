"""Pickles of PyTorch, joblib and MMSA-FET are read as data: the same values, and nothing is called."""

import bz2
import collections
import datetime
import gzip
import io
import lzma
import os
import pickle
import zipfile
import zlib
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch

from import_layouts import assert_streams, make_clips, mmsa
from import_seeds import saved, tensors
from mecam.data.importing import pickle_machine
from mecam.data.importing.importer import import_data
from mecam.data.importing.pickles import open_torch, read_pickle
from mecam.data.store import Store
from mecam.errors import DataError

WIDTHS, LONGEST = {"audio": 5, "vision": 20}, {"audio": 9, "vision": 8}

TENSORS = {
    "float32": torch.arange(24, dtype=torch.float32).reshape(2, 3, 4),
    "float64": torch.linspace(-1, 1, 7, dtype=torch.float64),
    "float16": torch.tensor([1.5, -2.25], dtype=torch.float16),
    "bfloat16": torch.tensor([[1.5, -2.25, 3e38]], dtype=torch.bfloat16),
    "int64": torch.arange(5),
    "int32": torch.arange(5, dtype=torch.int32),
    "int16": torch.tensor([-3], dtype=torch.int16),
    "int8": torch.tensor([-3], dtype=torch.int8),
    "uint8": torch.tensor([200], dtype=torch.uint8),
    "bool": torch.tensor([True, False]),
    "transposed": torch.arange(6.0).reshape(2, 3).t(),
    "slice": torch.arange(20.0)[3:15:4],
    "column": torch.arange(12.0).reshape(3, 4)[:, 1],
    "expanded": torch.tensor([[1.0], [2.0]]).expand(2, 3),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 4),
    "parameter": torch.nn.Parameter(torch.ones(2)),
}


def same(read, tensor):
    expected = tensor.detach().float().numpy() if tensor.dtype == torch.bfloat16 else tensor.detach().numpy()
    assert isinstance(read, np.ndarray)
    assert read.shape == expected.shape
    assert not read.size or read.dtype == expected.dtype
    assert read.tolist() == expected.tolist()


@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("way", ["zip", "old", "pickle"])
def test_tensors_come_back_however_they_are_saved(tmp_path, name, way):
    tensor, file = TENSORS[name], tmp_path / "file"
    content = {"one": tensor, "again": tensor, "beside": torch.arange(3)}
    if way == "pickle":
        file.write_bytes(pickle.dumps(content, 4))
    else:
        file.write_bytes(saved(content, zipped=way == "zip"))
    read = open_torch(file) if way == "zip" else read_pickle(file)
    same(read["one"], tensor)
    same(read["again"], tensor)
    same(read["beside"], torch.arange(3))


def test_untyped_storages_have_the_dtype_of_their_tensor(tmp_path):
    tensor = torch.tensor([1, 2, 65535], dtype=torch.uint16)
    (tmp_path / "file").write_bytes(saved({"a": tensor}))
    assert open_torch(tmp_path / "file")["a"].tolist() == [1, 2, 65535]


@pytest.mark.parametrize("tensor", [torch.zeros(2, dtype=torch.complex64), torch.eye(3).to_sparse()], ids=str)
@pytest.mark.parametrize("zipped", [True, False])
def test_other_tensors_are_refused_with_the_way_out(tmp_path, tensor, zipped):
    (tmp_path / "file").write_bytes(saved({"a": tensor}, zipped=zipped))
    with pytest.raises(DataError, match="refused a pickle") as caught:
        open_torch(tmp_path / "file") if zipped else read_pickle(tmp_path / "file")
    assert caught.value.fix


def rebuilt(size, stride, offset=0, numel=4):
    """A zip of PyTorch whose tensor need not fit its storage."""
    stream = io.BytesIO()
    program = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(("
        b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
    )
    numbers = b"".join(pickle.dumps(part, 2)[2:-1] for part in (offset, size, stride))
    program += numbers + b"\x89ccollections\nOrderedDict\n)RtR."
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a/data.pkl", program)
        archive.writestr("a/version", "3\n")
        archive.writestr("a/data/0", np.arange(numel, dtype="<f4").tobytes())
    return stream.getvalue()


def test_the_hand_written_tensor_is_a_tensor(tmp_path):
    (tmp_path / "file").write_bytes(rebuilt((2, 2), (2, 1)))
    assert open_torch(tmp_path / "file").tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert torch.load(tmp_path / "file", weights_only=True).tolist() == [[0.0, 1.0], [2.0, 3.0]]


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((5,), (1,), 0), ((2, 2), (3, 1), 0), ((4,), (1,), 1), ((4,), (-1,), 3), ((-1,), (1,), 0), ((4,), (1,), -1),
        ((2, 2), (1,), 0), ((1 << 40,), (0,), 0), ((1 << 40, 0), (1, 1), 0), ((2**62, 2**62), (2**62, 1), 0),
        ((4,), (1,), 2**70), ((1.5,), (1,), 0), ([4], (1,), 0),
    ],
)  # fmt: skip
def test_a_tensor_that_lies_outside_of_its_storage_is_refused(tmp_path, size, stride, offset):
    (tmp_path / "file").write_bytes(rebuilt(size, stride, offset))
    with pytest.raises(DataError):
        open_torch(tmp_path / "file")


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4), np.asfortranarray(np.arange(6).reshape(2, 3)), np.array(["a", "bc"]),
        np.array(["x", None, [1, 2]], object), np.zeros((0, 3)), np.arange(3, dtype=">i4"), np.array(3.5),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_dumps_of_joblib_come_back(tmp_path, array, protocol):
    joblib.dump({"a": array, "b": [1, "x", array], "c": np.arange(2)}, tmp_path / "file", protocol=protocol)
    read = read_pickle(tmp_path / "file")
    for one in (read["a"], read["b"][2]):
        assert (one.dtype, one.shape, one.tolist()) == (array.dtype, array.shape, array.tolist())
    assert read["b"][:2] == [1, "x"]
    assert read["c"].tolist() == [0, 1]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "content",
    [
        collections.OrderedDict(a=1, b=[2]),
        collections.OrderedDict(),
        collections.defaultdict(dict, {"a": {"b": 1}}),
        collections.defaultdict(list, {"a": [1]}),
        collections.defaultdict(None, {"a": 1}),
        collections.defaultdict(int),
    ],
    ids=str,
)
def test_kinds_of_dictionaries_are_dictionaries(tmp_path, content, protocol):
    (tmp_path / "file").write_bytes(pickle.dumps(content, protocol))
    read = read_pickle(tmp_path / "file")
    assert type(read) is dict
    assert read == dict(content)


class Strange:
    def __init__(self):
        self.a = 1


@pytest.mark.parametrize(
    ("content", "way"),
    [
        (datetime.datetime(2020, 1, 1), "numbers or text"),
        (datetime.timedelta(1), "numbers or text"),
        (Path("x"), "str"),
        (np.ma.masked_array([1.0], [True]), "filled"),
        (Strange(), "plain lists"),
        (torch.nn.Linear(2, 2), "NumPy"),
        (collections.Counter("a"), "plain lists"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("protocol", range(6))
def test_objects_are_refused_with_the_way_out(tmp_path, content, way, protocol):
    (tmp_path / "file").write_bytes(pickle.dumps({"train": content}, protocol))
    with pytest.raises(DataError, match="refused a pickle: it asks for") as caught:
        read_pickle(tmp_path / "file")
    assert way in caught.value.fix


def test_a_data_frame_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "file").write_bytes(b"\x80\x04cpandas.core.frame\nDataFrame\n)\x81.")
    with pytest.raises(DataError, match=r"pandas\.core\.frame\.DataFrame") as caught:
        read_pickle(tmp_path / "file")
    assert "to_csv" in caught.value.fix


def as_mmsa(tmp_path, change):
    clips = make_clips(WIDTHS, LONGEST)
    content = mmsa(clips, LONGEST, WIDTHS)
    path = tmp_path / "file"
    change(content, path)
    report = import_data([path], tmp_path / "store")
    return clips, Store(tmp_path / "store"), {finding.kind for finding in report.findings}


WRITERS = {
    "config beside the splits": lambda content, path: path.write_bytes(
        pickle.dumps({**content, "config": {"audio": {"tool": "librosa"}}, 3: None, "notes": ["a"]}, 5)
    ),
    "OrderedDict": lambda content, path: path.write_bytes(pickle.dumps(collections.OrderedDict(content))),
    "defaultdict": lambda content, path: path.write_bytes(pickle.dumps(collections.defaultdict(dict, content))),
    "tensors": lambda content, path: path.write_bytes(pickle.dumps(tensors(content))),
    "torch.save": lambda content, path: path.write_bytes(saved(tensors(content))),
    "torch.save, old": lambda content, path: path.write_bytes(saved(tensors(content), zipped=False)),
    "joblib": joblib.dump,
}


@pytest.mark.parametrize("name", WRITERS)
def test_mmsa_is_the_same_however_it_is_wrapped(tmp_path, name):
    clips, store, kinds = as_mmsa(tmp_path, WRITERS[name])
    assert [u.id for u in store] == [clip.id for clip in clips]
    for utterance, clip in zip(store, clips, strict=True):
        assert (utterance.split, utterance.label, utterance.text) == (clip.split, clip.label, clip.text)
        assert_streams(utterance, clip.streams, ("audio", "vision"))
    assert kinds == {"non-finite values", "empty streams"} | ({"other entries"} if "config" in name else set())


@pytest.mark.parametrize("as_list", [True, False])
def test_sequences_that_are_not_padded_keep_their_rows(tmp_path, as_list):
    def change(content, path):
        for part in content.values():
            rows = [array[:n].copy() for array, n in zip(part["audio"], part["audio_lengths"], strict=True)]
            ragged = np.empty(len(rows), object)
            ragged[:] = rows
            part["audio"] = rows if as_list else ragged
        path.write_bytes(pickle.dumps(content))

    clips, store, _ = as_mmsa(tmp_path, change)
    for utterance, clip in zip(store, clips, strict=True):
        assert_streams(utterance, clip.streams, ("audio", "vision"))


def test_a_split_without_utterances_is_left_out(tmp_path):
    def change(content, path):
        content["valid"] = {key: np.asarray(value)[:0] for key, value in content["valid"].items()}
        path.write_bytes(pickle.dumps(content))

    _, store, _ = as_mmsa(tmp_path, change)
    assert sorted(set(store.column("split"))) == ["test", "train"]


def test_two_entries_for_one_split_are_refused(tmp_path):
    content = mmsa(make_clips(WIDTHS, LONGEST), LONGEST, WIDTHS)
    (tmp_path / "file").write_bytes(pickle.dumps({**content, "dev": content["valid"]}))
    with pytest.raises(DataError, match="the same split"):
        import_data([tmp_path / "file"], tmp_path / "store")


@pytest.mark.parametrize(
    ("pack", "what"),
    [
        (gzip.compress, "gzip"),
        (bz2.compress, "bzip2"),
        (lzma.compress, "xz"),
        (partial(lzma.compress, format=lzma.FORMAT_ALONE), "lzma"),
        (zlib.compress, "joblib"),
    ],
)
def test_compressed_files_are_refused_with_the_way_out(tmp_path, pack, what):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.pkl").write_bytes(pack(pickle.dumps({"train": 1})))
    with pytest.raises(DataError, match=what) as caught:
        import_data([folder / "a.pkl"], tmp_path / "store")
    assert "unpack" in caught.value.fix or "compress=0" in caught.value.fix
    (folder / "label.csv").write_text("id,label\nv_1,1.5\nv_2,-1\n")
    report = import_data([folder], tmp_path / "store")
    assert report.ignored == ("a.pkl",)


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"\xd0\xcf\x11\xe0" + bytes(600), "Excel"), (b"PAR1" + bytes(9), "Parquet"), (b"\x93NUMPY\x01\x00", "NumPy")],
)
def test_files_of_other_programs_are_named(tmp_path, content, what):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match=what) as caught:
        import_data([tmp_path / "a"], tmp_path / "store")
    assert caught.value.fix


def test_a_workbook_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(DataError, match="Excel workbook") as caught:
        import_data([tmp_path / "a.xlsx"], tmp_path / "store")
    assert "CSV UTF-8" in caught.value.fix


def calls_within_tensors():
    class Calls:
        def __reduce__(self):
            return os.system, ("touch owned",)

    yield "zip", saved({"a": torch.ones(2), "b": Calls()})
    yield "old", saved({"a": torch.ones(2), "b": Calls()}, zipped=False)
    inner = io.BytesIO()
    torch.save(Calls(), inner, _use_new_zipfile_serialization=False)
    yield "bytes", b"\x80\x04ctorch.storage\n_load_from_bytes\n" + pickle.dumps(inner.getvalue(), 4)[2:-1] + b"\x85R."
    yield "script", b"\x80\x02ctorch.jit\nload\nX\x01\x00\x00\x00x\x85R."
    yield "joblib", b"\x80\x04cjoblib.numpy_pickle\nNumpyArrayWrapper\n(S'x'\nt\x81."
    yield "factory", b"\x80\x02ccollections\ndefaultdict\ncos\nsystem\n\x85R."
    yield "dict as a call", b"\x80\x02cbuiltins\ndict\n)R."
    yield "class as a call", b"\x80\x02ctorch\nFloatStorage\nK\x05\x85R."


@pytest.mark.parametrize(
    ("name", "content"), list(calls_within_tensors()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_nothing_is_called(tmp_path, monkeypatch, name, content):
    (tmp_path / "file").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="refused a pickle"):
        open_torch(tmp_path / "file") if content[:2] == b"PK" else read_pickle(tmp_path / "file")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_numbers_as_keys_are_limited(tmp_path):
    (tmp_path / "file").write_bytes(pickle.dumps({key * (2**61 - 1): 0 for key in range(100)}))
    assert len(read_pickle(tmp_path / "file")) == 100
    keys = [b"\x8a\x0a" + (key * (2**61 - 1)).to_bytes(10, "little") + b"N" for key in range(60_000)]
    (tmp_path / "file").write_bytes(b"\x80\x02}(" + b"".join(keys) + b"u.")
    with pytest.raises(DataError, match=f"more than {pickle_machine.MAX_NUMBER_KEYS} numbers as keys"):
        read_pickle(tmp_path / "file")


@pytest.mark.parametrize("name", ["plain.pkl", "fet.pkl", "ordered.pkl"])
def test_the_cases_of_mmsa_fet(tmp_path, shared_cases, name):
    report = import_data([shared_cases / "14_mmsa_fet_pickle" / name], tmp_path / "store")
    assert report.splits == {"train": 9, "valid": 3, "test": 3}
    assert {finding.kind for finding in report.findings} == ({"other entries"} if name == "fet.pkl" else set())
