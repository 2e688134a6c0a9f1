"""Text files from anywhere: which encoding they are in is found out and said, or they are refused.

A text in the wrong encoding is other letters, not an error, so that a guess must be certain. UTF-8 and UTF-16 are told
by their bytes. Of the others, chardet's statistics rank the candidates, and a candidate counts only if its text is one
that somebody may have written (`is_plausible`). What is not certain then is refused: a file is soon saved as UTF-8.
Measured on 1 688 texts of one to five sentences in 44 encodings: none was misread but some in the Macintosh's own
encodings, which nobody writes any more; of the usual ones (GBK, Big5, Shift-JIS, EUC, Windows, KOI8-R) one in a hundred
was refused. Charset-normalizer misread 537 of the same, chardet without the rules 60.
"""

import re
import unicodedata
from itertools import pairwise
from pathlib import Path

from mecam.budget import check_regular_file
from mecam.errors import DataError

__all__ = ["decoded", "is_plausible", "lines_of", "read_encoded", "read_text", "text_of_bytes"]

NAMES = {
    "gb18030": "GBK (Chinese)",
    "big5hkscs": "Big5 (Chinese)",
    "cp932": "Shift-JIS (Japanese)",
    "euc_jis_2004": "EUC-JP (Japanese)",
    "cp949": "EUC-KR (Korean)",
    "cp1250": "Windows-1250 (Central European)",
    "cp1251": "Windows-1251 (Cyrillic)",
    "cp1252": "Windows-1252 (Western European)",
    "cp1253": "Windows-1253 (Greek)",
    "cp1254": "Windows-1254 (Turkish)",
    "cp1255": "Windows-1255 (Hebrew)",
    "cp1256": "Windows-1256 (Arabic)",
    "cp1257": "Windows-1257 (Baltic)",
    "cp874": "Windows-874 (Thai)",
    "iso8859-2": "ISO 8859-2 (Central European)",
    "iso8859-5": "ISO 8859-5 (Cyrillic)",
    "iso8859-6": "ISO 8859-6 (Arabic)",
    "iso8859-7": "ISO 8859-7 (Greek)",
    "koi8-r": "KOI8-R (Cyrillic)",
    "koi8-u": "KOI8-U (Cyrillic)",
    "cp866": "CP866 (Cyrillic)",
}
"""Encodings that are read, and how a finding names them."""
RIVALS = ("cp1258", "mac-roman", "mac-cyrillic", "cp437", "cp850", "cp852", "cp737")
"""Encodings that are not read, but whose bytes must not be taken for another's."""
WESTERN = "cp1252"
PRIOR = {WESTERN: 1.4, **dict.fromkeys(RIVALS, 0.7)}
"""Times chardet's confidence: short texts tell little, and some encodings are more usual than others."""
UNUSUAL = 0.5
"""The same for Western European with letters that few of its languages have: they are another's, misread."""
MIN_EVIDENCE, MIN_LEAD = 0.04, 1.15
"""A candidate is certain if it has so much of it, and so many times that of the next other text. Western European needs
not the first: a letter with an accent or two in a short text tell nothing, and hardly another encoding gives them."""
JAPANESE = ("cp932", "euc_jis_2004")
MIN_KANA = 0.25
"""A text of which more is kana is Japanese, and sure by so much: other encodings hardly give any."""
MAX_SAMPLED_BYTES = 20_000
"""Bytes of text that are not ASCII, for the statistics."""
SAVE_AS_UTF8 = "open it in a text editor and save it as UTF-8"

_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_WORD = re.compile(r"[^\W\d_]+")
_COMMON_WESTERN = re.compile(r"[\x00-\x7fÀ-ÏÑ-ÖØ-ÜßŒœà-ïñ-öø-üÿ‘’‚“”„–—…«»‹›¿¡€°·£§ºª\xa0]*")
# Signs that stand in texts, though never inside a word.
_SIGNS = re.compile(
    r"[^\w\s\x00-\x7f‘’“”„‚–—…«»‹›¿¡€°·£§ºª©®™№·•\u0e3f\u0e4f♪♫\u3000-\u303f\uff00-\uff65\uffe0-\uffe6،؛؟\u0300-\u036f\u0590-\u05ff\u0640-\u0670\u0e31-\u0e4e]"
)
_SIGN_IN_WORD = re.compile(r"[^\W\d_][¿¡€°£§ºª©®™№«»„“”‚‹›…][^\W\d_]")
# A blank that may not break, of the sort that is a letter in DOS.
_NBSP_IN_WORD = re.compile("[a-z]\xa0[a-z]")
# Serbian letters beside Russian ones, and the final sigma before another letter.
_IMPOSSIBLE = re.compile("[ЂђЉљЊњЋћЏџЃѓЌќЅѕ].*[ЫыЭэЩщЪъ]|[ЫыЭэЩщЪъ].*[ЂђЉљЊњЋћЏџЃѓЌќЅѕ]|ς(?=[α-ωά-ώ])", re.DOTALL)
_KANA = re.compile("[ぁ-ヿ]")
SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "HEBREW", "ARABIC", "THAI", "HANGUL", "CJK", "HIRAGANA", "KATAKANA")
_ONE_TEXT = {"CJK": "JAPANESE", "HIRAGANA": "JAPANESE", "KATAKANA": "JAPANESE"}


