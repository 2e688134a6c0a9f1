"""Extraction on a cluster of two nodes: the same store, whoever is killed, and nothing that was done is done again."""

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clips
import voices
from commands import contents
from counted_reading import Counted, counts
from in_this_process import InThisProcess
from local_cluster import SECOND
from mecam import ray_cluster
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.features.clips import Clip
from mecam.features.extract import extract
from mecam.features.extraction_cache import FolderParts
from mecam.features.ray_extraction import InChildren, RayProcesses
from mecam.features.recording import Recipe
from mecam.features.segmentation import Lengths

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),  # Ray Data's own
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    # Of an actor that a pipeline ended before it had started, a thread of Ray's tells that it died.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

AUDIO_ONLY = Recipe(("mecam-audio",), lengths=Lengths(0.5, 4.0))
COUNT = 24
TIMEOUT = 120


@pytest.fixture
def stubs(tmp_path: Path) -> Path:
    """Files for a reader that does not look into them; one of them gives nothing."""
    folder = tmp_path / "stubs"
    folder.mkdir()
    for i in range(COUNT):
        (folder / ("bad.wav" if i == 5 else f"c{i:02}.wav")).write_bytes(b"x" * (100 + i))
    return folder


def expected(stubs: Path, tmp_path: Path) -> dict[str, str]:
    reading = Counted(tmp_path / "plain log").read
    extract([stubs], tmp_path / "plain", recipe=AUDIO_ONLY, workers=InThisProcess(lambda c: reading(c, AUDIO_ONLY)))
    return contents(tmp_path / "plain")


def when_done(log: Path, many: int, act: Callable[[], None]) -> threading.Thread:
    """Act once so many recordings are done."""

    def wait() -> None:
        deadline = time.monotonic() + TIMEOUT
        while len(counts(log)) < many and time.monotonic() < deadline:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def done_before(parts: Path, log: Path) -> dict[str, int]:
    """The recordings whose part is there → how often they were begun until now."""
    found = FolderParts(parts)
    read = (found.read(key) for key in found.known())
    names = {part.utterances[0].id for part in read if part is not None}
    return {name: count for name, count in counts(log, "begin").items() if name in names}


def test_the_same_store_and_a_file_that_crashes_its_reader(cluster: Any, tmp_path: Path) -> None:
    """With parts in a place that fsspec reaches."""
    for name in ("a", "killer", "bad", "b"):
        voices.write_wav(tmp_path / "clips" / f"{name}.wav", voices.buzz(0.4))
    workers = RayProcesses(cluster.address, reader=functools.partial(InChildren, read=voices.fatal))
    report = extract(
        [tmp_path / "clips"], tmp_path / "s", recipe=AUDIO_ONLY, workers=workers, parts=f"file://{tmp_path}/parts"
    )
    assert [(f.id, f.reason) for f in report.failures] == [
        ("bad", "bad"),
        ("killer", "the process crashed while reading the file"),
    ]
    assert not list((tmp_path / "parts").iterdir())
    extract([tmp_path / "clips"], tmp_path / "plain", recipe=AUDIO_ONLY, workers=InThisProcess())
    on_ray = RayProcesses(cluster.address)
    extract([tmp_path / "clips"], tmp_path / "ray", recipe=AUDIO_ONLY, workers=on_ray)
    assert contents(tmp_path / "ray") == contents(tmp_path / "plain")


def test_networks_on_a_device_run_beside_the_readers(cluster: Any, tmp_path: Path) -> None:
    """In batches over the recordings that a worker reads at the same time, which round otherwise than single ones."""
    (tmp_path / "clips").mkdir()
    for name in ("a", "b"):
        clips.moving_face(tmp_path / "clips" / f"{name}.mp4", {"mouth_open": abs}, seconds=0.4, rate=10.0)
    recipe = Recipe(("mecam-vision",), device="cpu")
    extract([tmp_path / "clips"], tmp_path / "ray", recipe=recipe, workers=RayProcesses(cluster.address))
    extract([tmp_path / "clips"], tmp_path / "plain", recipe=Recipe(("mecam-vision",)), workers=InThisProcess())
    rays, plain = Store(tmp_path / "ray"), Store(tmp_path / "plain")
    assert rays.manifest["provenance"]["extracted"]["recipe"]["device"] == "cpu"
    assert not np.array_equal(rays.rows("vision"), plain.rows("vision")), "LiteRT and PyTorch round alike?"
    np.testing.assert_allclose(rays.rows("vision"), plain.rows("vision"), atol=0.02)


