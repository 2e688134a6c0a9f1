"""The model files: found in order, never taken unless every byte is right, written whole or not at all."""

import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from mecam.errors import DataError
from mecam.features.vision import assets

CONTENT = {asset.name: asset.name.encode() * 10 for asset in assets.ASSETS}
SMALL = tuple(
    replace(asset, size=len(CONTENT[asset.name]), sha256=sha256(CONTENT[asset.name]).hexdigest())
    for asset in assets.ASSETS
)


@pytest.fixture(autouse=True)
def _small_assets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Assets of a few bytes, an empty cache, and a pip that has no network."""
    monkeypatch.setattr(assets, "ASSETS", SMALL)
    monkeypatch.setattr(assets, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    monkeypatch.delenv("MECAM_ASSETS", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assets.ensure.cache_clear()


def folder_of(path: Path) -> Path:
    path.mkdir()
    for name, content in CONTENT.items():
        (path / name).write_bytes(content)
    return path


def test_a_folder_and_a_wheel_serve_as_source(tmp_path: Path) -> None:
    wheel = tmp_path / "mediapipe.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for asset in SMALL:
            archive.writestr(asset.member, CONTENT[asset.name])
    for source, target in ((wheel, tmp_path / "a"), (folder_of(tmp_path / "source"), tmp_path / "b")):
        assets.fetch(source, target)
        assert {path.name: path.read_bytes() for path in target.iterdir()} == CONTENT


def test_the_given_folder_comes_before_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = folder_of(tmp_path / "given")
    assets.fetch(given)
    assert assets.find(SMALL[0]) == tmp_path / "cache" / "assets" / SMALL[0].name
    monkeypatch.setenv("MECAM_ASSETS", str(given))
    assert assets.find(SMALL[0]) == given / SMALL[0].name


def test_a_changed_byte_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "source")
    (source / SMALL[0].name).write_bytes(b"x" * SMALL[0].size)
    with pytest.raises(DataError, match="another content"):
        assets.fetch(source, tmp_path / "target")
    assert not (tmp_path / "target").exists()
    (tmp_path / "cache" / "assets").mkdir(parents=True)
    (tmp_path / "cache" / "assets" / SMALL[0].name).write_bytes(b"x")
    with pytest.raises(DataError, match="damaged"):
        assets.find(SMALL[0])


def test_a_source_without_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "no.whl").write_bytes(b"no zip")
    for source in (tmp_path, tmp_path / "no.whl", tmp_path / "nowhere"):
        with pytest.raises(DataError, match="not to be had here") as caught:
            assets.fetch(source, tmp_path / "target")
        assert str(source) in str(caught.value)


def test_without_a_network_the_way_out_is_said() -> None:
    with pytest.raises(DataError, match="MECAM_ASSETS"):
        assets.ensure(SMALL[0])


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    target = folder_of(tmp_path / "target")
    said: list[str] = []
    paths = assets.fetch(None, target, say=said.append)
    assert [path.name for path in paths] == [asset.name for asset in SMALL]
    assert not said
