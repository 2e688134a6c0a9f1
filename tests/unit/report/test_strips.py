"""Strips and shaded words: what is missing has no colour, and the legend tells no more than there is."""

import numpy as np
import pytest

from mecam.report.page import render
from mecam.report.strips import Legend, StripGroup, gate_strip, gate_words, shades_of, time_axis


def test_a_missing_frame_is_neither_kept_nor_removed() -> None:
    stream = {"kept": [0.0, None, None, 1.0, 0.5], "injected": None, "kinds": []}
    strip = gate_strip("audio", stream, (0.0, 1.0), np.arange(6.0), (0.0, 5.0))
    boxes = [(box.x, box.width, box.weight) for box in strip.boxes]
    assert boxes == [(0, 200, 0.0), (600, 200, 1.0), (800, 200, 0.5)]
    assert strip.label == "audio: mean gate 0.50"
    assert shades_of([stream["kept"]]) == (0.0, 1.0)  # type: ignore[list-item]
    empty = gate_strip("audio", {"kept": [None] * 4}, (0.0, 1.0), np.arange(5.0), (0.0, 4.0))
    assert not empty.boxes
    assert "all missing" in empty.label
    words = gate_words({"kept": [0.7, None], "labels": ["a", "b"]}, (0.0, 1.0))
    assert [(word.text, word.value) for word in words] == [("a", "0.70"), ("b", "missing")]


def test_a_long_stream_averages_what_is_there() -> None:
    strip = gate_strip("audio", {"kept": [0.5, None] * 1000}, (0.0, 1.0), np.arange(2001.0), (0.0, 2000.0))
    assert {box.weight for box in strip.boxes} == {0.5}
    assert len(strip.boxes) == 1, "neighbours of one shade are joined"


def test_what_was_put_in_is_framed() -> None:
    stream = {"kept": [0.2] * 4, "injected": [False, True, True, False], "kinds": ["burst", "burst"]}
    strip = gate_strip("audio", stream, (0.0, 1.0), np.arange(5.0), (0.0, 4.0))
    (frame,) = (box for box in strip.boxes if box.css == "injected")
    assert (frame.x, frame.width, strip.kinds) == (250, 500, "burst")


def test_the_legend_ends_where_gates_do() -> None:
    assert Legend((0.0, 1.0)).ends == ("0", "1")
    assert Legend((0.2, 0.6)).ends == ("0.2 or less", "0.6 or more")
    assert shades_of([[0.85, 0.9]]) == (0.7, 1.0), "at least 0.3 apart, within 0 and 1"
    assert shades_of([[None]]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("start", "stop", "texts"),
    [
        (0.0, 6.0, ["0:00", "0:02", "0:04", "0:06.0"]),
        (0.0, 0.9, ["0:00.0", "0:00.2", "0:00.4", "0:00.6", "0:00.9"]),
        (3.5, 5.0, ["0:03.5", "0:04.0", "0:04.5", "0:05.0"]),
        (0.0, 3725.0, ["0:00", "20:00", "40:00", "62:05.0"]),
        (0.0, 0.0, ["0:00.0"]),
    ],
)
def test_ticks_stand_at_round_times(start: float, stop: float, texts: list[str]) -> None:
    ticks = time_axis(start, stop).ticks
    assert [text for _, text in ticks] == texts
    places = [place for place, _ in ticks]
    assert places == sorted(places)
    assert all(0 <= place <= 1000 for place in places)


def test_names_of_outside_are_text() -> None:
    strip = gate_strip("<b>", {"kept": [0.5, 0.5], "labels": ["<i>", "y"]}, (0.0, 1.0), np.arange(3.0), (0.0, 2.0))
    groups = [StripGroup("<u>", [strip], ["<s>"])]
    page = render("timeline.j2", groups=groups, axis=time_axis(0.0, 2.0), legend=None)
    assert not [tag for tag in ("<b>", "<i>", "<u>", "<s>") if tag in page]
    assert "&lt;b&gt;" in page
