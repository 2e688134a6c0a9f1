"""Requests byte by byte, as no client would make them."""

import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

__all__ = ["HOST", "Sent", "broken_requests", "form", "head", "send", "upload"]

HOST = "127.0.0.1"
UPLOADS = "/v1/predict/recording"
BOUNDARY = "the-boundary"

Part = tuple[str, str | None, bytes]
"""Name of a part, what its file is called (None: it is no file), its content."""


@dataclass(frozen=True)
class Sent:
    """Bytes for a server.

    Attributes:
        name: what is broken.
        content: all of it.
        may_be_silent: the server may close without a word: what came is no request, or not all of one.
        hang_up: close before the answer.
    """

    name: str
    content: bytes = field(repr=False)
    may_be_silent: bool = False
    hang_up: bool = False


def head(length: int | str, content_type: str, *more: str, path: str = UPLOADS, host: str = HOST) -> bytes:
    """The first lines of an upload."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Content-Type: {content_type}", f"Content-Length: {length}"]
    return "\r\n".join([*lines, *more, "Connection: close", "", ""]).encode("utf-8", "surrogateescape")


def form(parts: Sequence[Part], boundary: str = BOUNDARY) -> tuple[bytes, str]:
    """A form, and its boundary."""
    body = b""
    for name, file, content in parts:
        called = "" if file is None else f'; filename="{file}"'
        line = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{called}\r\n\r\n'
        body += line.encode("utf-8", "surrogateescape") + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), boundary


def upload(
    name: str,
    parts: Sequence[Part] = (),
    *,
    body: bytes | None = None,
    boundary: str = BOUNDARY,
    more: Sequence[str] = (),
) -> Sent:
    """A form that is sent as it should be, whatever is in it."""
    body = form(parts, boundary)[0] if body is None else body
    return Sent(name, head(len(body), f"multipart/form-data; boundary={boundary}", *more) + body)


def send(port: int, sent: Sent, seconds: float = 120.0) -> int | str:
    """The status of the answer; in words, what came instead of one."""
    try:
        with socket.create_connection((HOST, port), seconds) as connection:
            with suppress(BrokenPipeError, ConnectionResetError):  # it has heard enough; what it said can be read
                connection.sendall(sent.content)
            if sent.hang_up:
                return "hung up"
            line = b""
            while b"\r\n" not in line and (piece := connection.recv(1000)):
                line += piece
    except TimeoutError:
        return "no answer in time"
    except ConnectionError:
        return "closed"
    words = line.split(b" ", 2)
    return int(words[1]) if line.startswith(b"HTTP/1.1 ") and words[1].isdigit() else "closed"


NAMES = (
    *(
        "../../../../tmp/escaped.mp4",
        "/etc/passwd",
        "..\\..\\windows\\a.mp4",
        "C:\\a.mp4",
        ".",
        "..",
        "",
        " ",
        "a" * 5000,
    ),
    *("a\x00b.mp4", "a%00.mp4", "été \u202egpj.mp4", "\U0001f3ac.mp4", "con.mp4", "a;b.mp4", "a'b.mp4", "$(id).mp4"),
    *("file:///etc/passwd", "http://127.0.0.1/a.mp4", "a.mp4/", "-i.mp4", "|id", "jobs.sqlite", "concat:a|b", "%d.png"),
    *("\udcff\udcfe.mp4", "a.m3u8", "a.sdp", "<script>.mp4"),
)
PLAYLISTS = (
    b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/secret\n#EXT-X-ENDLIST\n",
    b"ffconcat version 1.0\nfile /etc/passwd\n",
    b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
    b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><MPD>&b;</MPD>",
)


def broken_requests() -> list[Sent]:
    """Uploads that are broken as requests or as forms."""
    good, boundary = form([("file", "a.wav", b"RIFF")])
    kind = f"multipart/form-data; boundary={boundary}"
    made = [upload(f"called {name[:30]!r}", [("file", name, b"RIFF0000WAVE")]) for name in NAMES]
    made += [upload(f"playlist {i}", [("file", f"a{i}.m3u8", text)]) for i, text in enumerate(PLAYLISTS)]
    made += [upload(f"playlist {i} as mp4", [("file", "a.mp4", text)]) for i, text in enumerate(PLAYLISTS)]
    made += [Sent(f"cut at {cut}", head(len(good), kind) + good[:cut], hang_up=True) for cut in range(0, len(good), 13)]
    made += [Sent(f"shorter at {cut}", head(cut, kind) + good[:cut]) for cut in range(0, len(good), 7)]
    made += [
        upload("no parts"),
        upload("empty file", [("file", "a.mp4", b"")]),
        upload("no file name", [("file", None, b"RIFF")]),
        upload("file twice", [("file", "a.wav", b"RIFF"), ("file", "b.wav", b"RIFF")]),
        upload("field twice", [("file", "a.wav", b"RIFF"), ("every", None, b"1"), ("every", None, b"2")]),
        upload("unknown field", [("file", "a.wav", b"RIFF"), ("__class__", None, b"1")]),
        upload("hundred parts", [("file", "a.wav", b"RIFF"), *[(f"p{i}", None, b"1") for i in range(100)]]),
        upload("long field", [("file", "a.wav", b"RIFF"), ("language", None, b"e" * 1_000_000)]),
        upload("fields that are not UTF-8", [("file", "a.wav", b"RIFF"), ("language", None, b"\xff\xfe")]),
        upload("NUL in a field", [("file", "a.wav", b"RIFF"), ("language", None, b"e\0n")]),
        upload("NaN", [("file", "a.wav", b"RIFF"), ("every", None, b"nan")]),
        upload("infinite", [("file", "a.wav", b"RIFF"), ("shortest", None, b"inf"), ("longest", None, b"inf")]),
        upload("many digits", [("file", "a.wav", b"RIFF"), ("person", None, b"9" * 3900)]),
        upload("person of 1e309", [("file", "a.wav", b"RIFF"), ("person", None, b"1e309")]),
        upload("other digits", [("file", "a.wav", b"RIFF"), ("person", None, "²".encode())]),
        upload("Arabic digits", [("file", "a.wav", b"RIFF"), ("person", None, "٣".encode())]),
        upload("baseline of text", [("file", "a.wav", b"RIFF"), ("baseline", None, b"/etc/passwd")]),
        upload("transcript of text", [("file", "a.wav", b"RIFF"), ("transcript", None, b"/etc/passwd")]),
        upload("other boundary", body=good, boundary="another"),
        upload("long boundary", body=good, boundary="b" * 5000),
        upload("strange boundary", body=good, boundary='"the\x01"'),
        upload("boundary only", body=f"--{boundary}".encode()),
        upload("boundaries only", body=f"--{boundary}\r\n".encode() * 5000),
        upload("long part headers", body=f"--{boundary}\r\nX-A: ".encode() + b"a" * 3_000_000),
        upload("many part headers", body=f"--{boundary}\r\n".encode() + b"X-A: a\r\n" * 300_000),
        upload("waits for ever", [("file", "a.wav", b"RIFF")], more=["Prefer: wait=99999999999999999999"]),
        upload("waits for a negative time", [("file", "a.wav", b"RIFF")], more=["Prefer: wait=-1, , =;"]),
        upload("waits for other digits", [("file", "a.wav", b"RIFF")], more=["Prefer: wait=²"]),
        Sent("no content type", head(len(good), "") + good),
        Sent("no boundary", head(len(good), "multipart/form-data") + good),
        Sent("JSON", head(2, "application/json") + b"{}"),
        Sent("urlencoded", head(6, "application/x-www-form-urlencoded") + b"file=a"),
        Sent("length that is no number", head("ten", kind) + good, may_be_silent=True),
        Sent("length below zero", head(-5, kind) + good, may_be_silent=True),
        Sent("two lengths", head(len(good), kind, "Content-Length: 3") + good, may_be_silent=True),
        Sent("length of a petabyte", head(10**15, kind) + good),
        Sent("length of 5000 digits", head("9" * 5000, kind) + good, may_be_silent=True),
        Sent("length and chunks", head(3, kind, "Transfer-Encoding: chunked") + b"0\r\n\r\n", may_be_silent=True),
        Sent("huge header", head(len(good), kind, "X-A: " + "a" * 1_000_000) + good, may_be_silent=True),
        Sent("many headers", head(len(good), kind, *(f"X-{i}: a" for i in range(5000))) + good, may_be_silent=True),
        Sent("no host", b"GET /healthz HTTP/1.1\r\n\r\n", may_be_silent=True),
        Sent("other host", head(len(good), kind, host="evil.example") + good),
        Sent("host with a user", head(len(good), kind, host="127.0.0.1@evil.example") + good),
        Sent("host that is none", head(len(good), kind, host="[::1") + good),
        Sent("other origin", head(len(good), kind, "Origin: http://evil.example") + good),
        Sent("null origin", head(len(good), kind, "Origin: null") + good),
        Sent("path with dots", b"GET /page/../../app.py HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"),
        Sent("coded dots", b"GET /page/%2e%2e%2fapp.py HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"),
        Sent("coded NUL", b"GET /page/%00 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"),
        Sent("path of bytes", b"GET /\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", may_be_silent=True),
        Sent("long path", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", may_be_silent=True),
        Sent("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20, may_be_silent=True),
        Sent("upgrade", head(0, kind, "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"), may_be_silent=True),
        Sent("deep JSON", text(b"[" * 200_000)),
        Sent("long number", text(b'{"text": ' + b"9" * 100_000 + b"}")),
        Sent("half a character", text(b'{"text": "\\ud800"}')),
        Sent("NUL in a text", text(b'{"text": "a\\u0000b"}')),
        Sent("bytes that are no text", text(b'{"text": "\xff\xfe"}')),
        Sent("key of half a character", text(b'{"\\ud800": 1}')),
        Sent("the same key twice", text(b'{"text": "a", "text": "b"}')),
        Sent("not a number", text(b'{"texts": [NaN]}')),
        Sent("a text without a word", text('{"text": "\u200b\u3164"}'.encode())),
        Sent("a long word", text(b'{"text": "' + b"a" * 9_999 + b'"}')),
        Sent("emoji", text(('{"text": "' + "\U0001f468\u200d\U0001f469" * 2000 + '"}').encode())),
        Sent("JSON of gzip", text(b"\x1f\x8b\x08\x00", "Content-Encoding: gzip")),
    ]
    return made


def text(body: bytes, *more: str) -> bytes:
    """A request of texts."""
    return head(len(body), "application/json", *more, path="/v1/predict/text") + body
