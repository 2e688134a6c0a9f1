"""Commands as processes of their own, to be killed, to run two at once, to be short of memory."""

import hashlib
import os
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["contents", "start", "write_clips", "write_table"]

CODE = """
import sys

if __name__ == "__main__":  # workers that extract import this file too
    if sys.argv[1] != "0":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), int(sys.argv[1])))
    sys.argv = ["mecam", *sys.argv[2:]]
    from mecam.cli import main

    sys.exit(main())
"""


def start(folder: Path, *arguments: object, memory: int = 0) -> "subprocess.Popen[str]":
    """Start `mecam …` in a group of its own, on one thread, with so many bytes of address space (0: all)."""
    script = folder / "command.py"
    if not script.exists():
        script.write_text(CODE)
    given = [sys.executable, str(script), str(memory), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    options: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(given, env=environment, start_new_session=True, **options)


def contents(folder: Path, *, without: tuple[str, ...] = ()) -> dict[str, str]:
    """Name → hash of every file below a folder, hidden ones too."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in without]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def write_table(path: Path, count: int = 200) -> Path:
    """A label table with transcripts."""
    splits = ("train", "valid", "test")
    rows = [f"v{i // 4}_{i},v{i // 4},words of {i},{(i % 13 - 6) / 2},{splits[i // 4 % 3]}" for i in range(count)]
    path.write_text("id,video_id,text,label,mode\n" + "\n".join(rows) + "\n")
    return path


def write_clips(folder: Path, count: int = 6) -> Path:
    """Short sounds, each another tone."""
    folder.mkdir(parents=True)
    for i in range(count):
        tone = np.sin(2 * np.pi * (150 + 40 * i) * np.arange(8000) / 16000) * 8000
        with wave.open(str(folder / f"clip{i}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes(tone.astype("<i2").tobytes())
    return folder
