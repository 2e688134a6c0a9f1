"""What recognisers write: whatever the shape, the same words at the same times; and nothing is read by half."""

import copy
import json
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mecam.errors import DataError
from mecam.features.text import Transcript, read_transcript

Rows = list[tuple[str, float, float]]
Read = Callable[[Any], Transcript]

ROWS: Rows = [("I", 0.1, 0.25), ("really", 0.25, 0.6), ("loved", 0.9, 1.3), ("this", 1.3, 1.5), ("movie.", 1.5, 2.1)]
TEXT = " I really loved this movie."
BARE = [(word.strip("."), start, stop) for word, start, stop in ROWS]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(content: Any) -> Transcript:
        path = tmp_path / "clip.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return read_transcript(path)

    return read


def rows_of(transcript: Transcript) -> Rows:
    return [(w.text, pytest.approx(w.start, abs=1e-6), pytest.approx(w.stop, abs=1e-6)) for w in transcript.words]


def listed(rows: Rows, word: str = "word", before: str = "", scale: float = 1, **more: Any) -> list[dict[str, Any]]:
    """A list of words as most recognisers have it."""
    number: Callable[[float], Any] = (lambda value: round(value * scale)) if scale != 1 else float
    return [{word: before + text, "start": number(a), "end": number(b), **more} for text, a, b in rows]


def clock(seconds: float) -> str:
    return f"00:00:{seconds:06.3f}".replace(".", ",")


def cpp(text: str, start: float, stop: float) -> dict[str, Any]:
    """An entry of whisper.cpp."""
    times = {"from": clock(start), "to": clock(stop)}
    offsets = {"from": round(start * 1000), "to": round(stop * 1000)}
    return {"timestamps": times, "offsets": offsets, "text": text, "id": 7, "p": 0.9}


TOKENS: Rows = [
    ("[_BEG_]", 0.0, 0.0),
    (" I", 0.1, 0.25),
    (" real", 0.25, 0.4),
    ("ly", 0.4, 0.6),
    (" loved", 0.9, 1.3),
    (" this", 1.3, 1.5),
    (" movie", 1.5, 2.0),
    (".", 2.0, 2.1),
    ("[_TT_105]", 2.1, 2.1),
]
"""Pieces of words, as whisper.cpp has them."""
SEGMENT = {"id": 0, "start": 0.1, "end": 2.1, "text": TEXT}


def ticks(seconds: float) -> int:
    return round(seconds * 10_000_000)


