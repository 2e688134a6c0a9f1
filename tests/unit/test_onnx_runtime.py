"""Predicting tells nobody: ONNX Runtime keeps no number of this machine and nothing to be sent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mecam
from mecam.onnx_runtime import onnx_runtime, send_nothing

PROGRAM = """
import mecam
mecam.predict_text("I loved it.")
from mecam.features.vision import expression_network
expression_network._session()
"""


def test_nothing_is_noted_for_the_makers_of_onnx_runtime(tmp_path: Path) -> None:
    kept = {key: value for key, value in os.environ.items() if key not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    subprocess.run([sys.executable, "-c", PROGRAM], env={**kept, "HOME": str(tmp_path)}, check=True)
    assert [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name.lower()] == []


def test_a_setting_of_the_users_own_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    send_nothing()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"
    assert onnx_runtime().__name__ == "onnxruntime"


def test_nobody_loads_it_otherwise() -> None:
    sources = Path(mecam.__file__).parent.rglob("*.py")
    lines = [(path.name, line) for path in sources for line in path.read_text(encoding="utf-8").splitlines()]
    loads = {name for name, line in lines if line.strip() == "import onnxruntime"}
    assert loads == {"onnx_runtime.py"}
