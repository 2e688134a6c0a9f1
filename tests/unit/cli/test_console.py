"""What strangers' names do to a terminal: nothing. And what a terminal that takes little does to a command: nothing."""

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from mecam.cli import main
from mecam.cli.console import SafeConsole, SafeFormatter, one_line, safe
from mecam.data.store import Store
from mecam.escaping import json_text
from mecam.task import Classes, Regression
from mecam.types import Utterance
from store_samples import write

HOSTILE = "x[/red] \x1b[31m\x1b]0;owned\x07 \x9b31m \u202egnp.exe \u2028 \r \udce9 :boom: é 中"
"""Markup that closes what was never opened, escape sequences of both kinds, turned text, line ends, no text, emoji."""

MARKS = ["\x1b", "\x07", "\x9b", "\u202e", "\u2028", "\r", "\udce9"]


def told(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    """All that a command prints, once it is clear that nothing in it steers a terminal."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == code
    said = "".join(capsys.readouterr())
    assert not [mark for mark in MARKS if mark in said]
    return said


def hostile_store(path: Path, *, kind: str = "regression") -> Store:
    """Every text that a store holds is hostile, as far as UTF-8 can hold it."""
    text = HOSTILE.replace("\udce9", "")
    names = (text, "b")
    task = Classes(names) if kind == "classes" else Regression()
    splits = ("train", "valid", "test")
    content = [
        Utterance(
            id=f"{text}{i}",
            split=splits[i % 3],
            video=f"{text}{i}",
            speaker=text,
            text=f"{text} four words of text {i % 5}",
            label=names[i // 3 % 2] if kind == "classes" else float(i % 5) - 2,
        )
        for i in range(60)
    ]
    return write(path, content, task=task, name=text, specs={})


@given(st.text(st.characters(), max_size=50))
def test_safe_text_steers_nothing_and_stays_what_it_is(text: str) -> None:
    shown = safe(text)
    assert not any(ord(c) < 32 and c not in "\n\t" for c in shown)
    shown.encode()
    assert safe(shown) == shown
    assert "\n" not in one_line(text)
    plain = text.encode("ascii", "ignore").decode()
    if plain.isprintable() and plain == text:
        assert shown == text


@given(st.text(st.characters(), max_size=50))
def test_json_stays_the_same_value(text: str) -> None:
    shown = json_text({text: [text]})
    assert json.loads(shown) == {text: [text]}
    shown.encode()
    assert safe(shown) == shown


def test_markup_and_escapes_are_only_shown_wherever_they_stand() -> None:
    stream = io.StringIO()
    console = SafeConsole(width=300)
    console.file = stream
    table = Table(HOSTILE, title=HOSTILE, caption=HOSTILE)
    table.add_row(HOSTILE)
    console.print(table)
    console.print(HOSTILE)
    said = stream.getvalue()
    assert said.count("x[/red]") == 5
    assert ":boom:" in said
    assert "\\x1b" in said
    assert not [mark for mark in MARKS if mark in said]


def test_what_is_logged_is_safe() -> None:
    record = logging.LogRecord("mecam", logging.WARNING, "", 0, "%s", (HOSTILE,), None)
    assert not [mark for mark in MARKS if mark in SafeFormatter("%(message)s").format(record)]


def test_an_error_has_one_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    said = told(capsys, "data", "info", "none\nerror: owned[/red]\x1b[2J", code=1)
    assert len([line for line in said.splitlines() if line.startswith("error")]) == 1
    assert told(capsys, "data", "split", "s", "-o", "x", "--by", HOSTILE, code=2)


@pytest.mark.parametrize("kind", ["regression", pytest.param("classes", marks=pytest.mark.slow)])
def test_every_command_shows_hostile_names_as_they_are(
    kind: str, encoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, run, other = tmp_path / "store[/red]\x1b[31m", tmp_path / "run[/x]\x1b", tmp_path / "other\x9b"
    first = hostile_store(store, kind=kind).column("id")[2]
    told(capsys, "data", "info", store)
    json.loads(told(capsys, "data", "info", store, "--json"))
    told(capsys, "data", "check", store, code=main(["data", "check", str(store)]))
    told(capsys, "data", "split", store, "-o", tmp_path / "split\x1b", "--by", "video")
    few = ["--set", "training.epochs=1", "--set", "training.precision=32"]
    small = ["--model", "text_only", "--set", f"model.encoder={encoder}"]
    told(capsys, "train", "--data", store, "--out", run, *few, *small)
    told(capsys, "train", "--data", store, "--out", other, "--model", "constant")
    told(capsys, "evaluate", run, "--data", store)
    told(capsys, "predict", store, "--model", run)
    told(capsys, "predict", store, "--model", run, "--format", "jsonl")
    told(capsys, "compare", run, other, "--out", tmp_path / "comparison\x1b", "--baseline", run.name)
    told(capsys, "report", run, "--against", other)
    told(capsys, "explain", "utterance", run, first, "--data", store, "--no-gradients")
    robust = ["--protocol", "missing-modality", "--seeds", 1, "--data", store]
    told(capsys, "robustness", run, *robust)
    told(capsys, "robustness", run, *robust, "--json")
    for name in ("predictions.csv", "history.csv", "robustness/missing-modality/robustness.csv"):
        assert (run / name).is_file()


def command(*arguments: object, encoding: str = "utf-8", **options: Any) -> "subprocess.CompletedProcess[bytes]":
    code = "import sys; from mecam.cli import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    given = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(given, env=environment, check=False, **options)


@pytest.mark.parametrize("encoding", ["cp1252", "gbk", "ascii", "latin-1"])
def test_a_console_that_lacks_signs_gets_others_in_their_place(encoding: str, tmp_path: Path) -> None:
    store = hostile_store(tmp_path / "store").path
    shown = command("data", "info", store, encoding=encoding, capture_output=True)
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert b"utterances" in shown.stdout
    plain = command("data", "info", store, "--json", encoding=encoding, capture_output=True)
    assert json.loads(plain.stdout.decode(encoding))["name"] == Store(store).name


@pytest.mark.slow
def test_the_case_of_a_console_that_is_not_utf8(shared_cases: Path, tmp_path: Path) -> None:
    case = shared_cases / "21_console_encoding"
    assert "cp1252 mecam train" in (case / "README").read_text()
    store = hostile_store(tmp_path / "store").path
    given = ["--data", store, "--out", tmp_path / "run", "--set", "model.name=constant"]
    shown = command("train", *given, encoding="cp1252", capture_output=True)
    assert (shown.returncode, b"Traceback" in shown.stderr) == (0, False)
    assert b"report: " in shown.stdout
    assert "±" in shown.stdout.decode("cp1252")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_output_that_nobody_takes_is_one_line_or_none(tmp_path: Path) -> None:
    store = hostile_store(tmp_path / "store").path
    with Path("/dev/full").open("wb") as full:
        said = command("data", "info", store, stdout=full, stderr=subprocess.PIPE)
        assert said.returncode == 1
        assert said.stderr.count(b"\n") == 1
        assert b"No space left" in said.stderr
        said = command("data", "info", store, stderr=full, stdout=subprocess.PIPE)
        assert said.returncode == 0
        assert command("data", "info", "none", stderr=full, stdout=subprocess.PIPE).returncode == 1
    shell = f"{sys.executable} -c 'import sys; from mecam.cli import main; sys.exit(main())' data info {store}"
    closed = subprocess.run(f"{shell} >&-", shell=True, capture_output=True, check=False)
    assert (closed.returncode, closed.stderr.count(b"\n")) == (1, 1)
    left = subprocess.run(f"{shell} | true", shell=True, capture_output=True, check=False)
    assert (left.returncode, left.stderr) == (0, b"")


@pytest.mark.slow
def test_the_cases_of_markup_escapes_and_encodings(
    shared_cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, case in enumerate(("hostile/09_markup/c.csv", "hostile/10_terminal_escapes/label.csv")):
        store = tmp_path / str(number)
        said = told(capsys, "data", "import", shared_cases / case, "-o", store)
        assert f"store: {store}" in said
        told(capsys, "data", "check", store, code=main(["data", "check", str(store)]))
        told(capsys, "train", "--data", store, "--out", tmp_path / f"run{number}", "--model", "constant")
        done = command("data", "info", store, encoding="cp1252", capture_output=True)
        assert done.returncode == 0
        arguments = ("train", "--data", store, "--out", tmp_path / f"again{number}", "--set", "model.name=constant")
        assert command(*arguments, encoding="cp1252", capture_output=True).returncode == 0
