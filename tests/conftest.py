"""Fixtures that many tests share."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before PyTorch is loaded, for this process and those that tests start: the cores are shared by the workers of pytest.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# No test reads what another one, or the user, has kept.
os.environ["MECAM_TEXT_CACHE"] = "off"

import pytest
import torch

import tiny
from mecam.data.store import Store

ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out, on Windows, the tests of what it does not have."""
    for item in items if os.name == "nt" else ():
        if item.get_closest_marker("posix"):
            item.add_marker(pytest.mark.skip(reason="Windows has no signals, pipes in folders, or such names of files"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository; absent on most machines."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real data is not part of the project: no ../shared/data here")
    return folder


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A cluster of Ray with two nodes, of which the second says that it has a GPU; see `local_cluster.two_nodes`.

    A test that kills the second node adds it again.
    """
    from local_cluster import two_nodes  # not before a test needs it

    with two_nodes() as made:
        yield made


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny text encoder with its tokenizer."""
    return tiny.make_encoder(tmp_path_factory.mktemp("encoders") / "tiny-bert")


@pytest.fixture(scope="session", params=list(tiny.TASKS))
def any_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of every task in turn: four modalities, absent ones, missing rows, injected spans."""
    task = tiny.TASKS[request.param]
    return tiny.write_store(tmp_path_factory.mktemp("stores") / request.param, task, tiny.utterances(task))


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The same for scores. Shared by all tests: read it, never change it."""
    task = tiny.TASKS["regression"]
    return tiny.write_store(tmp_path_factory.mktemp("stores") / "scores", task, tiny.utterances(task))


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """The folder of real-world and hostile files with their right values; absent on most machines."""
    folder = ROOT.parent / "shared" / "cases"
    if not folder.is_dir():
        pytest.skip("the cases are not part of the project: no ../shared/cases here")
    return folder


@pytest.fixture(scope="session")
def clips_model(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip, its features, and an untrained model of them with its export: see `exported_models.of_clips`.

    Late fusion, as it is exported in a few seconds. Shared by all tests: read it, never change it.
    """
    import exported_models  # not before a test needs it: it takes long to import

    return exported_models.of_clips(tmp_path_factory.mktemp("clips"), encoder, "late_fusion")


@pytest.fixture
def loggers_as_they_were() -> Iterator[None]:
    """The command line sets up logging for its process, which here goes on."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
