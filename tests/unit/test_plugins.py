"""Extractors and sources of other packages: found through entry points, used as ours, and never able to break one."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import voices
from conftest import ROOT
from mecam import plugins
from mecam.data.importing.importer import import_data
from mecam.data.importing.sources.sniff import open_source
from mecam.data.store import Store
from mecam.errors import ConfigError
from mecam.features.extract import extract
from mecam.features.extractor import extractor, extractor_names, extractor_of
from mecam.features.recording import Recipe
from mecam.types import FeatureSpec

Install = Callable[..., None]

LOUDNESS, BARS = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs" / "plug_ins.md").read_text(encoding="utf-8"), re.DOTALL
)
"""The modules that the documentation shows."""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a package beside the installed ones: one module, and its entry points in a group."""

    def installed(package: str, code: str, group: str, **points: str) -> None:
        folder = tmp_path / "site"
        info = folder / f"{package}-0.1.dist-info"
        info.mkdir(parents=True)
        (folder / f"{package}.py").write_text(code, encoding="utf-8")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n", encoding="utf-8")
        lines = [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
        monkeypatch.syspath_prepend(folder)
        plugins._points.cache_clear()

    yield installed
    plugins._points.cache_clear()


def test_an_extractor_of_another_package_makes_a_store(install: Install, tmp_path: Path) -> None:
    install("loud", LOUDNESS, "mecam.extractors", loudness="loud:ENTRY")
    assert extractor_names()[-1] == "loudness"
    voices.write_wav(tmp_path / "a.wav", voices.buzz(1.0))
    extract([tmp_path / "a.wav"], tmp_path / "store", recipe=Recipe(("loudness",)), jobs=1)
    store = Store(tmp_path / "store")
    assert store.specs["audio"] == FeatureSpec(1, "loudness", "1", ("level",))
    assert store[0].streams["audio"].shape == (10, 1)
    assert extractor_of("audio", store.specs["audio"]).name == "loudness"  # a model that learned from it can watch


def test_a_broken_extractor_says_so_and_leaves_ours_alone(install: Install) -> None:
    install("broken", "raise RuntimeError('no')\n", "mecam.extractors", broken="broken:ENTRY")
    assert extractor("mecam-prosody").name == "mecam-prosody"
    with pytest.raises(ConfigError, match=r"cannot be loaded: RuntimeError: no[\s\S]*package broken"):
        extractor("broken")


def test_an_extractor_of_our_name_is_left_out(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install("thief", "ENTRY = 1\n", "mecam.extractors", **{"mecam-audio": "thief:ENTRY"})
    assert extractor("mecam-audio").spec.extractor == "mecam-audio"
    assert extractor_names().count("mecam-audio") == 1
    assert "is left out" in caplog.text


def test_a_source_of_another_package_is_imported(install: Install, tmp_path: Path) -> None:
    file = tmp_path / "films.bars"
    file.write_text("%BARS 1\na_1|it was good|1.5|1|2\na_2|it was bad|-2|3\n", encoding="utf-8")
    assert open_source(file) == []
    install("bars", BARS, "mecam.sources", bars="bars:LAYOUT")
    report = import_data([file], tmp_path / "store")
    assert report.layouts == ("bars",)
    store = Store(tmp_path / "store")
    assert [u.text for u in (store[0], store[1])] == ["it was good", "it was bad"]
    np.testing.assert_array_equal(store[0].streams["audio"], [[1.0], [2.0]])


def test_a_source_that_is_none_says_so(install: Install, tmp_path: Path) -> None:
    install("nothing", "LAYOUT = 'a text'\n", "mecam.sources", nothing="nothing:LAYOUT")
    with pytest.raises(ConfigError, match="must be a PickleLayout or FileLayout"):
        open_source(Path(__file__))
