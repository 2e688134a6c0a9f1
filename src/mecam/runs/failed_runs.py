"""`failed.json`, beside the runs of one command: why some of them are missing."""

import json
from collections.abc import Mapping
from pathlib import Path

from mecam.files import write_whole
from mecam.runs.tables import read_mapping

__all__ = ["read_failed", "write_failed"]

FAILED = "failed.json"


def write_failed(place: Path, failed: Mapping[str, str]) -> None:
    """Write name → why the run failed; where none did, an earlier file is removed."""
    if failed:
        write_whole(place / FAILED, json.dumps(dict(failed), indent=1, ensure_ascii=False) + "\n")
    else:
        (place / FAILED).unlink(missing_ok=True)


def read_failed(place: Path) -> dict[str, str]:
    """Inverse of `write_failed`; empty where there is no file.

    Raises: TrainingError if the file is damaged.
    """
    found = read_mapping(place / FAILED) if (place / FAILED).exists() else {}
    return {name: str(reason) for name, reason in found.items()}