SHAPES: dict[str, Any] = {
    "openai-whisper": {"text": TEXT, "segments": [{**SEGMENT, "words": listed(ROWS, before=" ")}], "language": "en"},
    "whisper-timestamped": {"text": TEXT, "segments": [{**SEGMENT, "words": listed(ROWS, "text", confidence=0.9)}]},
    "whisperx": {"segments": [{**SEGMENT, "words": listed(ROWS, score=0.9)}], "word_segments": listed(ROWS)},
    "openai-api": {"task": "transcribe", "duration": 2.2, "text": TEXT, "words": listed(BARE), "segments": [SEGMENT]},
    "openai-api-words": {"text": TEXT, "words": listed(ROWS), "segments": None},
    "split-words": {
        "segments": [{**SEGMENT, "words": listed([*TOKENS[1:7], (".", 2.0, 2.1)])}],
    },
    "hf-words": {"text": TEXT, "chunks": [{"text": f" {w}", "timestamp": [a, b]} for w, a, b in ROWS]},
    "hf-characters": {
        "text": "I really loved this movie.",
        "chunks": [
            piece
            for word, a, b in ROWS
            for piece in (
                *(
                    {
                        "text": letter,
                        "timestamp": [a + (b - a) * i / len(word), a + (b - a) * (i + 1) / len(word)],
                    }
                    for i, letter in enumerate(word)
                ),
                {"text": " ", "timestamp": [b, b]},
            )
        ],
    },
    "whisper.cpp-tokens": {
        "result": {"language": "en"},
        "transcription": [{**cpp(TEXT, 0.1, 2.1), "tokens": [cpp(*token) for token in TOKENS]}],
    },
    "whisper.cpp-words": {"transcription": [cpp(f" {w}", a, b) for w, a, b in ROWS]},
    "deepgram": {
        "metadata": {"duration": 2.2},
        "results": {
            "channels": [
                {
                    "alternatives": [
                        {
                            "transcript": TEXT.strip(),
                            "words": [
                                {"word": w.strip(".").lower(), "start": a, "end": b, "punctuated_word": w}
                                for w, a, b in ROWS
                            ],
                        }
                    ]
                }
            ]
        },
    },
    "assemblyai": {
        "id": "x",
        "status": "completed",
        "text": TEXT.strip(),
        "audio_duration": 2,
        "words": listed(ROWS, "text", scale=1000, confidence=0.9, speaker="A"),
    },
    "google": {
        "results": [
            {
                "alternatives": [
                    {
                        "transcript": TEXT.strip(),
                        "words": [{"word": w, "startTime": f"{a}00s", "endTime": f"{b}s"} for w, a, b in ROWS],
                    }
                ],
                "languageCode": "en-us",
            }
        ]
    },
    "google-protobuf": {
        "results": [
            {
                "alternatives": [
                    {
                        "transcript": TEXT,
                        "words": [
                            {
                                "word": w,
                                "start_time": {"nanos": round(a * 1e9)}
                                if a < 1
                                else {"seconds": "1", "nanos": round((a - 1) * 1e9)},
                                "end_time": {"seconds": int(b), "nanos": round((b - int(b)) * 1e9)},
                            }
                            for w, a, b in ROWS
                        ],
                    }
                ]
            },
            {},
        ][:1]
    },
    "google-v2": {
        "results": [
            {
                "alternatives": [
                    {
                        "transcript": TEXT,
                        "words": [{"word": w, "startOffset": f"{a}s", "endOffset": f"{b}s"} for w, a, b in ROWS],
                    }
                ],
                "resultEndOffset": "2.2s",
            },
            {"resultEndOffset": "3s"},
        ]
    },
    "watson": {
        "results": [{"final": True, "alternatives": [{"transcript": TEXT, "timestamps": [list(r) for r in ROWS]}]}]
    },
    "aws": {
        "jobName": "x",
        "results": {
            "transcripts": [{"transcript": TEXT.strip()}],
            "items": [
                *(
                    {
                        "start_time": str(a),
                        "end_time": str(b),
                        "type": "pronunciation",
                        "alternatives": [{"content": w}],
                    }
                    for w, a, b in BARE
                ),
                {"type": "punctuation", "alternatives": [{"content": "."}]},
            ],
        },
    },
    "speechmatics": {
        "format": "2.9",
        "results": [
            *({"start_time": a, "end_time": b, "type": "word", "alternatives": [{"content": w}]} for w, a, b in BARE),
            {"start_time": 2.1, "end_time": 2.1, "type": "punctuation", "alternatives": [{"content": "."}]},
        ],
    },
    "azure-fast": {
        "durationMilliseconds": 2200,
        "combinedPhrases": [{"text": TEXT}],
        "phrases": [
            {
                "offsetMilliseconds": 100,
                "durationMilliseconds": 2000,
                "text": TEXT.strip(),
                "words": [
                    {"text": w, "offsetMilliseconds": round(a * 1000), "durationMilliseconds": round((b - a) * 1000)}
                    for w, a, b in BARE
                ],
            }
        ],
    },
    "azure-batch": {
        "recognizedPhrases": [
            {
                "offset": "PT0.1S",
                "offsetInTicks": ticks(0.1),
                "durationInTicks": ticks(2.0),
                "nBest": [
                    {
                        "display": TEXT.strip(),
                        "words": [
                            {"word": w.lower(), "offsetInTicks": ticks(a), "durationInTicks": ticks(b - a)}
                            for w, a, b in BARE
                        ],
                    }
                ],
            }
        ]
    },
    "azure-sdk": {
        "RecognitionStatus": "Success",
        "Offset": ticks(0.1),
        "Duration": ticks(2.0),
        "DisplayText": TEXT.strip(),
        "NBest": [
            {
                "Display": TEXT.strip(),
                "Words": [{"Word": w.lower(), "Offset": ticks(a), "Duration": ticks(b - a)} for w, a, b in BARE],
            }
        ],
    },
    "vosk": {"result": listed(ROWS, conf=1.0), "text": TEXT.strip()},
    "vosk-list": [{"result": listed(ROWS[:3])}, {"result": listed(ROWS[3:]), "text": "this movie"}, {"text": ""}],
    "gentle": {
        "transcript": TEXT.strip(),
        "words": [
            {
                "alignedWord": w,
                "case": "success",
                "word": w,
                "start": a,
                "end": b,
                "startOffset": 7 * i,
                "endOffset": 7 * i + 4,
            }
            for i, (w, a, b) in enumerate(ROWS)
        ],
    },
    "mfa": {
        "start": 0,
        "end": 2.2,
        "tiers": {
            "words": {"type": "interval", "entries": [[0, 0.1, ""], *([a, b, w] for w, a, b in ROWS)]},
            "phones": {"type": "interval", "entries": [[0.1, 0.25, "AY1"]]},
        },
    },
    "nemo": {"text": TEXT, "timestamp": {"word": listed(ROWS, start_offset=3, end_offset=5), "segment": []}},
    "rev": {
        "monologues": [
            {
                "speaker": 0,
                "elements": [
                    piece
                    for w, a, b in BARE
                    for piece in (
                        {"type": "text", "value": w, "ts": a, "end_ts": b},
                        {"type": "punct", "value": " " if w != "movie" else "."},
                    )
                ],
            }
        ]
    },
    "elevenlabs": {
        "language_code": "eng",
        "text": TEXT.strip(),
        "words": [
            piece
            for w, a, b in ROWS
            for piece in (
                {"text": w, "start": a, "end": b, "type": "word"},
                {"text": " ", "start": b, "end": b, "type": "spacing"},
            )
        ],
    },
    "gladia": {
        "result": {
            "transcription": {"utterances": [{**SEGMENT, "words": listed(ROWS, before=" ")}], "full_transcript": TEXT}
        }
    },
    "json3": {
        "wireMagic": "pb3",
        "events": [
            {"tStartMs": 0, "dDurationMs": 5000, "id": 1, "wpWinPosId": 1},
            {
                "tStartMs": 100,
                "dDurationMs": 2000,
                "segs": [
                    {"utf8": f"{' ' if i else ''}{w}", **({"tOffsetMs": round((a - 0.1) * 1000)} if i else {})}
                    for i, (w, a, _) in enumerate(ROWS)
                ],
            },
            {"tStartMs": 2100, "dDurationMs": 10, "aAppend": 1, "segs": [{"utf8": "\n"}]},
        ],
    },
    "a list": listed(ROWS),
    "a list in milliseconds": listed(ROWS, "text", scale=1000),
    "start_time": [{"word": w, "start_time": a, "end_time": b} for w, a, b in ROWS],
    "duration": [{"word": w, "start": a, "duration": b - a} for w, a, b in ROWS],
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_gives_the_words_at_their_times(name: str, read: Read) -> None:
    found = read(SHAPES[name])
    starts = {w.text: w.start for w in found.words}
    assert " ".join(w.text for w in found.words) == found.text
    assert found.text == TEXT.strip() or name == "vosk-list"
    assert found.text.rstrip(".") == TEXT.strip().rstrip(".")
    assert not found.estimated
    assert starts["loved"] == pytest.approx(0.9)
    if name != "json3":  # it has starts alone
        stop = {w.text.strip("."): w.stop for w in found.words}
        assert (stop["loved"], stop["movie"]) == (pytest.approx(1.3), pytest.approx(2.1, abs=0.11))
        assert [pytest.approx(w.start, abs=1e-6) for w in found.words] == [start for _, start, _ in ROWS]


def test_a_word_without_a_time_is_placed_and_the_rest_keep_theirs(read: Read) -> None:
    rows: Rows = [("In", 0.1, 0.25), ("I", 0.9, 1.0), ("loved", 1.0, 1.3)]
    words = listed(rows)
    words[1:1] = [{"word": "2014"}]
    for content in (
        {"segments": [{"start": 0.1, "end": 1.3, "text": "In 2014 I loved", "words": words}]},
        {"words": words},
        words,
    ):
        found = read(content)
        assert rows_of(found) == [rows[0], ("2014", 0.25, 0.9), *rows[1:]]
        assert any("1 words have no time" in finding for finding in found.findings)
    ends = [{"word": "So"}, *listed(rows), {"word": "it"}, {"word": "too."}]
    found = read({"segments": [{"start": 0.0, "end": 2.0, "text": "So In I loved it too.", "words": ends}]})
    assert (found.words[0].start, found.words[0].stop) == (0.0, pytest.approx(0.1))
    assert found.words[-1].stop == 2.0
    assert rows_of(found)[1:4] == rows


def test_a_chunk_without_an_end_keeps_its_start(read: Read) -> None:
    chunks = [{"text": f" {w}", "timestamp": [a, b]} for w, a, b in ROWS]
    chunks[-1]["timestamp"] = [1.5, None]
    found = read({"text": TEXT, "chunks": chunks})
    assert rows_of(found)[:4] == ROWS[:4]
    assert found.words[-1].start == 1.5
    assert 1.5 < found.words[-1].stop <= 2.5
    sentences = [
        {"text": " It was long.", "timestamp": [0.0, 2.0]},
        {"text": " I left early, at nine.", "timestamp": [2.0, None]},
    ]
    found = read({"text": "", "chunks": sentences})
    assert [s.text for s in found.segments] == ["It was long.", "I left early, at nine."]
    assert found.segments[1].start == 2.0
    assert 3 < found.segments[1].stop < 6
    assert any("have no end" in finding for finding in found.findings)


CHINESE: Rows = [("我", 0.1, 0.3), ("真的", 0.3, 0.7), ("喜欢", 0.9, 1.3), ("这部", 1.3, 1.6), ("电影", 1.6, 2.1)]


def test_words_of_a_script_without_blanks_stay_words(read: Read) -> None:
    text = "我真的喜欢这部电影。"
    segment = {"start": 0.1, "end": 2.1, "text": text, "words": listed(CHINESE)}
    for content in (
        {"segments": [segment]},
        listed(CHINESE),
        {"chunks": [{"text": w, "timestamp": [a, b]} for w, a, b in CHINESE]},
    ):
        found = read(content)
        assert rows_of(found) == CHINESE
        assert found.text.rstrip("。") == text.rstrip("。")
        assert not found.estimated


def test_a_sentence_without_blanks_has_a_time_for_each_letter(read: Read) -> None:
    found = read([{"start": 1.0, "end": 2.0, "text": "我喜欢 Python，真的。"}])
    assert [w.text for w in found.words] == ["我", "喜", "欢", "Python，", "真", "的。"]
    assert found.text == "我喜欢 Python，真的。"
    assert found.words[0].start == 1.0
    assert found.words[-1].stop == pytest.approx(2.0)
    assert found.estimated
    japanese = read([{"start": 0.0, "end": 1.0, "text": "ラーメンが好き"}])
    assert [w.text for w in japanese.words] == ["ラー", "メ", "ン", "が", "好", "き"]


def test_pieces_of_one_long_word_are_joined_by_the_text(read: Read) -> None:
    rows: Rows = [(" un", 0.1, 0.2), ("believ", 0.2, 0.4), ("able", 0.4, 0.6)]
    for content in (
        {"segments": [{"start": 0.1, "end": 0.6, "text": " unbelievable!", "words": listed(rows)}]},
        {"text": " unbelievable!", "chunks": [{"text": w, "timestamp": [a, b]} for w, a, b in rows]},
        {"text": "unbelievable!", "words": listed(rows)},
    ):
        assert rows_of(read(content)) == [("unbelievable!", 0.1, 0.6)]


def test_pieces_of_bytes_are_not_read(read: Read) -> None:
    tokens = [cpp("\ufffd", 0.1, 0.2), cpp("\ufffd", 0.2, 0.3)]
    found = read({"transcription": [{**cpp("我喜欢", 0.1, 1.0), "tokens": tokens}]})
    assert found.text == "我喜欢"
    assert found.estimated


def test_words_out_of_order_are_placed(read: Read) -> None:
    rows = [*ROWS]
    rows[2] = ("loved", 30.0, 30.4)
    found = read({"segments": [{**SEGMENT, "words": listed(rows)}]})
    assert rows_of(found)[:2] == ROWS[:2]
    assert rows_of(found)[3:] == ROWS[3:]
    assert (found.words[2].start, found.words[2].stop) == (pytest.approx(0.6), pytest.approx(1.3))


def test_two_channels_are_brought_together(read: Read) -> None:
    def channel(rows: Rows) -> dict[str, Any]:
        return {"alternatives": [{"transcript": " ".join(w for w, _, _ in rows), "words": listed(rows)}]}

    content = {"results": {"channels": [channel([("Yes.", 1.0, 1.2)]), channel(ROWS), channel(ROWS)]}}
    found = read(content)
    assert found.text == "I really loved this movie. Yes."
    assert rows_of(found) == [*ROWS, ("Yes.", 1.0, 1.2)]
    assert any("2 channels" in finding for finding in found.findings)


def test_what_diarisation_tells_again_is_said_once(read: Read) -> None:
    def result(rows: Rows, **more: Any) -> dict[str, Any]:
        words = [{"word": w, "startTime": f"{a}s", "endTime": f"{b}s", **more} for w, a, b in rows]
        return {"alternatives": [{"transcript": " ".join(w for w, _, _ in rows), "words": words}]}

    found = read({"results": [result(ROWS[:2]), result(ROWS[2:]), result(ROWS, speakerTag=1)]})
    assert rows_of(found) == ROWS


def test_zero_is_not_written_by_protobuf(read: Read) -> None:
    words = [{"word": "So", "endTime": "0.5s"}, {"word": "yes.", "startTime": "0.5s", "endTime": "1s"}]
    found = read({"results": [{"alternatives": [{"transcript": "So yes.", "words": words}]}]})
    assert rows_of(found) == [("So", 0.0, 0.5), ("yes.", 0.5, 1.0)]


SILENT: dict[str, Any] = {
    "whisper": {"text": "", "segments": [], "language": "en"},
    "hugging face": {"text": "", "chunks": []},
    "whisper.cpp": {"result": {"language": "en"}, "transcription": []},
    "deepgram": {"results": {"channels": [{"alternatives": [{"transcript": "", "words": []}]}]}},
    "assemblyai": {"status": "completed", "text": "", "words": []},
    "aws": {"results": {"transcripts": [{"transcript": ""}], "items": []}},
    "google": {"results": []},
    "vosk": {"text": ""},
    "azure": {"RecognitionStatus": "InitialSilenceTimeout", "Offset": 0, "Duration": 1},
    "json3": {"wireMagic": "pb3", "events": []},
    "blank segments": {"text": " ", "segments": [{"start": 0.0, "end": 2.0, "text": " "}]},
}


@pytest.mark.parametrize("name", SILENT)
def test_nothing_said_is_no_error(name: str, read: Read) -> None:
    found = read(SILENT[name])
    assert found.segments == ()
    assert found.text == ""


NOT_KNOWN: dict[str, tuple[Any, str]] = {
    "metadata": ({"title": "x", "fps": 25, "duration": 3.2}, "known are: .*Deepgram"),
    "a number": (3, "known are"),
    "frames": ([{"frame": 0, "AU01": 0.5}], "has no text|not known"),
    "diarisation": ({"segments": [{"start": 0.1, "end": 2.0, "speaker": "A"}]}, "has no text"),
    "half of a shape": ({"text": "I loved it", "monologue": [{"w": "I"}]}, "known are"),
    "times of unknown names": ([{"word": "I", "s": 0.1, "e": 0.3}], "not known which of 's', 'e'"),
    "inner times of unknown names": (
        {"segments": [{**SEGMENT, "words": [{"word": "I", "t0": 0.1, "t1": 0.3}]}]},
        "not known which of 't0', 't1'",
    ),
    "NeMo's frames": (
        {"text": "I", "timestamp": {"word": [{"word": "I", "start_offset": 3, "end_offset": 5}]}},
        "not known",
    ),
    "a broken shape": ({"transcription": [{"offsets": {"from": 3}, "text": "x"}]}, "looks like whisper.cpp"),
    "nanoseconds": ([{"word": w, "start": round(a * 1e9), "end": round(b * 1e9)} for w, a, b in ROWS], "no unit"),
    "backwards": ({"chunks": [{"text": "a", "timestamp": [2.0, 1.0]}]}, "ends before it starts"),
    "backwards inside": ({"segments": [{**SEGMENT, "words": listed([("I", 0.5, 0.2)])}]}, "ends before it starts"),
    "a word for a time": ([{"word": "I", "start": "soon", "end": 1}], "is no time"),
    "an endless time": ('[{"word": "I", "start": 1e999, "end": 1e999}]', "is no time"),
    "a long number": ('[{"word": "I", "start": 1' + "0" * 400 + ', "end": 2}]', "is no time"),
    "a longer number": ('[{"word": "I", "start": 1' + "0" * 6000 + ', "end": 2}]', "no JSON transcript"),
    "deep": ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
    "deep objects": ('{"segments":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
    "many lists": ("[" + "[]," * 9_000_000 + "[]]", "would take"),
}


@pytest.mark.parametrize("name", NOT_KNOWN)
def test_what_is_not_known_is_refused_with_the_reason(name: str, read: Read) -> None:
    content, message = NOT_KNOWN[name]
    with pytest.raises(DataError, match=message) as caught:
        read(content)
    assert "\n" not in caught.value.what


ODD = [
    None,
    True,
    0,
    -1,
    1e308,
    -1e308,
    math.nan,
    math.inf,
    10**400,
    "",
    "x",
    "1",
    [],
    {},
    [[]],
    [None],
    {"a": 1},
    "1:2:3:4",
    -0.5,
]


def places_in(content: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if place:
        yield place
    keys = content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    for key in keys:
        yield from places_in(content[key], (*place, key))


@pytest.mark.parametrize("seed", [*range(150), *(pytest.param(i, marks=pytest.mark.slow) for i in range(150, 2000))])
def test_whatever_is_changed_it_is_words_in_time_or_one_clear_error(seed: int, read: Read) -> None:
    draw = random.Random(seed)
    content = copy.deepcopy(draw.choice(list(SHAPES.values())))
    for _ in range(draw.randint(1, 3)):
        places = [*places_in(content)]
        if not places:
            break
        *path, last = draw.choice(places)
        inner = content
        for key in path:
            inner = inner[key]
        if isinstance(inner, dict) and draw.random() < 0.3:
            del inner[last]
        else:
            inner[last] = copy.deepcopy(draw.choice(ODD))
    refusal = None
    try:
        found = read(content)
    except DataError as error:
        refusal = error
    if refusal is not None:
        assert "\n" not in refusal.what
        return
    assert all(not s.stop < s.start for s in found.segments)
    if found.timed:
        assert all(0 <= w.start <= w.stop < math.inf for w in found.words)


def test_times_that_are_no_numbers_are_none(read: Read) -> None:
    found = read('[{"word": "I", "start": NaN, "end": NaN}, {"word": "see.", "start": 0.5, "end": 0.9}]')
    assert found.words[1].start == 0.5
    assert found.words[0].stop <= 0.5


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_many_words_are_read(count: int, read: Read) -> None:
    found = read("[" + ",".join(f'{{"word":"a","start":{i},"end":{i}}}' for i in range(count)) + "]")
    assert len(found.words) == count
    assert math.isclose(found.words[-1].start, count - 1)
