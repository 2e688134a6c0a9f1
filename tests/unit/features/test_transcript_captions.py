"""Captions as players, broadcasters, YouTube and hasty tools write them: every sentence once, at its time."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from mecam.errors import DataError
from mecam.features.text import Transcript, read_transcript

Read = Callable[..., Transcript]
Cues = list[tuple[float, float, str]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(content: str, name: str = "clip.srt") -> Transcript:
        path = tmp_path / name
        path.write_bytes(content.encode())
        return read_transcript(path)

    return read


def clock(seconds: float) -> str:
    millis = round(seconds * 1000)
    return f"{millis // 3600000:02}:{millis // 60000 % 60:02}:{millis // 1000 % 60:02}.{millis % 1000:03}"


def vtt(*cues: tuple[float, float, str]) -> str:
    head = "WEBVTT\nKind: captions\nLanguage: en\n\n"
    return head + "\n".join(f"{clock(a)} --> {clock(b)} align:start position:0%\n{text}\n" for a, b, text in cues)


def srt(*cues: tuple[float, float, str]) -> str:
    return "\n".join(
        f"{i}\n{clock(a).replace('.', ',')} --> {clock(b).replace('.', ',')}\n{text}\n"
        for i, (a, b, text) in enumerate(cues, 1)
    )


def said(transcript: Transcript) -> Cues:
    return [
        (pytest.approx(s.start, abs=1e-6), pytest.approx(s.stop, abs=1e-6), s.text or "") for s in transcript.segments
    ]


LINES = ("so this was", "not what I", "had hoped for", "I I mean it")
YOUTUBE: Cues = [
    (1.0, 2.0, f" \nso<{clock(1.25)}><c> this</c><{clock(1.5)}><c> was</c>"),
    (2.0, 2.01, f"{LINES[0]}\n "),
    (2.01, 3.0, f"{LINES[0]}\nnot<{clock(2.25)}><c> what</c><{clock(2.5)}><c> I</c>"),
    (3.0, 3.01, f"{LINES[1]}\n "),
    (3.01, 4.0, f"{LINES[1]}\nhad<{clock(3.25)}><c> hoped</c><{clock(3.5)}><c> for</c>"),
    (4.0, 4.01, f"{LINES[2]}\n "),
    # After a pause the lines before are gone.
    (9.0, 10.0, f" \nI<{clock(9.25)}><c> I</c><{clock(9.5)}><c> mean</c><{clock(9.75)}><c> it</c>"),
    (10.0, 10.01, f"{LINES[3]}\n "),
]


def test_youtubes_captions_say_each_word_once_at_its_time(read: Read) -> None:
    found = read(vtt(*YOUTUBE), "talk.vtt")
    assert found.text == " ".join(LINES)
    assert [round(w.start, 2) for w in found.words] == [
        1,
        1.25,
        1.5,
        2.01,
        2.25,
        2.5,
        3.01,
        3.25,
        3.5,
        9,
        9.25,
        9.5,
        9.75,
    ]
    assert found.words[2].stop == 2.0
    assert not found.estimated
    assert found.language == "en"
    assert any("rolling" in finding for finding in found.findings)


@pytest.mark.parametrize("count", [2, 4, 6])
def test_one_rolling_line_is_enough(read: Read, count: int) -> None:
    found = read(vtt(*YOUTUBE[:count]), "talk.vtt")
    assert found.text == " ".join(LINES[: count // 2])
    assert [w.text for w in found.words] == " ".join(LINES[: count // 2]).split()


def test_a_line_that_stays_through_a_pause_is_said_once(read: Read) -> None:
    pause: Cues = [
        (6.0, 7.0, f"{LINES[2]}\nI<{clock(6.5)}><c> see</c>"),
        (7.0, 7.01, "I see\n "),
        (9.0, 9.5, "I see\nokay"),
    ]
    assert read(vtt(*YOUTUBE[:6], *pause), "a.vtt").text == " ".join((*LINES[:3], "I see okay"))


def unmarked(cues: Cues) -> Cues:
    """As ffmpeg makes SRT of them: no marks, no blank lines."""
    return [
        (a, b, "\n".join(line for line in re.sub("<[^>]*>", "", text).splitlines() if line.strip()))
        for a, b, text in cues
    ]


@pytest.mark.parametrize("count", [2, 4, 8])
def test_youtubes_captions_as_srt_say_each_word_once(read: Read, count: int) -> None:
    found = read(srt(*unmarked(YOUTUBE[:count])))
    assert found.text == " ".join(LINES[: count // 2])
    assert [s.start for s in found.segments] == [a for a, _, _ in YOUTUBE[0:count:2]]


def test_roll_up_captions_of_television(read: Read) -> None:
    cues = [(0, 2, "one"), (2, 4, "one\ntwo"), (4, 6, "one\ntwo\nthree"), (6, 8, "two\nthree\nfour")]
    assert said(read(srt(*cues))) == [(0, 2, "one"), (2, 4, "two"), (4, 6, "three"), (6, 8, "four")]


def test_growing_captions(read: Read) -> None:
    cues = [(0, 1, "so"), (1, 2, "so this"), (2, 3, "so this was it"), (3, 4, "and then")]
    assert said(read(srt(*cues))) == [(0, 1, "so"), (1, 2, "this"), (2, 3, "was it"), (3, 4, "and then")]


REAL_REPETITIONS: dict[str, Cues] = {
    "twice": [(1, 2, "No."), (2, 3, "No.")],
    "three times": [(1, 2, "No."), (2, 3, "No."), (3, 4, "No.")],
    "among others": [(0, 1, "Go."), (1, 2, "No."), (2, 3, "No."), (3, 4, "Why?"), (4, 5, "Because.")],
    "begins with the last": [(0, 1, "No."), (1, 2, "No.\nI said no."), (2, 3, "Why?")],
    "far apart": [(0, 1, "No."), (5, 6, "No."), (9, 10, "No.\nNo.")],
    "all in italics": [(0, 1, "<i>No.</i>"), (1, 2, "<i>No.</i>")],
}


@pytest.mark.parametrize("name", REAL_REPETITIONS)
def test_what_is_really_said_twice_stays(name: str, read: Read) -> None:
    cues = REAL_REPETITIONS[name]
    expected = " ".join(text for _, _, text in cues).replace("\n", " ").replace("<i>", "").replace("</i>", "")
    for content, file in ((srt(*cues), "a.srt"), (vtt(*cues), "a.vtt")):
        found = read(content, file)
        assert found.text == expected
        assert not any("rolling" in finding for finding in found.findings)


def test_said_twice_in_rolling_captions(read: Read) -> None:
    cues = [
        (1.0, 2.0, f" \nno<{clock(1.5)}><c> no</c>"),
        (2.0, 2.01, "no no\n "),
        (2.01, 3.0, f"no no\nno<{clock(2.5)}><c> no</c>"),
        (3.0, 3.01, "no no\n "),
        (3.01, 4.0, "no no\nno no"),
        (4.0, 4.01, "no no\n "),
    ]
    assert read(vtt(*cues), "a.vtt").text == "no no no no no no"


@pytest.mark.parametrize("tag", ["u", 'font color="#00ff00"', "b"])
def test_highlighted_words_are_word_times(read: Read, tag: str) -> None:
    words, times = ["I", "loved", "this", "film"], [0.5, 1.0, 2.0, 2.5, 3.0]
    close = tag.split()[0]
    cues: Cues = [
        (a, b, " ".join(f"<{tag}>{w}</{close}>" if j == i else w for j, w in enumerate(words)))
        for i, (a, b) in enumerate(pairwise(times))
    ]
    cues[2:2] = [(1.8, 2.0, " ".join(words))]
    cues[1] = (1.0, 1.8, cues[1][2])
    cues.append((3.0, 3.5, f"<{tag}>Yes.</{close}>"))
    found = read(srt(*cues))
    assert found.text == "I loved this film Yes."
    assert [(w.text, w.start, w.stop) for w in found.words] == [
        ("I", 0.5, 1.0),
        ("loved", 1.0, 1.8),
        ("this", 2.0, 2.5),
        ("film", 2.5, 3.0),
        ("Yes.", 3.0, 3.5),
    ]
    assert not found.estimated


def test_blank_lines_inside_a_caption(read: Read) -> None:
    content = (
        "1\n00:00:01,000 --> 00:00:02,000\nI went\n\nwith him.\n\n\n"
        "2\n00:00:02,000 --> 00:00:03,000\n\nSecond.\n\n"
        "3\n00:00:03,000 --> 00:00:04,000\n \nThird\n\n\nand last.\n"
    )
    expected = [(1, 2, "I went with him."), (2, 3, "Second."), (3, 4, "Third and last.")]
    for newline in ("\n", "\r\n", "\r\r\n"):
        assert said(read(content.replace("\n", newline))) == expected
    spaced = "\n\n".join(line for line in content.splitlines() if line.strip())
    assert said(read(spaced)) == expected
    unnumbered = "\n".join(line for line in content.splitlines() if line not in ("1", "2", "3"))
    assert said(read(unnumbered)) == expected
    assert said(read("WEBVTT\n\n" + unnumbered.replace(",", "."), "a.vtt")) == expected


def test_a_number_that_is_said_is_no_number_of_a_caption(read: Read) -> None:
    assert (
        read("1\n00:00:01,000 --> 00:00:02,000\nIn\n2014\n\n2\n00:00:02,000 --> 00:00:03,000\n99\n").text
        == "In 2014 99"
    )
    unnumbered = (
        "00:00:01,000 --> 00:00:02,000\nIn\n2014\n00:00:02,000 --> 00:00:03,000\nit was\n\n"
        "00:00:04,000 --> 00:00:05,000\nx\n"
    )
    assert read(unnumbered).text == "In 2014 it was x"


TIMES = {
    "milliseconds": ("00:00:01,500", "00:00:02,250"),
    "a point": ("00:00:01.500", "00:00:02.250"),
    "hundredths": ("00:00:01.50", "00:00:02.25"),
    "microseconds": ("00:00:01,500000", "00:00:02,250000"),
    "nanoseconds": ("00:00:01.500000000", "00:00:02.250000000"),
    "no hours": ("00:01,500", "00:02,250"),
    "one digit": ("0:0:1,5", "0:0:2,25"),
    "seconds": ("1.5", "2.25"),
    "milliseconds after a colon": ("00:00:01:500", "00:00:02:250"),
    "blanks": ("00: 00: 01, 500", "00 : 00 : 02,250"),
    "many hours": ("000:00:01,500", "000:00:02,250"),
}


@pytest.mark.parametrize("name", TIMES)
def test_times_of_many_looks(name: str, read: Read) -> None:
    start, stop = TIMES[name]
    for arrow in (" --> ", "-->", " -> ", " → ", " –> ") if ":" in start else (" --> ",):
        assert said(read(f"1\n{start}{arrow}{stop}\nHello.\n")) == [(1.5, 2.25, "Hello.")]


@pytest.mark.parametrize(("most", "rate"), [(12, 25), (24, 25), (29, 30), (59, 60), (75, 100)])
def test_frames_of_dvds(most: int, rate: int, read: Read) -> None:
    found = read(f"1\n00:00:01:12 --> 00:00:02:{most}\nHello.\n\n2\n00:00:04:00 --> 00:00:05:06\nYou.\n")
    assert said(found) == [(1 + 12 / rate, 2 + most / rate, "Hello."), (4, 5 + 6 / rate, "You.")]
    assert any("the last part of the times is read as" in finding for finding in found.findings)


@pytest.mark.parametrize("start", ["-00:00:00,400", "00:00:-00,400", "00:00:00,-400"])
def test_times_before_the_beginning(start: str, read: Read) -> None:
    found = read(f"1\n{start} --> 00:00:02,000\nFirst.\n\n2\n00:00:02,000 --> 00:00:03,000\nSecond.\n")
    assert said(found) == [(0, 2, "First."), (2, 3, "Second.")]
    assert any("before the recording" in finding for finding in found.findings)
    gone = read("1\n-00:00:05,000 --> -00:00:03,000\nGone.\n\n2\n00:00:02,000 --> 00:00:03,000\nSecond.\n")
    assert gone.text == "Second."
    assert any("end before the recording starts: left out" in finding for finding in gone.findings)


def test_markup_and_remarks_of_vtt(read: Read) -> None:
    content = """\ufeffWEBVTT - a title
