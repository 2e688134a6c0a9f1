"""Transcripts: every format gives the same words, and nothing that is no transcript gives more than one clear error."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mecam.errors import DataError
from mecam.features.text import Segment, Transcript, join_words, read_transcript, spread
from mecam.features.text.segments import units

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def made(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return made


def srt_time(seconds: float, mark: str = ",") -> str:
    millis = round(seconds * 1000)
    return f"{millis // 3600000:02}:{millis // 60000 % 60:02}:{millis // 1000 % 60:02}{mark}{millis % 1000:03}"


def as_srt(segments: list[Segment], mark: str = ",") -> str:
    cues = (
        f"{i}\n{srt_time(s.start, mark)} --> {srt_time(s.stop, mark)}\n{s.text}\n" for i, s in enumerate(segments, 1)
    )
    return "\n".join(cues)


# Words that hold no markup, and whose first character is no digit, as a line of digits is a caption's number.
WORD = st.text("abcdefghéüñ好中?!',", min_size=1, max_size=8)
LENGTHS = st.lists(
    # Pauses of 0.2 s and more, as captions that follow at once may roll: test_transcript_captions.py.
    st.tuples(st.integers(200, 3000), st.integers(1, 9000), st.lists(WORD, min_size=1, max_size=6)),
    min_size=1,
    max_size=8,
)


def segments_of(lengths: list[tuple[int, int, list[str]]]) -> list[Segment]:
    """Captions one after the other: (pause, duration, words), times in milliseconds."""
    result, at = [], 0
    for pause, duration, words in lengths:
        result.append(Segment((at + pause) / 1000, (at + pause + duration) / 1000, " ".join(words)))
        at += pause + duration
    return result


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LENGTHS, st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.sampled_from(["\n", "\r\n", "\r"]))
def test_captions_survive_every_format_and_encoding(
    write: Write, lengths: list[tuple[int, int, list[str]]], encoding: str, newline: str
) -> None:
    segments = segments_of(lengths)
    files = {
        "t.srt": as_srt(segments),
        "t.vtt": "WEBVTT\n\nNOTE a remark\n\n" + as_srt(segments, "."),
        "t.json": json.dumps([{"start": s.start, "end": s.stop, "text": s.text} for s in segments]),
        "no suffix": as_srt(segments),
    }
    for name, content in files.items():
        found = read_transcript(write(name, content.replace("\n", newline).encode(encoding)))
        assert [s.text for s in found.segments] == [s.text for s in segments], name
        for a, b in zip(found.segments, segments, strict=True):
            assert (a.start, a.stop) == pytest.approx((b.start, b.stop), abs=1e-6)
        assert "".join(w.text for w in found.words) == "".join(s.text or "" for s in segments).replace(" ", "")
        assert len(found.words) >= len(found.text.split())
        times = [t for w in found.words for t in (w.start, w.stop)]
        assert times == sorted(times)
        assert found.estimated == any(len(units(s.text or "")) > 1 for s in segments)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.sampled_from(["x.srt", "x.vtt", "x.csv", "x.tsv", "x.json", "x.txt", "x"]))
def test_whatever_the_bytes_it_is_words_or_one_clear_error(write: Write, content: bytes, name: str) -> None:
    path, refusal = write(name, content), None
    try:
        found = read_transcript(path)
    except DataError as error:
        refusal = error
    if refusal is not None:
        assert refusal.where == str(path)
        assert "\n" not in refusal.what
        return
    assert all((s.text or "").strip() for s in found.segments)
    assert all(s.start <= s.stop for s in found.segments if not math.isnan(s.start))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0, 9), WORD), min_size=1, max_size=10),
    st.floats(0.5, 60),
)
def test_times_are_in_order_and_inside_the_recording(tmp_path_factory, rows, duration: float) -> None:  # type: ignore[no-untyped-def]
    """However captions overlap and in whatever order they come."""
    path = tmp_path_factory.mktemp("t") / "t.json"
    path.write_text(json.dumps([{"start": a, "end": a + d, "text": w} for a, d, w in rows]))
    found = read_transcript(path)
    assert sorted(s.text or "" for s in found.segments) == sorted(w for _, _, w in rows)
    if max(a for a, _, _ in rows) > duration + 1:
        with pytest.raises(DataError, match="overruns the recording"):
            found.within(duration)
        return
    inside = found.within(duration)
    times = [t for s in inside.segments for t in (s.start, s.stop)]
    assert all(0 <= t <= duration for t in times)
    assert times == sorted(times) or len({a for a, _, _ in rows}) < len(rows)


def test_word_times_are_read(write: Write) -> None:
    table = "word,start,end\nIt,0.1,0.3\nworks.,0.4,0.9\nYes,1.5,1.9\n"
    rows = [("It", 0.1, 0.3), ("works.", 0.4, 0.9), ("Yes", 1.5, 1.9)]
    listed = [{"word": f" {w}", "start": a, "end": b} for w, a, b in rows]
    whisper = {
        "segments": [
            {"start": 0.1, "end": 0.9, "text": " It works.", "words": listed[:2]},
            {"start": 1.5, "end": 1.9, "text": " Yes", "words": listed[2:]},
        ]
    }
    files = {
        "a.csv": table,
        "a.tsv": table.replace(",", "\t"),
        "b.csv": table.replace(",", ";"),
        "a.json": json.dumps(listed),
        "b.json": json.dumps({"words": listed}),
        "c.json": json.dumps(whisper),
        "d.csv": "TEXT,Start,End\nIt works.,00:00:00.1,0.9\nYes,1.5,00:01.900\n",
    }
    for name, content in files.items():
        found = read_transcript(write(name, content))
        assert [s.text for s in found.segments] == ["It works.", "Yes"], name
        assert (found.segments[0].start, found.segments[1].stop) == (0.1, 1.9)
        assert found.estimated == (name == "d.csv")
        if not found.estimated:
            assert [(w.text, w.start, w.stop) for w in found.words] == rows


def test_marks_inside_a_caption_are_word_times(write: Write) -> None:
    content = "WEBVTT\n\n00:01.000 --> 00:03.000 align:start\nI <00:01.500><c>like</c> <00:02.000>it a lot\n"
    words = read_transcript(write("y.vtt", content)).words
    assert [w.text for w in words] == ["I", "like", "it", "a", "lot"]
    assert [w.start for w in words[:3]] == [1.0, 1.5, 2.0]
    assert words[-1].stop == 3.0


def test_markup_goes_and_text_stays(write: Write) -> None:
    content = "1\n00:00:01,000 --> 00:00:02,000\n{\\an8}<i>Fish</i> &amp; <b>chips</b>, 3 < 4\n42\n"
    assert read_transcript(write("m.srt", content)).text == "Fish & chips, 3 < 4 42"


def test_captions_without_blank_lines(write: Write) -> None:
    content = "1\n00:00:01,000 --> 00:00:02,000\none\n2\n00:00:02,000 --> 00:00:03,000\ntwo\n"
    assert [s.text for s in read_transcript(write("m.srt", content)).segments] == ["one", "two"]


def test_what_is_odd_is_said(write: Write) -> None:
    late_first = as_srt([Segment(5.0, 7.0, "second"), Segment(1.0, 6.0, "first")])
    found = read_transcript(write("o.srt", late_first))
    assert [s.text for s in found.segments] == ["first", "second"]
    assert found.segments[0].stop == 5
    assert any("out of order" in note for note in found.findings)
    assert any("overlap" in note for note in found.findings)
    cut = found.within(6.5)
    assert cut.segments[-1].stop == 6.5
    assert any("end after the recording" in note for note in cut.findings)
    western = read_transcript(write("w.txt", "café".encode("cp1252")))
    assert western.text == "café"
    assert any("UTF-8" in note for note in western.findings)


BAD = {
    "binary.srt": (bytes(range(256)), "binary data"),
    "elf.txt": (b"\x7fELF\x02\x01\x01\x00\x00", "binary data"),
    "backwards.srt": ("1\n00:00:05,000 --> 00:00:02,000\nx\n", "ends before it starts"),
    "backwards.csv": ("word,start,end\nx,2,1\n", "ends before it starts"),
    "backwards.json": ('[{"word": "x", "start": 2, "end": 1}]', "ends before it starts"),
    "negative.csv": ("word,start,end\nx,-2,1\n", "is no time"),
    "unclear.csv": ("word,start,end\nx,soon,1\n", "is no time"),
    "columns.csv": ("a,b\n1,2\n", "no column"),
    "broken.json": ("{", "no JSON transcript"),
    "other.json": ('{"a": 1}', "no list of words"),
    "prose.srt": ("Once upon a time", "no caption"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_error(name: str, write: Write) -> None:
    content, message = BAD[name]
    with pytest.raises(DataError, match=message) as caught:
        read_transcript(write(name, content))
    assert name in str(caught.value.where)


def test_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_transcript(tmp_path / "nothing.srt")


def test_spread_gives_each_word_its_share() -> None:
    words = spread(Segment(1.0, 2.0, "a bbb")).words
    assert [(w.start, w.stop) for w in words] == [(1.0, pytest.approx(1 + 1 / 3)), (pytest.approx(1 + 1 / 3), 2.0)]
    assert Transcript((Segment(math.nan, math.nan, "a b"),)).within(0.1).text == "a b"


def test_words_are_joined_as_their_script_does() -> None:
    texts = ("It is fine.", "我喜欢 Python，真的。", "これはペンです。", "ฉันไปดูหนัง", "어제 갔어요.", "I 爱 you")
    for text in texts:
        assert join_words(text.split()) == text
    assert join_words(["我", "真的", "喜欢"]) == "我真的喜欢"
    assert "".join(units("ครึ่งแรก")) == "ครึ่งแรก"
    assert units("你好吗？「对」") == ["你", "好", "吗？", "「对」"]
