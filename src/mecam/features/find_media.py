"""Which files of the inputs are recordings: by their ending, and where it is not a known one, by how they begin."""

import glob
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mecam.data.text_files import lines_of
from mecam.errors import DataError

__all__ = ["MEDIA_SUFFIXES", "VIDEO_SUFFIXES", "FoundMedia", "Place", "find_media", "is_media", "plain", "shown"]

_VIDEO = """
mp4 m4v mov qt 3gp 3g2 3gpp 3gpp2 f4v mj2 mkv webm mk3d avi divx wmv asf flv mpg mpeg mpe m1v m2v mpv m2p ps vob ts mts
m2ts m2t trp tod mod ogv ogm mxf gxf rm rmvb dv ivf amv nut y4m wtv h264 264 hevc h265 265
"""
_SOUND = """
wav wave rf64 w64 bwf flac mp3 mp2 mp1 mpa mpga m4a m4b m4r aac adts ogg oga opus spx wma aiff aif aifc caf au snd amr
amr-nb amr-wb awb mka weba sph nist ac3 eac3 ec3 dts dtshd thd mlp wv ape tta tak ofr mpc mp+ shn ra ram gsm g722 g726
voc 8svx ircam sf qcp adx oma aa3 at3 aa aax xwma dss c2
"""
_BESIDE = """
csv tsv txt json jsonl srt vtt ass ssa sub idx lrc textgrid eaf trs ctm rttm lab xml html htm md rst pdf doc docx xls
xlsx ods parquet pkl pickle npz npy mat h5 hdf5 csd pt pth safetensors bin onnx yaml yml toml ini cfg log py ipynb sh
zip gz tar tgz bz2 xz 7z rar jpg jpeg png gif bmp tif tiff webp svg heic tmp part partial crdownload sha256 md5 db nfo
url lnk
"""


def _suffixes(endings: str) -> frozenset[str]:
    return frozenset(f".{ending}" for ending in endings.split())


VIDEO_SUFFIXES = _suffixes(_VIDEO)
"""Endings of files that hold pictures, and mostly sound."""
MEDIA_SUFFIXES = VIDEO_SUFFIXES | _suffixes(_SOUND)
"""Endings of video and sound files."""
_COMPANIONS = _suffixes(_BESIDE)
"""Endings of what lies beside recordings and is none; nothing is said about such files."""
_DOUBTFUL = _suffixes("ts mts mod tod ps sf aa c2 264 265 dv ram")
"""Endings that other files have as well (programs, modules): the content decides."""

MAX_LIST_BYTES = 64 << 20
"""Bytes of a list of paths."""

_BEGINNINGS = (
    *(
        (0, mark)
        for mark in (b"\x1aE\xdf\xa3", b"OggS", b"fLaC", b"FLV\x01", b"0&\xb2u\x8ef\xcf\x11", b"\x00\x00\x01\xba")
    ),
    *((0, mark) for mark in (b"#!AMR", b"caff", b".snd", b"NIST_1A", b"wvpk", b"MAC ", b"TTA1", b".RMF", b".ra\xfd")),
    *((0, mark) for mark in (b"DKIF", b"Creative Voice File", b"\x06\x0e+4\x02\x05\x01\x01", b"ajkg", b"MPCK", b"MP+")),
    *(
        (0, mark)
        for mark in (b"\x7f\xfe\x80\x01", b"\x0bw", b"YUV4MPEG2", b"riff.\x91\xcf\x11", b"ID3", b"\x00\x00\x01\xb3")
    ),
    *((4, mark) for mark in (b"ftyp", b"moov", b"mdat", b"wide")),
    *((8, mark) for mark in (b"WAVE", b"AVI ", b"AIFF", b"AIFC", b"8SVX")),
)
"""Place and bytes that media files begin with."""


@dataclass(frozen=True)
class Place:
    """A file that may be a recording.

    Attributes:
        path: where it lies.
        name: its path below the input that it was found in, with `/`.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class FoundMedia:
    """What the inputs hold.

    Attributes:
        places: the recordings, each once, in a fixed order.
        left_out: names of files that may have been meant and are no recordings.
        notes: what was found out about the lists, in sentences.
    """

    places: tuple[Place, ...]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def find_media(inputs: Sequence[str | Path]) -> FoundMedia:
    """Find the recordings among folders, files, patterns with `*` and `.txt` lists of paths.

    Raises: DataError if an input does not exist, or a list cannot be read.
    """
    seen: dict[str, Place] = {}
    left: list[str] = []
    notes: list[str] = []
    for given in inputs:
        for place in _of_input(given, left, notes):
            seen.setdefault(_identity(place.path), place)
    return FoundMedia(tuple(seen.values()), tuple(dict.fromkeys(left)), tuple(notes))


def is_media(path: Path) -> bool:
    """True for a regular file that a reader of media should look at: by its ending, else by how it begins."""
    suffix = path.suffix.lower()
    if not _is_regular(path):
        return False
    if suffix in MEDIA_SUFFIXES and suffix not in _DOUBTFUL:
        return True
    return suffix not in _COMPANIONS and _begins_like_media(path)


def plain(text: str) -> str:
    """A name in the one form in which names are compared: composed, as tables mostly are; a Mac's are decomposed."""
    return unicodedata.normalize("NFC", text)


