"""Every block of code in the documentation runs, page by page, in an empty folder; or says why it does not.

A block of `python` or `bash` is run, in the order of its page. Two comments of HTML right before a block change that:
`<!-- not run: REASON -->`, and `<!-- given: PATH … -->`, which puts files into the folder first (`GIVEN`). `text`,
`console` and other languages are outputs and files, and are not run.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mecam.pretrained.cards import DEMO_CLIP
from tools.docs.markdown_pages import DOCS, ROOT, Block, blocks

RUN = {"python", "bash"}
NOT_RUN, GIVEN = "not run: ", "given: "
BY_RECIPES = re.compile(r"<!-- results [\w-]+ -->.*?<!-- /results -->", re.DOTALL)
"""What `make results` writes, with the commands of its recipes."""
COMMANDS = re.compile(r"(?:mecam|pip|python|make|curl|import|from) ")
LIMIT_S = 900


def read(page: Path) -> list[Block]:
    return blocks(BY_RECIPES.sub("", page.read_text(encoding="utf-8")))


PAGES = {page.relative_to(DOCS).as_posix(): read(page) for page in sorted(DOCS.rglob("*.md"))}


def to_run(found: list[Block]) -> list[Block]:
    return [one for one in found if one.language in RUN and not one.comment.startswith(NOT_RUN)]


def test_code_says_what_it_is() -> None:
    """Nothing escapes the rule: a block that looks like code is named so, and a comment is one of the two."""
    for page, found in PAGES.items():
        for one in found:
            assert one.language != "sh", f"{page}:{one.line}: name it bash"
            assert one.language or not COMMANDS.match(one.code.lstrip()), f"{page}:{one.line}: name its language"
            if one.language in RUN and one.comment.startswith(NOT_RUN.strip()):
                assert len(one.comment) > len(NOT_RUN), f"{page}:{one.line}: say why it is not run"


def test_most_pages_of_a_job_are_run() -> None:
    """The marks that leave blocks out have not taken everything."""
    assert {"start.md", "jobs/my_videos.md", "jobs/my_data.md", "jobs/my_model.md", "jobs/my_cluster.md"} <= {
        page for page, found in PAGES.items() if to_run(found)
    }


COMPARED = "python.md"
"""`test_python_docs.py` runs it, and compares what it prints too."""


def run(code: str, language: str, folder: Path) -> None:
    interpreter = [sys.executable] if language == "python" else ["bash", "-euo", "pipefail"]
    found = subprocess.run(
        [*interpreter, "-c", code],
        cwd=folder,
        env=environment(folder),
        timeout=LIMIT_S,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, f"{code}\n--- {found.stdout[-2000:]}\n--- {found.stderr[-2000:]}"


def environment(folder: Path) -> dict[str, str]:
    """Of a shell that knows `mecam`, whether or not it is installed."""
    programs = folder.parent / "programs"
    programs.mkdir(exist_ok=True)
    command = programs / "mecam"
    if not command.exists():
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mecam "$@"\n', encoding="utf-8")
        command.chmod(0o755)
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small store, and a small run on it."""
    folder = tmp_path_factory.mktemp("given") / "made"
    folder.mkdir()
    run("mecam data synth -o store --utterances 120 --speakers 12", "bash", folder)
    small = "--set training.epochs=1 --set model.freeze_layers=6"
    run(f"mecam train --data store --model mecam --out run {small}", "bash", folder)
    return folder


def give(path: str, folder: Path, request: pytest.FixtureRequest) -> None:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix in (".mp4", ".vtt"):
        shutil.copyfile(DEMO_CLIP.with_suffix(target.suffix), target)
    elif not target.exists():
        kind = "run" if path.startswith("runs/") else "store"
        shutil.copytree(request.getfixturevalue("made") / kind, target)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page, found in PAGES.items() if to_run(found) and page != COMPARED])
def test_the_blocks_of_a_page_run(page: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    said: list[str] = []  # blocks of Python continue each other
    for path in re.findall(r"<!-- given: (.*?) -->", (DOCS / page).read_text(encoding="utf-8")):
        for each in path.split():
            give(each, folder, request)
    blocks = to_run(PAGES[page])
    for block, after in zip(blocks, [*blocks[1:], None], strict=True):
        if block.language != "python":
            run(block.code, "bash", folder)
            continue
        said.append(block.code)
        if (
            after is None or after.language != "python"
        ):  # once for blocks in a row: what they write may not be there yet
            run("\n".join(said), "python", folder)
