"""Numbers as programs and people write them into tables: decimal commas, thousands, signs that are no ASCII.

What a comma or a point means cannot be told from one cell: `1,234` is a thousand in one country and a little more than
one in another. So a column is looked at as a whole (`Marks`), and one that can be read in two ways is refused.
"""

import math
import re
from dataclasses import dataclass

__all__ = ["COMMA", "MISSING", "POINT", "Marks", "is_missing", "parse_number"]

POINT, COMMA = ".", ","

MISSING = frozenset({"", "nan", "na", "n/a", "#n/a", "#na", "<na>", "null", "none", "-", "--", "?", "."})
"""Cells, in lower case, that stand for a value that is not there."""

_EXCEL_ERRORS = frozenset({"#value!", "#div/0!", "#ref!", "#name?", "#num!", "#null!"})

_SAME = {
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212\ufe58\ufe63\uff0d"), "-"),  # minus and dashes
    **dict.fromkeys(map(ord, "\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"), " "),
    **dict.fromkeys(map(ord, "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"), None),  # characters of no width
    **{0xFF10 + digit: str(digit) for digit in range(10)},
    ord("\uff0b"): "+",
    ord("\uff0c"): ",",
    ord("\uff0e"): ".",
    ord("\u066b"): ".",
    ord("\u2019"): "'",
    ord("\uff05"): "%",
}
_NUMBER = re.compile(r"([+-]?) ?([\d.,' ]*\d[\d.,]*)((?:[eE][+-]?\d{1,4})?)( ?%?)", re.ASCII)
_SPACED = re.compile(r"\d{1,3}([ '])\d{3}(?:\1\d{3})*(?:[.,]\d*)?", re.ASCII)
_GROUPS = {
    COMMA: re.compile(r"[1-9]\d{0,2}(?:,\d{3})+", re.ASCII),
    POINT: re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+", re.ASCII),
}
_PLAIN = re.compile(r"\d+\.?\d*|\.\d+", re.ASCII)
_MAX_NUMBER_CHARACTERS = 64
"""Characters of a number; longer cells are text."""


@dataclass
class Marks:
    """What the cells of one column say about its decimal mark; each holds the first cell that says so.

    Attributes:
        comma: a cell that has a decimal comma and nothing else.
        point: a cell that has a decimal point and nothing else.
        either_comma: a cell such as 1,234, which may have a decimal comma or hold thousands.
        either_point: a cell such as 1.234.
    """

    comma: str = ""
    point: str = ""
    either_comma: str = ""
    either_point: str = ""

    def look(self, cell: str) -> None:
        """Take in one more cell."""
        as_point, as_comma = parse_number(cell, POINT), parse_number(cell, COMMA)
        if as_point != as_point and as_comma == as_comma:
            self.comma = self.comma or cell
        elif as_comma != as_comma and as_point == as_point:
            self.point = self.point or cell
        elif as_point == as_point and as_point != as_comma:
            self.either_comma = self.either_comma or cell * (COMMA in cell)
            self.either_point = self.either_point or cell * (POINT in cell)

    @property
    def sure(self) -> str | None:
        """The decimal mark where some cell shows it and none contradicts; else None."""
        if self.comma:
            return None if self.point or self.either_point else COMMA
        return POINT if self.point else None

    def decimal(self, *, otherwise: str | None) -> str | None:
        """The decimal mark, or None where the column can be read in two ways.

        Args:
            otherwise: the mark where nothing but cells such as 1,234 is there; None where nobody can say.
        """
        if self.comma or self.point:
            return self.sure
        return otherwise if self.either_comma and not self.either_point else POINT


def is_missing(cell: str) -> bool:
    """True for what stands for no value: an empty cell, NaN, N/A, an error of Excel."""
    text = cell.strip().lower()
    return text in MISSING or text in _EXCEL_ERRORS


def parse_number(cell: str, decimal: str = POINT) -> float:
    """The number in a cell, or NaN where there is none.

    Args:
        cell: the text; spaces around it do not count. `50 %` is 0.5.
        decimal: the column's decimal mark; the other one stands between thousands.
    """
    if COMMA not in cell and (decimal == POINT or POINT not in cell):  # the usual case, and the fast one
        try:
            return math.nan if "_" in cell else float(cell)
        except ValueError:
            pass
    parts = _parts(cell)
    if parts is None:
        return math.nan
    sign, body, exponent, percent = parts
    other = COMMA if decimal == POINT else POINT
    whole, mark, fraction = body.partition(decimal)
    if _GROUPS[other].fullmatch(whole):
        whole = whole.replace(other, "")
    plain = f"{whole}.{fraction}" if mark else whole
    if other in whole or not _PLAIN.fullmatch(plain):
        return math.nan
    number = float(f"{sign}{plain}{exponent}")
    return number / 100 if percent else number


def _parts(cell: str) -> tuple[str, str, str, str] | None:
    """Sign, digits with their marks, exponent and per cent; None for what is no number."""
    match = _NUMBER.fullmatch(cell.translate(_SAME).strip()) if len(cell) <= _MAX_NUMBER_CHARACTERS else None
    if match is None or ((" " in match[2] or "'" in match[2]) and not _SPACED.fullmatch(match[2])):
        return None
    return match[1], match[2].replace(" ", "").replace("'", ""), match[3], match[4].strip()
