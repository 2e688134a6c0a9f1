"""Programs that run where nothing is installed that an extra of mecam brings."""

import subprocess
import sys
import textwrap

from mecam.errors import EXTRAS

__all__ = ["HIDDEN", "run_light"]

HIDDEN = (*EXTRAS, "matplotlib")
"""Modules that are not found: those of the extras, and what comes with them."""

HIDE = f"""
import sys
from importlib.machinery import PathFinder

HIDDEN = {HIDDEN!r}


class Light(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else super().find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Light
"""


def run_light(program: str, *arguments: object) -> str:
    """Run a program in a Python of its own; what it printed."""
    code = HIDE + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