Kind: captions
Language: pt-BR

STYLE
::cue { color: red }

REGION
id:one

NOTE
 this is a remark

intro
00:01.000 --> 00:02.000 line:0 position:20%
<v.loud Mary>Hi <b>there</b>,&nbsp;you</v>

NOTE another

second
00:02.000 --> 00:03.000
- <c.yellow>What?</c>
- <lang en>That</lang>\u200b.
"""
    found = read(content, "a.vtt")
    assert said(found) == [(1, 2, "Hi there, you"), (2, 3, "- What? - That.")]
    assert found.language == "pt-BR"
    assert found.findings == ()


def test_markup_of_srt(read: Read) -> None:
    content = (
        '1\n00:00:01,000 --> 00:00:02,000 X1:0 Y1:10\n{\\an8}<i>One</i>\\N<font color="red">two</font>{y:i}<br/>three\n'
    )
    assert read(content).text == "One two three"


def test_sbv_ass_and_whispers_own_lines(read: Read) -> None:
    expected = [(1, 2.5, "It was, well, long."), (3, 4, "Yes.")]
    sbv = "0:00:01.000,0:00:02.500\nIt was, well,\nlong.\n\n0:00:03.000,0:00:04.000\nYes.\n"
    ass = """[Script Info]
Title: x

