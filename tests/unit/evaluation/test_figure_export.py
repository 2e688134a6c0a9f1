"""Figures for a paper: every figure of the page, drawn without a browser, with the numbers of the record."""

import builtins
import importlib.util
import json
import re

import numpy as np
import pytest
from fake_run import EMOTIONS, FEELINGS, SCORES, make_run

from mecam.errors import DataError, MissingExtraError, TrainingError
from mecam.report import figures as records
from mecam.report import planes
from mecam.report.export import figures_of, write_figures
from mecam.report.markup import figure
from mecam.report.page import document, write_report

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="the extra `figures` is not installed"
)


@pytest.fixture(scope="module", params=[SCORES, EMOTIONS, FEELINGS], ids=lambda task: task.kind)
def page(request, tmp_path_factory):
    return write_report(make_run(tmp_path_factory.mktemp("runs") / "run", request.param))


def one_figure_page(tmp_path, *specs):
    path = tmp_path / "page.html"
    content = "".join(figure(spec, label="A <b> & c") for spec in specs)
    path.write_text(document("t", "", [("a", "A", content)]), encoding="utf-8")
    return path


def test_every_figure_of_the_page_is_found_with_its_colours_and_a_name_of_its_own(page):
    text = page.read_text(encoding="utf-8")
    found = figures_of(text)
    assert len(found) == text.count('class="spec"') > 7
    assert len({name for name, _ in found}) == len(found)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name, _ in found)
    assert "var(--" not in json.dumps([spec for _, spec in found])


@needs_matplotlib
def test_every_figure_of_every_task_can_be_drawn(page, tmp_path):
    seen = []
    places = write_figures(page, tmp_path / "figures", "svg", progress=lambda done, total: seen.append((done, total)))
    assert [place.stem for place in places] == [name for name, _ in figures_of(page.read_text(encoding="utf-8"))]
    assert seen[-1] == (len(places), len(places))
    for place in places:
        text = place.read_text(encoding="utf-8")
        assert "<svg" in text
        assert 'width="244' in text  # 3.4 inches in points
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(place.name for place in places)


@needs_matplotlib
@pytest.mark.parametrize(("kind", "head"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89PNG")])
def test_the_same_page_gives_the_same_bytes(tmp_path, kind, head):
    path = one_figure_page(tmp_path, records.histogram(np.linspace(-1, 1, 50), "predicted − true"))
    first, second = (write_figures(path, tmp_path / name, kind)[0].read_bytes() for name in ("a", "b"))
    assert first.startswith(head)
    assert first == second


@needs_matplotlib
def test_a_drawn_figure_holds_the_numbers_of_the_record():
    from mecam.report.drawing import draw

    truth, guess = np.array([-2.0, 0.0, 1.5]), np.array([-1.0, 0.5, 1.0])
    spec = records.predicted_against_true(truth, guess, SCORES, 1.0)
    axes = draw(json.loads(re.sub(r"var\([^)]*\)", "#123456", json.dumps(spec))), width=3.0).axes[0]
    np.testing.assert_allclose(axes.collections[0].get_offsets(), np.column_stack([truth, guess]))
    assert axes.get_xlabel() == "true"
    assert len(axes.lines) == 3  # the diagonal and both ends of the interval
    counts = np.array([[3, 1], [0, 4]])
    spec = records.confusion(counts, ["neg & zero", "pos"])
    axes = draw(json.loads(re.sub(r"var\([^)]*\)", "#123456", json.dumps(spec))), width=3.0).axes[0]
    written = {tuple(text.get_position()): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "3", (1, 0): "1", (0, 1): "", (1, 1): "4"}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["neg & zero", "pos"]
    assert axes.yaxis_inverted()


@needs_matplotlib
def test_rows_of_a_forest_stand_in_their_order():
    from mecam.report.drawing import draw

    rows = [("full", 0.7, (0.6, 0.8), (0.69, 0.71)), ("− filter", 0.9, (0.8, 1.0), (0.9,))]
    spec = json.loads(re.sub(r"var\([^)]*\)", "#123456", json.dumps(records.forest(rows, "mae", line=0.7))))
    axes = draw(spec, width=3.0).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["full", "− filter"]
    assert axes.yaxis_inverted()
    np.testing.assert_allclose(axes.collections[-1].get_offsets(), [[0.7, 0], [0.9, 1]])


@needs_matplotlib
def test_panels_keep_their_places():
    from mecam.report.drawing import draw

    rng = np.random.default_rng(0)
    points, truth = rng.normal(0, 1, (20, 2)), rng.uniform(-3, 3, 20)
    panels = {name: (points, points + 1) for name in ("text", "audio")}
    spec = planes.before_and_after(panels, dict.fromkeys(panels, truth), SCORES)
    drawn = draw(json.loads(re.sub(r"var\([^)]*\)", "#123456", json.dumps(spec))), width=3.0)
    drawn.canvas.draw()
    titles = [axes.get_title(loc="left") for axes in drawn.axes[:4]]
    assert titles == ["text, before", "text, after", "audio, before", "audio, after"]
    boxes = [axes.get_position() for axes in drawn.axes[:4]]
    assert boxes[0].x0 < boxes[1].x0
    assert boxes[0].y0 > boxes[2].y0


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def refused(name, *rest):
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *rest)

    path = one_figure_page(tmp_path, records.histogram(np.arange(20.0), "x"))
    monkeypatch.setattr(builtins, "__import__", refused)
    with pytest.raises(MissingExtraError, match=r"mecam\[figures\]"):
        write_figures(path, tmp_path / "figures")
    assert not (tmp_path / "figures").exists()


@needs_matplotlib
def test_a_place_that_cannot_be_written_and_a_page_that_is_missing_are_named(tmp_path):
    path = one_figure_page(tmp_path, records.histogram(np.arange(20.0), "x"))
    (tmp_path / "taken").write_text("")
    with pytest.raises(DataError, match="cannot write here") as caught:
        write_figures(path, tmp_path / "taken")
    assert "taken" in str(caught.value)
    with pytest.raises(TrainingError, match="cannot be read"):
        write_figures(tmp_path / "none.html", tmp_path / "figures")
