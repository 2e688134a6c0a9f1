"""Files of predictions: whatever stands in a transcript or a name, they are valid and can be read back."""

import csv
import html
import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import light
from mecam.data.cells import original_cell
from mecam.errors import ConfigError
from mecam.features.text.captions import plain, read_cues
from mecam.prediction.formats import ONE_RECORDING, WRITERS, as_csv, check_format, write_predictions
from mecam.prediction.in_words import one_line
from mecam.prediction.result import Prediction, RecordingPrediction
from mecam.prediction.rows import columns_of, rows_of
from panel_answers import PART, panel_recording

CLIP = Path("/media/a clip.mp4")

HOSTILE = st.one_of(
    st.text(max_size=30),
    st.text(st.characters(), max_size=12),
    st.sampled_from(
        [
            *("00:01.000 --> 00:02.000", "1:02 → 1:04", "0:00:01.0,0:00:02.0", "NOTE x", "WEBVTT", "a\n\nb", "]]>"),
            *("&amp;", "<v Bob>hi</v>", "=1+1", '"a","b"', "\x00\x0b\x1b[0m", "\ud800", "\ufffe", "a\r\nb", "<!--"),
            *("[0:1 --> 0:2]", "&lrm;", "-1:00 --&gt; 2:00", "'=1", "7\n00:01.000 --> 00:02.000\nx", "STYLE"),
            *("\u2028", "\x85"),
        ]
    ),
)


def with_texts(texts: Sequence[str]) -> RecordingPrediction:
    """Utterances of one second each that say these texts; the last text also names everything."""
    parts = tuple(replace(PART, id=f"p{i}", text=text, start=float(i), stop=i + 1.0) for i, text in enumerate(texts))
    name = texts[-1]
    return replace(panel_recording(CLIP), parts=parts, listeners=(), name=name, model=name, notes=(name,))


def one_spaced(text: str) -> str:
    return " ".join(text.split())


def read_strictly(content: str) -> list[tuple[str, str, list[str]]]:
    """Captions as the standard of WebVTT has them: blocks between blank lines; remarks are left out."""
    head, *blocks = re.split(r"\n{2,}", content.removesuffix("\n"))
    assert head == "WEBVTT"
    cues = []
    for block in blocks:
        first, *lines = block.split("\n")
        if first.startswith("NOTE"):
            assert not lines
            assert "-->" not in first
            continue
        times = re.fullmatch(r"(\d{2,}:[0-5]\d:[0-5]\d\.\d{3}) --> (\d{2,}:[0-5]\d:[0-5]\d\.\d{3})", first)
        assert times, first
        assert times[1] < times[2]
        assert all(line and "-->" not in line and "<" not in line for line in lines)
        cues.append((times[1], times[2], [html.unescape(line) for line in lines]))
    return cues


def vtt_of(recording: RecordingPrediction) -> str:
    content = WRITERS[".vtt"]([recording])
    assert isinstance(content, str)
    content.encode()
    assert not re.search("[\x00-\x09\x0b-\x1f]", content)
    return content


@settings(deadline=None)
@given(st.lists(HOSTILE, min_size=1, max_size=4))
def test_captions_say_what_was_said(texts: list[str]) -> None:
    content = vtt_of(with_texts(texts))
    strict = read_strictly(content)
    lenient, notes = read_cues(content)
    assert len(strict) == len(lenient) == len(texts), "each utterance has a caption: below its words stands the score"
    assert notes == []
    for number, (text, (start, _, lines), cue) in enumerate(zip(texts, strict, lenient, strict=True)):
        said = re.sub("[\x00-\x1f\x7f-\x9f\ud800-\udfff]", "\ufffd", one_spaced(text))
        told = "positive +1.9 · joy · activation 0.7 · face happy"
        assert [line.removeprefix("\u200e") for line in lines] == ([said] if said else []) + [told] or text[
            :1
        ] == "\u200e"
        assert start == f"00:00:{number:02d}.000"
        assert (cue.start, cue.stop) == (number, number + 1)
        assert cue.segment().text == plain(html.escape(f"{said} {told}"))


def test_captions_are_in_time_and_only_of_the_speaker() -> None:
    recording = panel_recording(CLIP)
    cues = read_strictly(vtt_of(replace(recording, parts=recording.parts[::-1])))
    assert [cue[0] for cue in cues] == ["00:00:00.400", "00:00:03.000", "00:00:06.200"]
    assert cues[2][2] == ["and nobody told me that it was sad", one_line(recording.parts[2])]
    seconds = read_strictly(vtt_of(panel_recording(CLIP, moments=True)))
    assert len(seconds) == 10, "the last one has a face, and no words"
    assert seconds[9][2] == ["face happy"]


def test_where_nothing_is_known_there_is_no_caption() -> None:
    nothing = Prediction("", None, None, None, None, "", start=0.0, stop=1.0)
    backwards = replace(PART, start=3.0, stop=2.0)
    recording = replace(panel_recording(CLIP), parts=(nothing, backwards), listeners=())
    assert [cue[:2] for cue in read_strictly(vtt_of(recording))] == [("00:00:03.000", "00:00:03.001")]


