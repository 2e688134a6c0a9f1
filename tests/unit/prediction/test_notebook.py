"""Predictions in a notebook: what is known is shown, what comes from outside is text."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import light
from mecam.prediction.result import Prediction
from panel_answers import PART, panel_recording

CLIP = Path("clip.mp4")


class Cells(HTMLParser):
    """The texts of the cells of a table, row by row."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip("\n")


def test_a_recording_is_a_headline_and_a_table() -> None:
    content = panel_recording(CLIP)._repr_html_()
    assert "<b>clip.mp4, 10.0 s</b> · neutral +0.1 (-0.9 to +1.2)" in content
    head, first, listener, *_ = Cells(content).rows
    assert head == ["time", "person", "text", "sentiment", "emotions", "activation", "face", "contradicts"]
    assert first == [
        *("0.4–2.6 s", "1", "I really loved this film", "positive +1.9 (+0.8 to +3.0)", "joy 0.62", "0.71"),
        *("happy 0.70, smile 0.80", ""),
    ]
    assert listener[:3] == ["0.4–2.6 s", "2, listening", ""]
    assert "Built-in model: words" in content


def test_a_prediction_is_a_row() -> None:
    head, row = Cells(Prediction("7", "dull", -1.5, None, None, "negative")._repr_html_()).rows
    assert dict(zip(head, row, strict=True)) == {"text": "dull", "sentiment": "negative -1.5"}
    assert "<table>" not in Prediction("7", None, None, None, None, "")._repr_html_()


def test_what_comes_from_outside_is_text_and_nothing_is_loaded() -> None:
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
    parts = (replace(PART, text=hostile, emotions={hostile: 0.9}),)
    recording = replace(
        panel_recording(CLIP),
        name=hostile,
        parts=parts,
        findings=(hostile,),
        notes=(hostile,),
        absent={"text": hostile},
    )
    content = recording._repr_html_()
    assert content.count("&lt;script&gt;") == 6
    assert Cells(content).tags == {"div", "style", "b", "table", "thead", "tbody", "tr", "th", "td", "small"}
    assert not re.search(r"https?:|src=x[^&]*>", content.replace("&lt;img src=x", ""))


def test_a_long_recording_is_cut() -> None:
    parts = tuple(replace(PART, start=float(i), stop=i + 1.0) for i in range(100))
    content = replace(panel_recording(CLIP), parts=parts, listeners=())._repr_html_()
    assert len(Cells(content).rows) == 61
    assert "and 40 more rows; to_frame() has all" in content


def test_results_bring_nothing_heavy() -> None:
    said = light.run_light("""
        import mecam.prediction.result
        heavy = {"jinja2", "onnxruntime", "mecam.prediction.formats", "mecam.prediction.notebook"}
        print(*sorted(heavy & set(sys.modules)))
    """)
    assert said.strip() == ""
