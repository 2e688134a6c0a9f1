"""Small networks that read rows of features: heads of the built-in model, computed by NumPy.

A head is one safetensors file: `mean` and `scale` of its inputs, and `weight_0`, `bias_0`, `weight_1` … of its layers;
what it answers, and how sure it may be, is in its metadata.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.errors import ModelError
from mecam.files import usual_mode, whole_file

__all__ = ["Head", "row_cues"]

CLIP = 5.0
"""Standard deviations that an input counts at most: what is further away was never learned from."""


@dataclass(frozen=True)
class Head:
    """Standardised inputs through linear layers with ReLU between them.

    Attributes:
        mean: F, of the inputs in the training data.
        scale: F, their standard deviation.
        layers: weight (inputs × outputs) and bias of each.
        about: what it reads and answers: `inputs` (their names), `outputs`, and what the caller needs of thresholds.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    layers: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, rows: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Answers, N × outputs, before any squashing.

        Args:
            rows: N × F; a value that is missing (NaN) counts as the mean.
        """
        hidden = np.nan_to_num((rows - self.mean) / self.scale, posinf=CLIP, neginf=-CLIP).clip(-CLIP, CLIP)
        for number, (weight, bias) in enumerate(self.layers):
            hidden = (np.maximum(hidden, 0) if number else hidden) @ weight + bias
        return np.asarray(hidden, np.float32)

    def probabilities(self, rows: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The logistic function of the answers."""
        return np.asarray(1 / (1 + np.exp(-np.clip(self(rows), -50, 50))), np.float32)

    def write(self, path: Path) -> None:
        """Write it; the same head gives the same bytes."""
        from safetensors.numpy import save_file

        arrays = {"mean": self.mean, "scale": self.scale}
        for number, (weight, bias) in enumerate(self.layers):
            arrays |= {f"weight_{number}": weight, f"bias_{number}": bias}
        made = {name: np.ascontiguousarray(values, np.float32) for name, values in arrays.items()}
        with whole_file(path) as partial:
            save_file(made, partial, {"about": json.dumps(self.about, sort_keys=True)})
            partial.chmod(usual_mode(path.parent))  # the library makes it the owner's alone

    @classmethod
    def read(cls, path: Path) -> "Head":
        """Inverse of `write`.

        Raises: ModelError if the file is missing or damaged.
        """
        from safetensors import safe_open

        try:
            with safe_open(path, "numpy") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dictionary
                about = json.loads(file.metadata()["about"])
            count = sum(name.startswith("weight_") for name in arrays)
            layers = tuple((arrays[f"weight_{i}"], arrays[f"bias_{i}"]) for i in range(count))
            return cls(arrays["mean"], arrays["scale"], layers, about)
        except Exception as error:  # the library, the file system and what is missing each raise their own
            what = f"the head cannot be read ({type(error).__name__})"
            raise ModelError(what, where=str(path), fix="install mecam again") from error


def row_cues(values: NDArray[np.floating[Any]], groups: Sequence[slice] = ()) -> NDArray[np.float32]:
    """What marks a corrupted row: the row, how far it is from the median of all, how much it changes to both sides.

    Args:
        values: T × F of one utterance; NaN is missing.
        groups: of columns, for each of which the mean distance and the mean change are told too; empty: one group.

    Returns: T × (3 F + 2 × groups).
    """
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    with np.errstate(all="ignore"):
        middle = np.array(
            [np.median(column[fine]) if fine.any() else 0.0 for column, fine in zip(values.T, known.T, strict=True)]
        )
    away = np.where(known, np.abs(filled - middle), np.nan)
    steps = np.full_like(values, np.nan, dtype=np.float64)
    if len(values) > 1:
        change = np.abs(np.diff(np.where(known, values, np.nan), axis=0))
        steps[1:], steps[:-1] = change, np.fmax(steps[:-1], change)
    parts = [values, away, steps]
    for group in groups or (slice(None),):
        parts += [_mean(away[:, group]), _mean(steps[:, group])]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _mean(values: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """T × 1, over what is known of each row."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=1, keepdims=True)
    return np.asarray(total / np.maximum(known.sum(axis=1, keepdims=True), 1))
