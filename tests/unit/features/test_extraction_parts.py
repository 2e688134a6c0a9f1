"""Where parts lie until the store is whole: a folder, or what fsspec reaches."""

import uuid
from pathlib import Path
from typing import Any

import fsspec
import pytest

from commands import contents
from in_this_process import InThisProcess
from mecam.errors import DataError
from mecam.features.clips import Clip
from mecam.features.extract import extract
from mecam.features.extraction_cache import ExtractedRecording, FolderParts, Parts, UrlParts, parts_at
from mecam.features.recording import Recipe
from mecam.types import Utterance

PART = ExtractedRecording((Utterance("a", video="a", text="x"),), {"audio": "none"}, ("odd",))


@pytest.fixture(params=["folder", "memory", "file"])
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> Parts:
    """Each kind in turn; files of this machine through fsspec, too."""
    place = {"folder": str(tmp_path / "p"), "file": f"file://{tmp_path}/p"}
    made = parts_at(place.get(request.param, f"memory://{uuid.uuid4().hex}/p"))
    assert isinstance(made, FolderParts if request.param == "folder" else UrlParts)
    made.prepare()
    return made


def test_parts_are_written_listed_read_and_removed(parts: Parts) -> None:
    assert parts.known() == set()
    assert parts.read("k1") is None
    for key in ("k1", "k2"):
        parts.write(key, PART)
    assert parts.known() == {"k1", "k2"}
    assert parts.holds("k1")
    assert not parts.holds("k3")
    assert parts.read("k2") == PART
    parts.write("k2", ExtractedRecording(()))
    assert parts.read("k2") == ExtractedRecording(())
    parts.remove(["k2", "k3"])
    assert parts.known() == {"k1"}


def test_a_damaged_part_is_made_again(parts: Parts, tmp_path: Path) -> None:
    parts.write("k", PART)
    if isinstance(parts, UrlParts):
        files, folder = fsspec.core.url_to_fs(parts.url)
        files.pipe_file(f"{folder}/k.safetensors", b"cut off")
    else:
        (tmp_path / "p" / "k.safetensors").write_bytes(b"cut off")
    assert parts.read("k") is None
    assert not parts.holds("k")
    assert parts.known() == set()


def test_an_extraction_with_parts_elsewhere(parts: Parts, tmp_path: Path) -> None:
    """What a stopped one left there is used; in the end, only what is not its own is left."""
    (tmp_path / "clips").mkdir()
    for name in "abc":
        (tmp_path / "clips" / f"{name}.wav").write_bytes(b"x")
    tried: list[str] = []

    def reading(clip: Clip) -> ExtractedRecording:
        tried.append(clip.id)
        return ExtractedRecording((Utterance(clip.id, video=clip.id, text="x"),))

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    place = parts.url if isinstance(parts, UrlParts) else str(tmp_path / "p")
    parts.write("of another extraction", PART)
    given: dict[str, Any] = {"recipe": Recipe(("mecam-audio",)), "workers": InThisProcess(reading), "parts": place}
    with pytest.raises(KeyboardInterrupt):
        extract([tmp_path / "clips"], tmp_path / "s", progress=stop, **given)
    assert len(parts.known()) == 3
    report = extract([tmp_path / "clips"], tmp_path / "s", **given)
    assert tried == ["a", "b", "c"]
    assert report.reused == 2
    assert parts.known() == {"of another extraction"}
    extract([tmp_path / "clips"], tmp_path / "plain", **{**given, "parts": None})
    assert contents(tmp_path / "s") == contents(tmp_path / "plain")


def test_a_place_that_cannot_be_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in ("nowhere://x/y", f"file://{tmp_path}/file/parts", str(tmp_path / "file" / "parts")):
        with pytest.raises(DataError, match="cannot"):
            parts_at(place).prepare()
