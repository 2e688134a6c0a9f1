"""Programs that see nothing of this checkout."""

import os
import subprocess
from pathlib import Path


def clean_environment() -> dict[str, str]:
    """The environment without what leads Python to this checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def run(*command: object, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        list(map(str, command)), cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False
    )


def done(*command: object, folder: Path) -> str:
    """What a command printed, which must not fail."""
    result = run(*command, folder=folder)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout
