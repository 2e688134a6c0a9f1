"""The store that a run was trained on, found again and known by the SHA-256 of its files."""

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mecam.data.store import Store
from mecam.errors import DataError, MecamError

__all__ = ["find_store", "place_of"]


def place_of(store: Store, run: Path) -> dict[str, str]:
    """Where a store lies, as `environment.json` records it: by itself, and as seen from the run folder."""
    here = store.path.resolve()
    found = {"path": here.as_posix()}
    with suppress(ValueError):  # another drive
        found["path_from_run"] = Path(os.path.relpath(here, run.resolve())).as_posix()
    return found


def find_store(run: Path, known: Mapping[str, Any], environment: Mapping[str, Any]) -> Store:
    """The store that a run was trained on.

    Looked for where the run says that it lay: by its path, and by its path from the run folder, so that both may have
    moved together. Then, as runs of earlier versions do not say, where the run's command names it, in `stores/` here
    and beside the run, and next to the run itself.

    Args:
        run: the run folder.
        known: `store` of its `config.yaml`.
        environment: `environment.json`; empty if it cannot be read.

    Raises: DataError if it is not found, or what lies there holds other data.
    """
    wanted, looked = dict(known["sha256"]), []
    for folder in dict.fromkeys(_places(run, environment)):
        if not (folder / "manifest.json").is_file():
            continue
        looked.append(str(folder))
        try:
            store = Store(folder)
        except MecamError:
            continue
        if dict(store.manifest["sha256"]) == wanted:
            return store
    seen = (
        f"the stores found contain other data: {', '.join(looked[:4])}"
        if looked
        else "there is no store in the expected places"
    )
    raise DataError(
        f"the store that this run was trained on ({str(known['name'])!r}) is not found; {seen}",
        where=str(run),
        fix="give it with --data STORE",
    )


def _places(run: Path, environment: Mapping[str, Any]) -> Iterator[Path]:
    """Folders that may be the store."""
    data = environment.get("data")
    recorded = data if isinstance(data, Mapping) else {}
    if isinstance(path := recorded.get("path_from_run"), str):
        yield Path(os.path.normpath(run.resolve() / path))
    if isinstance(path := recorded.get("path"), str):
        yield Path(path)
    for given in _named(environment):
        yield from (Path(given), run.parent / given, run.resolve().parent.parent / given)
    yield from (run.with_name(f"{run.name}-corpus"), run.with_name(f"{run.name}-store"))
    for folder in (Path("stores"), run.parent / "stores", run.resolve().parent.parent / "stores", run.parent):
        if folder.is_dir():
            yield from sorted(path for path in folder.iterdir() if path.is_dir())


def _named(environment: Mapping[str, Any]) -> list[str]:
    """Stores that the run's command names."""
    try:
        words = shlex.split(str(environment.get("command", "")))
    except ValueError:
        return []
    return [word.partition("=")[0] for word in words if word and not word.startswith("-")]
