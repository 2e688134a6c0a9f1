"""The `mecam` command: its groups, its options for all, and what happens to errors."""

import glob
import logging
import os
import sys
from collections.abc import Sequence
from contextvars import copy_context
from typing import Annotated, Any

import typer
from rich.text import Text

from mecam.cli import (
    ablate,
    assets,
    compare,
    data,
    demo,
    explain,
    export,
    extract,
    models,
    predict,
    push,
    report,
    robustness,
    serve,
    train,
    tune,
)
from mecam.cli.console import SafeFormatter, err, flush, forget_output, one_line, open_streams
from mecam.errors import MecamError, missing_extras
from mecam.threads import settle
from mecam.version import __version__

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100},
    help="Predict sentiment and emotion from text, audio and video; a filter removes negative information first.",
)
app.command("demo")(demo.demo)
app.command("extract")(extract.extract)
app.add_typer(data.app, name="data")
app.command("train")(train.train)
app.command("evaluate")(train.evaluate)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("ablate")(ablate.ablate)
app.command("robustness")(robustness.robustness)
app.command("tune")(tune.tune)
app.command("predict")(predict.predict)
app.add_typer(explain.app, name="explain")
app.command("export")(export.export)
app.command("push")(push.push)
app.command("serve")(serve.serve)
app.command("models")(models.models)
app.command("assets")(assets.assets)


# Newer versions of Typer carry their own click, older ones use the package: ask for the class that this one raises.
CommandLineError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


SHELL_EXPANDS = os.name != "nt"
"""Whether the shell replaces patterns in the command line; those of Windows do not."""

RENAMED_OPTIONS = {"--damage": "--corrupt", "--damage-extent": "--corrupt-extent", "--damage-seed": "--corrupt-seed"}
"""Old name of an option → its name; the old one is accepted until the next release."""


def _version(show: bool) -> bool:
    if show:
        typer.echo(f"mecam {__version__}")
        raise typer.Exit
    return show


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show log messages of the library.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Set up logging."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(SafeFormatter("%(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])
    for name in ("lightning_fabric", "lightning.fabric", "transformers"):
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.ERROR)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code.

    0: done. 1: something is wrong with the input. 2: the command line itself is wrong. 3: done, but some files
    gave nothing. 130: interrupted.
    """
    settle()
    heard = open_streams()
    code = _run(argv)
    if not heard and code == 0:
        return _failed("standard output is closed, so the output of this command is lost")
    return code


def _run(argv: Sequence[str] | None) -> int:
    try:
        # In a context of its own: what a command allows (`--allow-encoder`) ends with it.
        given = _renamed(_expanded(sys.argv[1:]) if argv is None else argv)
        with missing_extras():
            result = copy_context().run(app, args=given, standalone_mode=False)
        flush()
        return result if isinstance(result, int) else 0
    except MecamError as error:
        return _failed(str(error))
    except CommandLineError as error:
        context = getattr(error, "ctx", None)
        if context is not None:
            err.print(context.get_usage(), soft_wrap=True)
            err.print(f"Try `{context.command_path} --help`.", soft_wrap=True)
        _failed(error.format_message())
        code: int = error.exit_code
        return code
    except (KeyboardInterrupt, typer.Abort):
        err.print("interrupted")
        return 130
    except BrokenPipeError:
        forget_output()  # the reader of our output (head, less) has left; Python would complain once more at exit
        return 0
    except OSError as error:
        forget_output()
        place = f"\n  where: {one_line(error.filename)}" if error.filename else ""
        return _failed(f"the operating system reports an error: {error.strerror or error}{place}")
    except MemoryError:
        return _failed("there is not enough memory")


def _expanded(arguments: Sequence[str]) -> list[str]:
    """The arguments, patterns such as `*.mp4` as the files they stand for, where the shell leaves that to programs."""
    if SHELL_EXPANDS:
        return list(arguments)
    return [name for argument in arguments for name in sorted(glob.glob(argument)) or [argument]]


def _renamed(arguments: Sequence[str]) -> list[str]:
    """The arguments with today's names of options, and a warning for each old one."""
    result = []
    for argument in arguments:
        name, mark, value = argument.partition("=")
        if name in RENAMED_OPTIONS:
            now = RENAMED_OPTIONS[name]
            err.print(f"{name} is now called {now}: the old name will not work in the next release", style="yellow")
            argument = f"{now}{mark}{value}"
        result.append(argument)
    return result


def _failed(message: str) -> int:
    """Print an error; its further lines are indented, so that none of them looks like a message of its own."""
    first, *rest = message.split("\n")
    lines = [first, *(line if line.startswith("  ") else f"  {line}" for line in rest)]
    err.print(Text.assemble(("error:", "bold red"), " " + "\n".join(lines)), soft_wrap=True)  # a path stays whole
    return 1
