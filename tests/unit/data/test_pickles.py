"""A pickle is read as data: what NumPy and the built-ins wrote comes back, and nothing can be called."""

import collections
import io
import os
import pickle
import pickletools
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from import_layouts import python2
from mecam.data.importing import pickle_machine
from mecam.data.importing.pickles import looks_like_pickle, read_pickle
from mecam.errors import DataError


def read(tmp_path, content: bytes):
    file = tmp_path / "file.pkl"
    file.write_bytes(content)
    return read_pickle(file)


def assert_equal(read, written):
    if isinstance(written, np.ndarray):
        assert isinstance(read, np.ndarray)
        assert (read.dtype, read.shape) == (written.dtype, written.shape)
        if written.dtype.hasobject:
            for one, other in zip(read.reshape(-1), written.reshape(-1), strict=True):
                assert_equal(one, other)
        else:
            assert read.tobytes() == written.tobytes()
    elif isinstance(written, list | tuple):
        assert type(read) is type(written)
        assert len(read) == len(written)
        for one, other in zip(read, written, strict=True):
            assert_equal(one, other)
    elif isinstance(written, dict):
        assert list(read) == list(written)
        for key in written:
            assert_equal(read[key], written[key])
    elif isinstance(written, bytes | bytearray):
        assert bytes(read) == written
    else:
        assert type(read) is type(written)
        assert read == written or read != read


ARRAYS = {
    "float32": np.arange(60, dtype=np.float32).reshape(3, 4, 5),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "slice": np.arange(100.0)[::7],
    "big-endian": np.arange(5).astype(">i4"),
    "half": np.array([1.5, np.nan, -np.inf], np.float16),
    "bool": np.array([True, False]),
    "text": np.array(["video$_$1", "é中"]),
    "bytes": np.array([[b"a_1", b"", b"bcd"]]),
    "objects": np.array(["x", None, [1, 2.5], np.arange(2)], object),
    "empty": np.zeros((0, 5), np.float32),
    "empty text": np.array([""]),
    "scalar array": np.array(3),
    "long": np.arange(10_000, dtype=np.int64),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back_to_the_last_bit(tmp_path, name, protocol):
    content = {"one": ARRAYS[name], "same": ARRAYS[name]}
    assert_equal(read(tmp_path, pickle.dumps(content, protocol)), content)


@pytest.mark.parametrize("protocol", range(6))
def test_built_ins_and_numpy_scalars_come_back(tmp_path, protocol):
    content = {
        "list": [1, -1, 255, 70_000, 2**31, -(2**70), 0.5, float("nan"), None, True, False, "text", "é\n'\"\\", ""],
        "tuple": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], {}),
        "set": {1, 2},
        "frozen": frozenset({"a"}),
        "bytes": [b"", b"\x00\xff'\n\\", b"x" * 1000, bytearray(b"abc")],
        "scalars": [np.float32(1.5), np.int64(-3), np.float64(2), np.bool_(True)],
        5: {b"key": 1, None: 2, 2.5: 3},
    }
    assert_equal(read(tmp_path, pickle.dumps(content, protocol)), content)


def test_python_2_strings_come_back_as_bytes(tmp_path):
    content = {b"train": {b"covarep": np.arange(600.0).reshape(2, 300), b"names": [b"caf\xe9", b"y" * 300]}}
    assert_equal(read(tmp_path, python2(content)), content)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**100), 2**100)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5) | st.integers(-9, 9), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(content=PLAIN, protocol=st.integers(0, 5))
def test_whatever_pickle_writes_is_read_as_pickle_reads_it(tmp_path_factory, content, protocol):
    file = tmp_path_factory.getbasetemp() / "plain.pkl"
    file.write_bytes(pickle.dumps(content, protocol))
    assert_equal(read_pickle(file), pickle.loads(file.read_bytes()))


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def global_call(module, name, argument="'x'"):
    return f"c{module}\n{name}\n(S{argument}\ntR.".encode()


