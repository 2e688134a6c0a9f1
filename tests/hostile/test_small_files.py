"""Small files that announce gigabytes, or nest without end: each is refused in one sentence, in little memory."""

import io
import pickle
import struct
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import pytest

from bounded import ROOM, run_bounded
from import_layouts import csd

LABELS = "video_id,clip_id,text,label,mode\nv,1,fine,1.5,train\nv,2,bad,-1.0,test\n"


def hollow(shape: tuple[int, ...], dtype: str) -> bytes:
    """A pickled array of no bytes, whatever its shape, as the end of a program."""
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01"
        + pickle.dumps(shape, 2)[2:-1]
        + b"cnumpy\ndtype\nX"
        + struct.pack("<I", len(dtype))
        + dtype.encode()
        + b"K\x00K\x01\x87R(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89C\x00tb"
    )


def program(**entries: bytes) -> bytes:
    """A pickle of one training split whose entries are programs."""
    keys = b"".join(b"X" + struct.pack("<I", len(key)) + key.encode() + part for key, part in entries.items())
    return b"\x80\x02}X\x05\x00\x00\x00train}(" + keys + b"us."


def laughs(levels: int, leaf: bytes = b"K\x01") -> bytes:
    """A list that holds ten times the list that holds ten times …"""
    parts = [b"](" + leaf * 10 + b"eq\x00"]
    parts += [b"](" + b"h%c" % (n - 1) * 10 + b"eq%c" % n for n in range(1, levels)]
    return b"".join(part + b"0" for part in parts[:-1]) + parts[-1]


def plain(value: object) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


SELF = b"]q\x63h\x63a"
"""A list that holds itself."""
NEXT = b"]q\x63]q\x64h\x63aa"
"""Two lists that hold each other."""


STRANGE = {
    "nested": laughs(9),
    "holding itself": SELF,
    "holding each other": NEXT,
    "ragged": plain([[[1]], [[1], [2]]]),
    "a dict": plain({1: 2}),
    "deep": b"]" * 20_000 + b"a" * 19_999,
    "huge": b"I" + b"9" * 60 + b"\n",
    "text": plain("abc"),
    "a scalar": b"G" + bytes(8),
}
LABEL = "regression_labels"
FLOATS = (
    b"cnumpy\ndtype\nX\x02\x00\x00\x00f4K\x00K\x01\x87R(K\x03X\x01\x00\x00\x00"
    b"<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
)
TWO_ROWS = (
    b"cnumpy.core.numeric\n_frombuffer\n(C\x20" + np.ones(8, "<f4").tobytes() + FLOATS
    + b"K\x02K\x02K\x02\x87X\x01\x00\x00\x00CtR"
)  # fmt: skip


def pickles() -> Iterator[tuple[str, bytes]]:
    ids, audio = plain(["v_1", "v_2"]), plain([[1.0, 2.0], [3.0, 4.0]])
    yield "ids without size", program(id=hollow((10**9,), "U0"), raw_text=plain(["a"]))
    yield "ids of no bytes", program(id=hollow((10**9,), "S0"), raw_text=plain(["a"]))
    yield "labels of no columns", program(labels=hollow((10**9, 0), "f4"), audio=audio)
    yield "features of no rows", program(labels=plain([1.0]), audio=hollow((1, 10**9, 0), "f4"))
    yield "objects of no size", program(labels=hollow((0, 10**12), "f8"), audio=audio)
    yield "many hollow arrays", program(labels=b"](" + hollow((1_000_000, 0), "f8") * 2_000 + b"e", audio=audio)
    mult = {"id": ids, "labels": plain([1.5, 2.5]), "audio": TWO_ROWS}
    mmsa = {"id": ids, LABEL: mult["labels"], "audio": TWO_ROWS, "audio_lengths": plain([1, 1])}
    for kind, content in STRANGE.items():
        yield f"MulT, ids {kind}", program(**{**mult, "id": content})
        yield f"MulT, labels {kind}", program(**{**mult, "labels": content})
        yield f"MMSA, ids {kind}", program(**{**mmsa, "id": content})
        yield f"MMSA, labels {kind}", program(**{**mmsa, LABEL: content})
        yield f"MMSA, lengths {kind}", program(**{**mmsa, "audio_lengths": content})
    keys = [b"\x8a\x0a" + (k * (2**61 - 1)).to_bytes(10, "little") for k in range(21_000)]
    yield "colliding keys", b"\x80\x02}(" + b"N".join(keys) + b"Nu."
    yield "colliding members", b"\x80\x04\x8f(" + b"".join(keys) + b"\x90."
    yield "colliding memo", b"\x80\x02N" + b"".join(b"r" + struct.pack("<I", k << 13) for k in range(100_000)) + b"."
    yield "sets", b"\x80\x04(" + b"\x8f" * 2_900_000 + b"l."
    yield "marks", b"(" * 2_900_000 + b"."
    yield "remembered in far places", b"\x80\x02N" + b"r\xff\xff\xff\x7f" * 10 + b"."
    yield "a segment a million times", b"\x80\x02](" + plain(
        (([1], np.ones((2, 3)), np.ones((2, 3)), ["a"] * 100), 1.0, "v_1")
    ) + b"q\x7f" + b"h\x7f" * 1_000_000 + b"e."  # fmt: skip
    yield "a word list a thousand times", segments_of_one_list()


