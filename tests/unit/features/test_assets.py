"""The model files come with mecam: they are whole, and a damaged installation is said."""

from hashlib import sha256
from pathlib import Path

import pytest

from mecam.errors import DataError
from mecam.features.vision import model_files as assets


@pytest.fixture(autouse=True)
def _looked_up_anew() -> None:
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
