"""Tampered stores and checkpoints: a clear error, or the answers that they gave before; never others.

Fifteen by default, a hundred and fifty with `-m slow`; each within the time and memory that the whole test has.
"""

import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tiny
from bounded import free_memory, limit_memory
from mecam.data.store import Store
from mecam.errors import MecamError
from mecam.evaluation.predict import predict
from mecam.models.trained import load_checkpoint, save_checkpoint

SECONDS = 60.0

Tamper = Callable[[Path, random.Random], None]


@pytest.fixture
def little_memory() -> Iterator[None]:
    """A limit on memory around each test."""
    limit_memory()
    yield
    free_memory()


def any_file(folder: Path, draw: random.Random) -> Path:
    return draw.choice(sorted(path for path in folder.rglob("*") if path.is_file()))


def flip(folder: Path, draw: random.Random) -> None:
    path = any_file(folder, draw)
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 1, 4])):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def cut(folder: Path, draw: random.Random) -> None:
    path = any_file(folder, draw)
    path.write_bytes(path.read_bytes()[: draw.randrange(path.stat().st_size)])


def longer(folder: Path, draw: random.Random) -> None:
    path = any_file(folder, draw)
    path.write_bytes(path.read_bytes() + draw.randbytes(draw.choice([1, 8, 4096])))


def swap(folder: Path, draw: random.Random) -> None:
    """One file in place of another."""
    one, other = any_file(folder, draw), any_file(folder, draw)
    one.write_bytes(other.read_bytes())


def numbers(folder: Path, draw: random.Random) -> None:
    """NaN, infinity or another number among the weights or features."""
    path = draw.choice(sorted(folder.glob("*.safetensors")))
    arrays = {key: value.copy() for key, value in load_file(path).items()}
    name = draw.choice(sorted(key for key, value in arrays.items() if value.dtype.kind == "f" and value.size))
    arrays[name].reshape(-1)[draw.randrange(arrays[name].size)] = draw.choice([np.nan, np.inf, -np.inf, 1e30, 7.0])
    save_file(arrays, path)


def value(folder: Path, draw: random.Random) -> None:
    """Another value somewhere in the configuration or the manifest."""
    path = next(place for place in (folder / "config.json", folder / "manifest.json") if place.exists())
    content = json.loads(path.read_text(encoding="utf-8"))
    places: list[tuple[Any, Any]] = []
    waiting = [content]
    while waiting:
        one = waiting.pop()
        for key in one if isinstance(one, dict) else range(len(one)):
            waiting += [one[key]] if isinstance(one[key], dict | list) and one[key] else []
            places.append((one, key))
    holder, key = draw.choice(places)
    others = [None, -1, 0, 1e9, 2**62, "x", "../../etc/passwd", [], {}, True, float("nan"), "x" * 10_000]
    holder[key] = draw.choice(others)
    path.write_text(json.dumps(content), encoding="utf-8")


def gone(folder: Path, draw: random.Random) -> None:
    any_file(folder, draw).unlink()


TAMPERINGS: list[Tamper] = [flip, cut, longer, swap, numbers, value, gone]


@pytest.fixture(scope="module")
def checkpoint(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    task = tiny.TASKS["regression"]
    folder = tmp_path_factory.mktemp("whole")
    store = tiny.write_store(folder / "store", task, tiny.utterances(task, 20))
    save_checkpoint(folder / "checkpoint", tiny.build("mecam", store, encoder, used=True))
    return folder / "checkpoint"


def answers(checkpoint: Path, store: Path) -> tuple[bytes, ...]:
    """Everything that is said about a store, and all that it holds."""
    trained, opened = load_checkpoint(checkpoint), Store(store)
    said = predict(trained.model, trained.dataset(opened), trained.collator)
    width = repr((trained.checkpoint.calibration, trained.checkpoint.inputs.task, opened.task))
    texts = repr([(u.id, u.text, u.label, u.words, u.split) for u in opened])
    return said.prediction.tobytes(), width.encode(), texts.encode()


def attempt(places: dict[str, Path]) -> tuple[tuple[bytes, ...], str | None]:
    """The answers, or the error; whatever is no MecamError comes through."""
    try:
        return answers(**places), None
    except MecamError as error:
        return (), str(error)


def tampered(what: str, checkpoint: Path, folder: Path, count: int, seed: int) -> int:
    """How many of so many were refused."""
    draw, refused = random.Random(seed), 0
    whole = {"checkpoint": checkpoint, "store": checkpoint.with_name("store")}
    expected = answers(*whole.values())
    for number in range(count):
        place = folder / f"{what}{number}"
        shutil.copytree(whole[what], place)
        time.sleep(0.005)  # a clock that ticks more coarsely would hide the change
        tamper = TAMPERINGS[number % len(TAMPERINGS)]
        tamper(place, draw)
        began = time.monotonic()
        said, error = attempt({**whole, what: place})
        assert error is None or str(folder) in error
        assert error is not None or said == expected, f"{tamper.__name__}, {number}"
        refused += error is not None
        assert time.monotonic() - began < SECONDS
        shutil.rmtree(place)
    return refused


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(("what", "count"), [("store", 7), ("checkpoint", 8)])
def test_what_was_tampered_with_is_refused(what: str, count: int, checkpoint: Path, tmp_path: Path) -> None:
    assert tampered(what, checkpoint, tmp_path, count, seed=0) > count // 2


@pytest.mark.slow
@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("what", ["store", "checkpoint"])
def test_a_hundred_and_fifty_that_were_tampered_with(what: str, checkpoint: Path, tmp_path: Path) -> None:
    assert tampered(what, checkpoint, tmp_path, 75, seed=1) > 50