def attacks():
    for protocol in range(6):
        yield f"os.system {protocol}", pickle.dumps(Calls(os.system, "touch owned"), protocol)
        nested = {"train": {"audio": np.zeros(3), "id": [Calls(eval, "open('owned', 'w')")]}}
        yield f"nested {protocol}", pickle.dumps(nested, protocol)
    yield "getattr chain", pickle.dumps(Calls(getattr, Calls(__import__, "os"), "system"))
    for module, name in (
        ("numpy.testing._private.utils", "runstring"),
        ("numpy.f2py.crackfortran", "myeval"),
        ("numpy", "load"),
        ("numpy", "fromfile"),
        ("numpy", "memmap"),
        ("numpy.lib.npyio", "load"),
        ("numpy.core.multiarray", "fromfile"),
        ("numpy.ctypeslib", "load_library"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("builtins", "getattr"),
        ("builtins", "open"),
        ("__builtin__", "eval"),
        ("os", "system"),
        ("posix", "system"),
        ("subprocess", "Popen"),
        ("torch", "load"),
        ("mecam.data.importing.pickles", "read_pickle"),
        ("copyreg", "_reconstructor"),
        ("functools", "partial"),
        ("pickle", "loads"),
        ("numpy", "dtype.__class__"),
    ):
        yield f"{module}.{name}", global_call(module, name)
    yield "dotted name", b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93."
    yield "name out of parts", b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R."
    yield "INST", b"(S'id'\nios\nsystem\n."
    yield "OBJ", b"(cnumpy\nndarray\nS'id'\no."
    yield "NEWOBJ", b"\x80\x02cnumpy\nndarray\n)\x81."
    yield "NEWOBJ_EX", b"\x80\x04cnumpy\nndarray\n)}\x92."
    yield "PERSID", b"Psomething\n."
    yield "BINPERSID", b"K\x01Q."
    yield "EXT1", b"\x82\x01."
    yield "EXT4", b"\x84\x01\x00\x00\x00."
    yield "calls a string", b"S'os.system'\n(S'id'\ntR."
    yield "sets the state of a dict", b"}}b."
    yield "sets the state of a name", b"cnumpy\nndarray\n}b."
    yield "encoding that decodes", b"c_codecs\nencode\n(Vabc\nS'zlib'\ntR."
    yield "dtype by expression", global_call("numpy", "dtype", "'f4,(2,)f8'")
    yield "structured dtype", pickle.dumps(np.zeros(2, [("a", "f4")]))
    yield "dates", pickle.dumps(np.zeros(2, "M8[s]"))
    yield "record array", pickle.dumps(np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]))
    yield "object array of calls", pickle.dumps(np.array([Calls(os.system, "touch owned")], object))
    yield "ordinary class", pickle.dumps(collections.Counter("abc"))


