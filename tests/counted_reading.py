"""Readers for workers of Ray that count what is extracted: a line in a file each time a recording is done."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mecam.features.clips import Clip
from mecam.features.extraction_cache import ExtractedRecording
from mecam.features.recording import Recipe
from mecam.types import Utterance

__all__ = ["Counted", "counts"]


@dataclass(frozen=True)
class Counted:
    """Makes readers that take a while, and give features that depend on the clip alone.

    Attributes:
        log: a line for each recording that was begun and for each that was done.
        seconds: that each takes.
    """

    log: Path
    seconds: float = 0.0

    def __call__(self, device: str) -> Callable[[Clip, Recipe], ExtractedRecording | str]:
        return self.read

    def read(self, clip: Clip, recipe: Recipe) -> ExtractedRecording | str:
        self._note(f"begin {os.getpid()} {clip.id}")
        time.sleep(self.seconds)
        if "bad" in clip.id:
            return "it is bad"
        rows = np.full((5, recipe.specs()["audio"].width), float(len(clip.id)), np.float32)
        times = np.stack([np.arange(5.0), np.arange(5.0) + 1], axis=1)
        self._note(f"done {os.getpid()} {clip.id}")
        one = Utterance(clip.id, video=clip.id, text="x", streams={"audio": rows}, intervals={"audio": times})
        return ExtractedRecording((one,))

    def _note(self, line: str) -> None:
        with self.log.open("a") as file:  # short lines at the end of a file are written whole
            file.write(line + "\n")


def counts(log: Path, what: str = "done") -> dict[str, int]:
    """Recording → how often it was begun, or done."""
    found: dict[str, int] = {}
    for line in log.read_text().splitlines() if log.exists() else ():
        kind, _, name = line.split(" ", 2)
        if kind == what:
            found[name] = found.get(name, 0) + 1
    return found
