"""Text tables as spreadsheets and pandas write them: what separates the columns, and how numbers are written.

Excel separates columns with semicolons where the decimal mark is a comma, saves "Unicode text" as UTF-16 with tabs, may
write `sep=;` before the header, and leaves empty rows and columns behind; its plain "CSV" is in the encoding of the
system, such as GBK or Windows-1252. All that is understood and reported; what can be read in two ways is refused.
"""

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mecam.budget import check_regular_file
from mecam.data.cells import original_cell
from mecam.data.importing.sources.base import Note
from mecam.data.importing.sources.numerals import COMMA, POINT, Marks, is_missing, parse_number
from mecam.data.text_files import read_encoded
from mecam.errors import DataError

__all__ = ["DelimitedTable", "looks_like_table"]

MAX_LINE_CHARACTERS = 1 << 20
"""Characters; a row of a thousand features has about 20 000."""

MAX_NOT_UTF_BYTES = 64 << 20
"""Bytes of a table in another encoding than UTF; it is held in memory as a whole."""

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_IDS = ("id", "name", "segment", "utterance_id", "file", "filename")
_KNOWN = {*_IDS, "video_id", "clip_id", "dialogue_id", "utterance", "text", "label", "emotion", "annotation"}
_KNOWN |= {"sentiment", "mode", "split", "speaker", "actor", "word", "start", "end", "path", "media"}
_UNNAMED = "unnamed: "
HEAD = 1 << 16


def looks_like_table(head: bytes) -> bool:
    """True for what may be a text table: a printable first line with something that separates columns."""
    encoding = _encoding(head)
    if b"\x00" in head and encoding == "utf-8-sig":
        return False
    lines = (line for line in head.decode(encoding, "replace").splitlines() if line.strip())
    line = next(lines, "")
    return any(mark in line for mark in DELIMITERS) and all(char >= " " or char in "\t\r" for char in line)


@dataclass(frozen=True)
class _Dialect:
    """How a table is written.

    Attributes:
        delimiter: between two columns.
        skip: lines before the header (`sep=;`, empty ones).
    """

    delimiter: str
    skip: int


@dataclass(frozen=True)
class _Text:
    """The text of a file: read piece by piece where it is in UTF, else held as a whole.

    Attributes:
        path: the file.
        encoding: of the file, as Python calls it if it is UTF, else as people do.
        whole: the text, if it is in another encoding.
    """

    path: Path
    encoding: str
    whole: str | None = None

    def open(self) -> io.TextIOWrapper | io.StringIO:
        """The text from its beginning."""
        if self.whole is not None:
            return io.StringIO(self.whole, newline="")
        return self.path.open(encoding=self.encoding, newline="")


