"""ONNX Runtime, which from 1.32 on tells its makers how it is used unless it is told not to before it is loaded."""

import os
from typing import Any

__all__ = ["onnx_runtime", "send_nothing"]


def onnx_runtime() -> Any:
    """The module `onnxruntime`; it sends nothing."""
    send_nothing()
    import onnxruntime

    return onnxruntime


def send_nothing() -> None:
    """Before a library that brings ONNX Runtime is loaded. A setting of the user's own wins."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
