"""The model files: those that come with mecam are whole; the user's is found in order, taken only if it is right."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from mecam.errors import DataError
from mecam.features.vision import model_files as assets

CONTENT = b"a zip of networks"


@pytest.fixture(autouse=True)
def _brought(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The user's file is a few bytes, and the cache is empty."""
    small = replace(assets.LANDMARKER, size=len(CONTENT), sha256=sha256(CONTENT).hexdigest())
    monkeypatch.setattr(assets, "LANDMARKER", small)
    monkeypatch.setattr(assets, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    monkeypatch.delenv("MECAM_ASSETS", raising=False)
    assets.ensure.cache_clear()


@pytest.mark.parametrize("asset", assets.BUILT_IN, ids=lambda asset: asset.name)
def test_what_comes_with_mecam_is_whole(asset: assets.Asset) -> None:
    content = assets.content(asset)
    assert len(content) == asset.size
    assert sha256(content).hexdigest() == asset.sha256
    assert asset.name in (assets.MODELS / "NOTICE").read_text(encoding="utf-8")


def test_a_damaged_installation_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "MODELS", tmp_path)
    with pytest.raises(DataError, match=r"is missing[\s\S]*install mecam again"):
        assets.ensure(assets.MESH)
    (tmp_path / assets.MESH.name).write_bytes(b"x")
    with pytest.raises(DataError, match="damaged"):
        assets.ensure(assets.MESH)


def test_the_given_folder_comes_before_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = assets.LANDMARKER.name
    (tmp_path / name).write_bytes(CONTENT)
    assets.put(tmp_path)
    assert assets.find(assets.LANDMARKER) == tmp_path / "cache" / "assets" / name
    monkeypatch.setenv("MECAM_ASSETS", str(tmp_path))
    assert assets.find(assets.LANDMARKER) == tmp_path / name


def test_a_changed_byte_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / assets.LANDMARKER.name).write_bytes(b"x" * len(CONTENT))
    with pytest.raises(DataError, match="does not have the expected SHA-256"):
        assets.put(tmp_path, tmp_path / "target")
    assert not (tmp_path / "target").exists()
    (tmp_path / "cache" / "assets").mkdir(parents=True)
    (tmp_path / "cache" / "assets" / assets.LANDMARKER.name).write_bytes(b"x")
    with pytest.raises(DataError, match="damaged"):
        assets.find(assets.LANDMARKER)


def test_a_source_without_the_file_is_named(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "nowhere.task"):
        with pytest.raises(DataError, match="cannot be read") as caught:
            assets.put(source, tmp_path / "target")
        assert str(source) in str(caught.value)
