"""Bad files: each ends in one clear error, with nothing written and little memory taken."""

import io
import os
import pickle
import shutil
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from import_layouts import csd, make_clips, mmsa
from import_seeds import npz
from mecam.data.importing.importer import import_data
from mecam.data.store import Store
from mecam.errors import DataError

GOOD_LABELS = "video_id,clip_id,text,label,mode\nv,1,fine,1.0,train\nv,2,bad,-1.0,test\n"


def zip_of(members: dict) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def npy_header(shape: tuple, dtype: str) -> bytes:
    text = str({"descr": dtype, "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def mmsa_with(**changes) -> bytes:
    part = {
        "id": np.array(["v$_$1", "v$_$2"]),
        "raw_text": np.array(["a", "b"]),
        "regression_labels": np.array([1.0, 2.0]),
        "audio": np.ones((2, 3, 4), np.float32),
    }
    return pickle.dumps({"train": {key: value for key, value in {**part, **changes}.items() if value is not None}})


BAD = {
    "nothing in it": b"",
    "wrong file, an image": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "wrong file, random": np.random.default_rng(0).bytes(5000),
    "wrong file, notes": b"Dear reader, these are notes\n",
    "another pickle": pickle.dumps({"model": [1, 2, 3]}),
    "another table": b"a,b\n1,2\n",
    "another archive": zip_of({"readme.txt": b"hello"}),
    "42-fold zip": zip_of({f"lib {i}.zip": zip_of({"0.dll": bytes(1 << 20)}) for i in range(42)}),
    "zip bomb": npz({"id": np.array(["v_1"]), "audio": np.zeros((1, 80 << 20), np.uint8)}),
    "bomb of many members": npz({f"a{i}": np.zeros(4 << 20, np.uint8) for i in range(40)}),
    "announced array": zip_of({"id.npy": npy_header((1 << 40,), "<U10"), "audio.npy": npy_header((1 << 40, 3), "<f8")}),
    "objects in npz": zip_of({"id.npy": npy_header((1,), "|O") + pickle.dumps([1])}),
    "npy header that is code": zip_of({"id.npy": b"\x93NUMPY\x01\x00\x20\x00" + b"__import__('os').system('id')   \n"}),
    "npy header of deep nesting": zip_of({"id.npy": b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535}),
    "cut npz": npz({"id": np.array(["v_1"]), "audio": np.ones((1, 300))})[:-40],
    "ids without labels": npz({"id": np.array(["v_1"]), "audio": np.ones((1, 3))}),
    "path as id in npz": npz({"id": np.array(["../../x"]), "audio": np.ones((1, 3))}),
    "path as id in a table": GOOD_LABELS.replace("v,1", "../../etc,passwd").encode(),
    "path as id in a pickle": mmsa_with(id=np.array(["../../v$_$1", "v$_$2"])),
    "ragged table": (GOOD_LABELS + "v,3\n").encode(),
    "table that is no text": GOOD_LABELS.encode() + b"v,3,\xff\xfe\xfa,1,train\n",
    "table with a huge cell": (GOOD_LABELS + f"v,3,{'x' * 200_000},1,train\n").encode(),
    "table of one endless line": ("video_id,clip_id,text,label\n" + '"' + "x,\n" * 9 + "y" * (1 << 20)).encode(),
    "table without labels": b"video_id,clip_id,text\nv,1,hello\n",
    "table with nothing but its header": b"video_id,clip_id,text,label\n",
    "labels that are words and none": b"video_id,clip_id,label\nv,1,\n",
    "ids missing": mmsa_with(id=None),
    "ids that are a number": mmsa_with(id=5),
    "fewer labels than ids": mmsa_with(regression_labels=np.ones(1)),
    "fewer rows than ids": mmsa_with(audio=np.ones((1, 3, 4))),
    "features that are text": mmsa_with(audio=np.array([["a"], ["b"]])),
    "features that are a list": mmsa_with(audio=[[1, 2], [3, 4]]),
    "features of five axes": mmsa_with(audio=np.ones((2, 1, 1, 1, 3))),
    "lengths that are text": mmsa_with(audio_lengths=["x", "y"]),
    "no labels at all": mmsa_with(regression_labels=None, text_bert=np.ones((2, 3, 4))),
    "ids nested without end": mmsa_with(id=[[[["v"]]], {"a": 1}]),
    "texts that are numbers and lists": mmsa_with(raw_text=[1, [2]]),
    "mult without labels": pickle.dumps({"train": {"labels": 3, "audio": np.ones((2, 3, 4))}}),
    "mult with odd ids": pickle.dumps(
        {"train": {"labels": np.ones((1, 1)), "audio": np.ones((1, 2, 2)), "id": [None]}}
    ),
    "segments of several widths": pickle.dumps(
        [(([], np.ones((2, w)), np.ones((2, 3)), ["a"]), np.ones((1, 1)), f"v_{w}") for w in (3, 4)]
    ),
    "segments without arrays": pickle.dumps([(([], 1, 2, ["a"]), 3, "v_1")]),
    "segments with labels of none": pickle.dumps([(([], np.ones((2, 3)), np.ones((2, 3)), ["a"]), None, "v_1")]),
    "lmf in pieces": pickle.dumps({"train": {"covarep": 1, "facet": 2, "glove": 3, "label": 4}}),
    "hdf5 in name only": b"\x89HDF\r\n\x1a\n" + bytes(2000),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_ends_in_one_clear_error_and_no_effect(tmp_path, monkeypatch, name):
    file = tmp_path / "in" / "file"
    file.parent.mkdir()
    file.write_bytes(BAD[name])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        import_data([file], tmp_path / "store")
    assert caught.value.what
    assert str(tmp_path) not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def hdf5_attacks(folder: Path):
    secret = csd(folder / "secret.h5", "Secret Labels", {"v1": (np.ones((2, 1)), [[0, 1], [1, 2]])})
    good = np.ones((2, 1)), np.array([[0, 1], [1, 2.0]])

    def file(name):
        return h5py.File(folder / name, "w")

    with file("external link to the root") as f:
        f["Labels"] = h5py.ExternalLink(str(secret), "/Secret Labels")
    with file("external link to a recording") as f:
        f.create_group("Labels/data")["v1"] = h5py.ExternalLink(str(secret), "/Secret Labels/data/v1")
    with file("external link to features") as f:
        group = f.create_group("Labels/data/v1")
        group["features"] = h5py.ExternalLink(str(secret), "/Secret Labels/data/v1/features")
        group["intervals"] = good[1]
    with file("soft link") as f:
        group = f.create_group("Labels/data/v1")
        group["intervals"] = good[1]
        group["features"] = h5py.SoftLink("/Labels/data/v1/intervals")
    with file("virtual data set") as f:
        group = f.create_group("Labels/data/v1")
        layout = h5py.VirtualLayout((2, 1), "f8")
        layout[:] = h5py.VirtualSource(str(secret), "Secret Labels/data/v1/features", (2, 1))
        group.create_virtual_dataset("features", layout)
        group["intervals"] = good[1]
    (folder / "raw").write_bytes(bytes(16))
    with file("external storage") as f:
        group = f.create_group("Labels/data/v1")
        group.create_dataset("features", (2, 1), "f8", external=[(str(folder / "raw"), 0, 16)])
        group["intervals"] = good[1]
    with file("announced rows") as f:
        group = f.create_group("Labels/data/v1")
        group.create_dataset("features", (1 << 34, 1), "f8", chunks=(1 << 16, 1), compression="gzip")
        group["intervals"] = good[1]
    with file("more rows than intervals") as f:
        f["Labels/data/v1/features"], f["Labels/data/v1/intervals"] = np.ones((3, 1)), good[1]
    with file("compound type") as f:
        f["Labels/data/v1/features"], f["Labels/data/v1/intervals"] = np.zeros((2, 1), [("a", "f4")]), good[1]
    with file("references") as f:
        group = f.create_group("Labels/data/v1")
        group.create_dataset("features", (2, 1), h5py.ref_dtype)
        group["intervals"] = good[1]
    with file("path as recording") as f:
        f["Labels/data/..\\..\\x/features"], f["Labels/data/..\\..\\x/intervals"] = good
    with file("no recordings") as f:
        f.create_group("Labels/data")
    with file("group that holds itself") as f:
        f.create_group("Labels/data")
        f["Labels/data/v1"] = f["Labels/data"]
    with file("another file") as f:
        f["weights"] = np.ones(3)


def test_hdf5_files_that_reach_out_or_lie_are_refused(tmp_path, monkeypatch):
    source = tmp_path / "in"
    source.mkdir()
    hdf5_attacks(source)
    monkeypatch.chdir(tmp_path)
    names = sorted(file.name for file in source.iterdir() if file.name not in ("raw", "secret.h5"))
    assert len(names) == 14
    for name in names:
        with pytest.raises(DataError):
            import_data([source / name], tmp_path / "store")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_refused_file_in_a_folder_stops_the_import(tmp_path):
    (tmp_path / "label.csv").write_text(GOOD_LABELS)
    import_data([tmp_path], tmp_path / "out" / "good")
    (tmp_path / "other.pkl").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(DataError, match="refused"):
        import_data([tmp_path], tmp_path / "out" / "bad")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good"]


@pytest.mark.posix
def test_places_that_do_not_exist_or_are_taken_are_told(tmp_path):
    (tmp_path / "label.csv").write_text(GOOD_LABELS)
    with pytest.raises(DataError):
        import_data([tmp_path / "nowhere"], tmp_path / "store")
    with pytest.raises(DataError):
        import_data([], tmp_path / "store")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        import_data([tmp_path / "pipe"], tmp_path / "store")
    (tmp_path / "store").mkdir()
    with pytest.raises(DataError, match="exists already"):
        import_data([tmp_path / "label.csv"], tmp_path / "store")


IMPORT_WHEN_TOLD = """
import sys
from pathlib import Path
from mecam.data.importing.importer import import_data
print("ready", flush=True)
sys.stdin.readline()
import_data([Path(sys.argv[1])], Path(sys.argv[2]), overwrite=True)
print("done", flush=True)
"""


@pytest.mark.slow
def test_a_killed_import_leaves_no_store_that_is_not_whole(tmp_path):
    widths, longest = {"audio": 74, "vision": 35}, {"audio": 500, "vision": 500}
    clips = make_clips(widths, longest, counts=(300, 40, 60))
    file = tmp_path / "in.pkl"
    file.write_bytes(pickle.dumps(mmsa(clips, longest, widths, text_width=1)))
    rng = np.random.default_rng(0)
    command = [sys.executable, "-c", IMPORT_WHEN_TOLD, str(file), str(tmp_path / "store")]

    def start() -> subprocess.Popen:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("go\n")
        process.stdin.flush()
        return process

    with start() as process:
        begun = time.perf_counter()
        assert process.stdout.readline() == "done\n"
        needed = time.perf_counter() - begun
    shutil.rmtree(tmp_path / "store")
    whole = 0
    for _ in range(20):
        with start() as process:
            time.sleep(rng.uniform(0, 1.1 * needed))
            process.kill()
        if (tmp_path / "store").exists():
            whole += 1
            assert len(Store(tmp_path / "store", verify=True)) == len(clips)
            shutil.rmtree(tmp_path / "store")
    assert whole < 20
    assert any(tmp_path.glob(".store.*"))  # some were killed while they wrote
