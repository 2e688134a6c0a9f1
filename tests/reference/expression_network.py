"""face-api.js' expression network, read slowly: loops over places, out of the ONNX file's tensors by their names."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MEAN = np.array([122.782, 117.001, 104.298])


def probabilities(picture: Array, weight: Callable[[str], Array], present: Mapping[str, object]) -> Array:
    """What the network says of one picture.

    Args:
        picture: 112 × 112 × 3 RGB, 0 to 255.
        weight: of a name; convolutions are outputs × inputs × 3 × 3.
        present: the names there are.
    """
    seen = (picture - MEAN) / 255
    for number in range(4):
        block = f"dense{number}"
        parts = [np.maximum(_convolution(seen, f"{block}/conv0", 2, weight, present), 0)]
        for layer in (1, 2, 3):
            given = parts[0] if layer == 1 else np.maximum(sum(parts), 0)
            parts.append(_convolution(given, f"{block}/conv{layer}", 1, weight, present))
        seen = np.maximum(sum(parts), 0)
    scores = seen.mean(axis=(0, 1)) @ weight("fc/weights") + weight("fc/bias")
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def _convolution(
    given: Array, name: str, stride: int, weight: Callable[[str], Array], present: Mapping[str, object]
) -> Array:
    """TensorFlow's "same" convolution of 3 × 3, or the separable one."""
    size = given.shape[0]
    out = -(-size // stride)
    total = max((out - 1) * stride + 3 - size, 0)
    padded = np.zeros((size + total, size + total, given.shape[2]))
    padded[total // 2 : total // 2 + size, total // 2 : total // 2 + size] = given
    whole = f"{name}/filters" in present
    kernel = weight(f"{name}/filters" if whole else f"{name}/depthwise_filter")
    result = []
    for y in range(out):
        row = []
        for x in range(out):
            patch = padded[stride * y : stride * y + 3, stride * x : stride * x + 3]  # 3 3 C
            row.append(np.einsum("yxc,ocyx->o" if whole else "yxc,cyx->c", patch, kernel if whole else kernel[:, 0]))
        result.append(row)
    found = np.array(result)
    if not whole:
        found = found @ weight(f"{name}/pointwise_filter")[:, :, 0, 0].T
    return found + weight(f"{name}/bias")
