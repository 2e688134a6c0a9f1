"""The page of a recording that the built-in model read: words, voice and faces over the same seconds."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import voices
from mecam.prediction.result import Face, Prediction, RecordingPrediction
from mecam.report.predictions import write_index
from mecam.report.recording import write_recording
from mecam.task import Regression
from panel_answers import PART, panel_recording, with_parts

ABOUT = {"model": "the built-in model, research tier"}


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return voices.write_wav(tmp_path_factory.mktemp("clip") / "talk.wav", voices.buzz(1.0))


def body_of(recording: RecordingPrediction, folder: Path) -> str:
    page = write_recording(folder / "a.html", recording, Regression(), ABOUT).read_text("utf-8")
    return re.sub(r"base64,[^\"]+", "", page.partition("<body")[2].partition("<script>")[0])


def strip_of(body: str, label: str) -> str:
    (found,) = re.findall(rf'aria-label="{label}">(.*?)</svg>', body)
    return str(found)


def test_each_thing_has_its_strips(wav: Path, tmp_path: Path) -> None:
    body = body_of(panel_recording(wav), tmp_path)
    headings = re.findall(r"<h3>([^<]+)</h3>", body.partition("Timeline</h2>")[2].partition("<section")[0])
    assert headings == ["Sentiment", "Emotions of the words", "Voice", "Faces", "Filter"]
    names = re.findall(r'<div class="strip[^"]*"><span>([a-z ]+)', body)
    assert names == [
        *("sentiment", "joy", "neutral", "sadness", "activation", "speaker", "happy", "surprised", "smile", "frown"),
        *("text gate", "audio gate", "vision gate", "face seen"),
    ]
    assert body.count('<line class="now"') == len(names), "the cursor runs over all of them"
    assert strip_of(body, "activation of the voice over time").count('class="interval"') == 3
    assert "activation 0.71 (0.59 to 0.81)" in body
    assert "joy 62 %" in strip_of(body, "joy over time")


def test_people_have_colours_of_their_own(wav: Path, tmp_path: Path) -> None:
    body = body_of(panel_recording(wav, moments=True), tmp_path)
    keys = re.findall(r'class="key (person\d)"></span> ([^<]+)', body)
    assert keys == [("person0", "person 1"), ("person1", "person 2")]
    happy = strip_of(body, "happy over time")
    assert set(re.findall(r'class="(person\d)', happy)) == {"person0", "person1"}
    assert "person 1: happy 70 %" in happy
    assert "person 2: surprised 50 %" in body
    assert set(re.findall(r'class="(\w+)', strip_of(body, "who speaks over time"))) == {"person0", "now"}
    table = body.partition("People</h2>")[2].partition("</table>")[0]
    assert re.findall(r"<td[^>]*>(?:<span[^>]*>)?([^<]*)", table) == [
        *("7.9 s", "96 %", "happy 49 %", "smile 0.50"),
        *("listens", "70 %", "surprised 50 %", "frown 0.45"),
    ]


def test_the_voice_is_told_in_numbers(wav: Path, tmp_path: Path) -> None:
    table = body_of(panel_recording(wav), tmp_path).partition("Voice</h2>")[2].partition("</table>")[0]
    first = table.partition("<tbody>")[2].partition("</tr>")[0]
    assert re.findall(r"<t[hd][^>]*>([^<]*)", first) == [
        *("0:00.4–0:02.6", "0.71", "0.59 to 0.81", "2.5", "182", "6.4", "12 %"),
    ]


def test_one_person_needs_no_colours(wav: Path, tmp_path: Path) -> None:
    body = body_of(panel_recording(wav, people=1), tmp_path)
    assert 'class="key person' not in body
    assert "person 1: " not in body
    assert ">speaker<" not in body


def test_what_the_filter_removed_is_marked(wav: Path, tmp_path: Path) -> None:
    body = body_of(panel_recording(wav), tmp_path)
    voice = strip_of(body, "activation of the voice over time")
    removed = re.findall(r'class="removed" x="([\d.]+)" width="([\d.]+)"', voice)
    assert [float(left) for left, _ in removed] == pytest.approx([113.3, 383.3, 726.7], abs=0.2)
    assert [float(width) for _, width in removed] == pytest.approx([73.4, 83.4, 106.6], abs=0.2)
    assert body.count("removed by the filter") >= 3
    assert re.findall(r'class="word faded"[^>]*>(\w+)', body) == ["film", "long", "sad"]
    assert "Struck words were removed by the filter." in body
    clean = with_parts(panel_recording(wav), replace(PART, kept={"text": [0.9] * 5, "audio": [0.9] * 3}))
    assert "removed" not in body_of(clean, tmp_path).replace("no colour", "")


def test_what_stands_beside_the_score_is_told_with_each_utterance(wav: Path, tmp_path: Path) -> None:
    body = body_of(panel_recording(wav), tmp_path)
    assert "person 1: joy 62 % · activation 0.71 · face happy 70 %" in body
    assert body.count("person 2: face surprised 50 %</p>") == 3
    assert "The face contradicts the words." in body
    assert re.findall(r'<p class="score">([^<]+)<small>([^<]+)', body) == [
        ("neutral +0.10 (−0.90 to +1.20)", "joy 62 % · activation 0.71 · face happy 70 % · 10.0 s, 3 utterances"),
    ]


def test_without_words_the_rest_is_shown_and_the_reason_told(wav: Path, tmp_path: Path) -> None:
    nothing = {"score": None, "low": None, "high": None, "label": "", "text": None, "emotions": {}, "contradicts": ()}
    recording = panel_recording(wav)
    silent = replace(
        recording,
        overall=replace(recording.overall, **nothing),
        parts=(replace(recording.parts[0], **nothing, absent=("text",)), *recording.parts[1:2]),
        utterances=recording.utterances[:2],
        absent={"text": "no transcript; install mecam[asr]"},
    )
    body = body_of(silent, tmp_path)
    assert '<p class="score">no score: no transcript<small>' in body
    assert "Text is absent: no transcript; install mecam[asr]." in body
    assert strip_of(body, "sentiment over time").count("score-level") == 1, "one of two utterances has a score"
    index = write_index(tmp_path / "index.html", [silent], ["a.html"], ABOUT).read_text("utf-8")
    assert "no score: no transcript" in index


def test_movements_against_a_baseline_go_both_ways(wav: Path, tmp_path: Path) -> None:
    part = replace(PART, face=Face(1.0, {"neutral": 1.0}, {"smile": -0.5, "frown": 0.5}))
    body = body_of(with_parts(panel_recording(wav, people=1), part), tmp_path)
    smile = strip_of(body, "smile over time")
    assert re.findall(r'y="([\d.]+)" height="([\d.]+)"', smile)[:2] == [("49", "2"), ("75", "25")]
    assert "smile −0.50" in smile
    assert 'aria-label="neutral over time"' not in body.partition("Faces</h3>")[2]


def test_a_long_recording_makes_no_heavy_page(wav: Path, tmp_path: Path) -> None:
    """An hour by seconds, of which strips have 200 pieces."""
    moments = tuple(replace(PART, start=float(i), stop=i + 1.0, text=None, kept={}) for i in range(3600))
    recording = replace(panel_recording(wav, people=1), duration=3600.0, moments=moments)
    body = body_of(recording, tmp_path)
    assert strip_of(body, "joy over time").count("<rect") == 200
    assert len(body) < 500_000


def test_what_comes_from_outside_is_text(wav: Path, tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    part = replace(PART, text=hostile, emotions={hostile: 1.0}, face=Face(1.0, {hostile: 1.0}, {hostile: 1.0}))
    body = body_of(with_parts(panel_recording(wav), part), tmp_path)
    assert "<script>alert" not in body
    assert body.count("&lt;script&gt;alert") > 5


def test_pages_of_trained_models_have_none_of_it(wav: Path, tmp_path: Path) -> None:
    part = Prediction(*("x", "a film", 1.0, 0.0, 2.0, "positive"), kept={"text": [0.1, 0.9]}, start=0.0, stop=1.0)
    trained = replace(with_parts(panel_recording(wav, people=0), part), overall=part, findings=())
    body = body_of(trained, tmp_path)
    timeline = body.partition("Timeline</h2>")[2].partition("<section")[0]
    assert "<h3>" not in timeline
    assert timeline.count('class="timeline"') == 1
    assert "removed" not in body
    assert "People" not in body
