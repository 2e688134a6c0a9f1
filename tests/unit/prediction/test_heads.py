"""Heads: the same as a slow reference, whatever is missing; written and read again without a change."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mecam.errors import ModelError
from mecam.prediction.heads import CLIP, Head, row_cues


def head(inputs: int = 4, hidden: int = 3, outputs: int = 2, seed: int = 0) -> Head:
    draw = np.random.default_rng(seed)
    layers = tuple(
        (draw.normal(size=(a, b)).astype(np.float32), draw.normal(size=b).astype(np.float32))
        for a, b in ((inputs, hidden), (hidden, outputs))
    )
    mean, scale = draw.normal(size=inputs).astype(np.float32), draw.uniform(0.5, 2, inputs).astype(np.float32)
    return Head(mean, scale, layers, {"outputs": ["a", "b"], "threshold": 0.25})


def slow(one: Head, row: np.ndarray) -> list[float]:
    values = []
    for value, mean, scale in zip(row, one.mean, one.scale, strict=True):
        z = 0.0 if np.isnan(value) else (float(value) - float(mean)) / float(scale)
        values.append(min(max(z, -CLIP), CLIP))
    for number, (weight, bias) in enumerate(one.layers):
        if number:
            values = [max(v, 0.0) for v in values]
        values = [float(bias[j]) + sum(v * float(weight[i, j]) for i, v in enumerate(values)) for j in range(len(bias))]
    return values


@given(arrays(np.float64, (5, 4), elements=st.floats(-1e6, 1e6) | st.just(float("nan"))))
def test_a_head_is_what_its_definition_says(rows: np.ndarray) -> None:
    one = head()
    np.testing.assert_allclose(one(rows), [slow(one, row) for row in rows], rtol=1e-4, atol=1e-4)
    odds = one.probabilities(rows)
    assert ((odds >= 0) & (odds <= 1)).all()


def test_a_head_is_read_as_it_was_written(tmp_path: Path) -> None:
    one = head()
    one.write(tmp_path / "a.safetensors")
    read = Head.read(tmp_path / "a.safetensors")
    assert read.about == one.about
    rows = np.random.default_rng(1).normal(size=(3, 4))
    np.testing.assert_array_equal(read(rows), one(rows))
    read.write(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("content", [b"", b"nothing", None])
def test_a_damaged_head_is_one_error(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="the head cannot be read"):
        Head.read(tmp_path / "a.safetensors")


def test_cues_of_rows() -> None:
    values = np.array([[1.0, 5.0], [2.0, np.nan], [10.0, 5.0]])
    cues = row_cues(values)
    assert cues.shape == (3, 8)
    np.testing.assert_array_equal(cues[:, :2], values)
    np.testing.assert_allclose(cues[:, 2], [1.0, 0.0, 8.0])  # from the median of the column, 2
    np.testing.assert_allclose(cues[:, 4], [1.0, 8.0, 8.0])  # the larger of the steps before and after
    np.testing.assert_allclose(cues[:, 6], [0.5, 0.0, 4.0])  # mean distance over what is known
    np.testing.assert_allclose(cues[:, 7], [1.0, 8.0, 8.0])


def test_cues_of_nothing_and_of_one_row() -> None:
    assert row_cues(np.zeros((0, 3))).shape == (0, 11)
    alone = row_cues(np.array([[np.nan, 2.0, 3.0]]))
    assert alone.shape == (1, 11)
    assert np.isfinite(alone[:, -2:]).all()