def test_a_killed_worker(cluster: Any, stubs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray repeats the block that it had in work, of which some recordings were done."""
    monkeypatch.setattr(ray_cluster, "BLOCKS", 4)
    monkeypatch.setattr(ray_cluster, "BLOCKS_EACH", 2)
    log, known = tmp_path / "log", {}

    def kill() -> None:
        known.update(done_before(tmp_path / ".store.parts", log))
        os.kill(int(log.read_text().splitlines()[-1].split()[1]), signal.SIGKILL)

    thread = when_done(log, 6, kill)
    report = extract(
        [stubs], tmp_path / "store", recipe=AUDIO_ONLY, workers=RayProcesses(cluster.address, None, Counted(log, 0.2))
    )
    thread.join()
    assert len(report.failures) == 1
    assert contents(tmp_path / "store") == expected(stubs, tmp_path)
    assert len(known) >= 4
    begun = counts(log, "begin")
    assert {name: begun[name] for name in known} == known
    assert sum(begun.values()) <= COUNT + 2  # what was in work, and the file of the block that gives nothing


def test_a_killed_driver(cluster: Any, stubs: Path, tmp_path: Path) -> None:
    log, parts = tmp_path / "log", tmp_path / ".store.parts"
    code = (
        "import sys; from pathlib import Path; from counted_reading import Counted\n"
        "from mecam.features.extract import extract; from mecam.features.ray_extraction import RayProcesses\n"
        "from test_ray_extraction import AUDIO_ONLY\n"
        "_, address, stubs, store, log = sys.argv\n"
        "extract([stubs], store, recipe=AUDIO_ONLY, workers=RayProcesses(address, None, Counted(Path(log), 0.2)))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{os.environ['PYTHONPATH']}"}
    given = [sys.executable, "-c", code, cluster.address, str(stubs), str(tmp_path / "store"), str(log)]
    driver = subprocess.Popen(given, env=environment)
    when_done(log, 6, driver.kill).join()
    driver.wait()
    assert not (tmp_path / "store").exists()
    before = -1
    while before != len(list(parts.glob("*.safetensors"))):  # workers end a moment after their driver
        before = len(list(parts.glob("*.safetensors")))
        time.sleep(1.0)
    known = done_before(parts, log)
    report = extract(
        [stubs], tmp_path / "store", recipe=AUDIO_ONLY, workers=RayProcesses(cluster.address, None, Counted(log))
    )
    assert report.reused == len(known) >= 4
    assert contents(tmp_path / "store") == expected(stubs, tmp_path)
    begun = counts(log, "begin")
    assert {name: begun[name] for name in known} == known


def test_a_killed_node(cluster: Any, stubs: Path, tmp_path: Path) -> None:
    log, known = tmp_path / "log", {}
    node = cluster.worker_nodes.copy().pop()

    def kill() -> None:
        known.update(done_before(tmp_path / ".store.parts", log))
        cluster.remove_node(node, allow_graceful=False)

    thread = when_done(log, 6, kill)
    extract(
        [stubs], tmp_path / "store", recipe=AUDIO_ONLY, workers=RayProcesses(cluster.address, None, Counted(log, 0.2))
    )
    thread.join()
    cluster.add_node(**SECOND)
    assert contents(tmp_path / "store") == expected(stubs, tmp_path)
    begun = counts(log, "begin")
    assert {name: begun[name] for name in known} == known
    assert sum(begun.values()) <= COUNT + 2


def test_parts_that_cannot_be_written_are_one_error(cluster: Any, stubs: Path, tmp_path: Path) -> None:
    """As on one machine: it concerns all recordings, and no failure row tells it."""
    workers = RayProcesses(cluster.address, None, Counted(tmp_path / "log"))
    parts = FolderParts(tmp_path / "a file" / "parts")
    (tmp_path / "a file").write_text("x")
    found = {name: Clip(name, stubs / f"c0{i}.wav") for i, name in enumerate("ab")}
    with pytest.raises(DataError, match="cannot write here"):
        list(workers(found, AUDIO_ONLY, parts))
