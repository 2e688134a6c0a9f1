"""`mecam serve`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from mecam.cli.console import err, out
from mecam.cli.predict import TierName
from mecam.errors import ConfigError, missing_extras, require

__all__ = ["serve"]

BOUNDS, TIMES, DOORS = "How much may be asked", "How long things take", "Who may ask"
FREE_HOSTS = ("127.0.0.1", "localhost", "::1")


def serve(
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="RUN",
            help="Run folder, or a folder of `mecam export`. [default: the built-in model]",
        ),
    ] = None,
    tier: Annotated[
        TierName, typer.Option(help="Parts of the built-in model. permissive: none that is for research only.")
    ] = TierName.research,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0: all of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 8000,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="For jobs, uploads and results. [default: in the user's state folder]"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Server processes.")] = 1,
    readers: Annotated[
        int, typer.Option(min=0, help="Processes that read recordings, of each worker. [default: one a core]")
    ] = 0,
    live: Annotated[int, typer.Option(min=0, help="Live sessions at once, of each worker; 0: none.")] = 2,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="MECAM_TOKEN",
            rich_help_panel=DOORS,
            help="What clients must show. Better in the environment, where no list of processes shows it.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(rich_help_panel=DOORS, help="Another name that the service is reached under; '*': any."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(rich_help_panel=DOORS, help="Origin of pages elsewhere that may use it (CORS)."),
    ] = None,
    max_upload_mb: Annotated[float, typer.Option(rich_help_panel=BOUNDS, help="Of a request with a recording.")] = 500,
    max_body_kb: Annotated[float, typer.Option(rich_help_panel=BOUNDS, help="Of any other request.")] = 2000,
    max_minutes: Annotated[float, typer.Option(rich_help_panel=BOUNDS, help="Length of a recording.")] = 60,
    max_megapixels: Annotated[float, typer.Option(rich_help_panel=BOUNDS, help="Of its pictures.")] = 9,
    max_texts: Annotated[int, typer.Option(rich_help_panel=BOUNDS, help="Of one request.")] = 256,
    max_characters: Annotated[int, typer.Option(rich_help_panel=BOUNDS, help="Of one text.")] = 10_000,
    max_waiting: Annotated[int, typer.Option(rich_help_panel=BOUNDS, help="Requests of texts that wait.")] = 256,
    max_queue: Annotated[int, typer.Option(rich_help_panel=BOUNDS, help="Jobs that wait.")] = 100,
    max_uploads: Annotated[int, typer.Option(rich_help_panel=BOUNDS, help="Recordings received at once.")] = 16,
    max_disk_mb: Annotated[float, typer.Option(rich_help_panel=BOUNDS, help="Of uploads and results.")] = 10_000,
    max_memory_mb: Annotated[
        float, typer.Option(rich_help_panel=BOUNDS, help="Of a process that reads a recording.")
    ] = 3000,
    max_connections: Annotated[int, typer.Option(rich_help_panel=BOUNDS, help="At once, of each worker.")] = 1000,
    batch: Annotated[int, typer.Option(min=1, rich_help_panel=BOUNDS, help="Texts in one pass of the model.")] = 32,
    wait_s: Annotated[
        float, typer.Option(rich_help_panel=TIMES, help="A request with a recording waits so long for its answer.")
    ] = 20,
    at_once_mb: Annotated[
        float, typer.Option(rich_help_panel=TIMES, help="Recordings up to this size are waited for.")
    ] = 20,
    keep_minutes: Annotated[float, typer.Option(rich_help_panel=TIMES, help="Results are kept so long.")] = 60,
    max_job_minutes: Annotated[float, typer.Option(rich_help_panel=TIMES, help="For one job.")] = 60,
    max_live_minutes: Annotated[float, typer.Option(rich_help_panel=TIMES, help="For one live session.")] = 60,
    patience_ms: Annotated[
        float, typer.Option(rich_help_panel=TIMES, help="Texts wait so long for others to join them.")
    ] = 3,
    slow_s: Annotated[
        float, typer.Option(rich_help_panel=TIMES, help="Clients that send nothing for so long are cut off.")
    ] = 20,
    stop_s: Annotated[
        float, typer.Option(rich_help_panel=TIMES, help="When stopping, running jobs get so long to end.")
    ] = 30,
) -> None:
    """Serve predictions over HTTP, on a page, and live.

    The page is at the address that is printed, the description of the service at /openapi.json. Jobs outlive a
    restart. Needs the extra `serve`.

    Example: mecam serve

    Example: MECAM_TOKEN=secret mecam serve --model exported/mine --host 0.0.0.0 --workers 4
    """
    require("fastapi")
    given = {**locals(), "allow_hosts": tuple(allow_host or ()), "allow_origins": tuple(allow_origin or ())}
    given |= {"tier": tier.value, "data": None if data is None else str(data)}
    with missing_extras():
        from mecam.service.settings import Settings

        settings = Settings(**{field.name: given[field.name] for field in dataclasses.fields(Settings)})
        if model is not None and settings.tier != "research":
            raise ConfigError("--tier is an option of the built-in model", where=f"--model {model}")
        from mecam.service.server import serve as serve_app
    if settings.host not in FREE_HOSTS and settings.token is None:
        err.print(f"Whoever reaches {settings.host} may use the service: there is no --token.", style="yellow")
    serve_app(settings, lambda address: out.print(f"page: {address}"))
