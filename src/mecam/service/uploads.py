"""Recordings as they come in: a form is written to the disk piece by piece, and never held in memory.

The files of a form get names of our own. What a client calls a file is text, and only its ending, if it is one that we
know, decides anything.
"""

import asyncio
import errno
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from mecam.features.find_media import MEDIA_SUFFIXES
from mecam.features.text import SUFFIXES as TRANSCRIPT_SUFFIXES
from mecam.prediction.inputs import printable
from mecam.service.problems import Refused
from mecam.service.settings import MB

__all__ = ["Form", "receive_form"]

FILES = {"file": MEDIA_SUFFIXES, "transcript": TRANSCRIPT_SUFFIXES, "baseline": MEDIA_SUFFIXES}
"""Parts that may be files, and the endings that they keep."""
MAX_PARTS, MAX_FIELD, MAX_TRANSCRIPT, MAX_NAME = 24, 4_000, 20 * MB, 200
FLUSH = MB
"""Bytes that are written at once."""
FREE_LEFT = 100 * MB
"""Bytes of the disk that stay free."""


@dataclass
class Form:
    """What a client sent.

    Attributes:
        fields: name → text.
        files: name of a part → name of its file in the folder.
        names: name of a part → what the client calls the file.
        size: bytes of all files.
    """

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    size: int = 0


class _Part:
    """The part that is being read."""

    def __init__(self) -> None:
        self.header, self.value = bytearray(), bytearray()
        self.headers: dict[str, bytes] = {}
        self.name, self.data = "", bytearray()
        self.path: Path | None = None
        self.size = 0


class _Reading:
    """The callbacks of the parser: they collect, and `flush` writes."""

    def __init__(self, folder: Path, allowed: Callable[[str], bool]) -> None:
        self.form, self.ended = Form(), False
        self._folder, self._allowed = folder, allowed
        self._part = _Part()
        self._parts = 0
        self.ready: list[tuple[Path, bytearray]] = []

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_header_field": lambda data, start, end: self._part.header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._part.value.extend(data[start:end]),
            "on_header_end": self._header,
            "on_headers_finished": self._headers,
            "on_end": self._all,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise Refused(400, f"the form has more than {MAX_PARTS} parts", close=True)
        self._part = _Part()

    def _header(self) -> None:
        part = self._part
        part.headers[part.header.decode("latin-1").lower()] = bytes(part.value)
        part.header, part.value = bytearray(), bytearray()

    def _headers(self) -> None:
        part = self._part
        _, options = parse_options_header(part.headers.get("content-disposition"))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if not self._allowed(name):
            raise Refused(400, f"the form has a part that is not known: {printable(name[:40])!r}", close=True)
        if name in self.form.fields or name in self.form.files:
            raise Refused(400, "the form has this part twice", where=name, close=True)
        part.name = name
        given = options.get(b"filename")
        if given is not None and name in FILES:
            self._open(part, plain_name(given))
        elif name == "file":
            raise Refused(400, "the part `file` must be a file, with a file name", where="file", close=True)

    def _open(self, part: _Part, called: str) -> None:
        """A file, under a name of ours; only an ending that we know is kept."""
        suffix = PurePosixPath(called).suffix.lower()
        part.path = self._folder / f"{part.name}{suffix if suffix in FILES[part.name] else ''}"
        self.form.files[part.name], self.form.names[part.name] = part.path.name, called
        self.ready.append((part.path, bytearray()))

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        part.size += end - start
        if part.path is None and part.size > MAX_FIELD:
            raise Refused(413, f"a field has more than {MAX_FIELD} bytes", where=part.name, close=True)
        if part.name == "transcript" and part.size > MAX_TRANSCRIPT:
            raise Refused(413, f"the transcript is larger than {MAX_TRANSCRIPT / MB:g} MB", close=True)
        if part.path is None:
            part.data += data[start:end]
            return
        self.form.size += end - start
        if not self.ready or self.ready[-1][0] != part.path:  # what came before is written already
            self.ready.append((part.path, bytearray()))
        self.ready[-1][1].extend(data[start:end])

    def _end(self) -> None:
        part = self._part
        if part.path is None:
            try:
                self.form.fields[part.name] = part.data.decode("utf-8").strip()
            except UnicodeDecodeError:
                raise Refused(400, "the field is not UTF-8", where=part.name, close=True) from None

    def _all(self) -> None:
        self.ended = True

    def flush(self) -> None:
        """Write what has been collected."""
        ready, self.ready = self.ready, []
        for path, data in ready:
            with path.open("ab") as file:
                file.write(data)
        if ready and shutil.disk_usage(self._folder).free < FREE_LEFT:
            raise OSError(errno.ENOSPC, "less than 100 MB are free")


async def receive_form(
    pieces: AsyncIterator[bytes], content_type: str, folder: Path, allowed: Callable[[str], bool]
) -> Form:
    """Read a form.

    Args:
        pieces: of the body.
        content_type: header of the request.
        folder: where its files go.
        allowed: whether a part may be called so.

    Raises: Refused if it is none, or the disk is full.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        fix = "send the recording as the part `file` of a form (multipart/form-data)"
        raise Refused(415, "this is not a form", where="Content-Type", fix=fix, close=True)
    reading = _Reading(folder, allowed)
    try:
        parser = MultipartParser(boundary, reading.callbacks())  # type: ignore[arg-type]
        held = 0
        async for piece in pieces:
            parser.write(piece)
            held += len(piece)
            if held >= FLUSH:
                await asyncio.to_thread(reading.flush)
                held = 0
        parser.finalize()
        await asyncio.to_thread(reading.flush)
    except FormParserError as error:
        raise Refused(400, "the form cannot be read", fix="send it as multipart/form-data", close=True) from error
    except OSError as error:
        fix = "try again later"
        raise Refused(507, "there is no room for the recording", fix=fix, retry_s=60, close=True) from error
    if not reading.ended:
        raise Refused(400, "the form ends too early", close=True)
    if "file" not in reading.form.files:
        raise Refused(400, "there is no recording", where="file", fix="send it as the part `file`")
    return reading.form


def plain_name(given: bytes) -> str:
    """What a client calls a file: the last part of its name, as text that can be shown."""
    name = PurePosixPath(PureWindowsPath(given.decode("utf-8", "replace").replace("\0", "\ufffd")).name).name
    return "recording" if name in ("", ".", "..") else printable(name)[:MAX_NAME]
