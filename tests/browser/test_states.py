"""What the page says when something is missing, refused, broken or gone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import clips
from browser.conftest import ALLOWED, DENIED, Watched, launched, opened, started
from mecam.pretrained.cards import DEMO_CLIP
from serve_process import Server
from serving import free_port

pytestmark = pytest.mark.browser
REFUSED = "Failed to load resource"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Server]:
    """A service that asks for a token, and takes small files only."""
    with started(tmp_path, "--max-upload-mb", "0.1", MECAM_TOKEN="secret word") as running:
        yield running


def problem(watched: Watched) -> str:
    place = watched.page.locator(".problem:visible")
    place.wait_for()
    return str(place.inner_text())


def test_a_broken_file(open_page: Any, tmp_path: Path, look: dict[str, Any]) -> None:
    watched = open_page(**look)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(DEMO_CLIP.read_bytes()[:600])
    watched.page.set_input_files("#file", broken)
    watched.page.get_by_role("button", name="Predict").click()
    told = problem(watched)
    assert "broken.mp4" in told
    assert "tmp" not in told, "no place on the server is told"
    assert watched.page.get_by_text("Choose a file").is_visible()
    watched.check()


def test_a_recording_that_browsers_do_not_play(open_page: Any, tmp_path: Path) -> None:
    watched = open_page()
    watched.page.set_input_files("#file", clips.written_video(tmp_path / "old.avi", "mpeg4"))
    watched.page.get_by_text("This browser cannot play this file; the server may well read it.").wait_for()
    watched.page.get_by_role("button", name="Predict").click()
    watched.page.locator(".result").wait_for()
    watched.page.get_by_text("This browser cannot play this recording.").wait_for()
    watched.check()


def test_a_queue_that_is_full(open_page: Any) -> None:
    watched = open_page()
    watched.expected = [REFUSED]
    told = {"status": 429, "what": "too many recordings are waiting", "fix": "try again later"}
    watched.page.route("**/v1/predict/recording", lambda route: route.fulfill(status=429, json=told))
    watched.page.get_by_role("button", name="Use the sample").click()
    words = problem(watched)
    assert "Too many recordings are waiting." in words
    assert "Try again later." in words
    watched.check()


def test_a_server_that_starts_again_goes_on(browser: Any, tmp_path: Path) -> None:
    port = free_port()
    with started(tmp_path, port=port) as first:
        watched = opened(browser, first.url)
        watched.expected = [REFUSED, "ERR_INCOMPLETE_CHUNKED"]
        with watched.page.expect_request("**/events"):  # the page knows its job
            watched.page.get_by_role("button", name="Use the sample").click()
        first.kill()
        watched.page.locator(".stage", has_text="The server does not answer; trying again").wait_for()
    with started(tmp_path, port=port):
        watched.page.locator(".result").wait_for()
        watched.check()
        watched.page.context.close()


def test_a_file_that_is_too_large_is_not_sent(open_page: Any, tmp_path: Path) -> None:
    watched = open_page()
    sent: list[str] = []
    watched.page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(21_000_000))
    watched.page.set_input_files("#file", large)
    assert "21 MB" in problem(watched)
    assert not sent
    watched.check()


def test_an_empty_file(open_page: Any, tmp_path: Path) -> None:
    watched = open_page()
    (tmp_path / "empty.mp4").write_bytes(b"")
    watched.page.set_input_files("#file", tmp_path / "empty.mp4")
    assert "empty" in problem(watched)


def test_no_sentence(open_page: Any) -> None:
    watched = open_page("#text")
    watched.page.get_by_role("button", name="Predict").click()
    assert "There is no sentence yet" in problem(watched)
    watched.page.get_by_label("Sentences").fill("\n".join(["a"] * 300))
    watched.page.get_by_role("button", name="Predict").click()
    watched.page.locator(".problem", has_text="300 sentences are more than 256").wait_for()
    watched.check()


def test_a_job_is_cancelled(open_page: Any) -> None:
    watched = open_page()
    with watched.page.expect_response("**/v1/predict/recording"):
        watched.page.get_by_role("button", name="Use the sample").click()
    with watched.page.expect_request(lambda request: request.method == "DELETE"):
        watched.page.get_by_role("button", name="Cancel").click()
    watched.page.get_by_text("Choose a file").wait_for()
    assert watched.page.locator(".problem:visible").count() == 0
    watched.check()


@pytest.mark.parametrize("view", ["", "#live"])
@pytest.mark.parametrize(
    ("flags", "fake", "words"),
    [
        (DENIED, True, "The browser may not use the camera and the microphone"),
        (ALLOWED, False, "There is no camera and no microphone"),
    ],
    ids=["denied", "missing"],
)
def test_no_camera_and_no_microphone(
    playwright: Any, devices: tuple[str, ...], server: Server, flags: tuple[str, ...], fake: bool, words: str, view: str
) -> None:
    running = launched(playwright, *flags, *(devices if fake else ()))
    try:
        context = running.new_context(viewport={"width": 390, "height": 844})
        watched = Watched(context.new_page())
        watched.listen()
        watched.page.goto(f"{server.url}/{view}")
        watched.page.get_by_role("button", name="Start" if view else "Record yourself").click()
        assert words in problem(watched)
        watched.check()
    finally:
        running.close()


def test_no_secure_context(open_page: Any) -> None:
    watched = open_page()
    watched.page.add_init_script("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    watched.page.reload()
    watched.page.get_by_role("button", name="Record yourself").click()
    assert "secure pages only" in problem(watched)


def test_token_size_and_a_server_that_is_gone(browser: Any, guarded: Server) -> None:
    watched = opened(browser, f"{guarded.url}/#text")
    watched.expected = [REFUSED]
    page = watched.page
    field = page.get_by_role("textbox", name="Token")
    field.wait_for()
    watched.check()
    field.fill("wrong")
    page.get_by_role("button", name="Continue").click()
    page.get_by_text("does not accept this token").wait_for()
    field.fill("secret word")
    page.keyboard.press("Enter")
    page.get_by_text("tier").wait_for()
    page.get_by_role("button", name="Try an example").click()
    page.locator(".sentences > li").nth(2).wait_for()
    page.get_by_role("tab", name="Recording").click()
    page.set_input_files("#file", DEMO_CLIP)
    assert "the server takes 100 kB" in problem(watched)
    page.get_by_role("tab", name="Live").click()
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Stop").wait_for()
    page.locator(".face-box").wait_for()
    guarded.kill()
    page.locator("#live .problem", has_text="The server does not answer").wait_for()
    page.get_by_role("tab", name="Text").click()
    page.get_by_role("button", name="Predict").click()
    page.locator("#text .problem", has_text="The server does not answer").wait_for()
    watched.check()
    page.context.close()
