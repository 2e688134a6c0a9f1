"""Forms come in pieces of any size, and nothing in them decides where anything is written."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mecam.service.problems import Refused
from mecam.service.uploads import MAX_FIELD, MAX_PARTS, Form, plain_name, receive_form

BOUNDARY = b"-----------------------------1234"
TYPE = f"multipart/form-data; boundary={BOUNDARY.decode()}"


def part(name: str, data: bytes, filename: str | None = None) -> bytes:
    named = "" if filename is None else f'; filename="{filename}"'
    head = f'Content-Disposition: form-data; name="{name}"{named}\r\n\r\n'
    return b"--" + BOUNDARY + b"\r\n" + head.encode() + data + b"\r\n"


def form_of(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def received(body: bytes, folder: Path, sizes: list[int] | None = None, kind: str = TYPE) -> Form:
    async def pieces() -> AsyncIterator[bytes]:
        place = 0
        for size in sizes or []:
            yield body[place : place + size]
            place += size
        yield body[place:]

    allowed = {"file", "transcript", "baseline", "words", "language"}
    return asyncio.run(receive_form(pieces(), kind, folder, lambda name: name in allowed))


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=3000), sizes=st.lists(st.integers(1, 200), max_size=60))
def test_pieces_of_any_size_give_the_same_form(data: bytes, sizes: list[int]) -> None:
    body = form_of(part("file", data, "clip.mp4"), part("words", b" true "), part("transcript", b"hello", "a.srt"))
    with TemporaryDirectory() as folder:
        form = received(body, Path(folder), sizes)
        assert (Path(folder) / form.files["file"]).read_bytes() == data
        assert (Path(folder) / "transcript.srt").read_bytes() == b"hello"
        assert form.fields == {"words": "true"}
        assert form.size == len(data) + 5
        assert form.names == {"file": "clip.mp4", "transcript": "a.srt"}


@pytest.mark.parametrize(
    ("given_name", "shown", "stored"),
    [
        ("../../etc/passwd", "passwd", "file"),
        ("/tmp/clip.MP4", "clip.MP4", "file.mp4"),
        ("C:\\clips\\my clip.webm", "my clip.webm", "file.webm"),
        ("clip.mp4.exe", "clip.mp4.exe", "file"),
        ("..", "recording", "file"),
        ("a\nb.wav", None, "file.wav"),
    ],
)
def test_a_name_never_becomes_a_path(tmp_path: Path, given_name: str, shown: str | None, stored: str) -> None:
    called = plain_name(given_name.encode())
    assert shown is None or called == shown
    assert called.isprintable()
    form = received(form_of(part("file", b"x", given_name.replace("\n", "%0A"))), tmp_path)
    assert form.files["file"] == stored
    assert [file.name for file in tmp_path.iterdir()] == [stored]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "application/json", 415),
        (b"", "multipart/form-data", 415),
        (b"garbage", TYPE, 400),
        (form_of(part("file", b"x", "a.mp4"))[:-20], TYPE, 400),
        (form_of(part("words", b"true")), TYPE, 400),
        (form_of(part("file", b"x")), TYPE, 400),
        (form_of(part("file", b"x", "a.mp4"), part("file", b"y", "b.mp4")), TYPE, 400),
        (form_of(part("file", b"x", "a.mp4"), part("unknown", b"y")), TYPE, 400),
        (form_of(part("file", b"x", "a.mp4"), part("words", b"y" * (MAX_FIELD + 1))), TYPE, 413),
        (form_of(part("file", b"x", "a.mp4"), part("words", b"\xff\xfe")), TYPE, 400),
        (form_of(*[part("words", b"y")] * (MAX_PARTS + 1)), TYPE, 400),
    ],
)
def test_what_is_no_form_of_ours_is_refused(tmp_path: Path, body: bytes, kind: str, status: int) -> None:
    with pytest.raises(Refused) as refused:
        received(body, tmp_path, kind=kind)
    assert refused.value.status_code == status


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))  # type: ignore[attr-defined]
    with pytest.raises(Refused) as refused:
        received(form_of(part("file", b"x", "a.mp4")), tmp_path)
    assert refused.value.status_code == 507
