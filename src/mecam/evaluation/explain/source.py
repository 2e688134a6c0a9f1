"""Where the utterances come from: the store that a run was trained on, found again, and places in it."""

import difflib
import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from mecam.data.store import Store
from mecam.errors import DataError, MecamError, ModelError

__all__ = ["find_utterances", "some_of", "store_of"]


def store_of(run: Path) -> Store:
    """The store that a run was trained on, known by the SHA-256 of its files.

    Looked for where the run's command names it, in `stores/` here and beside the run, and next to the run itself.

    Args:
        run: a run folder.

    Raises: ModelError if this is no run folder; DataError if the store is not where it is looked for.
    """
    try:
        config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        known: dict[str, Any] = config["store"]
        name, wanted = str(known["name"]), dict(known["sha256"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(
            "there is no run here, or it does not say what it was trained on",
            where=str(run),
            fix="name a run folder made by `mecam train`, and its store with --data",
        ) from error
    looked: list[str] = []
    for folder in dict.fromkeys(_places(run)):
        if not (folder / "manifest.json").is_file():
            continue
        looked.append(str(folder))
        try:
            store = Store(folder)
        except MecamError:
            continue
        if dict(store.manifest["sha256"]) == wanted:
            return store
    seen = f"other stores lie there: {', '.join(looked[:4])}" if looked else "no store lies where it was looked for"
    raise DataError(
        f"the store that this run was trained on ({name!r}) is not found; {seen}",
        where=str(run),
        fix="name it with --data STORE",
    )


def find_utterances(store: Store, ids: Sequence[str]) -> NDArray[np.int64]:
    """Positions of utterances by their ids.

    Raises: DataError naming the first that is not there, with what it may have been meant to be.
    """
    places = {name: i for i, name in enumerate(store.column("id"))}
    for name in ids:
        if name not in places:
            close = difflib.get_close_matches(name, places, n=3)
            hint = f"did you mean {', '.join(close)}?" if close else f"ids look like {next(iter(places))}"
            raise DataError(f"no utterance is called {name!r}", where=str(store.path), fix=hint)
    return np.array([places[name] for name in dict.fromkeys(ids)], np.int64)


def some_of(store: Store, split: str, limit: int | None) -> NDArray[np.int64]:
    """Positions of a split, or of `limit` utterances spread evenly over it.

    Raises: DataError if the split is empty.
    """
    places: NDArray[np.int64] = store.split(split)
    if not len(places):
        raise DataError(f"the store has no utterance in {split}", where=str(store.path))
    if limit is None or limit >= len(places):
        return places
    chosen: NDArray[np.int64] = places[np.linspace(0, len(places) - 1, limit).round().astype(np.int64)]
    return chosen


def _places(run: Path) -> Iterator[Path]:
    """Folders that may be the store."""
    for given in _named(run):
        yield from (Path(given), run.parent / given, run.resolve().parent.parent / given)
    yield from (run.with_name(f"{run.name}-corpus"), run.with_name(f"{run.name}-store"))
    for folder in (Path("stores"), run.parent / "stores", run.resolve().parent.parent / "stores", run.parent):
        if folder.is_dir():
            yield from sorted(path for path in folder.iterdir() if path.is_dir())


def _named(run: Path) -> list[str]:
    """Stores that the run's command names."""
    try:
        facts = json.loads((run / "environment.json").read_text(encoding="utf-8"))
        words = shlex.split(str(facts["command"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return [word.partition("=")[0] for word in words if word and not word.startswith("-")]
