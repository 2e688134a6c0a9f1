"""The live view: with the server's answers, and with those of a server that is made up here."""

import itertools
import json
import struct
from typing import Any

import pytest

from browser.conftest import Watched, until

pytestmark = pytest.mark.browser

READY = {"type": "ready", "model": "m", "window_s": 10, "every_s": 0.5, "pictures_per_s": 5, "asr": None, "notes": []}
NOTHING = {"id": "", "label": ""}
TONE = """
async ([rate, hertz]) => {
  const context = new OfflineAudioContext(1, 2 * rate, rate);
  await context.audioWorklet.addModule("/page/pcm.js");
  const source = new OscillatorNode(context, { frequency: hertz });
  const worklet = new AudioWorkletNode(context, "pcm", { numberOfOutputs: 1 });
  const blocks = [];
  worklet.port.onmessage = ({ data }) => blocks.push(data);
  source.connect(worklet).connect(context.destination);
  source.start();
  await context.startRendering();
  await new Promise((resolve) => setTimeout(resolve, 200));
  return blocks.map(({ time, pcm }) => [time, [...new Int16Array(pcm)]]);
}
"""


def answer(time: float, **more: Any) -> str:
    start = max(0.0, time - 10)
    told = {
        "type": "answer", "time": time, "start": start, "stop": time, "latency_s": 0.4,
        "prediction": {"id": "w", "label": "positive", "score": 1.5, "low": 0.4, "high": 2.6, "emotions": {"joy": 0.8}},
        "now": {**NOTHING, "voice": {"activation": 0.7, "low": 0.6, "high": 0.8},
                "face": {"visible": 1.0, "expressions": {"happy": 0.9, "neutral": 0.1}}},
        "texts": [], "people": [{"person": 1, "box": [0.1, 0.2, 0.3, 0.4], "speaking": True, "time": time}],
        "gates": {"audio": [[start, time - 1, 0.9], [time - 1, time, 0.2]], "vision": [[start, time, None]],
                  "text": [[start, time, 0.9, "fine"]]},
        "absent": {"vision": "no face is visible"}, "dropped": {"pictures": 0, "sound_s": 0.0}, "findings": [],
    }  # fmt: skip
    return json.dumps({**told, **more})


class Script:
    """A server that is made up: it is ready at once, and keeps what comes."""

    def __init__(self, watched: Watched) -> None:
        self.watched, self.got, self.route = watched, [], None  # type: ignore[var-annotated]
        watched.page.route_web_socket("**/v1/stream", self._open)

    def _open(self, route: Any) -> None:
        self.route = route
        route.on_message(self._take)

    def _take(self, message: str | bytes) -> None:
        self.got.append(message)
        if isinstance(message, str) and json.loads(message)["type"] == "start":
            self.route.send(json.dumps(READY))

    def texts(self) -> list[dict[str, Any]]:
        return [json.loads(one) for one in self.got if isinstance(one, str)]

    def start(self) -> None:
        self.watched.page.get_by_role("button", name="Start").click()
        self.watched.page.get_by_role("button", name="Stop").wait_for()


@pytest.fixture
def script(open_page: Any) -> Script:
    return Script(open_page("#live"))


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_sound_is_made_16_khz_without_folding(open_page: Any, rate: int) -> None:
    import numpy as np

    page = open_page("#live").page
    for hertz, size in ((1_000, 1.0), (3_000, 1.0), (12_000, 0.0), (15_000, 0.0)):
        blocks = page.evaluate(TONE, [rate, hertz])
        sound = np.concatenate([block for _, block in blocks]) / 32767
        assert len(sound) == pytest.approx(2 * 16_000, abs=2 * 1600)
        middle = sound[3200:-3200]
        assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(size, abs=0.003), hertz
        assert [time for time, _ in blocks] == pytest.approx([i / 10 for i in range(len(blocks))], abs=0.002)


def test_what_is_sent_follows_the_contract(script: Script) -> None:
    script.start()
    script.watched.page.wait_for_timeout(2_500)
    script.watched.page.get_by_role("textbox", name="Words").fill("so good")
    script.watched.page.keyboard.press("Enter")
    script.watched.page.wait_for_timeout(200)
    script.watched.page.get_by_role("button", name="Stop").click()
    script.watched.page.wait_for_timeout(200)
    first, text, last = script.texts()
    assert first["type"] == "start"
    assert (text["type"], text["text"], last["type"]) == ("text", "so good", "end")
    assert 0 < text["start"] < text["stop"] < 10
    messages = [(one[0], struct.unpack("<d", one[1:9])[0], one[9:]) for one in script.got if isinstance(one, bytes)]
    sounds = [(time, data) for kind, time, data in messages if kind == 1]
    pictures = [(time, data) for kind, time, data in messages if kind == 2]
    assert len(sounds) >= 15
    assert {len(data) for _, data in sounds} == {3200}, "100 ms of 16 bit"
    steps = [b - a for (a, _), (b, _) in itertools.pairwise(sounds)]
    assert steps == pytest.approx([0.1] * len(steps), abs=0.01)
    assert 5 <= len(pictures) <= 15
    assert all(data[:2] == b"\xff\xd8" and len(data) < 1_000_000 for _, data in pictures)


