"""Every view of the page, at both widths and in both themes."""

import json
from pathlib import Path
from typing import Any

import pytest

import voices
from browser.conftest import until
from mecam.pretrained.cards import DEMO_CLIP

pytestmark = pytest.mark.browser
TRANSCRIPT = DEMO_CLIP.with_suffix(".vtt")


def uploaded(page: Any, clip: Path, transcript: Path | None = None) -> None:
    page.set_input_files("#file", clip)
    if transcript is not None:
        page.set_input_files("#transcript", transcript)
    page.get_by_role("button", name="Predict").click()


def test_the_start_is_usable(open_page: Any, look: dict[str, Any]) -> None:
    watched = open_page(**look)
    watched.page.get_by_text("Up to 20 MB and 60 minutes").wait_for()
    watched.check()


def test_a_clip_is_uploaded_and_told(open_page: Any, look: dict[str, Any]) -> None:
    watched = open_page(**look)
    page = watched.page
    page.set_input_files("#file", DEMO_CLIP)
    page.locator("summary", has_text="Options").click()
    watched.check()
    page.get_by_role("button", name="Choose another").click()
    uploaded(page, DEMO_CLIP, TRANSCRIPT)
    page.locator(".result").wait_for()
    assert page.locator(".told .score").inner_text().startswith("neutral −0.2")
    for name in ("Timeline", "People", "Voice", "Utterances", "Faces", "Remarks"):
        assert page.locator(f"section[data-name={name}] h2").inner_text() == name
    assert page.locator(".word.up", has_text="loved").count() == 1
    watched.check()


def test_a_click_plays_from_there(open_page: Any) -> None:
    page = open_page().page
    page.get_by_role("button", name="Use the sample").click()
    page.locator(".result").wait_for()
    until(page, "document.querySelector('.player').readyState >= 2")
    page.locator(".part button").nth(2).click()
    until(page, "!document.querySelector('.player').paused")
    assert page.evaluate("document.querySelector('.player').currentTime") == pytest.approx(9.2, abs=1)
    until(page, "document.querySelectorAll('.part')[2].classList.contains('current')")
    page.evaluate("document.querySelector('.player').pause()")
    strip = page.locator(".timeline svg").first
    box = strip.bounding_box()
    strip.click(position={"x": box["width"] / 4, "y": 5})
    until(page, "document.querySelector('.player').currentTime < 6")
    page.evaluate("document.querySelector('.player').pause()")
    at = page.evaluate("document.querySelector('.player').currentTime")
    line = float(page.locator(".timeline .now").first.get_attribute("x1"))
    assert line == pytest.approx(1000 * at / 13.924, abs=60)
    page.locator(".face-box").wait_for()
    assert "1" in page.locator(".face-box").inner_text()


def test_files_are_those_of_the_server(open_page: Any, tmp_path: Path) -> None:
    page = open_page().page
    page.get_by_role("button", name="Use the sample").click()
    page.locator(".result").wait_for()
    got = {}
    for name, ending in (("CSV", "csv"), ("JSON", "json"), ("WebVTT", "vtt"), ("ELAN", "eaf"), ("HTML", "html")):
        with page.expect_download() as waited:
            page.get_by_role("button", name=name, exact=True).click()
        assert waited.value.suggested_filename == f"clip.{ending}"
        waited.value.save_as(tmp_path / f"clip.{ending}")
        got[ending] = (tmp_path / f"clip.{ending}").read_text("utf-8")
    assert json.loads(got["json"])["file"] == "clip.mp4"
    assert len(json.loads(got["json"])["utterances"]) == 3
    assert got["vtt"].startswith("WEBVTT")
    assert "<ANNOTATION_DOCUMENT" in got["eaf"]
    assert "<!DOCTYPE html>" in got["html"]
    assert got["csv"].count("\n") >= 4