def read_text(path: Path, *, most: int, what: str = "text file") -> tuple[str, tuple[str, ...]]:
    r"""Read a text file in whatever encoding; the BOM goes, and every end of line becomes `\n`.

    Args:
        path: the file.
        most: bytes that it may have.
        what: what it is read as, for errors.

    Returns: its text, and what was found out about its encoding, in sentences.
    Raises: DataError if it is missing, no regular file, too large, holds binary data, or its encoding is not certain.
    """
    content, encoding = read_encoded(path, most=most, what=what)
    return content, (f"not in UTF-8: read as {encoding}",) if encoding else ()


def read_encoded(path: Path, *, most: int, what: str = "text file") -> tuple[str, str]:
    """As `read_text`.

    Returns: the text, and the name of its encoding, "" for UTF.
    Raises: DataError, as `read_text`.
    """
    data = _bytes_of(path, most, what)
    if len(data) > most:
        raise DataError(f"this is larger than any {what}", where=str(path), fix=f"give the {what}'s file")
    return text_of_bytes(data, where=str(path), what=what)


def text_of_bytes(data: bytes, *, where: str, what: str = "text file") -> tuple[str, str]:
    """Bytes as text, as `read_encoded`.

    Raises: DataError if they are binary data, or their encoding is not certain.
    """
    found = decoded(data)
    if found is None:
        binary = b"\x00" in data or len(_CONTROLS.findall(data.decode("latin-1"))) * 20 > len(data)
        raise DataError(
            f"this is no {what}: it holds binary data" if binary else "the encoding of this text is not certain",
            where=where,
            fix="give a text file in UTF-8" if binary else SAVE_AS_UTF8,
        )
    content, encoding = found
    if _CONTROLS.search(content):
        raise DataError(f"this is no {what}: it holds binary data", where=where, fix="give a text file in UTF-8")
    return re.sub(r"\r+\n|\r", "\n", content), encoding


def lines_of(source: Path | bytes, *, most: int, where: str, what: str) -> tuple[list[str], str]:
    """The lines of a file that holds one thing a line; in UTF-8, control characters in them stay.

    Args:
        source: the file, or what was read of it.
        most: bytes that it may have.
        where: how errors name it.
        what: what it is read as, for errors.

    Returns: the lines without their ends, and the name of the encoding, "" for UTF.
    Raises: DataError if it cannot be read, is too large, holds binary data, or its encoding is not certain.
    """
    data = _bytes_of(source, most, what) if isinstance(source, Path) else source
    if len(data) > most:
        raise DataError(f"this {what} is larger than {most >> 20} MB", where=where, fix="give it in parts")
    found = _as(data, "utf-8-sig")
    if found is None or data.count(0) * 4 > len(data):  # UTF-16 without its mark
        found = text_of_bytes(data, where=where, what=what)
    text, encoding = found
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), encoding


def decoded(data: bytes) -> tuple[str, str] | None:
    """Bytes as text.

    Returns: the text and the name of its encoding, "" for UTF; None where it is not certain.
    """
    for mark, encoding in ((b"\xff\xfe\x00\x00", "utf-32"), (b"\x00\x00\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16")):
        if data.startswith(mark):
            return _as(data, encoding)
    if data.startswith(b"\xfe\xff"):
        return _as(data, "utf-16")
    if (found := _as(data, "utf-8-sig")) is not None and "\x00" not in found[0]:
        return found
    if b"\x00" in data:
        return _wide(data)
    return _by_statistics(data)


