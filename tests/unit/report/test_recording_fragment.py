"""The sections of a recording for another page are those of the page that is a file."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import voices
from mecam.report.recording import recording_fragment, write_recording
from mecam.task import Regression
from panel_answers import panel_recording

ABOUT = {"model": "m<1>"}
SECTION = re.compile(r'<section id="(\w+)"[^>]*>\n(.*?)\n?</section>', re.DOTALL)


@pytest.mark.parametrize("moments", [False, True])
def test_the_sections_are_those_of_the_page(tmp_path: Path, moments: bool) -> None:
    recording = panel_recording(voices.write_wav(tmp_path / "talk.wav", voices.buzz(1.0)), moments=moments)
    page = write_recording(tmp_path / "a.html", recording, Regression(), ABOUT).read_text("utf-8")
    fragment = recording_fragment(recording, Regression(), ABOUT)
    theirs, ours = dict(SECTION.findall(page)), dict(SECTION.findall(fragment))
    assert theirs.pop("player")
    assert set(ours) >= {"timeline", "people", "voice", "utterances"}
    assert ours == theirs


def test_it_can_stand_in_another_page() -> None:
    recording = replace(panel_recording(Path("a.mp4")), name="<script>alert(1)</script>", findings=("<b>odd",))
    fragment = recording_fragment(recording, Regression(), ABOUT)
    assert not re.search(r"<(script|style|html|body|link|video|b>)", fragment)
    assert not re.search(r"\son\w+=", fragment)
    assert "&lt;script&gt;" in fragment
    assert 'data-duration="10.000"' in fragment


def test_what_is_absent_is_told_first() -> None:
    recording = replace(panel_recording(Path("a.mp4")), absent={"vision": "no face is visible"})
    head = recording_fragment(recording, Regression(), ABOUT).partition("</header>")[0]
    assert "Vision is absent: no face is visible." in head
