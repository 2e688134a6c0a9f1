"""The page of a recording and the terminal's table: all that is known is told, and nothing from outside runs."""

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import voices
from mecam.errors import DataError
from mecam.prediction.result import Prediction, RecordingPrediction
from mecam.report.predictions import page_names, predictions_table, recording_view, write_index
from mecam.report.recording import write_recording
from mecam.task import Classes, Regression, Task
from mecam.types import Utterance

TASK = Regression()
ABOUT = {"run": "r<1>", "model": "mecam", "learned_from": "d&d"}


def utterance(start: float, stop: float) -> Utterance:
    times = np.stack([np.linspace(start, stop, 5)[:-1], np.linspace(start, stop, 5)[1:]], axis=1)
    face = np.ones((4, 2), np.float32)
    face[3] = np.nan
    return Utterance(
        id="x",
        text="a superb film",
        streams={"audio": face, "vision": face},
        intervals={"audio": times, "vision": times},
    )


@pytest.fixture
def recording(tmp_path: Path) -> RecordingPrediction:
    """Two utterances of a recording with everything that a page can show."""
    wav = voices.write_wav(tmp_path / "mein café.wav", voices.buzz(6.0))
    first = Prediction(
        "x",
        "a superb film",
        1.25,
        -0.5,
        3.0,
        "positive",
        shares={"text": 0.6, "audio": 0.4},
        kept={"text": [0.9, 0.2, None], "audio": [0.0, 1.0, 0.5, None]},
        start=0.5,
        stop=2.5,
        alone={"text": 1.5, "audio": -1.0},
        disagrees=("audio",),
        doubts={"text": 0.1, "audio": 0.8},
        contradicts=("audio",),
    )
    second = replace(first, score=-0.75, low=-2.0, high=0.5, label="negative", start=3.5, stop=5.0, contradicts=())
    face = {"start": 0.5, "stop": 2.0, "frames": 3, "chosen": 2, "side": 84.0, "presence": 0.97}
    seen = {"frames": 4, "with_face": 3, "most_faces_at_once": 1, "faces": [face]}
    return RecordingPrediction(
        wav,
        6.0,
        replace(first, score=0.4, label="neutral", contradicts=(), doubts={}, alone={}, disagrees=()),
        (first, second),
        (utterance(0.5, 2.5), utterance(3.5, 5.0)),
        contributions=((0.1, 0.8, -0.3), (0.0, 0.2, -0.1)),
        details={"vision": (seen, {})},
        findings=("the sound is quiet",),
        notes=("Only a <test>.",),
        name=wav.name,
    )


def page_of(recording: RecordingPrediction, path: Path, task: Task = TASK) -> str:
    return write_recording(path, recording, task, ABOUT).read_text("utf-8")


def body_of(page: str) -> str:
    return re.sub(r"base64,[^\"]+", "", page.partition("<body")[2].partition("<script>")[0])


def printed(*tables: Any) -> str:
    console = Console(record=True, width=220)
    console.print(*tables)
    return console.export_text()


def test_model_data_date_and_version_are_named(recording: RecordingPrediction, tmp_path: Path) -> None:
    page = page_of(recording, tmp_path / "a.html")
    (kicker,) = re.findall(r'<p class="kicker">(.*?)</p>', page)
    assert "model mecam of run r&lt;1&gt;, learned from d&amp;d" in kicker
    assert re.search(r"\d{4}-\d\d-\d\d · mecam \d", kicker)


def test_strips_axes_and_words(recording: RecordingPrediction, tmp_path: Path) -> None:
    page = body_of(page_of(recording, tmp_path / "a.html"))
    assert page.count('class="interval"') == page.count('class="score-level"') == 2
    assert re.findall(r'class="level[^"]*" style="top:[\d.]+%">([^<]+)<', page) == ["+3", "0", "−3"]
    assert re.findall(r'<span style="left:[\d.]+%"[^>]*>(0:0[^<]+)<', page) == ["0:00", "0:02", "0:04", "0:06.0"]
    assert "audio gate" in page
    assert "text gate" in page
    assert 'gate 0 <span class="ramp"></span> 1' in page
    assert re.findall(r"superb<small>([^<]+)</small>", page) == ["+0.80", "+0.20"], "no mouse is needed"
    assert re.findall(r"film<small>([^<]+)</small>", page) == ["−0.30", "−0.10"]
    assert "kept" not in page
    assert "84 px" in page
    assert "how sure the" in page


def test_what_comes_from_outside_is_text_and_nothing_is_fetched(recording: RecordingPrediction, tmp_path: Path) -> None:
    odd = replace(recording, parts=tuple(replace(p, text="<script>alert(1)</script>") for p in recording.parts))
    page = page_of(odd, tmp_path / "a.html")
    assert "<script>alert" not in page
    assert "Only a &lt;test&gt;." in page
    assert "data:audio/wav;base64," in page
    assert "http" not in page.replace("http-equiv", "")
    assert str(tmp_path) not in page
    with pytest.raises(DataError, match="cannot write here"):
        page_of(recording, tmp_path / "nowhere" / "out.html")


def test_who_contradicts_is_said(recording: RecordingPrediction, tmp_path: Path) -> None:
    """In the terminal and on the page; only the one that does so more probably than not."""
    assert printed(recording_view(recording), predictions_table(recording.parts).terminal()).count("audio 80 %") == 2
    page = page_of(recording, tmp_path / "a.html")
    assert page.count("Audio contradicts the others: 80 % probable.") == 1
    assert "Text contradicts the others" not in page
    assert page.count("Audio alone would say the opposite: −1.00.") == 2