class DelimitedTable:
    """A table with a header; iterating reads it row by row, keys in lower case. Empty rows are left out.

    Args:
        path: the file.

    Attributes:
        path: the file.
        header: the columns' names in lower case; one without a name is `unnamed: N`.

    Raises: DataError if it is no file, no text, or its encoding is not certain.
    """

    def __init__(self, path: Path) -> None:
        check_regular_file(path)
        self.path = path
        with _clear_errors(path):
            self._text = _text(path)
            self._dialect = _dialect(self._text)
            names = [original_cell(name.strip()).lower() for name in next(self._records(), [])]
        self.header = [name or f"{_UNNAMED}{index}" for index, name in enumerate(names)]
        self._marks: dict[str, Marks] | None = None
        self._decimals: dict[str, str] = {}
        self._unread: dict[str, tuple[int, str]] = {}
        self._percentages = (0, "")

    def id_columns(self) -> tuple[str, ...]:
        """The columns that make up the id, or none."""
        if {"video_id", "clip_id"} <= set(self.header):
            return "video_id", "clip_id"
        return next(((name,) for name in _IDS if name in self.header), ())

    def check_header(self) -> None:
        """Refuse a header in which a name occurs twice: nobody can say which column is meant.

        Raises: DataError.
        """
        twice = sorted({name for name in self.header if self.header.count(name) > 1})
        if twice:
            raise DataError(f"the column {twice[0]!r} occurs twice", where=self.path.name, fix="rename one of them")

    def __iter__(self) -> Iterator[dict[str, str]]:
        width = len(self.header)
        with _clear_errors(self.path):
            records = self._records()
            next(records, None)
            for number, cells in enumerate(records, 2):
                if len(cells) != width:
                    cells = self._fitted(cells, number)
                yield dict(zip(self.header, map(original_cell, cells), strict=True))

    def number(self, column: str, cell: str) -> float:
        """The number in a cell of a column, NaN where there is none; a cell that should hold one is counted.

        Raises: DataError if the column's numbers can be read in two ways.
        """
        number = self.parsed(column, cell)
        if number != number and not is_missing(cell):
            count, example = self._unread.get(column, (0, cell))
            self._unread[column] = count + 1, example
        return number

    def parsed(self, column: str, cell: str) -> float:
        """As `number`, without counting.

        Raises: DataError, as `number`.
        """
        decimal = self._decimals.get(column)
        if decimal is None:
            decimal = self._decimals[column] = self._decimal(column)
        number = parse_number(cell, decimal)
        if "%" in cell and number == number:
            self._percentages = self._percentages[0] + 1, self._percentages[1] or cell
        return number

    @property
    def form(self) -> str:
        """How the table is written, for the report; of decimal marks those that were asked for so far."""
        marks = sorted(set(self._decimals.values()))
        decimal = {POINT: ", decimal point", COMMA: ", decimal comma"}.get("".join(marks), ", both decimal marks")
        encoding = self._text.encoding
        encoding = encoding if self._text.whole is not None else encoding.upper().removesuffix("-SIG")
        return f"{encoding}, columns separated by {self._separator}{decimal if marks else ''}"

    def notes(self) -> list[Note]:
        """What is unusual about the table, as far as it has been read."""
        name = self.path.name
        found: list[Note] = []
        if self._text.whole is not None:
            found.append(("other encodings", f"{name}: not in UTF-8: read as {self._text.encoding}", 1))
        if self._dialect.delimiter != ",":
            found.append(("unusual delimiters", f"{name}: {self._separator}", 1))
        commas = [column for column, mark in self._decimals.items() if mark == COMMA]
        found += [("decimal commas", f"{name}: {column}", 1) for column in commas]
        if self._percentages[0]:
            found.append(("percentages", f"{name}: {self._percentages[1]}", self._percentages[0]))
        for column, (count, example) in self._unread.items():
            found.append(("cells that are no number", f"{name}, {column}: {example!r:.60}", count))
        return found

    def holds_words(self, column: str) -> bool:
        """True where a cell of the column was read as a number and is none."""
        return column in self._unread

    def forget(self, column: str) -> None:
        """A column is not used: nothing in it is reported."""
        self._unread.pop(column, None)
        self._decimals.pop(column, None)

    @property
    def _separator(self) -> str:
        return DELIMITERS.get(self._dialect.delimiter, repr(self._dialect.delimiter))

    def _records(self) -> Iterator[list[str]]:
        """The header and the rows, without those that are empty."""
        with self._text.open() as file:
            for _ in range(self._dialect.skip):
                file.readline(MAX_LINE_CHARACTERS)
            for cells in csv.reader(_lines(file), delimiter=self._dialect.delimiter):
                if any(cell and not cell.isspace() for cell in cells):
                    yield cells

    def _fitted(self, cells: list[str], number: int) -> list[str]:
        """A row of another length than the header, if only empty cells and nameless columns make the difference."""
        width = len(self.header)
        extra, lacking = cells[width:], self.header[len(cells) :]
        if not any(cell.strip() for cell in extra) and all(name.startswith(_UNNAMED) for name in lacking):
            return cells[:width] + [""] * len(lacking)
        raise DataError(
            f"{len(cells)} cells under a header of {width}",
            where=f"{self.path.name}, row {number}",
            fix="put quotes around a text or a number that holds the separator (as a decimal comma does)",
        )

    def _decimal(self, column: str) -> str:
        if self._marks is None:
            self._marks = self._looked_at()
        marks = self._marks.get(column)
        if marks is None:
            return POINT
        elsewhere = {other.sure for other in self._marks.values()} - {None}
        probable = COMMA if elsewhere == {COMMA} or (not elsewhere and self._dialect.delimiter == ";") else None
        decimal = marks.decimal(otherwise=probable)
        if decimal is None:
            seen = [cell for cell in (marks.comma or marks.either_comma, marks.point or marks.either_point) if cell]
            what = " beside ".join(map(repr, seen)) if len(seen) > 1 else f"{seen[0]!r}"
            raise DataError(
                f"the numbers of the column {column!r} can be read in two ways, with a decimal comma or a decimal "
                f"point: {what}",
                where=self.path.name,
                fix="write the whole column with a decimal point and without thousands separators",
            )
        return decimal

    def _looked_at(self) -> dict[str, Marks]:
        """What every column says about its decimal mark; nothing where no cell can hold a comma."""
        if not self._may_hold_commas():
            return {}
        marks = [Marks() for _ in self.header]
        for row in self:
            for cell, seen in zip(row.values(), marks, strict=False):
                if COMMA in cell or (POINT in cell and not seen.point):
                    seen.look(cell.strip())
        return dict(zip(self.header, marks, strict=True))

    def _may_hold_commas(self) -> bool:
        """False where a look at the bytes shows that no cell holds a comma: large tables are read once only."""
        wanted = b'"' if self._dialect.delimiter == "," else b","
        with _clear_errors(self.path), self.path.open("rb") as file:
            return any(wanted in block for block in iter(lambda: file.read(1 << 20), b""))


