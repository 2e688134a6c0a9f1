"""`mecam models`."""

import ast
import dataclasses
import inspect
import textwrap
from typing import Annotated, Any

import typer

from mecam.cli.console import err, out, print_json, progress
from mecam.errors import ConfigError, MissingExtraError, ModelError

__all__ = ["models"]


def models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Model whose options to show.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Test the model on tiny data against the requirements for all models.")
    ] = False,
    ready: Annotated[
        bool, typer.Option("--ready", help="Describe the parts of the built-in model, which needs no training.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --ready: print JSON.")] = False,
) -> None:
    """List the models to train; with a NAME, list all options for training it; with --check, test your own model.

    Example: mecam models mecam

    Example: mecam models --ready

    Example: mecam models my_model --check
    """
    if ready:
        _show_ready(as_json=as_json)
        return
    from mecam.models.registry import MODELS
    from mecam.report.models import model_table, option_table

    if name is None and check:
        raise ConfigError(
            "no model is given", where="--check", fix="give its name, as in `mecam models my_model --check`"
        )
    if name is None:
        out.print(model_table((key, _what_it_is(key)) for key in MODELS).terminal())
        return
    if name not in MODELS:
        raise ConfigError(f"there is no model {name!r}", fix=f"choose one of {', '.join(MODELS)}")
    if check:
        _check(name)
        return
    from mecam.config import DataConfig, TrainingConfig

    groups = {"model": MODELS[name].config, "data": DataConfig, "training": TrainingConfig}
    options = [option for group, kind in groups.items() for option in _options(kind, group)]
    out.print(option_table(options).terminal())


def _show_ready(*, as_json: bool) -> None:
    """The cards of the built-in model."""
    from mecam.pretrained.cards import cards
    from mecam.report.cards import card_view

    if as_json:
        print_json([dataclasses.asdict(card) for card in cards().values()])
        return
    for card in cards().values():
        out.print(card_view(card))


def _check(name: str) -> None:
    """Run the contract and show every requirement, by task.

    Raises: ModelError if one is not met.
    """
    import torch

    from mecam.models.registry import MODELS
    from mecam.report.models import promise_table
    from mecam.testing import check_model
    from mecam.testing.small import TASKS

    assert MODELS[name]  # a plug-in that cannot be loaded says why
    torch.set_num_threads(1)  # the data is tiny: more threads only wait for each other
    with progress(f"checking {name}") as callback:
        verdicts = check_model(name, progress=callback)
    tasks = {kind: task.answers for kind, task in TASKS.items()}
    out.print(promise_table(name, verdicts, tasks).terminal())
    broken = [verdict for verdict in verdicts if verdict.error]
    for verdict in broken:
        err.print(f"✗ {verdict.check} ({tasks[verdict.task]}): {verdict.error}", style="red", soft_wrap=True)
    if broken:
        what = f"{name} fails {len(broken)} of {len(verdicts)} requirements"
        raise ModelError(what, fix="see docs/your_own_model.md for what a model receives and must return")
    out.print(f"{name} meets all {len(verdicts)} requirements")


def _what_it_is(name: str) -> str:
    """Its summary; of a plug-in that cannot be loaded, why."""
    from mecam.models.registry import summary

    try:
        return summary(name)
    except (MissingExtraError, ModelError) as error:
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