@pytest.mark.parametrize(
    ("name", "content"), list(attacks()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_asks_for_more_than_data_is_refused_without_effect(tmp_path, monkeypatch, name, content):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"refused a pickle|damaged"):
        read(tmp_path, content)
    assert [file.name for file in tmp_path.iterdir()] == ["file.pkl"]


def array_pickle(shape, dtype, content, kind="dtype"):
    """A hand-written array whose parts need not fit each other."""
    out = io.BytesIO()
    out.write(b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n")
    out.write(pickle.dumps((0,), 2)[2:-1] + b"U\x01b\x87R(K\x01")
    out.write(pickle.dumps(shape, 2)[2:-1])
    out.write(
        b"cnumpy\n%s\nU%c%sK\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        % (kind.encode(), len(dtype), dtype)
    )
    out.write(b"\x89" + content + b"tb.")
    return out.getvalue()


def test_the_hand_written_array_is_an_array(tmp_path):
    content = array_pickle((2,), b"f4", b"U\x08" + np.array([1, 2], "<f4").tobytes())
    assert read(tmp_path, content).tolist() == pickle.loads(content, encoding="bytes").tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("shape", "dtype", "content"),
    [
        ((2**40, 2**20), b"f4", b"U\x04abcd"),
        ((2**62, 4), b"f4", b"U\x00"),
        ((-1,), b"f4", b"U\x04abcd"),
        ((3,), b"f4", b"U\x04abcd"),
        ((1,), b"O8", b"U\x08abcdefgh"),
        ((1,), b"f4", b"]K\x01a"),
        ((2,), b"O8", b"]K\x01a"),
        ((1,), b"U999999999", b"U\x04abcd"),
        ((1,), b"V4", b"U\x04abcd"),
        ((1,) * 40, b"f4", b"U\x04abcd"),
        ((1.5,), b"f4", b"U\x04abcd"),
        ((True,), b"f4", b"U\x04abcd"),
    ],
)
def test_an_array_that_does_not_hold_what_it_announces_is_refused(tmp_path, shape, dtype, content):
    with pytest.raises(DataError):
        read(tmp_path, array_pickle(shape, dtype, content))


def bombs():
    yield "huge bytes", b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"."
    yield "huge text", b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b"."
    yield "huge bytearray", b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"."
    yield "huge integer", b"\x80\x02\x8b" + struct.pack("<i", 1 << 30) + b"."
    yield "negative integer size", b"\x80\x02\x8b" + struct.pack("<i", -5) + b"."
    yield "huge memo index", b"\x80\x02Nr\xff\xff\xff\xff0h\x00."
    yield "long number", b"I" + b"9" * 100_000 + b"\n."
    yield "bytearray by size", b"cbuiltins\nbytearray\n(I9999999999\ntR."
    yield "hash of deep tuples", b"\x80\x04}" + b")" + b"\x85" * 5_000 + b"Ns."
    yield "copies of one text", b"\x80\x04X" + struct.pack("<I", 100_000) + b"a" * 100_000 + b"q\x000" + (
        b"c_codecs\nencode\nh\x00\x8c\x06latin1\x86R" * 2000
    ) + b"."  # fmt: skip
    yield (
        "copies of one list",
        b"\x80\x04](" + b"K\x01" * 2_000 + b"eq\x000" + b"cbuiltins\nset\nh\x00\x85R" * 2000 + b".",
    )


@pytest.mark.parametrize(("name", "content"), list(bombs()), ids=lambda value: value if isinstance(value, str) else "")
def test_a_small_file_cannot_take_much_memory(tmp_path, name, content):
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            read(tmp_path, content)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_deep_nesting_and_self_reference_do_no_harm(tmp_path):
    deep = read(tmp_path, b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b".")
    assert isinstance(deep, list)
    laughs = b"\x80\x02]q\x00(K\x01K\x01e" + b"".join(b"]q%c(h%ch%ce" % (i, i - 1, i - 1) for i in range(1, 100)) + b"."
    assert len(read(tmp_path, laughs)) == 2


def test_limits_on_size_and_number_are_kept(tmp_path, monkeypatch):
    file = tmp_path / "file.pkl"
    file.write_bytes(pickle.dumps(list(range(100))))
    with pytest.raises(DataError, match="limit of 10"):
        read_pickle(file, max_bytes=10)
    monkeypatch.setattr(pickle_machine, "MAX_STEPS", 50)
    with pytest.raises(DataError, match="opcodes"):
        read_pickle(file)
    monkeypatch.undo()
    monkeypatch.setattr(pickle_machine, "MAX_CONTAINERS", 50)
    with pytest.raises(DataError, match="containers"):
        read(tmp_path, b"]" * 100 + b".")


def test_a_cut_off_file_is_told_at_every_length(tmp_path):
    whole = pickle.dumps({"train": {"id": ["a", "b"], "audio": np.arange(6.0).reshape(2, 3)}}, 2)
    for length in range(len(whole)):
        with pytest.raises(DataError):
            read(tmp_path, whole[:length])


def test_missing_and_unreadable_files_are_told(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_pickle(tmp_path / "none.pkl")
    with pytest.raises(DataError, match="this is a folder"):
        read_pickle(tmp_path)
    with pytest.raises(DataError, match="empty"):
        read(tmp_path, b"")


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_are_known_by_their_ends(protocol):
    for content in ([1], {"a": 1}, (1, 2), np.arange(3)):
        data = pickle.dumps(content, protocol)
        assert looks_like_pickle(data[:20], data[-1:])
    assert not looks_like_pickle(b"video_id,clip_id", b"\n")
    assert not looks_like_pickle(b"\x89HDF", b".")


def test_every_opcode_is_either_understood_or_refused_on_purpose():
    refused = {
        "INST",
        "OBJ",
        "NEWOBJ_EX",
        "PERSID",
        "EXT1",
        "EXT2",
        "EXT4",
        "NEXT_BUFFER",
        "READONLY_BUFFER",
    }
    known = {code.name for code in pickletools.opcodes if ord(code.code) in pickle_machine._OPERATIONS}
    assert {code.name for code in pickletools.opcodes} - known == refused | {"STOP"}