def _text(path: Path) -> _Text:
    """A file's text in the encoding that it is in.

    Raises: DataError if that is not certain, or it is not UTF and the file is large.
    """
    with path.open("rb") as file:
        encoding = _encoding(file.read(HEAD))
    if encoding != "utf-8-sig" or _is_utf8(path):
        return _Text(path, encoding)
    if path.stat().st_size > MAX_NOT_UTF_BYTES:
        raise DataError(
            f"this table is not in UTF-8, and larger than {MAX_NOT_UTF_BYTES >> 20} MB",
            where=path.name,
            fix="save it as UTF-8 (in Excel: CSV UTF-8)",
        )
    try:
        whole, name = read_encoded(path, most=MAX_NOT_UTF_BYTES, what="table")
    except DataError as error:
        raise DataError(error.what, where=path.name, fix=error.fix) from None
    return _Text(path, name, whole) if name else _Text(path, encoding)


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        try:
            while block := file.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _dialect(text: _Text) -> _Dialect:
    with text.open() as file:
        skip, line = 0, file.readline(MAX_LINE_CHARACTERS)
        while line and not line.strip():
            skip, line = skip + 1, file.readline(MAX_LINE_CHARACTERS)
    told = line.strip().strip('"')
    if told.lower().startswith("sep=") and len(told) == 5:
        return _Dialect(told[4], skip + 1)
    if told.lower() == "sep=":  # the mark itself was stripped: a tab
        return _Dialect("\t", skip + 1)
    headers = {mark: next(csv.reader([line], delimiter=mark), []) for mark in DELIMITERS}
    best = max(DELIMITERS, key=lambda mark: _knows(headers[mark]))
    return _Dialect(best, skip)


def _knows(header: Sequence[str]) -> tuple[int, int]:
    names = [original_cell(name.strip()).lower() for name in header]
    return sum(name in _KNOWN for name in names), len(names)


def _encoding(head: bytes) -> str:
    for bom, name in _BOMS:
        if head.startswith(bom):
            return name
    even, odd = head[0:200:2], head[1:200:2]
    if b"\x00" in head[:200]:  # UTF-16 without a mark: every other byte of plain letters is zero
        if odd.count(0) > 0.9 * len(odd) and not even.count(0):
            return "utf-16-le"
        if even.count(0) > 0.9 * len(even) and not odd.count(0):
            return "utf-16-be"
    return "utf-8-sig"


def _lines(file: io.TextIOWrapper | io.StringIO) -> Iterator[str]:
    """The lines of a file; none may be so long that reading it takes the memory that there is."""
    while line := file.readline(MAX_LINE_CHARACTERS):
        if len(line) == MAX_LINE_CHARACTERS:
            raise csv.Error(f"a line has {MAX_LINE_CHARACTERS} characters or more")
        yield line


class _clear_errors:  # noqa: N801 - reads as a verb where it is used
    """Turn what reading a text file can raise into one DataError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, OSError | UnicodeError | csv.Error):
            raise DataError(
                f"the table cannot be read: {error}",
                where=self.path.name,
                fix="save it as UTF-8 (in Excel: CSV UTF-8)",
            ) from None
