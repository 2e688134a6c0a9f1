"""The files of the page: all there, nothing in line, nothing from elsewhere, colours from one place."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mecam.report.page import PALETTES
from mecam.service.pages import FOLDER
from serving import running

SCRIPTS = sorted(FOLDER.glob("*.js"))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        running(tmp_path_factory.mktemp("service")) as address,
        httpx.Client(base_url=address, trust_env=False) as client,
    ):
        yield client


def test_all_that_is_named_is_served(client: httpx.Client) -> None:
    index = client.get("/").text
    named = set(re.findall(r'(?:src|href)="([^"]+)"', index))
    for script in SCRIPTS:
        text = script.read_text("utf-8")
        named |= {f"/page/{name}" for name in re.findall(r'from "\./([\w.]+)"', text)}
        named |= set(re.findall(r'"(/page/[\w./]+)"', text))
    assert {"/page/colours.css", "/page/report.css", "/page/player.js", "/page/pcm.js"} <= named
    assert {f"/page/{script.name}" for script in SCRIPTS} <= named, "no script is left over"
    for path in named:
        assert client.get(path).status_code == 200, path


def test_colours_are_those_of_the_reports(client: httpx.Client) -> None:
    answer = client.get("/page/colours.css")
    assert answer.headers["content-type"].startswith("text/css")
    for theme in PALETTES.values():
        for name, value in theme.items():
            assert f"--{name}:{value};" in answer.text
    assert not re.search(r"#[0-9a-f]{6}\b", (FOLDER / "style.css").read_text("utf-8"))
    again = client.get("/page/colours.css", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_nothing_stands_in_line_or_comes_from_elsewhere() -> None:
    for file in FOLDER.iterdir():
        text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "").replace("http://localhost", "")
        assert not re.search(r"https?://", text), file.name
    index = (FOLDER / "index.html").read_text("utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", index)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_texts_of_others_are_never_read_as_html(script: Path) -> None:
    """But for the sections that the server makes, which escape them."""
    found = re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script.read_text("utf-8"))
    assert found == (["innerHTML"] if script.name == "result.js" else [])
