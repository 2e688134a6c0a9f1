"""Slow readings of models that let the language lead: attention blocks, hyper-modality, shift, correction, rebuilding.

Weights come as dictionaries named like the module's parameters; loops over vectors do the work, all in float64.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from reference.loops import softmax, talking_heads

Array = NDArray[np.float64]
Weights = Mapping[str, Array]


def part(weights: Weights, prefix: str) -> dict[str, Array]:
    """The weights below a prefix."""
    return {key.removeprefix(f"{prefix}."): value for key, value in weights.items() if key.startswith(f"{prefix}.")}


def linear(weights: Weights, name: str, x: Array) -> Array:
    """W x + b; b may be missing."""
    matrix = weights[f"{name}.weight"]
    bias = weights.get(f"{name}.bias", np.zeros(len(matrix)))
    return np.array([sum(matrix[o, i] * x[i] for i in range(len(x))) + bias[o] for o in range(len(bias))])


def layer_norm(weights: Weights, name: str, x: Array) -> Array:
    """(x − mean)/√(variance + 1e-5), scaled and shifted."""
    mean = sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    scaled = [(v - mean) / math.sqrt(variance + 1e-5) for v in x]
    return np.array(
        [s * w + b for s, w, b in zip(scaled, weights[f"{name}.weight"], weights[f"{name}.bias"], strict=True)]
    )


def gelu(x: float) -> float:
    """x Φ(x)."""
    return x * (1 + math.erf(x / math.sqrt(2))) / 2


def block(queries: Array, keys: Array, mask: NDArray[np.bool_], weights: Weights, heads: int) -> Array:
    """One pre-norm attention block for B × T × D: x + attention, then x + feed-forward."""
    q = np.stack([[layer_norm(weights, "norm_queries", step) for step in row] for row in queries])
    k = np.stack([[layer_norm(weights, "norm_keys", step) for step in row] for row in keys])
    plain = {**part(weights, "attention"), "before": np.eye(heads), "after": np.eye(heads)}
    result = queries + talking_heads(q, k, mask, plain, heads)
    for b in range(result.shape[0]):
        for t in range(result.shape[1]):
            normed = layer_norm(weights, "feed_forward.0", result[b, t])
            hidden = np.array([gelu(h) for h in linear(weights, "feed_forward.1", normed)])
            result[b, t] = result[b, t] + linear(weights, "feed_forward.3", hidden)
    return result


def layers(weights: Weights, prefix: str) -> list[dict[str, Array]]:
    """The weights of each layer of a transformer."""
    count = 1 + max(int(key.removeprefix(f"{prefix}.layers.").split(".")[0]) for key in part_keys(weights, prefix))
    return [part(weights, f"{prefix}.layers.{i}") for i in range(count)]


def part_keys(weights: Weights, prefix: str) -> list[str]:
    """Names below a prefix, whole."""
    return [key for key in weights if key.startswith(f"{prefix}.layers.")]


def text_enhanced(
    target: Array, source: Array, source_mask: NDArray[np.bool_], text: Array, text_mask: NDArray[np.bool_],
    weights: Weights, heads: int,
) -> Array:  # fmt: skip
    """TETFN, §3.3: the source queries the text; the target queries what came of it."""
    for each in layers(weights, "lower"):
        source = block(source, text, text_mask, each, heads)
    for each in layers(weights, "upper"):
        target = block(target, source, source_mask, each, heads)
    return target


def hyper_layer(
    hyper: Array, language: Array, sources: Mapping[str, Array], present: Mapping[str, Sequence[bool]],
    weights: Weights, heads: int,
) -> Array:  # fmt: skip
    """ALMT, adaptive hyper-modality learning."""
    batch, tokens, width = language.shape
    size = width // heads
    result = hyper.copy()
    for b in range(batch):
        q = [linear(weights, "query", layer_norm(weights, "norm.language", step)) for step in language[b]]
        total = np.zeros((tokens, width))
        for m, steps in sources.items():
            if not present[m][b]:
                continue
            normed = [layer_norm(weights, f"norm.{m}", step) for step in steps[b]]
            k = [linear(weights, f"key.{m}", step) for step in normed]
            v = [linear(weights, f"value.{m}", step) for step in normed]
            for h in range(heads):
                own = slice(h * size, (h + 1) * size)
                for t in range(tokens):
                    scores = [sum(q[t][own] * key[own]) / math.sqrt(size) for key in k]
                    for share, value in zip(softmax(scores, [True] * len(k)), v, strict=True):
                        total[t, own] += share * value[own]
        for t in range(tokens):
            result[b, t] += linear(weights, "out", total[t])
    return result


def dictionary(rows: Array, centres: Array, words: Array, sharpness: float) -> tuple[Array, Array]:
    """CENET, §3.2, softly: T × F → T × D, and each row's distance to its mixture's words."""
    embedded, gaps = np.zeros((len(rows), words.shape[1])), np.zeros(len(rows))
    for t, row in enumerate(rows):
        distance = [sum((x - c) ** 2 for x, c in zip(row, centre, strict=True)) / len(row) for centre in centres]
        share = softmax([-sharpness * d for d in distance], [True] * len(distance))
        for k, p in enumerate(share):
            embedded[t] += p * words[k]
            gaps[t] += p * distance[k]
    return embedded, gaps


def shift(
    states: Array, rows: Mapping[str, Array], masks: Mapping[str, NDArray[np.bool_]], weights: Weights, heads: int
) -> Array:
    """CENET, §3.3: states + W [relu(attention to each modality)] + b."""
    gathered = []
    for m, values in rows.items():
        plain = {**part(weights, f"attention.{m}"), "before": np.eye(heads), "after": np.eye(heads)}
        gathered.append(np.maximum(talking_heads(states, values, masks[m], plain, heads), 0))
    result = states.copy()
    for b in range(states.shape[0]):
        for t in range(states.shape[1]):
            result[b, t] += linear(weights, "shift", np.concatenate([g[b, t] for g in gathered]))
    return result


def convolution_gate(steps: Array, mask: NDArray[np.bool_], weights: Weights) -> Array:
    """TFR-Net, §3.4, one sequence: the maximum over observed t of tanh(conv) ∘ σ(conv)."""

    def convolved(name: str, t: int) -> Array:
        kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]  # D F 3
        total = bias.copy()
        for offset in (-1, 0, 1):
            if 0 <= t + offset < len(steps) and mask[t + offset]:
                total += kernel[:, :, offset + 1] @ steps[t + offset]
        return total

    rows = [np.tanh(convolved("value", t)) / (1 + np.exp(-convolved("gate", t))) for t in range(len(steps)) if mask[t]]
    return np.max(rows, axis=0) if rows else np.zeros(len(weights["value.bias"]))


def reconstruction(rebuilt: Array, target: Array, missing: NDArray[np.bool_]) -> float:
    """TFR-Net, the reconstruction loss: smooth L1, mean over features and missing places."""
    total, count = 0.0, 0
    for b, t in zip(*np.nonzero(missing), strict=True):
        gaps = [abs(x - y) for x, y in zip(rebuilt[b, t], target[b, t], strict=True)]
        total += sum(g * g / 2 if g < 1 else g - 0.5 for g in gaps) / len(gaps)
        count += 1
    return total / count if count else 0.0


def predictive_bound(predicted: Array, target: Array, present: Sequence[bool]) -> float:
    """MMIM, contrastive predictive coding."""
    rows = [i for i, p in enumerate(present) if p]
    if len(rows) < 2:
        return 0.0

    def cosine(x: Array, y: Array) -> float:
        return float(sum(x * y) / math.sqrt(sum(x * x)) / math.sqrt(sum(y * y)))

    total = 0.0
    for i in rows:
        scores = [math.exp(cosine(predicted[i], target[j])) for j in rows]
        total -= math.log(math.exp(cosine(predicted[i], target[i])) / sum(scores))
    return total / len(rows)
