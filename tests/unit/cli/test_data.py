import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from mecam.cli.data import app
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.task import Classes, Regression
from store_samples import sample, write

COMMANDS = ["import", "synth", "info", "check", "split", "align", "join", "merge", "export"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def last_line(result: Result) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout.strip().splitlines()[-1]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write(tmp_path / "store", sample(48, speakers=12)).path


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"mecam data {command}" in result.output


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys, mecam.cli.data; print(sorted({'torch', 'transformers', 'sklearn', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_info_shows_and_prints_json(store: Path) -> None:
    shown = run("info", store)
    assert shown.exit_code == 0
    for part in ("sample: 48 utterances, regression [-3, 3]", "train", "audio", "speakers"):
        assert part in shown.stdout
    told = json.loads(run("info", store, "--json").stdout)
    assert told["splits"]["train"]["utterances"] == 32
    assert told["lengths"]["audio"]["present"] == 48


def test_check_exits_with_1_only_for_errors(store: Path, tmp_path: Path) -> None:
    assert run("check", store).exit_code == 0
    content = sample(48, speakers=12)
    write(tmp_path / "warned", [replace(u, text="the same for all of them") for u in content])
    warned = run("check", tmp_path / "warned")
    assert warned.exit_code == 0
    assert "duplicate-text" in warned.stdout
    content[0] = replace(content[0], label=9.0)
    write(tmp_path / "wrong", content)
    wrong = run("check", tmp_path / "wrong", "--json")
    assert wrong.exit_code == 1
    told = json.loads(wrong.stdout)
    assert told["failed"]
    assert [p["kind"] for p in told["problems"] if p["level"] == "error"] == ["label-range"]


def test_check_notices_changed_files(store: Path) -> None:
    file = store / "audio.safetensors"
    content = bytearray(file.read_bytes())
    content[4100] ^= 1
    file.write_bytes(content)
    result = run("check", store)
    assert isinstance(result.exception, DataError)
    assert "SHA-256" in result.exception.what


def test_import_reads_what_export_wrote(store: Path, tmp_path: Path) -> None:
    assert last_line(run("export", store, "-o", tmp_path / "out", "--to", "csv")) == f"export: {tmp_path / 'out'}"
    made = run("import", tmp_path / "out", "-o", tmp_path / "again", "--name", "mine", "--task", "regression:-3,3")
    assert last_line(made) == f"store: {tmp_path / 'again'}"
    again = Store(tmp_path / "again")
    assert (again.name, again.task, len(again)) == ("mine", Regression(), 48)
    told = run("import", tmp_path / "out", "-o", tmp_path / "again", "--overwrite", "--json")
    assert json.loads(told.stdout)["splits"]["train"] == 32


def test_import_names_the_classes_of_a_task(tmp_path: Path) -> None:
    rows = [f"v{i},1,hello,{label},train" for i, label in enumerate(["joy", "fear", "joy"])]
    (tmp_path / "label.csv").write_text("\n".join(["video_id,clip_id,text,label,mode", *rows]))
    last_line(run("import", tmp_path / "label.csv", "-o", tmp_path / "s", "--task", "classes:fear,joy,anger"))
    assert Store(tmp_path / "s").task == Classes(("fear", "joy", "anger"))


@pytest.mark.parametrize(
    "task",
    [
        "poetry",
        "classes",
        "classes:one",
        "classes:A,a",
        "regression:1",
        "regression:3..-3",
        "regression:a,b",
        "regression:0..inf",
    ],
)
def test_a_task_that_is_none_is_a_usage_error(task: str, tmp_path: Path) -> None:
    result = run("import", tmp_path, "-o", tmp_path / "s", "--task", task)
    assert result.exit_code == 2
    assert "regression:LOW..HIGH" in result.output


def test_synth_makes_a_store(tmp_path: Path) -> None:
    made = run("synth", "-o", tmp_path / "s", "--utterances", 12, "--speakers", 4, "--seed", 5)
    assert last_line(made) == f"store: {tmp_path / 's'}"
    assert len(Store(tmp_path / "s", verify=True)) == 12


def test_split_by_speaker_and_by_fold(store: Path, tmp_path: Path) -> None:
    assert last_line(run("split", store, "-o", tmp_path / "a", "--by", "speaker")) == f"store: {tmp_path / 'a'}"
    made = Store(tmp_path / "a")
    owners = {}
    for speaker, split in zip(made.column("speaker"), made.column("split"), strict=True):
        assert owners.setdefault(speaker, split) == split
    tested = []
    for fold in range(3):
        last_line(run("split", store, "-o", tmp_path / f"fold{fold}", "--folds", 3, "--fold", fold))
        tested += Store(tmp_path / f"fold{fold}").split("test").tolist()
    assert sorted(tested) == list(range(48))


def test_split_by_a_table(store: Path, tmp_path: Path) -> None:
    ids = Store(store).column("id")
    (tmp_path / "t.csv").write_text("\n".join(["id,split", *(f"{name},test" for name in ids)]))
    last_line(run("split", store, "-o", tmp_path / "a", "--table", tmp_path / "t.csv"))
    assert set(Store(tmp_path / "a").column("split")) == {"test"}


def test_official_folds_of_strangers_are_refused(store: Path, tmp_path: Path) -> None:
    result = run("split", store, "-o", tmp_path / "a", "--by", "official")
    assert isinstance(result.exception, DataError)
    assert not (tmp_path / "a").exists()


def test_shares_must_be_three_numbers(store: Path, tmp_path: Path) -> None:
    assert run("split", store, "-o", tmp_path / "a", "--shares", "70,30").exit_code == 2
    assert run("split", store, "-o", tmp_path / "a", "--shares", "a,b,c").exit_code == 2


def test_align_tells_what_it_did(store: Path, tmp_path: Path) -> None:
    made = run("align", store, "-o", tmp_path / "a", "--only", "audio")
    assert last_line(made) == f"store: {tmp_path / 'a'}"
    assert "audio: 192 words, 0 of them without features" in made.stdout
    assert "vision: unchanged" in made.stdout
    assert Store(tmp_path / "a").lengths("audio").tolist() == [4] * 48


def test_join_and_merge(tmp_path: Path) -> None:
    content = sample(6)
    for modality in ("audio", "vision"):
        one = [replace(u, streams={modality: u.streams[modality]}, intervals={}) for u in content]
        write(tmp_path / modality, one, name=modality)
    made = run("join", tmp_path / "audio", tmp_path / "vision", "-o", tmp_path / "both")
    assert last_line(made) == f"store: {tmp_path / 'both'}"
    assert "vision added to 6 utterances" in made.stdout
    joined = Store(tmp_path / "both")
    np.testing.assert_array_equal(joined[2].streams["vision"], content[2].streams["vision"])
    last_line(run("merge", tmp_path / "audio", tmp_path / "vision", "-o", tmp_path / "all", "--prefix"))
    assert len(Store(tmp_path / "all")) == 12
    for command in ("join", "merge"):
        assert run(command, tmp_path / "audio", "-o", tmp_path / "x").exit_code == 2


def test_export_tells_what_the_format_cannot_hold(store: Path, tmp_path: Path) -> None:
    made = run("export", store, "-o", tmp_path / "out.pkl", "--to", "mmsa", "--max-length", 3)
    assert last_line(made) == f"export: {tmp_path / 'out.pkl'}"
    cut = (Store(store).lengths("audio") > 3).sum()
    assert f"audio: {cut} utterances were shortened" in made.stdout


@pytest.mark.parametrize("command", ["info", "check"])
def test_what_is_no_store_is_one_clear_error(command: str, tmp_path: Path) -> None:
    result = run(command, tmp_path / "nowhere")
    assert isinstance(result.exception, DataError)
    assert result.exception.fix
    assert result.exit_code == 1
