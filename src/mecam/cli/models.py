"""`mecam models`."""

import ast
import dataclasses
import inspect
import textwrap
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from mecam.cli.console import out
from mecam.errors import ConfigError, ModelError

__all__ = ["models"]


def models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show the options of this model.")] = None,
) -> None:
    """List the models, or every option of one with its default.

    Example: mecam models mecam
    """
    from mecam.config import DataConfig, TrainingConfig
    from mecam.models.registry import MODELS

    if name is None:
        table = Table("name", "what it is")
        for key in MODELS:
            table.add_row(key, escape(_what_it_is(key)))
        out.print(table)
        return
    if name not in MODELS:
        raise ConfigError(f"no model is called {name!r}", fix=f"known: {', '.join(MODELS)}")
    table = Table("--set", "default", "meaning")
    for group, kind in (("model", MODELS[name].config), ("data", DataConfig), ("training", TrainingConfig)):
        for key, default, meaning in _options(kind, group):
            table.add_row(key, escape(default), escape(meaning))
    out.print(table)


def _what_it_is(name: str) -> str:
    """First line of the module's documentation; of a plug-in that cannot be loaded, why."""
    from mecam.models.registry import MODELS

    try:
        module = inspect.getmodule(MODELS[name].model)
    except ModelError as error:
        return error.what
    return (inspect.getdoc(module) or "").partition("\n")[0]


def _options(kind: Any, prefix: str) -> list[tuple[str, str, str]]:
    """Every option below a dataclass: dotted name, default, meaning."""
    defaults, notes = kind(), _field_notes(kind)
    rows = []
    for item in dataclasses.fields(kind):
        value = getattr(defaults, item.name)
        key = f"{prefix}.{item.name}"
        if dataclasses.is_dataclass(value):
            rows += _options(type(value), key)
        else:
            shown = list(value) if isinstance(value, tuple) else value  # as YAML writes it
            rows.append((key, str(shown), notes.get(item.name, "")))
    return rows


def _field_notes(kind: Any) -> dict[str, str]:
    """The string below each field, which is where configurations keep their documentation."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    notes: dict[str, str] = {}
    for field, note in zip(body.body, body.body[1:], strict=False):
        is_text = isinstance(note, ast.Expr) and isinstance(note.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            notes[field.target.id] = " ".join(str(note.value.value).split())  # type: ignore[attr-defined]
    return notes
