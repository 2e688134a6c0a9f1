"""`mecam predict` on folders: a page and a name for each recording, and one bad file stops nobody."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from test_subsets import voice_run

import tiny
import voices
from mecam.cli import main
from mecam.models.trained import save_checkpoint
from mecam.prediction import recordings
from mecam.prediction.inputs import printable

Result = tuple[int, str, str]


@pytest.fixture(scope="module")
def run(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    save_checkpoint(folder / "run" / "checkpoint", voice_run(folder, tiny.TASKS["regression"], encoder))
    return folder / "run"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings of the same name, one beside them, and one that is none."""
    for i, place in enumerate(("a/x.wav", "b/x.wav", "top.wav")):
        voices.write_wav(tmp_path / "d" / place, voices.buzz(0.5, hertz=110 + 40 * i))
    (tmp_path / "d" / "b" / "bad.mp4").write_text("no video")
    return tmp_path / "d"


@pytest.fixture
def call(run: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def ask(*arguments: object) -> Result:
        code = main(["predict", *map(str, arguments), "--model", str(run)])
        return (code, *capsys.readouterr())

    return ask


def test_each_has_its_page_and_its_name(call: Any, folder: Path, tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    code, out, err = call(folder, "--html", pages, "--output", tmp_path / "all.csv")
    assert code == 3
    assert "b/bad.mp4" in err
    written = sorted(p.relative_to(pages).as_posix() for p in pages.rglob("*") if p.is_file())
    assert written == ["a/x.wav.html", "b/x.wav.html", "index.html", "top.wav.html"]
    assert f"3 pages and their index: {pages}" in out
    rows = list(csv.DictReader((tmp_path / "all.csv").read_text("utf-8").splitlines()))
    assert [row["file"] for row in rows] == ["a/x.wav", "b/x.wav", "top.wav"]
    assert len({row["score"] for row in rows}) == 3
    index = (pages / "index.html").read_text("utf-8")
    assert re.findall(r'<a href="([^#"]+)">', index) == ["a/x.wav.html", "b/x.wav.html", "top.wav.html"]
    for row in rows:
        page = (pages / f"{row['file']}.html").read_text("utf-8")
        assert f"<h1>{row['file']}</h1>" in page
        assert f"{float(row['score']):+.2f}".replace("-", "−") in page


def test_what_a_codec_raises_concerns_one_file(
    call: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = recordings.read_recording

    def fragile(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.parent.name == "a":
            raise RuntimeError("the codec fell over")
        return real(path, *arguments, **options)

    monkeypatch.setattr(recordings, "read_recording", fragile)
    code, out, err = call(folder, "--format", "jsonl")
    assert code == 3
    assert [json.loads(line)["file"] for line in out.splitlines()] == ["b/x.wav", "top.wav"]
    assert "RuntimeError: the codec fell over" in err
    code, _, err = call(folder / "a" / "x.wav")
    assert code == 1
    assert "this recording cannot be predicted: RuntimeError: the codec fell over" in err
    assert "Traceback" not in err


@pytest.mark.posix
@pytest.mark.parametrize("name", [b"n\xffm.wav", b"a\x1b[31m[red].wav", b"two\nlines.wav", b"x[red].wav"])
def test_names_that_are_none_are_predicted(call: Any, tmp_path: Path, name: bytes) -> None:
    import os

    folder = tmp_path / "d"
    voices.write_wav(folder / "plain.wav", voices.buzz(0.5))
    try:
        (folder / os.fsdecode(name)).write_bytes((folder / "plain.wav").read_bytes())
    except OSError:
        pytest.skip("this file system does not take such a name")
    code, out, _ = call(folder, "--format", "json", "--html", tmp_path / "pages")
    assert code == 0
    files = [one["file"] for one in json.loads(out.rpartition("]\n")[0] + "]")]
    assert sorted(files) == sorted(["plain.wav", printable(os.fsdecode(name))])
    assert len(list((tmp_path / "pages").rglob("*.wav.html"))) == 2


def test_places_are_looked_at_before_anything_is_done(call: Any, folder: Path, tmp_path: Path) -> None:
    for options, says in (
        (("--output", tmp_path / "scores.xlsx"), "cannot be written as .xlsx"),
        (("--output", tmp_path / "scores"), "a file without an ending"),
        (("--html", tmp_path / "all.html"), "take a folder of pages"),
    ):
        code, out, err = call(folder, *options)
        assert (code, out) == (1, "")
        assert says in err
        assert "predicting" not in err
    assert not list(tmp_path.glob("*.html"))


def test_a_single_recording_of_a_folder_has_its_page_in_a_folder(call: Any, folder: Path, tmp_path: Path) -> None:
    code, _, _ = call(folder / "a", "--html", tmp_path / "pages")
    assert code == 0
    assert (tmp_path / "pages" / "x.wav.html").is_file()
    code, _, _ = call(folder / "top.wav", "--html", tmp_path / "pages")
    assert code == 0
    assert (tmp_path / "pages" / "top.wav.html").is_file()


def test_sentences_from_files_and_from_standard_input(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    (tmp_path / "a.txt").write_text("superb\n\nawful\n")
    code, out, _ = call(tmp_path / "a.txt", "--format", "csv")
    assert code == 0
    assert [row["id"] for row in csv.DictReader(out.splitlines())] == ["1", "3"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"superb\n\nawful\n")))
    code, out, _ = call("-", "--format", "json")
    assert code == 0
    said = json.loads(out)
    assert [(one["id"], one["text"]) for one in said] == [("1", "superb"), ("3", "awful")]
    assert all(one["absent"] == ["audio"] for one in said)
    code, _, err = call("")
    assert code == 1
    assert "the sentence is empty" in err


def test_a_folder_takes_a_file_of_each_recording(call: Any, folder: Path, tmp_path: Path) -> None:
    for name in ("vtt", "eaf", "csv"):
        code, out, _ = call(folder, "--output", tmp_path / name, "--format", name)
        assert code == 3
        assert f"3 predictions in 3 files: {tmp_path / name}" in out
        written = sorted(path.relative_to(tmp_path / name).as_posix() for path in (tmp_path / name).rglob("*.*"))
        assert written == [f"{place}.{name}" for place in ("a/x.wav", "b/x.wav", "top.wav")]
    assert (tmp_path / "vtt" / "top.wav.vtt").read_text("utf-8").startswith("WEBVTT\n\nNOTE mecam ")
    code, out, _ = call(folder / "top.wav", "--format", "vtt")
    assert (code, out) == (0, (tmp_path / "vtt" / "top.wav.vtt").read_text("utf-8"))


def test_moments_instead_of_utterances(call: Any, folder: Path, tmp_path: Path) -> None:
    code, out, _ = call(folder / "top.wav", "--every", "200ms", "-o", tmp_path / "a.csv")
    assert code == 0
    assert "3 predictions: " in out
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text("utf-8").splitlines()))
    assert [(row["start"], row["stop"]) for row in rows] == [("0.0", "0.2"), ("0.2", "0.4"), ("0.4", "0.5")]
    assert len({row["score"] for row in rows}) == 1
    assert all(0 <= float(row["kept_audio"]) <= 1 for row in rows)
    code, out, _ = call(folder / "top.wav", "--every", " .25 s", "--format", "json")
    assert len(json.loads(out)[0]["moments"]) == 2
    for every in ("1m", "0", "50ms", "-1", "", "1e3", "nan"):
        code, out, err = call(folder / "top.wav", "--every", every)
        assert (code, out) == (1, "")
        assert "a moment cannot last" in err
        assert "give at least 0.1s" in err


def test_what_a_format_cannot_hold_is_said_before_the_work(call: Any, folder: Path, tmp_path: Path) -> None:
    for arguments, says in (
        ((folder, "-o", tmp_path / "all.vtt"), "a .vtt file holds one recording; these are 4"),
        ((folder, "--format", "eaf"), "a .eaf file holds one recording; these are 4"),
        (("a sentence", "-o", tmp_path / "a.eaf"), "these are sentences or a store"),
        ((folder / "top.wav", "--format", "parquet"), "parquet cannot be printed"),
        (
            (folder / "top.wav", "a sentence", "--format", "csv", "-o", tmp_path / "all"),
            "a folder takes files of recor",
        ),
        ((folder / "top.wav", "-o", tmp_path), "without an ending"),
    ):
        code, out, err = call(*arguments)
        assert (code, out) == (1, "")
        assert says in err
        assert "loading" not in err
