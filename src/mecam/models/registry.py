"""One dictionary: name → model and its configuration; plug-ins of other packages among them.

A built-in model is one file of this folder, named like the model, with its `Entry` as `ENTRY`. Names are known without
importing any of them, and PyTorch with it. A package adds a model through the entry point group `mecam.models`, whose
value names an `Entry`:

    [project.entry-points."mecam.models"]
    my_model = "my_package.my_model:ENTRY"

Plug-ins are looked for when a name is not built in or all names are listed, and imported when they are used.
"""

import ast
import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, NamedTuple

from mecam.errors import ModelError, missing_extras
from mecam.plugins import plug_ins

__all__ = ["BUILT_IN", "GROUP", "MODELS", "Entry", "summary"]

GROUP = "mecam.models"
"""Entry point group of models in other packages."""


class Entry(NamedTuple):
    """A model (a class of `mecam.models.base.Model`) and the dataclass of its options."""

    model: Callable[..., Any]
    config: type[Any]


FOLDER = Path(__file__).parent

BUILT_IN = tuple(sorted(path.stem for path in FOLDER.glob("*.py") if "\nENTRY = " in path.read_text(encoding="utf-8")))
"""Names of the models of this package."""


class _Models(Mapping[str, Entry]):
    """Built-in models first, then those of plug-ins; each is imported when its entry is asked for."""

    def __getitem__(self, name: str) -> Entry:
        """The model of this name.

        Raises: KeyError if there is none; ModelError or MissingExtraError if it is a plug-in that cannot be loaded.
        """
        if name not in BUILT_IN:
            return _loaded(_plug_ins()[name])
        entry: Entry = importlib.import_module(f"mecam.models.{name}").ENTRY
        return entry

    def __contains__(self, name: object) -> bool:
        return name in BUILT_IN or name in _plug_ins()

    def __iter__(self) -> Iterator[str]:
        yield from BUILT_IN
        yield from _plug_ins()

    def __len__(self) -> int:
        return len(BUILT_IN) + len(_plug_ins())


MODELS: Mapping[str, Entry] = _Models()


def summary(name: str) -> str:
    """What a model is, in a line: the first of its module's documentation.

    Raises: ModelError or MissingExtraError if it is a plug-in that cannot be loaded.
    """
    if name in BUILT_IN:
        text = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")))
    else:
        text = importlib.import_module(MODELS[name].model.__module__).__doc__
    return (text or "").strip().partition("\n")[0]


@cache
def _plug_ins() -> dict[str, EntryPoint]:
    """Entry points by name; those that take a built-in model's name are left out."""
    return plug_ins(GROUP, BUILT_IN)


def _loaded(point: EntryPoint) -> Entry:
    """Import a plug-in.

    Raises: MissingExtraError without PyTorch; ModelError, whatever goes wrong in it.
    """
    with missing_extras():
        from mecam.models.base import Model

    package = point.dist.name if point.dist is not None else point.value.partition(".")[0]
    fix = f"repair or uninstall the package {package}"
    try:
        entry = point.load()
    except Exception as error:
        what = f"the plug-in model {point.name!r} cannot be loaded: {type(error).__name__}: {error}"
        raise ModelError(what, where=f"{point.value}, of the package {package}", fix=fix) from error
    fits = isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], type)
    if not fits or not issubclass(entry[0], Model) or not dataclasses.is_dataclass(entry[1]):
        what = f"the plug-in model {point.name!r} is no Entry(model, config) of a Model and a dataclass"
        raise ModelError(what, where=f"{point.value}, of the package {package}", fix=fix)
    return Entry(*entry)
