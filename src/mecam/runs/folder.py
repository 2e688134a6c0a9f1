"""The run folder as a place: to be claimed by one run, to be gone on with by the same one."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mecam.budget import small_text
from mecam.config import dump_yaml, parse_yaml
from mecam.errors import MecamError, TrainingError
from mecam.files import whole_folder, write_whole, writing

if TYPE_CHECKING:
    from mecam.training.run import RunConfig

__all__ = ["RECORDED", "claim", "copy_folder", "is_finished"]

RECORDED = ("store", "mixed_with", "init_sha256")
"""Keys of `config.yaml` that say what was read, and are no options."""


def claim(out: Path, config: "RunConfig", read: Mapping[str, Any], *, overwrite: bool) -> None:
    """Make the run folder, or find the same run in it; more seeds than before are the same run, longer.

    Args:
        out: the folder.
        config: the whole configuration.
        read: what the run reads, under the keys of `RECORDED`.
        overwrite: begin anew if the folder holds a run.

    Raises: TrainingError if it holds another run or something else, DataError if it cannot be written to.
    """
    path = out / "config.yaml"
    if overwrite and path.exists():
        with writing(out):
            shutil.rmtree(out)
    if path.exists() and _read(path) is None:
        raise TrainingError(
            "config.yaml cannot be read: it is unknown which run lies here",
            where=str(path),
            fix="choose another --out, or add --overwrite",
        )
    if path.exists() and not _goes_on(path, config, read):
        raise TrainingError(
            "this folder holds a run of another configuration or other data",
            where=str(out),
            fix="choose another --out, or add --overwrite",
        )
    if (
        out.exists()
        and not path.exists()
        and (not out.is_dir() or any(place.name != ".mecam.lock" for place in out.iterdir()))
    ):
        raise TrainingError("this place is taken and holds no run", where=str(out), fix="choose another --out")
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    write_whole(path, config.to_yaml() + dump_yaml(read))


def is_finished(out: Path, config: "RunConfig", read: Mapping[str, Any]) -> bool:
    """True if the folder holds this very run, whole: the report is what a run writes last."""
    path = out / "config.yaml"
    if not (path.exists() and (out / "report.html").exists()):
        return False
    known = _read(path)
    return known is not None and known == (config, dict(read))


def copy_folder(source: Path, target: Path) -> None:
    """Hard links where the file system allows: a checkpoint can be large."""

    def link(src: str, dst: str) -> None:
        try:
            os.link(src, dst)
        except OSError:
            shutil.copy2(src, dst)

    with whole_folder(target) as partial:
        shutil.copytree(source, partial, copy_function=link, dirs_exist_ok=True)


def _goes_on(path: Path, config: "RunConfig", read: Mapping[str, Any]) -> bool:
    known = _read(path)
    if known is None:
        return False
    there, was_read = known
    return replace(there, seeds=config.seeds) == config and there.seeds <= config.seeds and was_read == read


def _read(path: Path) -> "tuple[RunConfig, dict[str, Any]] | None":
    """The configuration that a run folder was made with, and what it read; None if they cannot be understood."""
    from mecam.training.run import RunConfig

    try:
        values = parse_yaml(small_text(path), where=str(path))
        return RunConfig.decode(dict(values)), {key: values[key] for key in RECORDED if key in values}
    except (ValueError, TypeError, AttributeError, MecamError):
        return None
