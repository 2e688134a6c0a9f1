"""The script that is run when a GPU is at hand works: device time is short."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_it_runs_without_a_gpu(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--device", "cpu", "--quick", "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    told = json.loads(out.read_text(encoding="utf-8"))
    assert not [name for name, found in told.items() if isinstance(found, dict) and "failed" in found]
    for model in ("text_only", "mecam"):
        found = told[f"{model}, bert-base"]
        assert found["utterances_per_second"] > 0
        assert 0 <= found["waiting_for_data"] < 1
        assert found["inference"]["utterances_per_second"] > 0
        assert found["tflops"] > 0
