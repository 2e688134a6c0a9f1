"""Opinions that gates compare: agreement and contradiction must have a sign, whatever the range of the scores."""

import pytest
import torch

from mecam.task import Classes, Regression


@pytest.mark.parametrize(("low", "high"), [(-3.0, 3.0), (-1.0, 1.0), (1.0, 5.0)])
def test_scores_are_centred_on_the_middle_of_their_range(low: float, high: float) -> None:
    ends = torch.tensor([low, (low + high) / 2, high])
    assert Regression(low, high).comparable(ends).tolist() == [-1.0, 0.0, 1.0]


def test_logits_become_probabilities() -> None:
    assert Classes(("a", "b")).comparable(torch.zeros(2)).tolist() == [0.5, 0.5]
