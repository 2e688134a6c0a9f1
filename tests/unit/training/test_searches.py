"""Searches that several share: trials at once, processes on one database, trials of the dead."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tiny
from mecam.config import read_yaml
from mecam.data.store import Store
from mecam.errors import ConfigError, TrainingError
from mecam.experiments import storage as storages
from mecam.experiments.tuning import tune
from mecam.runs.config import RunConfig
from mecam.training.loop import Fit

optuna = pytest.importorskip("optuna", reason="the extra `tune` is not installed")

cluster = pytest.mark.cluster
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    task = tiny.TASKS["regression"]
    return tiny.write_store(tmp_path_factory.mktemp("stores") / "s", task, tiny.utterances(task, 30))


def config(encoder: str, **training: Any) -> RunConfig:
    model = {"name": "lf_dnn", "encoder": encoder, "text_width": 8, "width": 16, "hidden": 64}
    training = {"epochs": 3, "precision": "32", **training}
    return RunConfig.decode({"model": model, "training": training, "accelerator": "cpu"})


@cluster
def test_trials_at_once_are_all_that_were_asked_for(store: Store, encoder: str, tmp_path: Path) -> None:
    """The defaults are the first; the search can be extended, also one at a time."""
    calls: list[tuple[int, int, str]] = []
    first = tune(config(encoder), store, tmp_path, trials=3, jobs=2, progress=lambda *call: calls.append(call))
    assert len(first.trials) == 3
    assert first.count("complete") + first.count("pruned") == 3
    assert first.defaults is not None
    assert len({str(trial.options) for trial in first.trials}) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"study.db", "best.yaml", "trials.csv"}
    assert any("trial 2 of 3" in now for *_, now in calls)
    more = tune(config(encoder), store, tmp_path, trials=4)
    assert more.trials[:3] == first.trials
    assert len(more.trials) == 4


def test_a_password_is_not_shown() -> None:
    url = "postgresql://me:s3cret@somewhere/searches"
    assert "s3cret" not in storages.shown_url(url)
    assert storages.shown_url(url) == "postgresql+psycopg://me:***@somewhere/searches"
    with pytest.raises(ConfigError, match="not the URL of a database") as caught:
        storages.shown_url("postgresql:/me:s3cret@somewhere:port/searches")
    assert "s3cret" not in str(caught.value)


def test_a_database_that_is_not_there_is_named(store: Store, encoder: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(storages, "OPENINGS", 1)
    with pytest.raises(TrainingError, match="cannot be stored here") as caught:
        tune(config(encoder), store, tmp_path, trials=1, storage="postgresql://me:s3cret@127.0.0.1:9/searches")
    assert "s3cret" not in str(caught.value)
    assert "me:***@127.0.0.1" in str(caught.value)


def test_a_database_that_fails_meanwhile_is_one_error(
    store: Store, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mecam.experiments import tuning

    def validate(*_: Any, **__: Any) -> Fit:
        def fails(*_: Any, **__: Any) -> None:
            raise optuna.exceptions.StorageInternalError("of postgresql://me:s3cret@host/searches")

        monkeypatch.setattr(optuna.storages.RDBStorage, "set_trial_state_values", fails)
        return Fit(best_score=-1.0)

    monkeypatch.setattr(tuning, "validate_once", validate)
    with pytest.raises(TrainingError, match="the database of the search fails") as caught:
        tune(config(encoder), store, tmp_path, trials=1)
    assert "s3cret" not in str(caught.value)


def test_an_interrupted_command_leaves_its_trial_to_the_others(
    store: Store, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a database that several use (here a file of SQLite, which is one for those of one machine)."""
    from mecam.experiments import tuning

    url, seen = f"sqlite:///{tmp_path / 'shared.db'}", []

    def validate(given: RunConfig, *_: Any, **__: Any) -> Fit:
        seen.append(given)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return Fit(best_score=-float(len(seen)))

    monkeypatch.setattr(tuning, "validate_once", validate)
    with pytest.raises(KeyboardInterrupt):
        tune(config(encoder), store, tmp_path / "one", trials=3, storage=url)
    found = tune(config(encoder), store, tmp_path / "other", trials=3, storage=url)
    assert seen[2] == seen[1]  # the same options again
    assert [trial.state for trial in found.trials] == ["complete"] * 3
    assert tune(config(encoder), store, tmp_path / "third", trials=3, storage=url) == found
    assert len(seen) == 4
    other = tune(config(encoder, epochs=2), store, tmp_path / "fourth", trials=1, storage=url)
    assert len(other.trials) == 1  # another search has trials of its own


