"""The terminal's table over time: what the built-in model says fits a terminal; trained models look as ever."""

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mecam.prediction.result import Prediction, RecordingPrediction
from mecam.report.predictions import predictions_table, recording_view
from mecam.report.recording_table import filtered
from panel_answers import PART, panel_recording

CLIP = Path("talk.mp4")


def shown(what: Any, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(what)
    return console.export_text()


def head_of(text: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if " time " in line)


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("people", [1, 2])
@pytest.mark.parametrize("moments", [False, True])
def test_it_fits(width: int, people: int, moments: bool) -> None:
    """No word is cut, and no line is longer than the terminal."""
    text = shown(recording_view(panel_recording(CLIP, moments=moments, people=people)), width)
    assert "…" not in re.sub(r"[\d.]+…[+−]?[\d.]+", "", text)
    assert max(map(len, text.splitlines())) <= width
    assert "surprised" in text or people == 1


def test_everything_is_told() -> None:
    text = shown(recording_view(panel_recording(CLIP, people=1)))
    lines = text.splitlines()
    assert lines[0] == (
        "talk.mp4 · 10.0 s · neutral +0.10 (−0.90 to +1.20) · joy 62 % · activation 0.71 · face happy 70 %"
    )
    assert head_of(text) == ["time", "text", "sentiment", "emotions", "activation", "face"]
    first = next(line for line in lines if "0:00.4" in line)
    assert re.split(r" {2,}", first.strip()) == [
        *("0:00.4–0:02.6", "I really loved this film", "positive +1.9", "joy 62 %", "0.71", "happy 70 %"),
    ]
    assert re.split(r" {2,}", lines[lines.index(first) + 1].strip()) == [
        *("voice 50 % removed", "+0.8…+3.0", "0.6…0.8", "smile 0.8"),
    ]
    assert "face contradicts" in text
    assert "Removed by the filter: 15 % of the words, 50 % of the voice." in text
    assert "6.2 to 9.4 s: the words are negative, the face shows the expression 'happy'." in text


def test_people_are_told_apart_where_there_are_several() -> None:
    assert head_of(shown(recording_view(panel_recording(CLIP, people=2))))[1] == "person"
    for people in (0, 1):
        assert "person" not in shown(recording_view(panel_recording(CLIP, people=people)))
    assert shown(recording_view(panel_recording(CLIP, people=2))).count("listening") == 3


def test_a_moment_whose_voice_is_removed_says_so() -> None:
    (line,) = re.findall(r".*voice removed.*", shown(recording_view(panel_recording(CLIP, people=1, moments=True))))
    assert "%" not in line


def without_words() -> RecordingPrediction:
    recording = panel_recording(CLIP, people=1)
    nothing = {"score": None, "low": None, "high": None, "label": "", "text": None, "emotions": {}, "contradicts": ()}
    kept = {"audio": [1.0]}
    return replace(
        recording,
        overall=replace(recording.overall, **nothing),
        parts=tuple(replace(part, **nothing, absent=("text",), kept=kept) for part in recording.parts),
        absent={"text": "no transcript; install mecam[asr]"},
        findings=(),
    )


def test_without_a_transcript_there_is_no_score_and_that_is_said() -> None:
    text = shown(recording_view(without_words()))
    assert text.startswith("talk.mp4 · 10.0 s · no score: no transcript · activation 0.71 · face happy 70 %\n")
    assert "Text is absent: no transcript; install mecam[asr]." in text
    assert head_of(text) == ["time", "activation", "face"]
    assert "Removed" not in text


def test_next_to_nothing_is_not_told() -> None:
    part = replace(PART, kept={"audio": [0.9] * 50 + [0.1]})
    assert filtered(replace(panel_recording(CLIP), parts=(part,))) == []
    assert filtered(replace(panel_recording(CLIP), parts=(replace(PART, kept={"audio": [None]}),))) == []


def test_trained_models_look_as_ever() -> None:
    part = Prediction(
        *("x", "a film", 1.0, 0.0, 2.0, "positive"), shares={"text": 1.0}, kept={"audio": [0.0]}, start=0.0, stop=1.0
    )
    recording = RecordingPrediction(CLIP, 1.0, part, (part,), (), name="talk.mp4")
    text = shown(recording_view(recording))
    (head,) = (line for line in text.splitlines() if "prediction" in line)
    assert re.findall(r"[a-z90][a-z %0-9]*[a-z]", head) == [
        *("time", "text", "prediction", "score", "90 % interval", "text weight"),
    ]
    assert "Removed" not in text


def test_sentences_have_emotions() -> None:
    part = Prediction("1", "great", 2.0, None, None, "positive", emotions={"joy": 0.9, "love": 0.6, "fear": 0.55})
    text = shown(predictions_table([part]).terminal())
    assert "joy 90 % · love 60 %" in text
    assert "fear" not in text
    contradicted = replace(part, contradicts=("vision",))
    assert "vision" in shown(predictions_table([contradicted]).terminal())