[V4+ Styles]
Format: Name, Fontname
Style: Default,Arial

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,not this
Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,{\\pos(1,2)}It was, well,\\Nlong.
Dialogue: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,{\\p1}m 0 0 l 1 1
Dialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,Yes.
"""
    printed = "[00:00:01.000 --> 00:00:02.500]   It was, well, long.\n[00:03.000 --> 00:04.000]  Yes.\n"
    for content, names in ((sbv, ("a.sbv",)), (ass, ("a.ass", "a.ssa", "a.txt")), (printed, ("a.txt", "a"))):
        for name in names:
            assert said(read(content, name)) == expected
    assert said(read(srt(*expected), "a.txt")) == expected  # type: ignore[arg-type]


def test_an_arrow_in_a_sentence_is_no_time(read: Read) -> None:
    assert (
        read(srt((1, 2, "from\n3 → 4 people\n2 --> 3, and 1.5 -> 2"))).text == "from 3 → 4 people 2 --> 3, and 1.5 -> 2"
    )
    assert read("we went from\n2 → 3\n", "a.txt").text == "we went from 2 → 3"


BROKEN = {
    "a letter in a time": "1\n00:00:01,000 --> 00:00:02,000\nx\n\n2\n00:00:0a,000 --> 00:00:04,000\ny\n",
    "half a time": "1\n00:00:01,000 --> 00:00:02,000\nx\n\n2\n00:00:03,000 --> 00:00\ny --> 3\n",
    "a time of five parts": "1\n0:00:00:01:12 --> 0:00:00:02:12\nx\n",
}


@pytest.mark.parametrize("name", ["a letter in a time", "a time of five parts"])
def test_a_time_that_is_not_understood_is_an_error(name: str, read: Read) -> None:
    with pytest.raises(DataError, match="is no time that is understood"):
        read(BROKEN[name])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.srt", ""),
        ("a.srt", "\n \n"),
        ("a.vtt", "WEBVTT\n\n"),
        ("a.vtt", "WEBVTT\n\nNOTE nothing\n"),
        ("a.txt", " \n"),
        ("a.srt", "1\n00:00:00,000 --> 00:00:02,000\n\n"),
        ("a.csv", "word,start,end\n"),
        ("a.tsv", "start\tend\ttext\n"),
    ],
)
def test_nothing_said_is_no_error(name: str, content: str, read: Read) -> None:
    assert read(content, name).segments == ()


def test_text_before_the_first_caption_is_said(read: Read) -> None:
    found = read("Made by me\n\n" + srt((1, 2, "Hi")))
    assert found.text == "Hi"
    assert found.findings == ("1 lines before the first caption: left out",)


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_whispers_table_is_in_milliseconds(name: str, read: Read) -> None:
    content = 'start\tend\ttext\n100\t2900\tHe said "no, it is long.\n3000\t5100\tYes\n'
    found = read(content, name)
    assert said(found) == [(0.1, 2.9, 'He said "no, it is long.'), (3, 5.1, "Yes")]
    assert any("milliseconds" in finding for finding in found.findings)
    short = read("start\tend\ttext\n0\t2\tHi\n", name)
    assert said(short) == [(0, 0.002, "Hi")]


def test_tables_in_whole_seconds_and_in_milliseconds(read: Read) -> None:
    seconds = "text,start,end\nIt was long.,1,3\nYes,4,5\n"
    assert said(read(seconds, "a.csv")) == [(1, 3, "It was long."), (4, 5, "Yes")]
    millis = "text,start,end\nIt was long.,1000,3000\nYes,4000,5000\n"
    found = read(millis, "a.csv")
    assert said(found) == [(1, 3, "It was long."), (4, 5, "Yes")]
    assert any("milliseconds" in finding for finding in found.findings)
    assert said(read("text,start_ms,end_ms\nYes,400,500\n", "a.csv")) == [(0.4, 0.5, "Yes")]


def test_a_table_whose_rows_are_not_whole_is_an_error(read: Read) -> None:
    with pytest.raises(DataError, match="more cells than the header"):
        read("start,end,text\n0.1,2.9,It was, well, long.\n", "a.csv")
    with pytest.raises(DataError, match="not known which of"):
        read("word,t0,t1\nI,1,2\n", "a.csv")
