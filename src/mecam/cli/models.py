"""`mecam models`."""

import ast
import dataclasses
import inspect
import textwrap
from typing import Annotated, Any

import typer

from mecam.cli.console import err, out, progress
from mecam.errors import ConfigError, ModelError

__all__ = ["models"]


def models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show the options of this model.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Try the model on tiny data: does it keep what every model promises?")
    ] = False,
) -> None:
    """List the models, or every option of one with its default, or check one that you wrote.

    Example: mecam models mecam

    Example: mecam models my_model --check
    """
    from mecam.models.registry import MODELS
    from mecam.report.models import model_table, option_table

    if name is None and check:
        raise ConfigError("which model?", where="--check", fix="name one, as in `mecam models my_model --check`")
    if name is None:
        out.print(model_table((key, _what_it_is(key)) for key in MODELS).terminal())
        return
    if name not in MODELS:
        raise ConfigError(f"no model is called {name!r}", fix=f"known: {', '.join(MODELS)}")
    if check:
        _check(name)
        return
    from mecam.config import DataConfig, TrainingConfig

    groups = {"model": MODELS[name].config, "data": DataConfig, "training": TrainingConfig}
    options = [option for group, kind in groups.items() for option in _options(kind, group)]
    out.print(option_table(options).terminal())


def _check(name: str) -> None:
    """Run the contract and show every promise, by task.

    Raises: ModelError if one is broken.
    """
    import torch
    import transformers

    from mecam.models.registry import MODELS
    from mecam.report.models import promise_table
    from mecam.testing import check_model
    from mecam.testing.small import TASKS

    assert MODELS[name]  # a plug-in that cannot be loaded says why
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(1)  # the data is tiny: more threads only wait for each other
    with progress(f"checking {name}") as callback:
        verdicts = check_model(name, progress=callback)
    tasks = {kind: task.answers for kind, task in TASKS.items()}
    out.print(promise_table(name, verdicts, tasks).terminal())
    broken = [verdict for verdict in verdicts if verdict.error]
    for verdict in broken:
        err.print(f"✗ {verdict.check} ({tasks[verdict.task]}): {verdict.error}", style="red", soft_wrap=True)
    if broken:
        what = f"{name} breaks {len(broken)} of {len(verdicts)} promises"
        raise ModelError(what, fix="docs/your_own_model.md says what a model is given and what it owes")
    out.print(f"{name} keeps all {len(verdicts)} promises")


def _what_it_is(name: str) -> str:
    """Its summary; of a plug-in that cannot be loaded, why."""
    from mecam.models.registry import summary

    try:
        return summary(name)
    except ModelError as error:
        return error.what


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
    """The string below each field, which is where configurations keep their documentation; the inherited first."""
    notes: dict[str, str] = {}
    for parent in reversed(kind.__mro__):
        if dataclasses.is_dataclass(parent):
            notes |= _notes_in(parent)
    return notes


def _notes_in(kind: Any) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    notes: dict[str, str] = {}
    for field, note in zip(body.body, body.body[1:], strict=False):
        is_text = isinstance(note, ast.Expr) and isinstance(note.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            notes[field.target.id] = " ".join(str(note.value.value).split())  # type: ignore[attr-defined]
    return notes