def test_the_remarks_name_the_model() -> None:
    content = vtt_of(panel_recording(CLIP))
    assert re.search(r"^NOTE mecam \S+, model the built-in model, research tier$", content, re.MULTILINE)
    assert "NOTE Built-in model: words: sentiment (MOSEI); voice: EmoDB." in content


def document_of(recording: RecordingPrediction) -> ElementTree.Element:
    content = WRITERS[".eaf"]([recording])
    assert isinstance(content, str)
    return ElementTree.fromstring(content.encode())


def tiers_of(document: ElementTree.Element) -> dict[str, list[tuple[int, int, str]]]:
    """Tier → annotations, read as the format says: slots by name, references that lead somewhere, times in order."""
    assert document.tag == "ANNOTATION_DOCUMENT"
    order = ["HEADER", "TIME_ORDER", *["TIER"] * len(document.findall("TIER")), "LINGUISTIC_TYPE"]
    assert [child.tag for child in document] == order
    slots = document.findall("TIME_ORDER/TIME_SLOT")
    times = {slot.attrib["TIME_SLOT_ID"]: int(slot.attrib["TIME_VALUE"]) for slot in slots}
    assert len(times) == len(slots)
    assert list(times.values()) == sorted(times.values())
    kinds = {kind.attrib["LINGUISTIC_TYPE_ID"] for kind in document.findall("LINGUISTIC_TYPE")}
    found: dict[str, list[tuple[int, int, str]]] = {}
    ids = []
    for tier in document.findall("TIER"):
        assert tier.attrib["LINGUISTIC_TYPE_REF"] in kinds
        annotations = found.setdefault(tier.attrib["TIER_ID"], [])
        for each in tier.findall("ANNOTATION/ALIGNABLE_ANNOTATION"):
            ids.append(each.attrib["ANNOTATION_ID"])
            ends = times[each.attrib["TIME_SLOT_REF1"]], times[each.attrib["TIME_SLOT_REF2"]]
            annotations.append((*ends, each.findtext("ANNOTATION_VALUE") or ""))
        assert all(start < stop for start, stop, _ in annotations)
        assert all(a[1] <= b[0] for a, b in pairwise(annotations)), "none overlap"
    assert len(set(ids)) == len(ids)
    assert len(found) == len(document.findall("TIER"))
    return found


@settings(deadline=None)
@given(st.lists(HOSTILE, min_size=1, max_size=4))
def test_annotations_say_what_was_said(texts: list[str]) -> None:
    tiers = tiers_of(document_of(with_texts(texts)))
    illegal = "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    said = [(1000 * i, 1000 * i + 1000, re.sub(illegal, "\ufffd", one_spaced(text))) for i, text in enumerate(texts)]
    assert tiers.get("transcript", []) == [each for each in said if each[2]]
    assert [text for *_, text in tiers["sentiment"]] == ["positive +1.9"] * len(texts)


def test_tiers_of_a_recording() -> None:
    tiers = tiers_of(document_of(panel_recording(CLIP)))
    assert list(tiers) == [
        *("transcript", "sentiment", "emotions", "activation", "contradicts", "expression (person 1)"),
        "expression (person 2)",
    ]
    assert tiers["sentiment"][2] == (6200, 9400, "negative -1.6")
    assert tiers["emotions"][0] == (400, 2600, "joy 0.62")
    assert tiers["activation"][0] == (400, 2600, "0.71")
    assert tiers["contradicts"] == [(6200, 9400, "vision")]
    assert tiers["expression (person 1)"][0] == (400, 2600, "happy 0.70, smile 0.80")
    assert tiers["expression (person 2)"][0] == (400, 2600, "surprised 0.50, frown 0.45")
    assert "expression" in tiers_of(document_of(panel_recording(CLIP, people=0)))
    assert len(tiers_of(document_of(panel_recording(CLIP, moments=True)))["activation"]) == 8


def test_utterances_that_overlap_are_cut() -> None:
    parts = tuple(replace(PART, start=float(start), stop=start + 3.0) for start in (0, 2, 2))
    recording = replace(panel_recording(CLIP), parts=parts, listeners=())
    ends = [each[:2] for each in tiers_of(document_of(recording))["transcript"]]
    assert ends == [(0, 3000), (3000, 5000), (5000, 5001)]


def test_the_recording_is_linked() -> None:
    header = document_of(panel_recording(CLIP)).find("HEADER")
    assert header is not None
    assert header.attrib["TIME_UNITS"] == "milliseconds"
    media = header.find("MEDIA_DESCRIPTOR")
    assert media is not None
    assert media.attrib == {
        "MEDIA_URL": "file:///media/a%20clip.mp4",
        "MIME_TYPE": "video/mp4",
        "RELATIVE_MEDIA_URL": "./a%20clip.mp4",
    }
    properties = [(each.attrib["NAME"], each.text) for each in header.findall("PROPERTY")]
    assert properties[0] == ("model", "the built-in model, research tier")


