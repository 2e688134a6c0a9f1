"""Writes the reference: one page for each command, from the command line itself, and one for each part of the API."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markdown_it.common.utils import escapeHtml


@dataclass(frozen=True)
class Part:
    """A page of the Python reference.

    Attributes:
        title: of the page.
        about: one sentence.
        objects: modules, whose public members are shown, or single objects.
    """

    title: str
    about: str
    objects: tuple[str, ...]


PYTHON: Mapping[str, Part] = {
    "mecam": Part("mecam", "Predict with the built-in model, or load a model of your own.", ("mecam",)),
    "prediction": Part(
        "Predictors and predictions",
        "What `mecam.load` returns, and what its predictions hold.",
        ("mecam.prediction.predictor", "mecam.prediction.result"),
    ),
    "client": Part("Client", "Ask a service (`mecam serve`) from Python.", ("mecam.client.Client",)),
    "store": Part(
        "Stores and utterances",
        "Read and write data sets.",
        ("mecam.data.store.Store", "mecam.data.store.StoreWriter", "mecam.types"),
    ),
    "task": Part("Tasks", "What a model predicts: a score, a class, or several labels.", ("mecam.task",)),
    "models": Part(
        "Writing a model",
        "What a model of your own is given and must return.",
        ("mecam.models.base", "mecam.models.inputs", "mecam.models.registry", "mecam.batch", "mecam.config"),
    ),
    "testing": Part("Testing a model", "The contract of a model, for your own tests.", ("mecam.testing",)),
    "errors": Part("Errors", "What mecam raises.", ("mecam.errors",)),
}


def python_page(part: Part) -> str:
    """The page of a part: mkdocstrings fills it in from the docstrings."""
    shown = "\n\n".join(f"::: {name}" for name in part.objects)
    return f"# {part.title}\n\n{part.about}\n\n{shown}\n"


def _root() -> Any:
    import typer.main

    from mecam.cli import app

    return typer.main.get_command(app)


def commands(root: Any = None, path: tuple[str, ...] = ("mecam",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group of the command line: its words, and the command of click.

    Args:
        root: the command to begin with; `mecam` itself by default.
        path: its words.
    """
    command = _root() if root is None else root
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


def command_file(path: tuple[str, ...]) -> str:
    """The file of a command's page, such as `data_import.md`."""
    return f"{'_'.join(path[1:]) or 'mecam'}.md".replace("-", "_")


def parameters(command: Any, context: Any) -> Iterator[tuple[str, str, bool]]:
    """Every visible option and argument of a command: how it is given, what it means, whether it is an argument."""
    for one in command.params:
        record = one.get_help_record(context)
        if record is not None:
            written, meaning = record
            yield re.sub(r" <(?:list\[\w+\]|str|Path)>", "", written), meaning, one.param_type_name == "argument"


def _cell(text: str) -> str:
    """Text in a table, with the names of options and commands as they are."""
    return escapeHtml(re.sub(r"\s+", " ", text).strip()).replace("&quot;", '"').replace("|", "\\|").replace("[", "\\[")


def _code(text: str) -> str:
    return f"`{text.strip()}`".replace("|", "\\|")


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    return "\n".join([f"| {head[0]} | {head[1]} |", "|---|---|", *(f"| {left} | {right} |" for left, right in rows)])


def command_page(path: tuple[str, ...], command: Any) -> str:
    """The page of a command: usage, what it does, arguments and options; of a group also its commands."""
    context = command.context_class(command, info_name=" ".join(path))
    usage = re.sub(r"\s+", " ", command.get_usage(context).partition(": ")[2])
    page = [f"# {' '.join(path)}", _prose(command.help or ""), f"```console\n$ {usage}\n```"]
    given = list(parameters(command, context))
    for title, head, kind in (("## Arguments", "argument", True), ("## Options", "option", False)):
        rows = [(_code(written), _cell(meaning)) for written, meaning, argument in given if argument is kind]
        if rows:
            page += [title, _table((head, "meaning"), rows)]
    if children := getattr(command, "commands", {}):
        words = [((*path, name), child) for name, child in children.items()]
        linked = [
            (f"[`{' '.join(full)}`]({command_file(full)})", _cell((child.help or "").strip().partition("\n\n")[0]))
            for full, child in words
        ]
        page += ["## Commands", _table(("command", "what it does"), linked)]
    return "\n\n".join(part for part in page if part) + "\n"


def _prose(text: str) -> str:
    """Help as Markdown: paragraphs, and what follows `Example:` as blocks."""
    found = []
    for part in re.split(r"\n\s*\n", text.replace("\b", "").strip()):
        told = " ".join(part.split())
        example = told.removeprefix("Example: ")
        found.append(escapeHtml(told).replace("&quot;", '"') if example == told else f"```console\n$ {example}\n```")
    return "\n\n".join(found)


def reference_pages() -> Iterator[tuple[str, str]]:
    """File below `reference/` → its text, for all pages that are generated."""
    for name, part in PYTHON.items():
        yield f"python/{name}.md", python_page(part)
    for path, command in commands():
        yield f"commands/{command_file(path)}", command_page(path, command)
