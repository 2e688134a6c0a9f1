"""The store that a run was trained on, found again: one way for all commands that take a run."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mecam.budget import small_json, small_text
from mecam.config import parse_yaml
from mecam.data.store import Store
from mecam.errors import DataError, MecamError, ModelError

__all__ = ["store_of"]


def store_of(run: Path) -> Store:
    """The store that a run was trained on, known by the SHA-256 of its files.

    Looked for where the run's command names it, in `stores/` here and beside the run, and next to the run itself.

    Args:
        run: a run folder.

    Raises: ModelError if this is no run folder; DataError if the store is not where it is looked for.
    """
    try:
        config = parse_yaml(small_text(run / "config.yaml"), where=str(run / "config.yaml"))
        known: dict[str, Any] = config["store"]
        name, wanted = str(known["name"]), dict(known["sha256"])
    except (MecamError, KeyError, TypeError, ValueError) as error:
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
        facts = small_json(run / "environment.json")
        words = shlex.split(str(facts["command"]))
    except (MecamError, ValueError, KeyError, TypeError):
        return []
    return [word.partition("=")[0] for word in words if word and not word.startswith("-")]
