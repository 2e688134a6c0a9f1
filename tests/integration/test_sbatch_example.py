"""examples/extract.sbatch, run as SLURM runs it: with its variables, task by task."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from commands import contents, write_clips
from mecam.features.extract import extract
from mecam.features.recording import Recipe

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(os.name == "nt", reason="a script for bash"),
]


def test_shards_of_a_job_array_and_their_store(tmp_path: Path) -> None:
    """A recording that fails is in the store's table, and ends no job."""
    write_clips(tmp_path / "talks", 3)
    (tmp_path / "talks" / "broken.wav").write_text("no sound")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "mecam"
    code = "from mecam.cli import main; raise SystemExit(main())"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
    command.chmod(0o755)
    given = {
        "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
        "RECORDINGS": str(tmp_path / "talks"),
        "STORE": str(tmp_path / "store"),
        "OPTIONS": "--extractor mecam-audio",
        "SLURM_CPUS_PER_TASK": "1",
        "SLURM_ARRAY_TASK_COUNT": "2",
    }

    def submit(**variables: str) -> None:
        environment = {**os.environ, **given, **variables}
        subprocess.run(["bash", str(ROOT / "examples" / "extract.sbatch")], env=environment, check=True, timeout=300)

    for task in ("2", "1"):
        submit(SLURM_ARRAY_TASK_ID=task)
    submit(MERGE="1")
    report = extract([tmp_path / "talks"], tmp_path / "whole", recipe=Recipe(("mecam-audio",)), jobs=1)
    assert len(report.failures) == 1
    assert contents(tmp_path / "store") == contents(tmp_path / "whole")
