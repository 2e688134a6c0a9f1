"""The page of explanations: what is known is on it, what is not is left out, and nothing from outside runs."""

import re
from pathlib import Path

import numpy as np
import pytest

import planted
import tiny
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.evaluation.explanation.occlusion import explain
from mecam.report.explanation import write_explained

ABOUT = {"run": "r<1>", "model": "mecam", "data": "d&d"}


def test_a_filter_without_words_and_words_without_a_filter(store: Store, encoder: str, tmp_path: Path) -> None:
    rows = np.stack([np.arange(30.0), np.where(np.arange(30) < 10, 0.1, 0.9)], axis=1)
    (filtered,) = explain(planted.planted(), [planted.utterance("a", rows, label=1.5)])
    page = write_explained(tmp_path / "a.html", [filtered], ABOUT).read_text("utf-8")
    assert "10 of 30 frames" in page
    assert "without marked audio (10)" in page
    assert "audio gate" in page
    assert "contradicts" not in page.partition("<main>")[2], "this model does not ask"
    assert page.count('class="strip lane"') == 1
    trained = tiny.build("text_only", store, encoder, used=True)
    (worded,) = explain(trained, store, np.array([next(i for i, u in enumerate(store) if u.text)]))
    page = write_explained(tmp_path / "a.html", [worded], ABOUT).read_text("utf-8")
    assert "mean gate" not in page
    (words,) = re.findall('<p class="words">(.*?)</p>', page, re.S)
    assert len(re.findall("<small>[+−]", words)) == len((worded.text or "").split()), "values are read without a mouse"


def test_what_comes_from_outside_is_text(store: Store, encoder: str, tmp_path: Path) -> None:
    from mecam.types import Utterance

    trained = tiny.build("mecam", store, encoder, used=True)
    odd = Utterance(id="<b>id</b>", text="<script>alert(1)</script> film", label=1.0)
    page = write_explained(tmp_path / "a.html", explain(trained, [odd]), ABOUT, ["only <test>"]).read_text("utf-8")
    assert "<script>alert" not in page
    assert "<b>id</b>" not in page
    assert "only &lt;test&gt;" in page
    assert "of run r&lt;1&gt;" in page
    with pytest.raises(DataError, match="cannot write here"):
        write_explained(tmp_path / "nowhere" / "a.html", explain(trained, [odd]), ABOUT)
    assert not list(tmp_path.glob(".*partial"))


def test_classes_and_several_utterances(encoder: str, tmp_path: Path) -> None:
    task = tiny.TASKS["classes"]
    classes = tiny.write_store(tmp_path / "s", task, tiny.utterances(task))
    explained = explain(tiny.build("mecam", classes, encoder, used=True), classes, np.arange(2))
    page = write_explained(tmp_path / "a.html", explained, ABOUT).read_text("utf-8")
    assert "<h1>2 utterances</h1>" in page
    assert "From the data set d&amp;d." in page
    for one in explained:
        assert f"explained: {one.target.name}" in page
        assert f"<h2>{one.id}</h2>" in page


@pytest.mark.parametrize("kind", ["regression", "classes"])
def test_one_sign_everywhere(kind: str, encoder: str, tmp_path: Path) -> None:
    """+ and blue raise the answer by being there: in the terminal, on the page and in JSON, of both measures."""
    import json

    from rich.console import Console

    from mecam.evaluation.explanation.explanation import explanation_document
    from mecam.report.explanation_tables import explanation_view, minus

    pytest.importorskip("captum")
    task = tiny.TASKS[kind]
    store = tiny.write_store(tmp_path / "s", task, tiny.utterances(task))
    place = next(i for i, u in enumerate(store) if u.text and len(u.streams) == 3)
    (one,) = explain(tiny.build("mecam", store, encoder, used=True), store, np.array([place]), gradients=True, steps=4)
    written = json.loads(json.dumps(explanation_document([one], about=ABOUT)))["utterances"][0]
    console = Console(record=True, width=220)
    console.print(explanation_view(one))
    shown, page = console.export_text(), write_explained(tmp_path / "a.html", [one], ABOUT).read_text("utf-8")
    assert "change" not in page.partition("<main>")[2].partition("</main>")[0]
    assert "change" not in shown
    for modality, effect in written["without_modality"].items():
        assert effect["adds"] == pytest.approx(one.score - effect["score"])
        row = next(line for line in shown.splitlines() if f"│ {modality} " in line)
        assert minus(one.target.difference(effect["adds"])) in row
        assert minus(one.target.told(effect["score"])) in row
    if kind == "classes":
        assert one.target.told(0.5612) == "56 %"
        assert one.target.difference(-0.0512) == "-5"
        assert f"{one.target.name} {100 * one.score:.0f} %" in shown
        assert f"Integrated gradients from {100 * one.gradients.baseline:.1f} % to" in shown  # type: ignore[union-attr]
        assert "adds, points" in shown
        assert "adds, points" in page
    of_modality = one.modalities["text"]
    up = sum(part.without.adds > 0 for part in of_modality.parts)
    words = re.findall('<p class="words">(.*?)</p>', page, re.S)[-1]
    assert words.count('class="word up') == up
