"""What other systems lack, taken away here: calls and modules of POSIX, UTF-8 consoles, a shell that expands `*`."""

import ctypes
import errno
import json
import os
import subprocess
import sys
import threading
import types
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

import pytest

from mecam.cli import main
from mecam.errors import DataError
from mecam.features.find_media import find_media
from mecam.files import write_whole
from mecam.locks import locked
from mecam.pretrained.cards import DEMO_CLIP
from mecam.report.player import _link

WITHOUT_POSIX = """
import mmap, os, sys
import ai_edge_litert.interpreter, av, h5py, onnxruntime, platformdirs, psutil, tokenizers  # which have asked already
from mecam.cli import main
import mecam.locks
for name in ("fork", "forkpty", "geteuid", "getuid", "kill", "killpg", "O_NOFOLLOW", "process_cpu_count",
             "register_at_fork", "sched_getaffinity", "sched_setaffinity", "statvfs", "uname"):
    if hasattr(os, name):
        delattr(os, name)
del mmap.MADV_DONTNEED
sys.modules |= dict.fromkeys(("fcntl", "grp", "pwd", "resource", "termios"))
class Windows:
    platform = "win32"
    argv = sys.argv
mecam.locks.sys = Windows
class msvcrt:
    LK_NBLCK = 2
    @staticmethod
    def locking(file, mode, count): pass
sys.modules["msvcrt"] = msvcrt
sys.exit(max(main(command.split("|")) for command in sys.argv[1:]))
"""


def run(*command: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=os.environ | environment, capture_output=True, check=False
    )


def commands(*given: Sequence[str]) -> list[str]:
    return ["|".join(words) for words in given]