@settings(deadline=None)
@given(st.lists(HOSTILE, min_size=1, max_size=4))
def test_tables_and_json_say_what_was_said(texts: list[str]) -> None:
    recording = with_texts(texts)
    content = as_csv([recording])
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    assert [original_cell(row.get("text", "")) for row in rows] == texts
    assert {original_cell(row.get("file", "")) for row in rows} == {texts[-1]}
    assert [float(row["score"]) for row in rows] == [1.9] * len(texts)
    written = WRITERS[".json"]([recording])
    assert [part["text"] for part in json.loads(written)[0]["utterances"]] == [
        text or None for text in texts
    ] or "" in texts
    assert json.loads(WRITERS[".jsonl"]([recording])) == json.loads(written)[0]


SAID = st.fixed_dictionaries(
    {
        "score": st.sampled_from([None, 1.5]),
        "text": st.sampled_from([None, "=a"]),
        "shares": st.sampled_from([{}, {"text": 1.0}, {"text": 0.5, "audio": 0.5}]),
        "absent": st.sampled_from([(), ("vision",)]),
        "doubts": st.sampled_from([{}, {"text": 0.1, "audio": 0.2}]),
        "disagrees": st.sampled_from([(), ("audio",)]),
    }
)
"""What trained models say."""


@settings(deadline=None)
@given(st.lists(SAID, min_size=1, max_size=4), st.booleans())
def test_the_csv_of_trained_models_stays_as_it_was(said: list[dict[str, Any]], recorded: bool) -> None:
    """Columns as they first appear, also those that stay empty, and no means of gates."""
    bare = Prediction("a", None, None, None, None, "x", kept={"text": [0.5]}, start=0.0, stop=1.0)
    parts = [replace(bare, probabilities={} if one["score"] else {"x": 1.0}, **one) for one in said]
    expected: dict[str, None] = {}
    for part in parts:
        expected |= dict.fromkeys(("file", "start", "stop") if recorded else ())
        expected |= dict.fromkeys(("id", "text", "label", *(("score", "low", "high") if part.score else ())))
        expected |= dict.fromkeys([f"prob_{name}" for name in part.probabilities])
        expected |= dict.fromkeys([f"share_{name}" for name in part.shares])
        expected |= dict.fromkeys(["absent"] if part.absent else [])
        expected |= dict.fromkeys([f"doubt_{name}" for name in part.doubts])
        expected |= dict.fromkeys(["contradicts"] if part.doubts else [])
        expected |= dict.fromkeys(["disagrees"] if recorded else [])
    whole = replace(panel_recording(CLIP), parts=tuple(parts), listeners=(), notes=())
    content = as_csv([whole] if recorded else parts)
    assert next(csv.reader([content.splitlines()[0]])) == list(expected)


def test_parquet_is_the_table(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    recording = with_texts(["half \ud800 a character", "=1+1"])
    path = write_predictions(tmp_path / "a.parquet", [recording, panel_recording(CLIP)])
    table = parquet.read_table(path)
    rows = rows_of([recording, panel_recording(CLIP)])
    assert table.column_names == columns_of(rows)
    assert table.column("text").to_pylist()[:2] == ["half \\ud800 a character", "=1+1"]
    assert table.column("score").to_pylist() == [row.get("score") for row in rows]
    assert [str(table.schema.field(name).type) for name in ("person", "speaking", "score")] == [
        "int64",
        "bool",
        "double",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_a_recording_is_saved_by_its_ending(tmp_path: Path) -> None:
    for ending in WRITERS:
        assert panel_recording(CLIP).save(tmp_path / f"a{ending.upper()}").stat().st_size > 100
    with pytest.raises(ConfigError, match=r"cannot be written as \.xlsx"):
        panel_recording(CLIP).save(tmp_path / "a.xlsx")


@pytest.mark.parametrize("ending", sorted(ONE_RECORDING))
def test_captions_and_documents_are_of_one_recording(ending: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{ending} file holds one recording; these are 2") as caught:
        write_predictions(tmp_path / f"a{ending}", [panel_recording(CLIP)] * 2)
    assert f"name a folder, and --format {ending[1:]}" in str(caught.value)
    with pytest.raises(ConfigError, match="these are sentences"):
        check_format(ending, recordings=1, others=1, where="here")
    assert not list(tmp_path.iterdir())


def test_without_pyarrow_the_extra_is_named() -> None:
    said = light.run_light("""
        from mecam.errors import MissingExtraError
        from mecam.prediction.formats import check_format
        try:
            check_format(".parquet", recordings=1, others=0, where="here")
        except MissingExtraError as error:
            print(error)
    """)
    assert said.strip() == 'this needs pyarrow, which is not installed (pip install "mecam[table]")'