def is_plausible(text: str) -> bool:
    """True if somebody may have written it; text in the wrong encoding rarely is.

    Letters are of one script beside Latin ones (Japanese has several), and a word is of one. No sign stands inside a
    word, no capital after a small letter that is not ASCII. Nothing is unassigned or private; signs are rarer than
    letters. Of Latin letters at most half are not ASCII.
    """
    foreign = [letter for letter in text if not letter.isascii()]
    if any(unicodedata.category(letter) in ("Cc", "Cn", "Co") or "\u2500" <= letter <= "\u259f" for letter in foreign):
        return False
    signs = len(_SIGNS.findall(text))
    words = [word for word in _WORD.findall(text) if not word.isascii()]
    if _SIGN_IN_WORD.search(text) or signs * 10 > sum(map(len, words)):
        return False
    scripts: set[str] = set()
    for word in words:
        own = {_script(letter) for letter in word}
        if len(own - {"JAPANESE", "OTHER"}) > 1 or _odd_case(word):
            return False
        scripts |= own
    if len(scripts - {"LATIN", "OTHER"}) > 1 or _IMPOSSIBLE.search(text):
        return False
    half = sum("\uff61" <= letter <= "\uff9f" for letter in foreign)
    accented = sum(_script(letter) == "LATIN" for letter in foreign if letter.isalpha())
    return half * 4 <= len(foreign) and accented * 2 <= sum(
        _script(letter) == "LATIN" for letter in text if letter.isalpha()
    )


def _bytes_of(path: Path, most: int, what: str) -> bytes:
    """The bytes of a file, at most one more than it may have."""
    check_regular_file(path)
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise DataError(f"cannot read the {what}: {error.strerror}", where=str(path)) from error


def _as(data: bytes, encoding: str) -> tuple[str, str] | None:
    try:
        return data.decode(encoding), ""
    except UnicodeError:
        return None


def _wide(data: bytes) -> tuple[str, str] | None:
    """UTF-16 without its mark: of ASCII, one byte of two is zero."""
    high, low = data[0::2].count(0), data[1::2].count(0)
    if max(high, low) < 4 * min(high, low) or len(data) % 2:
        return None
    found = _as(data, "utf-16-le" if low > high else "utf-16-be")
    return found if found is not None and not _CONTROLS.search(found[0]) and is_plausible(found[0]) else None


def _by_statistics(data: bytes) -> tuple[str, str] | None:
    import chardet  # its tables take a while to load, and nearly all files are in UTF-8

    lines = [line for line in data.splitlines() if not line.isascii()]
    sample = b"\n".join(lines)[:MAX_SAMPLED_BYTES]
    ranked = chardet.detect_all(sample, ignore_threshold=True, include_encodings=(*NAMES, *RIVALS), compat_names=False)
    scores = {str(one["encoding"]).lower(): float(one["confidence"]) for one in ranked}
    texts: dict[str, tuple[float, str]] = {}
    for encoding in (*NAMES, *RIVALS):
        text = _lenient(sample, encoding)
        if text is None or not is_plausible(text):
            continue
        score = scores.get(encoding, 0.0) * PRIOR.get(encoding, 1.0)
        if encoding == WESTERN and (_NBSP_IN_WORD.search(text) or not _COMMON_WESTERN.fullmatch(text)):
            score = scores.get(encoding, 0.0) * UNUSUAL
        elif encoding in JAPANESE and (kana := len(_KANA.findall(text)) / max(1, len(text))) > MIN_KANA:
            score = max(score, kana)
        texts[text] = max(texts.get(text, (0.0, "")), (score, encoding))
    (first, chosen), (second, _) = [*sorted(texts.values(), reverse=True), (0.0, ""), (0.0, "")][:2]
    if first < MIN_LEAD * second or first < (0.0 if chosen == WESTERN else MIN_EVIDENCE):
        return None
    if chosen not in NAMES:
        return None
    found = _as(data, chosen)
    return None if found is None else (found[0], NAMES[chosen])


def _lenient(sample: bytes, encoding: str) -> str | None:
    """The sample, whose last letter may be cut."""
    for end in (len(sample), -1, -2, -3) if len(sample) == MAX_SAMPLED_BYTES else (len(sample),):
        if (found := _as(sample[:end], encoding)) is not None:
            return found[0]
    return None


def _odd_case(word: str) -> bool:
    """True if a capital follows a small letter, and one of both is not ASCII."""
    return any(a.islower() and b.isupper() and not (a.isascii() and b.isascii()) for a, b in pairwise(word))


def _script(letter: str) -> str:
    if letter.isascii():
        return "LATIN"
    name = unicodedata.name(letter, "").split(" ")
    found = next((part for part in name[:2] if part in SCRIPTS), "OTHER")
    return _ONE_TEXT.get(found, found)
