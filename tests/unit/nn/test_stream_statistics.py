"""Statistics of whole streams: quantiles under a mask, and what is kept of a stream."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mecam.nn.masked import masked_quantiles
from mecam.nn.statistics import GAIN, stream_statistics


def rows(seed: int, batch: int = 3, steps: int = 7, width: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(batch, steps, width, generator=generator)
    mask = torch.rand(batch, steps, generator=generator) < 0.6
    mask[0] = False  # a stream without rows
    return values, mask


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(0, 1))
def test_quantiles_are_those_of_the_observed_rows(seed: int, quantile: float) -> None:
    values, mask = rows(seed)
    [found] = masked_quantiles(values, mask, [quantile])
    for one, seen, got in zip(values.numpy(), mask.numpy(), found.numpy(), strict=True):
        expected = np.quantile(one[seen], quantile, axis=0) if seen.any() else np.zeros(4)
        assert got == pytest.approx(expected, abs=1e-5)


def test_a_stream_that_is_kept_altogether_has_the_mean_and_deviation_of_its_rows() -> None:
    values, mask = rows(1, steps=400)
    found = stream_statistics(values, torch.ones(mask.shape), mask)
    for one, seen, got in zip(values.numpy(), mask.numpy(), found.numpy(), strict=True):
        mean, deviation = np.split(got / GAIN, 2)
        if not seen.any():
            assert not got.any()
            continue
        # A tenth of the weight belongs to nothing, so that a stream that is removed falls to zero.
        assert mean * 1.1 == pytest.approx(one[seen].mean(axis=0), abs=1e-5)
        assert np.abs(deviation).max() < 0.2


def test_rows_that_are_removed_do_not_count() -> None:
    values, mask = rows(2)
    mask[1:] = True
    kept = torch.ones(mask.shape)
    kept[:, 5:] = 0.0
    junk = values.clone()
    junk[:, 5:] = 1e3
    assert stream_statistics(junk, kept, mask).numpy() == pytest.approx(
        stream_statistics(values, kept, mask).numpy(), abs=1e-4
    )


def test_what_is_removed_altogether_says_nothing() -> None:
    values, mask = rows(3)
    assert stream_statistics(values, torch.zeros(mask.shape), mask).abs().max() < 0.05 * GAIN
