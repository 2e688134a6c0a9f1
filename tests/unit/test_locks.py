"""Two commands on one output: the second says who holds it; who was killed holds nothing."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mecam.errors import DataError
from mecam.locks import locked

HOLDER = """
import sys, time
from pathlib import Path
from mecam.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(path: Path) -> "subprocess.Popen[str]":
    """Another process that holds `path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_second_is_told_who_holds_it_and_the_system_lets_go_when_that_one_is_killed(tmp_path: Path) -> None:
    process = holder(tmp_path / "store")
    try:
        with pytest.raises(DataError, match="another mecam") as caught, locked(tmp_path / "store"):
            pass
        assert f"pid {process.pid}" in str(caught.value)
        assert "-c" in str(caught.value)  # its command
        assert "wait until it ends, or stop it" in str(caught.value)
        with locked(tmp_path / "store2"):  # another output
            pass
    finally:
        process.kill()
        process.communicate()
    with locked(tmp_path / "store") as new:
        assert new
    assert names(tmp_path) == set()


def test_who_holds_a_folder_holds_what_lies_in_it(tmp_path: Path) -> None:
    with locked(tmp_path / "run") as new:
        assert new
        for inside in (tmp_path / "run", tmp_path / "run" / "a", tmp_path / "run" / "a" / "b"):
            with locked(inside) as again:
                assert not again
        with locked(tmp_path / "runs") as other:
            assert other
    assert names(tmp_path) == set()


def test_threads_keep_out_of_each_others_way(tmp_path: Path) -> None:
    count, most = 0, 0

    def work() -> None:
        nonlocal count, most
        with locked(tmp_path / "a", wait=30.0):
            count += 1
            most = max(most, count)
            time.sleep(0.01)
            count -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (count, most) == (0, 1)


def test_two_names_of_one_place_are_one_lock(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with locked(tmp_path / "folder" / ".." / "a"), locked(tmp_path / "a") as again:
        assert not again


@pytest.mark.posix
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_stopped_holder_is_waited_for(tmp_path: Path) -> None:
    process = holder(tmp_path / "a")
    threading.Timer(0.3, lambda: process.send_signal(signal.SIGKILL)).start()
    with locked(tmp_path / "a", wait=30.0) as new:
        assert new
    process.communicate()


def test_a_damaged_lock_file_of_nobody_is_free(tmp_path: Path) -> None:
    (tmp_path / ".a.lock").write_bytes(b"\xff not what we write")
    with locked(tmp_path / "a") as new:
        assert new


def test_the_lock_file_holds_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a database that the command was given."""
    monkeypatch.setattr(sys, "argv", ["mecam", "tune", "--storage", "postgresql://me:s3cr:et@host/searches"])
    with locked(tmp_path / "store"):
        written = (tmp_path / ".store.lock").read_bytes()
    assert b"postgresql://me:***@host/searches" in written
    assert b"et@" not in written
