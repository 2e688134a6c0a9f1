"""What a training costs: memory of its process, and how fast the model answers."""

import ctypes
import sys
import time
from typing import Any

import psutil
import torch

from mecam.data.collate import Collator
from mecam.data.datasets import Dataset
from mecam.evaluation.predict import predict
from mecam.models.base import Model

__all__ = ["costs", "give_back_free_memory", "peak_memory_mb", "resident_mb"]


def costs(model: Model, dataset: Dataset, collator: Collator, device: torch.device) -> dict[str, Any]:
    """Measure, at the end of a training, what belongs to `facts`.

    Args:
        model: trained, on its device.
        dataset: to answer for the speed: validation.
        collator: makes the batches that the model reads.
        device: that the model is on.

    Returns: `parameters`, all and beside the text encoder; `utterances_per_second`, from the store to the answer,
        64 at a time; `peak_memory_mb` of this process so far; `gpu_memory_mb`, the largest allocation, on a GPU.
    """
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    found: dict[str, Any] = {
        "parameters": sum(sizes.values()),
        "parameters_beside_text": sum(
            size
            for name, size in sizes.items()
            if model.text_encoder is None or not name.startswith(model.text_encoder_prefix)
        ),
    }
    began = time.perf_counter()
    predict(model, dataset, collator)
    found["utterances_per_second"] = round(len(dataset) / max(time.perf_counter() - began, 1e-9), 1)
    found["peak_memory_mb"] = round(peak_memory_mb())
    if device.type == "cuda":
        found["gpu_memory_mb"] = round(torch.cuda.max_memory_allocated(device) / 2**20)
    return found


def peak_memory_mb() -> float:
    """Highest resident size of this process so far, libraries and data included."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def resident_mb(process: int) -> float | None:
    """How much memory a process takes now; None if it is gone."""
    try:
        return float(psutil.Process(process).memory_info().rss) / 2**20
    except psutil.Error:
        return None


def give_back_free_memory() -> None:
    """Let the C library return what it holds free to the system, where it is one that can (glibc).

    Batches of ever other lengths leave holes that the next ones do not fit, and a run grows from epoch to epoch.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
