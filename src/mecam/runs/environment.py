"""Under which circumstances a run was made: versions, seeds, hardware, hashes of the data."""

import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from mecam.data.mixture import WeightedStore
from mecam.runs.config import RunConfig
from mecam.runs.origin import place_of
from mecam.runs.seed import SeedResult
from mecam.threads import available_cores
from mecam.version import __version__

__all__ = ["environment"]


def environment(
    config: RunConfig,
    sources: Sequence[WeightedStore],
    results: Sequence[SeedResult],
    run: Path,
    *,
    started: float,
    command: str,
) -> dict[str, Any]:
    """Everything about a run that its configuration does not say, for `environment.json`."""
    import torch

    store = sources[0].store
    found: dict[str, Any] = {
        "mecam": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": available_cores(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "precision": results[0].facts["precision"],
        "seeds": [result.seed for result in results],
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(sum(result.facts["seconds"] for result in results), 1),
        "git": _git(),
        "command": command,
        "model": config.model,
        "parameters": results[0].facts["parameters"],
        **_costs(results),
        "data": {
            "name": store.name,
            "path_name": store.path.name,
            **place_of(store, run),
            "count": len(store),
            "sha256": store.manifest["sha256"],
            "synthetic": store.synthetic,
            "task": store.task.to_json(),
            "splits": {name: len(store.split(name)) for name in ("train", "valid", "test")},
        },
    }
    if len(sources) > 1:
        found["data"]["weight"] = sources[0].weight
        found["data"]["synthetic"] |= any(s.store.synthetic for s in sources)
        found["mixed_with"] = [_mixed(source) for source in sources[1:]]
    started_from = {str(result.seed): result.facts["init"] for result in results if "init" in result.facts}
    return found | ({"init": started_from} if started_from else {})


def _costs(results: Sequence[SeedResult]) -> dict[str, Any]:
    """Of all seeds, as far as they were measured: the largest memory, the median speed."""
    together: dict[str, Callable[[list[float]], float]] = {
        "parameters_beside_text": max,
        "peak_memory_mb": max,
        "gpu_memory_mb": max,
        "utterances_per_second": median,
    }
    known = {key: [result.facts[key] for result in results if key in result.facts] for key in together}
    return {key: together[key](values) for key, values in known.items() if values}


def _mixed(source: WeightedStore) -> dict[str, Any]:
    """A further store that was learned from."""
    store = source.store
    return {
        "name": store.name,
        "path_name": store.path.name,
        "weight": source.weight,
        "train": len(store.split("train")),
        "sha256": store.manifest["sha256"],
    }


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git() -> str | None:
    """Commit of the source tree that mecam runs from, where it is one."""
    folder = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=folder, capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None