def test_the_search_of_an_earlier_version_is_gone_on_with(
    store: Store, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which did not know some of today's options: they have their defaults."""
    from mecam.experiments import study, tuning

    monkeypatch.setattr(tuning, "validate_once", lambda *_, **__: Fit(best_score=-1.0))
    tune(config(encoder), store, tmp_path, trials=1)
    whole = study.Study._setup

    def earlier(self: Any) -> str:
        options, *others = json.loads(whole(self))
        lines = [
            line for line in options.splitlines(keepends=True) if line.split(":")[0].strip() not in ("nodes", "compile")
        ]
        assert len(lines) == len(options.splitlines()) - 2
        return json.dumps(["".join(lines), *others])

    with monkeypatch.context() as patch:
        patch.setattr(study.Study, "_setup", earlier)
        tune(config(encoder), store, tmp_path / "old", trials=1)
    assert len(tune(config(encoder), store, tmp_path / "old", trials=2).trials) == 2


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server of our own, which listens on a socket in a temporary folder."""
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not binaries:
        pytest.skip("PostgreSQL is not installed")
    # The path of a socket has at most a hundred characters.
    import pwd
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    user: list[str] = []
    if os.getuid() == 0:  # as which the server refuses to run
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        user = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    (folder / "password").write_text("s3cret\n")
    (folder / "password").chmod(0o644)
    home, bin_ = folder / "data", binaries[-1].parent

    def do(*command: str) -> None:
        subprocess.run([*user, *command], check=True, timeout=120, capture_output=True, cwd=folder)

    try:
        init = ["-A", "scram-sha-256", "-U", "me", f"--pwfile={folder / 'password'}", "-E", "UTF8", "--no-sync"]
        do(str(bin_ / "initdb"), "-D", str(home), *init)
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        do(str(bin_ / "pg_ctl"), "-D", str(home), "-w", "-t", "90", "-o", options, "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql://me:s3cret@/postgres?host={folder}"
        finally:
            do(str(bin_ / "pg_ctl"), "-D", str(home), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


SEARCH = """
import os, pathlib, signal, sys, time
from mecam.experiments import storage, tuning
storage.HEARTBEAT_SECONDS, storage.GRACE_SECONDS, tuning.POLL_SECONDS = 1, 4, 0.3
real, mark = tuning.validate_once, pathlib.Path({mark!r})
trained = 0

def validate_once(*args, **options):
    global trained
    trained += 1
    if {dies} and trained == 2:
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    until = time.monotonic() + 200
    while not {dies} and not mark.exists() and time.monotonic() < until:
        time.sleep(0.05)
    return real(*args, **options)

tuning.validate_once = validate_once
from mecam.cli import main
if __name__ == "__main__":
    sys.exit(main())
"""


@cluster
def test_two_share_a_search_and_one_of_them_dies(postgres: str, store: Store, encoder: str, tmp_path: Path) -> None:
    """In its second trial, by SIGKILL; the other, which waits in its first, takes that up. None is there twice."""
    started = []
    total = 6
    settings = [f"model.encoder={encoder}", "model.text_width=8", "model.width=16", "model.hidden=64"]
    settings += ["training.epochs=2", "training.precision=32"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src"), "CUDA_VISIBLE_DEVICES": ""}
    for name in ("one", "other"):
        script = tmp_path / f"{name}.py"
        script.write_text(SEARCH.format(dies=name == "one", mark=str(tmp_path / "dead")), encoding="utf-8")
        asked = ["--data", str(store.path), "--models", "lf_dnn", "--trials", str(total), "--storage", postgres]
        asked += ["--out", str(tmp_path / name), *(part for one in settings for part in ("--set", one))]
        command = [sys.executable, str(script), "tune", *asked]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, env=environment, **pipes))  # type: ignore[call-overload]
    try:
        ends = [process.communicate(timeout=240) for process in started]
    finally:
        for process in started:
            process.kill()
    one, other = started
    assert one.returncode == -signal.SIGKILL, ends[0]
    assert (tmp_path / "dead").exists()
    assert other.returncode == 0, ends[1][1][-5000:]
    rows = (tmp_path / "other" / "lf_dnn" / "trials.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert len(rows) == total
    assert all(",complete," in row or ",pruned," in row for row in rows)
    assert len({tuple(row.split(",")[4:]) for row in rows}) == total
    assert read_yaml(tmp_path / "other" / "lf_dnn" / "best.yaml")["tuned"] == f"{total} trials"
    from sqlalchemy import create_engine, text

    engine = create_engine(postgres.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        (states,) = [connection.execute(text("select state, count(*) from trials group by state")).all()]
    engine.dispose()
    known = {str(state): count for state, count in states}
    assert known.get("RUNNING", 0) == 0
    assert known.get("FAIL", 0) >= 1  # that of the dead, which another stands for
    told = "".join(text for end in ends for text in end)
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".py"]
    assert "s3cret" not in told
    assert not any(b"s3cret" in content for content in written)