def test_answers_are_shown_in_every_look(open_page: Any, look: dict[str, Any]) -> None:
    script = Script(open_page("#live", **look))
    script.watched.check()
    script.start()
    for i in range(1, 8):
        script.route.send(answer(i / 2))
    page = script.watched.page
    page.locator(".face-box").wait_for()
    told = page.locator("#live").inner_text()
    for words in ("+1.5", "+0.4 to +2.6", "0.70", "happy", "joy", "Face: no face is visible", "0.4 s behind"):
        assert words in told, words
    states = page.locator(".answers .kind").all_inner_texts()
    assert states == ["kept", "67 % removed", "nothing"] or "removed" in states[1]
    assert page.locator(".rolling path.curve").first.get_attribute("d").count("L") == 6
    assert page.locator("svg rect.out").count() == 1
    box, picture = (page.locator(one).bounding_box() for one in (".face-box", ".here .screen"))
    assert box["x"] > picture["x"] + picture["width"] / 2, "the preview is a mirror"
    script.watched.check()


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        ({"type": "error", "status": 429, "what": "all places are taken"}, 1013, "All places are taken"),
        (None, 1013, "All live places of this server are taken"),
        (None, 1012, "The server stops"),
        (None, 1011, "The session ended on the server"),
    ],
)  # fmt: skip
def test_why_it_ended(script: Script, message: dict[str, Any] | None, code: int, words: str) -> None:
    script.start()
    script.route.send(answer(0.5))
    if message is not None:
        script.route.send(json.dumps(message))
    script.route.close(code=code)
    page = script.watched.page
    page.locator("#live .problem", has_text=words).wait_for()
    page.get_by_role("button", name="Start").wait_for()
    assert page.evaluate("document.querySelector('#live video').srcObject") is None, "the camera is given back"
    script.watched.check()


def test_leaving_the_view_ends_the_session(script: Script) -> None:
    script.start()
    script.watched.page.get_by_role("tab", name="Text").click()
    script.watched.page.wait_for_timeout(300)
    assert script.texts()[-1]["type"] == "end"
    assert script.watched.page.locator(".problem:visible").count() == 0


def test_a_session_with_the_server(open_page: Any, look: dict[str, Any]) -> None:
    """The clip is seen and heard; its burst of noise is removed; a covered camera shows nothing."""
    watched = open_page("#live", **look)
    page = watched.page
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Stop").wait_for()
    field = page.get_by_role("textbox", name="Words")
    field.press_sequentially("I loved every minute of it", delay=30)
    page.keyboard.press("Enter")
    page.locator(".lines", has_text="I loved every minute of it").wait_for()
    tiles = page.locator(".answers .tile").all()
    until(page, "document.querySelector('.answers .tile b').textContent.startsWith('+')")
    assert tiles[0].locator(".label").inner_text() == "positive"
    page.locator(".answers .bars li", has_text="joy").wait_for()
    page.locator(".face-box").wait_for()
    until(page, "document.querySelectorAll('.answers .tile b')[2].textContent === 'happy'")
    until(page, "Number(document.querySelectorAll('.answers .tile b')[1].textContent) > 0.5")
    watched.check()
    page.locator(".answers .strip", has_text="voice").locator("rect.out").first.wait_for(state="attached")
    page.evaluate("document.querySelector('#live video').srcObject.getVideoTracks()[0].enabled = false")
    page.locator(".answers .strip", has_text="face").get_by_text("nothing").wait_for()
    page.locator(".face-box").wait_for(state="detached")
    page.get_by_role("button", name="Stop").click()
    assert page.locator(".problem:visible").count() == 0
    watched.check()


ONE_DEVICE = """
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => {
  if (wanted.MISSING) throw new DOMException("none", "NotFoundError");
  return ask(wanted);
};
"""


@pytest.mark.parametrize(
    ("missing", "note", "absent"),
    [
        ("audio", "The microphone is not there: only the picture is used.", "Voice:"),
        ("video", "The camera is not there: only the sound is used.", "Face:"),
    ],
)
def test_one_device_is_enough(open_page: Any, missing: str, note: str, absent: str) -> None:
    watched = open_page("#live")
    page = watched.page
    page.add_init_script(ONE_DEVICE.replace("MISSING", missing))
    page.reload()
    page.get_by_role("button", name="Start").click()
    page.get_by_text(note).wait_for()
    page.locator(".answers .absent", has_text=absent).wait_for()
    tile = 2 if missing == "audio" else 1
    until(page, f"document.querySelectorAll('.answers .tile b')[{tile}].textContent !== '—'")
    watched.check()