def segments_of_one_list() -> bytes:
    words, rows = ["word"] * 100_000, np.ones((2, 3), np.float32)
    return pickle.dumps([(([1], rows, rows, words), 1.5, f"v_{n}") for n in range(1_000)], 2)


def npy(shape: tuple[int, ...], dtype: str, content: bytes = b"") -> bytes:
    text = str({"descr": dtype, "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + content


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return stream.getvalue()


def npzs() -> Iterator[tuple[str, bytes]]:
    one = npy((1,), "<U3", "v_1".encode("utf-32-le"))
    yield "ids without size", zipped(id=npy((10**9,), "<U0"))
    yield "ids of no bytes", zipped(id=npy((10**9,), "|S0"))
    yield "labels of no columns", zipped(y_train=npy((10**9, 0), "<f4"), audio_train=npy((1, 1), "<f4", bytes(4)))
    yield (
        "labels that are one number",
        zipped(y_train=npy((), "<f4", bytes(4)), audio_train=npy((1, 1), "<f4", bytes(4))),
    )
    yield "splits that are one text", zipped(id=one, split=npy((), "<U1", bytes(4)), audio=npy((1, 1), "<f4", bytes(4)))
    yield "negative shape", zipped(id=npy((-1,), "<U3", bytes(12)))
    yield "zeros", zipped(id=one, audio=npy((1, 300 << 20), "|u1", bytes(300 << 20)))
    yield "texts of a million characters", zipped(id=npy((70,), "<U1000000", bytes(280_000_000)))


def sequences(folder: Path) -> None:
    times, rows = np.array([[0.0, 1.0]]), np.ones((1, 1))
    with h5py.File(folder / "hard links", "w") as file:
        data = file.create_group("All Labels/data")
        first = data.create_group("v0")
        first.create_dataset("features", data=np.zeros((30_000, 1), "f4"), compression="gzip")
        first.create_dataset("intervals", data=np.zeros((30_000, 2), "f4"), compression="gzip")
        for index in range(1, 200):
            data[f"v{index}"] = first
    with h5py.File(folder / "hard links of tables", "w") as file:
        data = file.create_group("All Labels/data")
        for index in range(50):
            group = data.create_group(f"v{index}")
            group["intervals"] = times
            group["features"] = rows if not index else data["v0/features"]
    with h5py.File(folder / "one long text", "w") as file:
        group = file.create_group("words/data/v0")
        texts = group.create_dataset("features", (4_000, 1), h5py.string_dtype())
        texts[:] = "x"
        texts[0, 0] = "y" * 1_000_000
        group["intervals"] = np.zeros((4_000, 2))
    content = (folder / "one long text").read_bytes()
    shared = references_to_the_longest(content)
    (folder / "one long text").write_bytes(shared)
    csd(folder / "labels", "All Labels", {"v0": (np.array([[1.5]]), times)})
    with h5py.File(folder / "huge chunk", "w") as file:
        group = file.create_group("All Labels/data/v0")
        group.create_dataset("features", (4, 1), "f4", chunks=(800_000_000, 1), maxshape=(None, 1), compression="gzip")
        group["intervals"] = np.zeros((4, 2))
    with h5py.File(folder / "many rows of nothing", "w") as file:
        group = file.create_group("COVAREP/data/v0")
        group.create_dataset("features", (1 << 30, 0), "f4")
        group.create_dataset("intervals", (1 << 30, 2), "f4", chunks=(1 << 10, 2))


def references_to_the_longest(content: bytes) -> bytes:
    """Every short text replaced by the long one: the references are 4 bytes of length, 8 of place, 4 of number."""
    long = content.index(struct.pack("<I", 1_000_000) + b"")
    while content[long + 4 : long + 12] == bytes(8) or long % 4:
        long = content.index(struct.pack("<I", 1_000_000), long + 1)
    table = long
    return content[:table] + content[table : table + 16] * 4_000 + content[table + 64_000 :]


def yamls() -> Iterator[tuple[str, str]]:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    yield "laughs", "\n".join(["a0: &a0 [1, 2]", *levels])
    maps = [f"a{n}: &a{n} {{{', '.join(f'k{k}: *a{n - 1}' for k in range(10))}}}" for n in range(1, 9)]
    yield "laughs of maps", "\n".join(["a0: &a0 {a: 1}", *maps])
    merges = [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 9)]
    yield "merged laughs", "\n".join(["a0: &a0 {a: 1}", *merges])
    yield "itself", "&x\ntraining: *x"
    yield "itself below", "training: &x {augmentation: *x}"
    yield "itself in a list", "data: {without: &x [*x]}"
    yield "itself as a key", "&x {? *x : 1}"
    yield "deep lists", "training: " + "[" * 20_000
    yield "deep lists that end", "training: " + "[" * 500 + "]" * 500
    yield "deep maps", "{a: " * 5_000
    yield "deep dashes", "- " * 5_000
    yield "huge number", "training: {epochs: " + "9" * 6_000 + "}"
    yield "huge binary number", "training: {epochs: 0b" + "1" * 900_000 + "}"
    yield "sexagesimal", "training: {epochs: 1" + ":59" * 200_000 + "}"
    yield "many keys", "\n".join(f"{k * (2**61 - 1)}: 1" for k in range(30_000))
    yield "a bad date", "a: 2020-99-99"
    yield "a bad number", "a: !!int x"
    yield "a call", "a: !!python/object/apply:os.system [id]"
    yield "twice", "data: {clip: 3, clip: 4}"
    yield "large", "# " + "x" * (2 << 20)


def check(result: dict, names: list[str]) -> None:
    wrong = {
        name: found
        for name, found in zip(names, result["results"], strict=True)
        if not found["outcome"].startswith("refused: ") or found["left"] or "MemoryError" in found["outcome"]
    }
    assert wrong == {}
    assert result["peak"] < ROOM


some = pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
"""Each fifth case by default, all of them with `-m slow`."""


@pytest.fixture
def labels(tmp_path):
    (tmp_path / "labels.csv").write_text(LABELS)
    return tmp_path / "labels.csv"


def test_the_hand_written_programs_are_read(tmp_path):
    ids = plain(["v_1", "v_2"])
    entries = {"id": ids, "labels": plain([1.5, 2.5]), "audio": TWO_ROWS}
    (tmp_path / "mult.pkl").write_bytes(program(**entries))
    entries[LABEL] = entries.pop("labels")
    (tmp_path / "mmsa.pkl").write_bytes(program(**entries, audio_lengths=plain([1, 1])))
    (tmp_path / "objects.pkl").write_bytes(b"\x80\x02" + hollow((0, 3), "f4") + b".")
    assert pickle.loads((tmp_path / "objects.pkl").read_bytes()).shape == (0, 3)
    found = run_bounded("import_probe", str(tmp_path / "mult.pkl"), str(tmp_path / "mmsa.pkl"))
    assert [result["outcome"] for result in found["results"]] == ["imported 2", "imported 2"]


@some
def test_pickles(tmp_path, every):
    names = []
    for index, (name, content) in enumerate(islice(pickles(), 0, None, every)):
        (tmp_path / f"{index}.pkl").write_bytes(content)
        names.append(name)
    check(run_bounded("import_probe", *(str(tmp_path / f"{i}.pkl") for i in range(len(names))), seconds=300), names)


@some
def test_npz(tmp_path, labels, every):
    names = []
    for index, (name, content) in enumerate(islice(npzs(), 6 if every > 1 else None)):  # the last two fill 300 MB
        (tmp_path / f"{index}.npz").write_bytes(content)
        names.append(name)
    jobs = [f"{tmp_path / f'{i}.npz'}+{labels}" for i in range(len(names))]
    check(run_bounded("import_probe", *jobs, seconds=300), names)


def test_computational_sequences(tmp_path):
    sequences(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir() if path.name != "labels")
    jobs = [f"{tmp_path / name}+{tmp_path / 'labels'}" for name in names]
    check(run_bounded("import_probe", *jobs, seconds=300), names)


@some
def test_configurations(tmp_path, every):
    names = []
    for index, (name, content) in enumerate(islice(yamls(), 0, None, every)):
        (tmp_path / f"{index}.yaml").write_text(content)
        names.append(name)
    check(run_bounded("import_probe", *(str(tmp_path / f"{i}.yaml") for i in range(len(names))), seconds=300), names)


@pytest.mark.parametrize("folder", ["03_pickle_memory", "05_pickle_traceback", "06_npz", "07_hdf5", "11_yaml"])
def test_the_hostile_cases(shared_cases, folder):
    place = shared_cases / "hostile" / folder
    files = sorted(path for path in place.iterdir() if path.name not in ("README", "label.csv"))
    beside = f"+{place / 'label.csv'}" if (place / "label.csv").exists() else ""
    check(run_bounded("import_probe", *(f"{path}{beside}" for path in files), seconds=300), [p.name for p in files])