def test_nothing_needs_what_only_posix_has(tmp_path: Path) -> None:
    given = commands(
        ["predict", "I love this film", "-o", "said.csv"],
        ["predict", "I love this film", "-o", "said.csv"],
        ["data", "synth", "-o", "store", "--utterances", "60"],
        ["data", "info", "store"],
        ["models", "--ready"],
    )
    done = run("-c", WITHOUT_POSIX, *given, folder=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["said.csv", "store"]


@pytest.mark.slow
def test_no_part_of_the_built_in_model_needs_what_only_posix_has(tmp_path: Path) -> None:
    given = commands(["predict", str(DEMO_CLIP), "--html", "page.html", "--format", "jsonl"])
    done = run("-c", WITHOUT_POSIX, *given, folder=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert len(json.loads(done.stdout.splitlines()[0])["utterances"]) == 3


ALL = "import sys; from mecam.cli import main; sys.exit(max(main(command.split('|')) for command in sys.argv[1:]))"


def on_console(encoding: str) -> dict[str, str]:
    """The settings of a console that cannot show every character, and says so."""
    return {"PYTHONIOENCODING": f"{encoding}:strict", "PYTHONUTF8": "0", "LC_ALL": "C.UTF-8"}


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii"])
def test_a_console_that_is_not_utf_8_stops_nothing(encoding: str, tmp_path: Path) -> None:
    sentence = "Ich mag es — wirklich, 我喜欢"
    given = commands(
        ["--help"],
        ["train", "--help"],
        ["models"],
        ["models", "mecam"],
        ["models", "--ready"],
        ["assets"],
        ["predict", sentence],
        ["predict", "--format", "csv", sentence],
        ["predict", "--format", "jsonl", sentence],
    )
    done = run("-c", ALL, *given, folder=tmp_path, **on_console(encoding))
    assert done.returncode == 0, done.stderr.decode(encoding)
    lines = done.stdout.decode(encoding).splitlines()  # nothing else than this encoding is in it
    assert any(line.startswith("Usage:") for line in lines)
    assert json.loads(lines[-1])["text"] == sentence


def test_an_error_reaches_a_console_that_is_not_utf_8(tmp_path: Path) -> None:
    done = run("-m", "mecam", "data", "info", "存储", folder=tmp_path, **on_console("cp1252"))
    assert done.returncode == 1
    assert done.stderr.decode("cp1252").startswith("error: ")
    assert b"Traceback" not in done.stderr


def test_a_file_is_replaced_a_moment_later_where_a_reader_has_it_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows moves nothing over a file that is open; readers of a result close it soon."""
    replace, refused = os.replace, []

    def held(source: Path, target: Path) -> None:
        if len(refused) < 2:
            refused.append(target)
            raise PermissionError(errno.EACCES, "The process cannot access the file")
        replace(source, target)

    monkeypatch.setattr("mecam.files.IN_USE_SECONDS", 30.0)
    monkeypatch.setattr(os, "replace", held)
    write_whole(tmp_path / "a.json", "{}")
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "{}"
    monkeypatch.setattr("mecam.files.IN_USE_SECONDS", 1e-9)
    refused.clear()
    with pytest.raises(DataError, match="close the programs that have it open"):
        write_whole(tmp_path / "b.json", "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_locks_of_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other branch of `mecam.locks`: byte 1 is locked, and the file can be removed only when it is closed."""
    holders: dict[tuple[int, int], int] = {}

    def locking(file: int, mode: int, count: int) -> None:
        assert (mode, count, os.lseek(file, 0, os.SEEK_CUR)) == (2, 1, 0)
        facts = os.fstat(file)
        key = (facts.st_dev, facts.st_ino)
        if key in holders and is_open(holders[key]):
            raise OSError(errno.EACCES, "Permission denied")
        holders[key] = file

    def is_open(file: int) -> bool:
        try:
            os.fstat(file)
        except OSError:
            return False
        return True

    def unlink(place: Path) -> None:
        facts = os.stat(place)
        if is_open(holders.get((facts.st_dev, facts.st_ino), -1)):
            raise PermissionError(errno.EACCES, "The process cannot access the file")
        remove(place)

    remove = os.unlink
    monkeypatch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(LK_NBLCK=2, locking=locking))
    monkeypatch.setattr("mecam.locks.sys", types.SimpleNamespace(platform="win32", argv=["mecam", "train"]))
    monkeypatch.setattr(os, "unlink", unlink)
    said: list[BaseException] = []

    def second() -> None:
        try:
            with locked(tmp_path / "run"):
                pass
        except DataError as error:
            said.append(error)

    with locked(tmp_path / "run") as new:
        assert new
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert "mecam train" in str(said[0])
    assert list(tmp_path.iterdir()) == []


def test_memory_of_this_process_is_measured_without_the_module_of_posix(monkeypatch: pytest.MonkeyPatch) -> None:
    from mecam.training import costs

    class Process:
        def memory_info(self) -> types.SimpleNamespace:
            return types.SimpleNamespace(peak_wset=3 << 20)

    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr("mecam.training.costs.sys", types.SimpleNamespace(platform="win32"))
    monkeypatch.setattr("mecam.training.costs.psutil.Process", Process)
    monkeypatch.setattr(ctypes, "CDLL", None)
    assert costs.peak_memory_mb() == 3.0
    costs.give_back_free_memory()


def test_patterns_are_expanded_where_the_shell_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("b.txt", "a.txt"):
        (tmp_path / name).write_text(f"it was {name}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mecam", "predict", "*.txt", "Was it good?", "--format", "jsonl"])
    monkeypatch.setattr(sys.modules["mecam.cli.main"], "SHELL_EXPANDS", False)
    assert main() == 0
    texts = [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]
    assert texts == ["it was a.txt", "it was b.txt", "Was it good?"]


def test_a_page_on_another_drive_links_to_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_way(path: Path, start: Path) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    clip = tmp_path / "a clip.mp4"
    assert _link(tmp_path / "page.html", clip) == "a%20clip.mp4"
    monkeypatch.setattr(os.path, "relpath", no_way)
    assert _link(tmp_path / "page.html", clip) == clip.resolve().as_uri()


def test_recordings_of_a_folder_come_in_the_same_order_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths of Windows compare without regard to capitals; the order of a data set must not depend on the system."""
    for name in ("b.wav", "C.wav", "a.wav"):
        (tmp_path / name).write_bytes(b"RIFF")
    here = [place.path.name for place in find_media([tmp_path]).places]
    monkeypatch.setattr(Path, "__lt__", lambda one, other: PureWindowsPath(one) < PureWindowsPath(other))
    assert [place.path.name for place in find_media([tmp_path]).places] == here == ["C.wav", "a.wav", "b.wav"]


def test_a_shell_completes_commands(tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['mecam']; from mecam.cli import main; main()"
    asked = {"_MECAM_COMPLETE": "complete_bash", "COMP_WORDS": "mecam ex", "COMP_CWORD": "1"}
    done = run("-c", code, folder=tmp_path, **asked)
    assert done.stdout.split() == [b"extract", b"export", b"explain"], done.stderr.decode()