@pytest.mark.parametrize("parts", [1, 2])
def test_a_flat_line_and_a_score_without_interval_are_explained(
    recording: RecordingPrediction, tmp_path: Path, parts: int
) -> None:
    bare = [replace(part, low=None, high=None) for part in recording.parts[:parts]]
    cut = replace(recording, parts=tuple(bare), utterances=recording.utterances[:parts], contributions=())
    page = body_of(page_of(cut, tmp_path / "a.html"))
    assert ("has one score and the line is flat" in page) == (parts == 1)
    assert "the model was not calibrated" in page
    assert "was not calibrated" not in page_of(recording, tmp_path / "b.html")
    assert "90 % interval" not in printed(predictions_table(bare).terminal())


def test_all_probabilities_are_told(recording: RecordingPrediction, tmp_path: Path) -> None:
    task = Classes(("angry", "calm", "happy"))
    odds = {"angry": 0.32, "calm": 0.23, "happy": 0.45}
    part = replace(
        recording.parts[0], score=None, low=None, high=None, label="happy", probabilities=odds, alone={}, disagrees=()
    )
    classes = replace(recording, overall=part, parts=(part, part))
    page = body_of(page_of(classes, tmp_path / "a.html", task))
    shown = printed(recording_view(classes))
    for told in ("angry 32 %", "calm 23 %", "happy 45 %"):
        assert told in page
        assert shown.count(told) == 3, "of the whole and of both utterances"
    assert page.count("32 %</td>") == 3
    assert "superb<small>+80</small>" in page, "in points"


def test_missing_is_told_from_filtered(recording: RecordingPrediction, tmp_path: Path) -> None:
    silent = replace(recording.parts[0], shares={"text": 1.0, "audio": 0.0}, absent=("audio",), alone={}, disagrees=())
    quiet = replace(recording, parts=(silent, silent), absent={"audio": "the sound is silent"})
    shown, page = printed(recording_view(quiet)), body_of(page_of(quiet, tmp_path / "a.html"))
    assert shown.count("absent") == 3
    assert "Audio is absent: the sound is silent." in shown
    assert page.count("the sound is silent") == 3
    assert " 0 %" not in shown
    gates = re.findall(r'audio gate over time">(.*?)</svg>', page)[0]
    assert "--weight:0" in gates, "a gate of 0 has a box"
    told = printed(predictions_table([silent]).terminal())
    assert "Dim words: removed by the filter." in told
    assert "Struck words: missing" in told


def test_no_column_is_empty(recording: RecordingPrediction) -> None:
    """A model of sound alone has no texts, no weights of others, and no interval where it is not calibrated."""
    part = Prediction("x", None, 0.5, None, None, "positive", start=0.0, stop=6.0)
    shown = printed(recording_view(replace(recording, overall=part, parts=(part,), details={}, findings=())))
    (head,) = (line for line in shown.splitlines() if "prediction" in line)
    assert re.findall(r"\w+", head) == ["time", "prediction", "score"]


def test_pages_have_names_of_their_own() -> None:
    names = page_names(["a/x.wav", "A/X.wav", "index", "../x.wav", "x" * 300 + ".wav", "x" * 299 + ".wav"])
    assert len({name.casefold() for name in names}) == len(names)
    assert names[0] == "a/x.wav.html"
    assert "index.html" not in names
    assert all(".." not in name.split("/") for name in names)
    assert all(len(part) < 255 for name in names for part in name.split("/"))


def test_the_overview_links_to_every_page(recording: RecordingPrediction, tmp_path: Path) -> None:
    names = ["a/b <c>?.html", "é.html"]
    page = write_index(tmp_path / "index.html", [recording, recording], names, ABOUT).read_text("utf-8")
    assert re.findall(r'<a href="([^#"]+)">', page) == ["a/b%20%3Cc%3E%3F.html", "%C3%A9.html"]
    assert page.count("Only a &lt;test&gt;.") == 1


SCRIPT = """
import sys
from pathlib import Path
from mecam.prediction.result import Prediction, RecordingPrediction
from mecam.report.predictions import recording_view
from mecam.report.recording import write_recording
from mecam.task import Regression

part = Prediction("x", "a film", 1.0, None, None, "positive", start=0.0, stop=1.0)
recording = RecordingPrediction(Path(sys.argv[1]), 1.0, part, (part,), (), name="x")
write_recording(Path(sys.argv[2]), recording, Regression(), {"run": "r", "model": "m"})
recording_view(recording)
print(*({"torch", "altair", "vl_convert", "sklearn", "lightning", "pandas"} & set(sys.modules)))
"""


def run_python(arguments: Sequence[object]) -> str:
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_page_needs_neither_pytorch_nor_charts(tmp_path: Path) -> None:
    wav = voices.write_wav(tmp_path / "a.wav", voices.buzz(1.0))
    assert run_python(["-c", SCRIPT, wav, tmp_path / "a.html"]) == ""
    page = (tmp_path / "a.html").read_text("utf-8")
    assert "vegaEmbed" not in page.partition("<body")[0]
    assert 'id="vega"' not in page
    assert len(page) < 200_000
