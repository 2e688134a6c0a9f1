"""Arguments as people give them → what the code below takes; anything else is one error that names the argument."""

import difflib
import functools
import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeAlias, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from mecam.data.store import Store
from mecam.errors import ConfigError
from mecam.files import as_path
from mecam.task import Task

__all__ = ["AnyPath", "AnyStore", "Progress", "checked", "paths_of", "task_of", "weights_of"]

AnyPath: TypeAlias = str | Path
AnyStore: TypeAlias = Store | str | Path

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (done, all)."""

P = ParamSpec("P")
R = TypeVar("R")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, for which an argument of a wrong kind or an unknown name is a `ConfigError`.

    Its annotations say what is right: a number is no text, and a truth is no number.
    """
    signature = inspect.signature(function)
    where = f"mecam.{function.__qualname__.removesuffix('.__init__')}"

    @functools.cache
    def checks() -> dict[str, tuple[Callable[..., Any], str]]:
        hints = typing.get_type_hints(function)
        written = {name: one.annotation for name, one in signature.parameters.items() if name in hints}
        shown = {name: _shown(hints[name] if isinstance(hint, str) else hint) for name, hint in written.items()}
        return {name: (_validator(hints[name]), text) for name, text in shown.items()}

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise ConfigError(str(error), where=where, fix=_close(kwargs, signature)) from error
        for name, value in given.items():
            if name in checks():
                validate, shown = checks()[name]
                _check(validate, value, name, shown, where)
        return function(*args, **kwargs)

    return call


def paths_of(given: "AnyPath | Sequence[AnyPath]", what: str) -> list[Path]:
    """One path or several.

    Raises: ConfigError if there is none, or one is empty.
    """
    several = [given] if isinstance(given, str | Path) else list(given)
    if not several:
        raise ConfigError("there is no path in the list", where=what, fix="give at least one")
    return [as_path(one, what) for one in several]


def weights_of(given: "AnyStore | Sequence[AnyStore] | Mapping[Any, float]", what: str) -> dict[Path, float]:
    """One store, several, or a mapping from stores to weights: as folder → weight.

    Raises: ConfigError if there is none, or a store is given twice.
    """
    if isinstance(given, Mapping):
        pairs = [(store, float(weight)) for store, weight in given.items()]
    else:
        pairs = [(store, 1.0) for store in ([given] if isinstance(given, Store | str | Path) else given)]
    weights = {store.path if isinstance(store, Store) else as_path(store, what): weight for store, weight in pairs}
    if not pairs or len(weights) < len(pairs):
        problem = "a store is given twice" if pairs else "there is no store in the list"
        raise ConfigError(problem, where=what, fix="name each store once; {store: weight} gives it a weight")
    return weights


def task_of(given: Task | str | None, what: str) -> Task | None:
    """A task, or its description as `--task` takes it; None leaves it to the labels.

    Raises: ConfigError if the text describes none.
    """
    task = Task.parse(given) if isinstance(given, str) else given
    if given is not None and task is None:
        raise ConfigError(
            f"{given!r:.80} describes no task",
            where=what,
            fix="write regression:LOW..HIGH, classes:NAME,NAME or multilabel:NAME,NAME",
        )
    return task


def _validator(hint: Any) -> Callable[..., Any]:
    return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True)).validate_python


def _check(validate: Callable[..., Any], value: Any, name: str, shown: str, where: str) -> None:
    try:
        validate(value, strict=True)
    except ValidationError as error:
        kind = "None" if value is None else f"{type(value).__name__} {value!r:.60}"
        raise ConfigError(f"{name}: expected {shown}, got {kind}", where=where) from error


def _shown(hint: Any) -> str:
    """An annotation as it is written, without the modules of its names."""
    text = inspect.formatannotation(hint).replace("NoneType", "None")
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", text)


def _close(given: Mapping[str, Any], signature: inspect.Signature) -> str:
    """What an argument that is unknown may have been meant to be."""
    known = [name for name in signature.parameters if name != "self"]
    close = [near for name in given if name not in known for near in difflib.get_close_matches(name, known, n=1)]
    return f"did you mean {close[0]!r}?" if close else f"the arguments are {', '.join(known)}"
