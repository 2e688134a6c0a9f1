"""The `mecam` command: its groups, its options for all, and what happens to errors."""

import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape

from mecam.cli import assets, compare, data, demo, explain, extract, models, predict, report, robustness, train, tune
from mecam.cli.console import err
from mecam.errors import MecamError
from mecam.version import __version__

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Sentiment and emotion from text, audio and video, with negative information filtered out first.",
)
app.command("demo")(demo.demo)
app.command("extract")(extract.extract)
app.add_typer(data.app, name="data")
app.command("train")(train.train)
app.command("evaluate")(train.evaluate)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("ablate")(compare.ablate)
app.command("robustness")(robustness.robustness)
app.command("tune")(tune.tune)
app.command("predict")(predict.predict)
app.command("explain")(explain.explain)
app.command("models")(models.models)
app.command("assets")(assets.assets)


# Newer versions of Typer carry their own click, older ones use the package: ask for the class that this one raises.
CommandLineError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def _version(show: bool) -> bool:
    if show:
        typer.echo(f"mecam {__version__}")
        raise typer.Exit
    return show


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what the library does.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Set up logging."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s", stream=sys.stderr)
    for name in ("lightning_fabric", "lightning.fabric", "transformers"):
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.ERROR)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code.

    0: done. 1: something is wrong with the input. 2: the command line itself is wrong. 3: done, but some files
    gave nothing. 130: interrupted.
    """
    try:
        result = app(args=list(argv) if argv is not None else None, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except MecamError as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)  # a path stays in one piece
        return 1
    except CommandLineError as error:
        error.show()
        code: int = error.exit_code
        return code
    except (KeyboardInterrupt, typer.Abort):
        err.print("interrupted")
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has left; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
