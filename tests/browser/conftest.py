"""The page in a real browser, with a camera and a microphone that play the clip that ships, and a real server."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import fake_media
from mecam.pretrained.cards import DEMO_CLIP
from serve_process import Server

SRC = Path(__file__).parents[2] / "src"
START_S = 60
WAIT_S = 60
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
FAKE_DEVICES = ("--use-fake-device-for-media-stream",)
ALLOWED = ("--use-fake-ui-for-media-stream",)
DENIED = ("--deny-permission-prompts",)


@contextmanager
def started(folder: Path, *options: str, port: int | None = None, **environment: str) -> Iterator[Server]:
    """`mecam serve` with its data in a folder, on a port, or on a free one."""
    with Server(folder, "--live", "2", *options, port=port, environment=environment) as running:
        yield running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(tmp_path_factory.mktemp("serve"), "--max-upload-mb", "20") as running:
        yield running


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="needs Playwright, which is not installed")
    if CHROMIUM is None:
        pytest.skip("needs Chromium, which is not installed")
    with api.sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def devices(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Flags of a camera and a microphone that play the clip that ships, over and over."""
    folder = tmp_path_factory.mktemp("devices")
    seen = fake_media.camera(DEMO_CLIP, folder / "camera.mjpeg")
    heard = fake_media.microphone(DEMO_CLIP, folder / "microphone.wav")
    return (
        *FAKE_DEVICES,
        f"--use-file-for-fake-video-capture={seen}",
        f"--use-file-for-fake-audio-capture={heard}",
    )


def launched(playwright: Any, *flags: str) -> Any:
    return playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *flags])


@pytest.fixture(scope="session")
def browser(playwright: Any, devices: tuple[str, ...]) -> Iterator[Any]:
    running = launched(playwright, *devices, *ALLOWED, "--autoplay-policy=no-user-gesture-required")
    yield running
    running.close()


@dataclass
class Watched:
    """A page, and what its console says that it should not.

    Attributes:
        page: of Playwright.
        expected: pieces of messages that a test provokes.
        told: errors, warnings and violations of the policy so far.
    """

    page: Any
    expected: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.on("console", lambda one: self.told.append(one.text) if one.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.told.append(str(error)))

    def check(self) -> None:
        """Nothing unexpected was said, nothing is cut off, nothing is hard to use for anybody."""
        from axe_playwright_python.sync_playwright import Axe

        unexpected = [one for one in self.told if not any(piece in one for piece in self.expected)]
        assert not unexpected, unexpected
        wider = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, f"the page scrolls sideways by {wider} px"
        found = Axe().run(self.page).response["violations"]
        grave = [one for one in found if one["impact"] in ("serious", "critical")]
        told = [(one["id"], one["help"], [node["html"][:200] for node in one["nodes"][:3]]) for one in grave]
        assert not told, told


def opened(browser: Any, url: str, *, width: int = 1280, scheme: str = "light") -> Watched:
    """A page in a window of its own."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, permissions=["camera", "microphone"],
        accept_downloads=True, reduced_motion="reduce",
    )  # fmt: skip
    context.set_default_timeout(1_000 * WAIT_S)
    watched = Watched(context.new_page())
    watched.listen()
    watched.page.goto(url)
    return watched


LOOKS = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}")
def look(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A width and a colour scheme."""
    width, scheme = request.param
    return {"width": width, "scheme": scheme}


def until(page: Any, condition: str) -> None:
    """Wait until an expression of JavaScript holds; Playwright's own way evaluates text, which the page forbids."""
    deadline = time.monotonic() + WAIT_S
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"it never came to {condition}"
        page.wait_for_timeout(50)


@pytest.fixture
def open_page(browser: Any, server: Server) -> Iterator[Any]:
    """Opens a view of the page; at the end nothing unexpected may have been said."""
    pages: list[Watched] = []

    def open_view(view: str = "", **look: Any) -> Watched:
        pages.append(opened(browser, f"{server.url}/{view}", **look))
        return pages[-1]

    yield open_view
    for one in pages:
        one.page.context.close()
