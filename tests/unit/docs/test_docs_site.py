"""The site: what differs from the pages on GitHub; it builds without a warning and loads nothing from elsewhere."""

from pathlib import Path

import pytest

site = pytest.importorskip("tools.docs.site", reason="Python 3.10 reads no TOML without the extra docs")


def test_files_of_the_repository_come_along(tmp_path: Path) -> None:
    site.stage(tmp_path / "docs")
    staged = tmp_path / "docs"
    assert (staged / "files" / "compose.yaml").is_file()
    assert "](files/compose.yaml)" in (staged / "serve.md").read_text("utf-8")
    assert "](../files/examples/my_model.py)" in (staged / "jobs" / "my_model.md").read_text("utf-8")
    assert "[The store" not in (staged / "contributing.md").read_text("utf-8")
    assert "](plug_ins.md)" in (staged / "contributing.md").read_text("utf-8")
    assert "<details>" not in (staged / "results.md").read_text("utf-8")


def test_notebooks_are_pages(tmp_path: Path) -> None:
    staged = tmp_path / "docs"
    site.stage(staged)
    page = (staged / "notebooks" / "predict_a_video.md").read_text("utf-8")
    assert page.startswith("# Predict a video\n\nThis notebook reads a clip")
    assert "[Download this notebook](predict_a_video.ipynb)" in page
    assert (staged / "notebooks" / "predict_a_video.ipynb").is_file()
    assert (staged / "notebooks" / "predict_a_video_1.png").is_file()
    assert "](train_and_read_the_report.md)" in page
    assert "](notebooks/predict_a_video.md)" in (staged / "start.md").read_text("utf-8")
    assert not (staged / "notebooks" / "ruff.toml").exists()


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://unpkg.com/x"></script>',
        '<link rel="stylesheet" href="https://fonts.example/css">',
        '<link href="//fonts.example" rel=preconnect>',
        '<img alt="a" src="http://example.org/a.png">',
    ],
)
def test_what_a_page_loads_from_elsewhere_is_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "page.html").write_text(f"<html>{text}</html>")
    assert len(list(site.loaded_from_elsewhere(tmp_path))) == 1


def test_links_are_no_loading(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        '<a href="https://example.org">x</a><link rel="canonical" href="https://a.b"><img src="a.png">'
    )
    (tmp_path / "a.css").write_text("a { background: url(data:image/svg+xml;x) url(b.png) }")
    assert list(site.loaded_from_elsewhere(tmp_path)) == []
    (tmp_path / "a.css").write_text("@import 'https://fonts.example/css'; a { background: url(https://a.b/c.png) }")
    assert len(list(site.loaded_from_elsewhere(tmp_path))) == 2


@pytest.mark.slow
def test_it_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zensical", reason="needs the extra docs")
    site.build()
    page = (site.SITE / "reference" / "python" / "errors.html").read_text("utf-8")
    assert "MecamError" in page
    told = (site.SITE / "llms.txt").read_text("utf-8")
    assert "- [The filter](concepts/filter.html): " in told
    assert (site.SITE / "search.json").exists() or list(site.SITE.rglob("search*"))
