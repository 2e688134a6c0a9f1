"""`mecam serve`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from mecam.cli.console import err, out
from mecam.cli.fetched_model import MaxDownload
from mecam.cli.predict import Model, Tier, TierName
from mecam.errors import ConfigError, missing_extras, require
from mecam.service.settings import LOCAL, Settings

__all__ = ["serve"]


def serve(
    model: Model = None,
    tier: Tier = TierName.research,
    max_download: MaxDownload = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0: all addresses of this machine.")
    ] = Settings.host,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 takes a free one.")] = Settings.port,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Folder for jobs, uploads and results. [default: in the user's state folder]"
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Server processes.")] = Settings.workers,
    readers: Annotated[
        int,
        typer.Option(
            min=0,
            show_default=False,
            help="Processes that read recordings, per worker. [default: one per core, divided among the workers]",
        ),
    ] = Settings.readers,
    live: Annotated[
        int, typer.Option(min=0, help="Most live sessions at the same time, per worker; 0: none.")
    ] = Settings.live,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="MECAM_TOKEN",
            help="Token that clients must send. Set it in the environment: a list of processes shows the command line.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Another host name of the service; '*': any. Repeat it for several."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Origin of other pages that may use the service (CORS). Repeat it for several."),
    ] = None,
    max_upload_mb: Annotated[
        float, typer.Option(help="Largest request with a recording, in MB.")
    ] = Settings.max_upload_mb,
    max_body_kb: Annotated[float, typer.Option(help="Largest other request, in kB.")] = Settings.max_body_kb,
    max_minutes: Annotated[float, typer.Option(help="Longest recording, in minutes.")] = Settings.max_minutes,
    max_megapixels: Annotated[
        float, typer.Option(help="Largest pictures of a recording, in megapixels.")
    ] = Settings.max_megapixels,
    max_texts: Annotated[int, typer.Option(help="Most texts in one request.")] = Settings.max_texts,
    max_characters: Annotated[int, typer.Option(help="Most characters in one text.")] = Settings.max_characters,
    max_waiting: Annotated[
        int, typer.Option(help="Most requests with texts that wait for the model, per worker.")
    ] = Settings.max_waiting,
    max_queue: Annotated[int, typer.Option(help="Most jobs that wait.")] = Settings.max_queue,
    max_uploads: Annotated[
        int, typer.Option(help="Most recordings that are received at the same time.")
    ] = Settings.max_uploads,
    max_disk_mb: Annotated[
        float, typer.Option(help="Most disk space for uploads and results, in MB.")
    ] = Settings.max_disk_mb,
    max_memory_mb: Annotated[
        float, typer.Option(help="Most memory of a process that reads a recording, in MB.")
    ] = Settings.max_memory_mb,
    max_connections: Annotated[
        int, typer.Option(help="Most connections at the same time, per worker.")
    ] = Settings.max_connections,
    batch: Annotated[int, typer.Option(min=1, help="Most texts in one pass of the model.")] = Settings.batch,
    wait_s: Annotated[
        float, typer.Option(help="Seconds that a request with a recording waits for its answer.")
    ] = Settings.wait_s,
    at_once_mb: Annotated[
        float, typer.Option(help="Largest recording that a request waits for, in MB.")
    ] = Settings.at_once_mb,
    keep_minutes: Annotated[float, typer.Option(help="Minutes that results are kept.")] = Settings.keep_minutes,
    max_job_minutes: Annotated[
        float, typer.Option(help="Longest time for one job, in minutes.")
    ] = Settings.max_job_minutes,
    max_live_minutes: Annotated[
        float, typer.Option(help="Longest live session, in minutes.")
    ] = Settings.max_live_minutes,
    patience_ms: Annotated[
        float, typer.Option(help="Milliseconds that texts wait for others while other requests are open.")
    ] = Settings.patience_ms,
    slow_s: Annotated[
        float, typer.Option(help="Seconds without data after which a client is disconnected.")
    ] = Settings.slow_s,
    stop_s: Annotated[
        float, typer.Option(help="Seconds that running jobs may take when the service stops.")
    ] = Settings.stop_s,
) -> None:
    """Serve predictions over HTTP, on a page, and live.

    The page is at the address that is printed, the description of the service at /openapi.json. Jobs outlive a
    restart. Needs the extra `serve`.

    Example: mecam serve

    Example: MECAM_TOKEN=secret mecam serve --model exported/mine --host 0.0.0.0 --workers 4
    """
    require("fastapi")
    given: dict[str, Any] = dict(locals())
    given |= {"allow_hosts": tuple(allow_host or ()), "allow_origins": tuple(allow_origin or ()), "tier": tier.value}
    given |= {name: None if given[name] is None else str(given[name]) for name in ("model", "data")}
    with missing_extras():
        settings = Settings(**{field.name: given[field.name] for field in dataclasses.fields(Settings)})
        if model is not None and settings.tier != "research":
            raise ConfigError("--tier is an option of the built-in model", where=f"--model {model}")
        from mecam.service.server import serve as serve_app
    if settings.host not in LOCAL and settings.token is None:
        err.print(f"Whoever reaches {settings.host} may use the service: there is no --token.", style="yellow")
    serve_app(settings, lambda address: out.print(f"page: {address}"))
