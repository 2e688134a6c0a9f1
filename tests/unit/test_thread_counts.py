"""Threads follow what the process may use; waiting ones do not spin; small work takes one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mecam.threads import SMALL_UTTERANCES, available_cores, for_work

ROOM = available_cores(Path("/nowhere"))


def system(root: Path, cgroup: str, **files: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, content in files.items():
        place = (
            root / "sys/fs/cgroup" / name.replace("__", "/").replace("cpu_max", "cpu.max").replace("cpu_cfs", "cpu.cfs")
        )
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    return root


@pytest.mark.skipif(ROOM < 2, reason="one core cannot be fewer")
def test_the_quota_of_a_container_counts(tmp_path: Path) -> None:
    one = system(tmp_path / "2", "0::/\n", cpu_max="100000 100000\n")
    assert available_cores(one) == 1
    outer = system(tmp_path / "outer", "0::/a/b\n", a__cpu_max="50000 100000\n", a__b__cpu_max="max 100000\n")
    assert available_cores(outer) == 1
    old = system(
        tmp_path / "1", "3:cpu,cpuacct:/docker/x\n", cpu__cpu_cfs_quota_us="-1", cpu__cpu_cfs_period_us="100000"
    )
    assert available_cores(old) == ROOM
    (old / "sys/fs/cgroup/cpu/cpu.cfs_quota_us").write_text("90000")
    assert available_cores(old) == 1


@pytest.mark.parametrize("content", ["max 100000", "", "garbage", "0 100000", "100000", "900000000 100000"])
def test_what_says_nothing_takes_nothing_away(content: str, tmp_path: Path) -> None:
    assert available_cores(system(tmp_path, "0::/\n", cpu_max=content)) == ROOM


def test_a_few_utterances_take_one_thread() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with for_work(SMALL_UTTERANCES):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with for_work(SMALL_UTTERANCES + 1):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_command_line_does_not_spin_and_the_library_sets_nothing_for_it() -> None:
    code = (
        "import os, sys; before = dict(os.environ); import mecam.cli;"
        "print(sorted(k for k in os.environ if os.environ[k] != before.get(k)));"
        "mecam.cli.main(['models']); print(os.environ['OMP_WAIT_POLICY'], os.environ['GOMP_SPINCOUNT'],"
        " os.environ['ONEDNN_PRIMITIVE_CACHE_CAPACITY'], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == "[]"
    assert lines[-1] == "PASSIVE 0 16 False"  # and names of models need no PyTorch


def test_a_users_own_setting_wins() -> None:
    code = "import os; from mecam.threads import settle; settle(); print(os.environ['OMP_NUM_THREADS'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "7"},
    )
    assert done.stdout == "7\n"


FORK = """
import os, signal, threading, warnings

from mecam.threads import ProcessLock

warnings.simplefilter("ignore")  # newer Pythons warn of what is tested here
lock, held, leave = ProcessLock(), threading.Event(), threading.Event()


def hold():
    with lock:
        held.set()
        leave.wait()


thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if not child:
    signal.alarm(10)  # ends a child that waits
    with lock:
        os._exit(0)
assert os.waitpid(child, 0)[1] == 0
leave.set()
thread.join()
with lock:
    pass
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_lock_is_free_in_a_process_that_is_forked_off() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