def shown(name: str) -> str:
    """A file's name as text that can be written anywhere: bytes that are no UTF-8 become question marks."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _of_input(given: str | Path, left: list[str], notes: list[str]) -> Iterator[Place]:
    path = _existing(Path(given))
    if path.is_dir():
        inside = (f for f in sorted(path.rglob("*"), key=lambda file: file.parts) if not f.name.startswith("."))
        yield from _chosen(((file, file.relative_to(path).as_posix()) for file in inside), left)
    elif path.suffix.lower() == ".txt" and path.is_file():
        for line in _lines(path, notes):
            place = _existing(path.parent / line)
            yield Place(place, place.name)
    elif any(mark in str(given) for mark in "*?[") and not path.exists():
        yield from _chosen(((Path(f), Path(f).name) for f in sorted(glob.glob(str(given), recursive=True))), left)
    elif path.exists():
        yield Place(path, path.name)
    else:
        raise DataError("there is no such file or folder", where=shown(str(given)))


def _chosen(files: Iterable[tuple[Path, str]], left: list[str]) -> Iterator[Place]:
    """The recordings among files; those that may have been meant are noted."""
    for file, name in files:
        if is_media(file):
            yield Place(file, name)
        elif not file.is_dir() and _may_be_meant(file):
            left.append(shown(name))


def _may_be_meant(path: Path) -> bool:
    """True for what looks like no text, nor like anything that lies beside recordings."""
    suffix = path.suffix.lower()
    if suffix in _COMPANIONS or not _is_regular(path):
        return suffix in MEDIA_SUFFIXES  # a pipe, a link that leads nowhere
    try:
        _head(path).decode()
    except UnicodeDecodeError as error:
        return error.end < len(_head(path)) - 4  # not only a letter that is cut at the end
    except OSError:
        return True
    return False


def _existing(path: Path) -> Path:
    """The path, or the one of the same name in the other form of Unicode where only that exists."""
    try:
        if path.exists() or path.is_symlink():
            return path
        same = [other for other in path.parent.iterdir() if plain(other.name) == plain(path.name)]
    except OSError:  # no such folder; a name that is too long
        same = []
    return same[0] if len(same) == 1 else Path(str(path).replace("\0", "?"))  # no file has a name with a zero byte


def _lines(path: Path, notes: list[str]) -> Iterator[str]:
    lines, encoding = lines_of(path, most=MAX_LIST_BYTES, where=str(path), what="list of files")
    if encoding:
        notes.append(f"{shown(path.name)}: not in UTF-8: read as {encoding}")
    return (line.strip() for line in lines if line.strip() and not line.strip().startswith("#"))


def _identity(path: Path) -> str:
    try:
        return str(path.resolve())
    except (OSError, RuntimeError):  # too long; links that go round in a circle
        return str(path.absolute())


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1024)


def _begins_like_media(path: Path) -> bool:
    try:
        head = _head(path)
    except OSError:
        return False
    if any(head[at : at + len(mark)] == mark for at, mark in _BEGINNINGS):
        return True
    # MPEG packets of 188 bytes; in m2ts of 192, each after a time stamp of four.
    if len(head) > 400 and (head[0:377:188] == b"GGG" or head[4:389:192] == b"GGG"):
        return True
    return len(head) > 6 and head[0] == 0xFF and head[1] >= 0xE0 and _begins_with_frame(head)


def _begins_with_frame(head: bytes) -> bool:
    """True for the header of a frame of AAC (ADTS) or of MPEG audio; of AAC the next one must follow."""
    if head[1] & 0xF6 == 0xF0:
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        return length > 7 and (length + 2 > len(head) or head[length : length + 2] == head[:2])
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    return version != 1 and layer != 0 and head[2] >> 4 not in (0, 15) and head[2] >> 2 & 3 != 3
