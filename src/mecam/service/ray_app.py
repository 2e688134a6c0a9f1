"""The service as a deployment of Ray Serve: the application of `mecam serve`, on the machines of a Ray cluster.

    serve run mecam.service.ray_app:build model=/models/mine readers=2 allow_hosts='*'

Options are the fields of `mecam.service.settings.Settings` by name; address and port are those of Ray's own proxy. Jobs
belong to the machine that took them in, as their table is a file: replicas on one machine share it, machines do not.
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mecam.errors import ConfigError, missing_extras
from mecam.service.app import create_app
from mecam.service.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application

__all__ = ["build", "settings_of"]


def build(options: dict[str, Any]) -> "Application":
    """The application, as `serve run` and the files of `serve deploy` call it.

    Args:
        options: of the service, by name; texts where they come from a command line.

    Raises: ConfigError for one that is not known or out of range; MissingExtraError if Ray is not installed.
    """
    with missing_extras():
        from ray import serve
    settings = settings_of(options)

    def application() -> "FastAPI":  # made in each replica, as a model does not travel
        return create_app(settings)

    deployment = serve.deployment(
        serve.ingress(application)(),
        name="mecam",
        max_ongoing_requests=settings.max_connections,
        graceful_shutdown_timeout_s=settings.stop_s + 5,
        ray_actor_options={"num_cpus": settings.readers_each},
    )
    return deployment.bind()


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Settings from options that may all be texts; several hosts or origins are divided by commas.

    Raises: ConfigError for one that is not known, of another kind, or out of range.
    """
    from pydantic import TypeAdapter, ValidationError

    kinds: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(Settings)}
    values: dict[str, Any] = {}
    for name, given in options.items():
        if name not in kinds:
            raise ConfigError(f"the service has no option {name!r}", fix=f"choose one of {', '.join(kinds)}")
        several = isinstance(given, str) and name.startswith("allow_")
        try:
            values[name] = TypeAdapter[Any](kinds[name]).validate_python(given.split(",") if several else given)
        except ValidationError as error:
            raise ConfigError(f"{name} cannot be {given!r}", where=name) from error
    return Settings(**values)
