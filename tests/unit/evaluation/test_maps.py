"""Filter maps: what is missing has no colour, and the legend tells no more than there is."""

import re

import numpy as np

from mecam.report.run.filter_maps import kept_strip, kept_words, legend, shades_of


def test_a_missing_row_is_neither_kept_nor_removed() -> None:
    stream = {"kept": [0.0, None, None, 1.0, 0.5], "injected": None, "kinds": []}
    strip = kept_strip("audio", stream, (0.0, 1.0), np.arange(6.0), (0.0, 5.0))
    boxes = re.findall(r'<rect x="(\d+)" width="(\d+)" height="1" style="--kept:([\d.]+)"', strip)
    assert boxes == [("0", "200", "0.00"), ("600", "200", "1.00"), ("800", "200", "0.50")]
    assert "0.50 kept on average" in strip
    assert shades_of([{"modalities": {"audio": stream}}]) == (0.0, 1.0)
    gone = {"kept": [None] * 4, "injected": None, "kinds": []}
    assert "<rect" not in (empty := kept_strip("audio", gone, (0.0, 1.0), np.arange(5.0), (0.0, 4.0)))
    assert "all missing" in empty
    words = kept_words({"kept": [0.7, None], "labels": ["a", "b"]}, (0.0, 1.0))
    assert 'title="kept 0.70">a' in words
    assert 'title="missing">b' in words


def test_a_long_stream_averages_what_is_there() -> None:
    kept = [0.5, None] * 1000
    strip = kept_strip("audio", {"kept": kept}, (0.0, 1.0), np.arange(2001.0), (0.0, 2000.0))
    assert set(re.findall(r"--kept:([\d.]+)", strip)) == {"0.50"}


def test_the_legend_ends_where_gates_do() -> None:
    assert "kept 0 <span" in legend((0.0, 1.0), injected=False)
    assert "</span> 1</span>" in legend((0.0, 1.0), injected=False)
    assert "kept 0.2 or less" in legend((0.2, 0.6), injected=False)
    assert "0.6 or more" in legend((0.2, 0.6), injected=False)
    assert "no colour: missing" in legend((0.0, 1.0), injected=False, missing=True)
    assert "missing" not in legend((0.0, 1.0), injected=False)
