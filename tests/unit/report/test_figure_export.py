"""Figures for a paper: every chart of the page, drawn without a browser, with the numbers and the size asked for."""

import re
from pathlib import Path

import numpy as np
import pytest

from fake_run import EMOTIONS, FEELINGS, SCORES, make_run
from mecam.errors import DataError
from mecam.report.charts import forest, spec
from mecam.report.export import charts_of, write_figures
from mecam.report.page import Chart, Section, section
from mecam.report.run_charts import confusion, residual_histogram
from mecam.report.run_page import run_sections
from mecam.task import Task


@pytest.fixture(scope="module", params=[SCORES, EMOTIONS, FEELINGS], ids=lambda task: task.kind)
def sections(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Section]:
    task: Task = request.param
    return run_sections(make_run(tmp_path_factory.mktemp("runs") / "run", task))


def of(*specs: dict) -> list[Section]:
    return [section("a", "A", charts=[Chart(one, label="A <b> & c") for one in specs])]


HISTOGRAM = spec(residual_histogram(np.linspace(-1, 1, 50)), height=230)


def test_every_chart_of_the_page_has_a_file_of_its_own(sections: list[Section], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    places = write_figures(sections, tmp_path / "figures", progress=lambda done, total: seen.append((done, total)))
    assert [place.stem for place in places] == list(charts_of(sections))
    assert len(places) > 7
    assert all(re.fullmatch(r"[a-z0-9-]+", place.stem) for place in places)
    assert seen[-1] == (len(places), len(places))
    for place in places:
        text = place.read_text(encoding="utf-8")
        assert 'width="244.67pt"' in text, place.name  # 3.4 inches in points
        assert "var(--" not in text
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(place.name for place in places)


@pytest.mark.parametrize(("kind", "head"), [("svg", b"<svg"), ("pdf", b"%PDF"), ("png", b"\x89PNG")])
def test_the_same_page_gives_the_same_bytes(tmp_path: Path, kind: str, head: bytes) -> None:
    first, second = (write_figures(of(HISTOGRAM), tmp_path / name, kind)[0].read_bytes() for name in ("a", "b"))  # type: ignore[arg-type]
    assert first.startswith(head)
    assert first == second


def test_the_size_is_that_asked_for_and_fonts_are_embedded(tmp_path: Path) -> None:
    pdf = write_figures(of(HISTOGRAM), tmp_path, "pdf", width=5.0)[0].read_bytes()
    box = [float(number) for number in re.search(rb"MediaBox ?\[([\d. ]+)\]", pdf)[1].split()]  # type: ignore[index]
    assert box[2] == pytest.approx(5 * 72, abs=0.1)
    assert box[3] == pytest.approx(230 / 1.5, abs=1), "the height follows: text keeps its size"
    assert b"/FontFile2" in pdf
    png = write_figures(of(HISTOGRAM), tmp_path, "png", width=5.0)[0].read_bytes()
    assert int.from_bytes(png[16:20], "big") == pytest.approx(5 * 300, abs=2)


def test_text_is_eight_points_high(tmp_path: Path) -> None:
    svg = write_figures(of(HISTOGRAM), tmp_path)[0].read_text()
    width, units = re.search(r'width="([\d.]+)pt".*? viewBox="0 0 ([\d.]+) ', svg).groups()  # type: ignore[union-attr]
    sizes = {float(size) for size in re.findall(r'font-size="([\d.]+)px"', svg)}
    points = sorted(size * float(width) / float(units) for size in sizes)
    assert points == pytest.approx([7.33, 8], abs=0.01)  # ticks, titles


def test_charts_of_one_name_are_numbered() -> None:
    assert list(charts_of(of(HISTOGRAM, HISTOGRAM))) == ["a-b-c", "a-b-c-2"]


def test_a_drawn_chart_holds_its_numbers_and_names_in_order(tmp_path: Path) -> None:
    matrix = spec(confusion(np.array([[3, 1], [0, 4]]), ["neg & zero", "pos"]), height=230)
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", write_figures(of(matrix), tmp_path)[0].read_text())
    assert {"3", "1", "4", "neg &amp; zero", "pos", "predicted", "true"} <= set(texts)
    assert "0" not in texts
    rows = [("full", 0.7, (0.6, 0.8), (0.69, 0.71)), ("− filter", 0.9, (0.8, 1.0), (0.9,))]
    svg = write_figures(of(spec(forest(rows, "mae", line=0.7), height=100)), tmp_path)[0].read_text()
    assert svg.index(">full<") < svg.index(">− filter<")
    assert ">mae<" in svg


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(DataError, match="cannot write here") as caught:
        write_figures(of(HISTOGRAM), tmp_path / "taken")
    assert "taken" in str(caught.value)