def test_the_sample_is_told_with_boxes_in_every_look(open_page: Any, look: dict[str, Any]) -> None:
    watched = open_page(**look)
    watched.page.get_by_role("button", name="Use the sample").click()
    watched.page.locator(".result").wait_for()
    watched.page.locator(".face-box").wait_for()
    picture, box = (watched.page.locator(one).first.bounding_box() for one in (".player", ".face-box"))
    assert picture["x"] <= box["x"]
    assert box["x"] + box["width"] <= picture["x"] + picture["width"]
    watched.check()


def test_a_clip_is_recorded(open_page: Any, look: dict[str, Any]) -> None:
    watched = open_page(**look)
    page = watched.page
    page.get_by_role("button", name="Record yourself").click()
    page.get_by_role("button", name="Start recording").click()
    page.wait_for_timeout(3_000)
    watched.check()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("recording.webm").wait_for()
    page.get_by_role("button", name="Predict").click()
    page.locator(".result").wait_for()
    page.locator(".face-box").wait_for()
    assert page.locator("section[data-name=Voice]").count() == 1
    watched.check()


def test_the_devices_are_given_back(open_page: Any) -> None:
    page = open_page().page
    page.get_by_role("button", name="Record yourself").click()
    page.get_by_role("button", name="Start recording").wait_for()
    until(page, "document.querySelector('.self').srcObject !== null")
    page.evaluate("window.kept = document.querySelector('.self').srcObject")
    page.get_by_role("tab", name="Text").click()
    until(page, "window.kept.getTracks().every((track) => track.readyState === 'ended')")


def test_sentences(open_page: Any, look: dict[str, Any]) -> None:
    watched = open_page("#text", **look)
    page = watched.page
    watched.check()
    page.get_by_label("Sentences").fill("I loved it.\n\nThe ending was awful and boring.")
    page.keyboard.press("Control+Enter")
    rows = page.locator(".sentences > li")
    rows.nth(1).wait_for()
    assert rows.count() == 2
    with page.expect_response("**/v1/predict/text") as waited:
        page.get_by_role("button", name="Predict").click()
    for row, answer in zip(rows.all(), waited.value.json()["predictions"], strict=True):
        said = f"{answer['label']} {answer['score']:+.2f}".replace("-", "−")
        assert row.locator(".says").inner_text().startswith(said)
        assert row.locator("svg.scale circle").count() == 1
    watched.check()


def test_tabs_by_keyboard_and_by_address(open_page: Any) -> None:
    page = open_page("#live").page
    live = page.get_by_role("tab", name="Live")
    assert live.get_attribute("aria-selected") == "true"
    live.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.textContent") == "Recording"
    assert page.url.endswith("#recording")
    page.keyboard.press("ArrowRight")
    assert page.get_by_label("Sentences").is_visible()
    assert page.title().startswith("Text")


def test_a_sound_without_face_and_words_says_so(open_page: Any, tmp_path: Path) -> None:
    watched = open_page()
    uploaded(watched.page, voices.write_wav(tmp_path / "hum.wav", voices.buzz(3.0)))
    watched.page.locator(".result").wait_for()
    told = watched.page.locator(".told").inner_text()
    assert "no score" in told
    assert "Vision is absent" in told
    assert "Text is absent" in told
    assert watched.page.locator("audio.player").count() == 1
    watched.check()


def test_by_keyboard_alone(open_page: Any) -> None:
    """The focus is never lost: whoever has no mouse goes on where something new came."""
    page = open_page().page
    focused = "document.activeElement.textContent || document.activeElement.id"
    for _ in range(4):  # tabs, the file, recording, the sample
        page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Use the sample"
    page.keyboard.press("Enter")
    page.locator("progress").wait_for()
    assert page.evaluate(focused) == "Cancel"
    page.locator(".result").wait_for()
    assert page.evaluate(focused) == "clip.mp4"
    page.get_by_role("button", name="Another recording").focus()
    page.keyboard.press("Enter")
    assert page.evaluate(focused) == "file"
    ring = page.evaluate("getComputedStyle(document.querySelector('label.button')).outlineStyle")
    assert ring == "solid", "the label shows where the focus is"
