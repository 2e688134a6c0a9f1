"""What other installed packages add: entry points of a group, looked for when asked, imported when used.

Nothing that a stranger gives us is run: a plug-in is a package that the user has installed.
"""

import logging
import pkgutil
from collections.abc import Collection, Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from mecam.errors import ConfigError

__all__ = ["load_plug_in", "modules_of", "plug_ins"]

log = logging.getLogger(__name__)


@cache
def _points(group: str) -> tuple[EntryPoint, ...]:
    return tuple(sorted(entry_points(group=group), key=lambda point: point.name))


def plug_ins(group: str, built_in: Collection[str] = ()) -> dict[str, EntryPoint]:
    """Entry points by name; those that take a built-in name are left out, and logged.

    Args:
        group: `mecam.extractors`, `mecam.sources` …
        built_in: names that are ours.
    """
    found = {}
    for point in _points(group):
        if point.name in built_in:
            log.warning("the plug-in %s is left out: mecam has its own %s", point.value, point.name)
        else:
            found[point.name] = point
    return found


def load_plug_in(point: EntryPoint, *kinds: type[Any]) -> Any:
    """Import a plug-in.

    Args:
        point: its entry point.
        kinds: what its value has to be one of.

    Raises: ConfigError, whatever goes wrong in it.
    """
    package = point.dist.name if point.dist is not None else point.value.partition(".")[0]
    place, fix = f"{point.value}, of the package {package}", f"repair or uninstall the package {package}"
    try:
        value: Any = point.load()
    except Exception as error:
        what = f"the plug-in {point.name!r} cannot be loaded: {type(error).__name__}: {error}"
        raise ConfigError(what, where=place, fix=fix) from error
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        what = f"the plug-in {point.name!r} is a {type(value).__name__}, but must be a {wanted}"
        raise ConfigError(what, where=place, fix=fix)
    return value


def modules_of(*packages: str) -> Iterator[ModuleType]:
    """The modules that lie in the folders of packages, imported: a file that is put there is found."""
    for package in packages:
        for module in pkgutil.iter_modules(import_module(package).__path__):
            yield import_module(f"{package}.{module.name}")
