"""Generated unimodal labels against a slow reading of the paper, and what must hold whatever the numbers are."""

import numpy as np
import pytest
import torch

from mecam.batch import Batch, Stream, Targets
from mecam.losses.pseudo_labels import (
    PseudoLabels,
    class_centres,
    pseudo_label,
    relative_distance,
    supervised_loss,
)
from mecam.task import KINDS, Classes, Labels, Regression, Task
from reference import pseudo_labels as slow

SCORES = Regression()


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_centres_and_relative_distances() -> None:
    features, rows = drawn(0, 9, 4), drawn(1, 3, 4)
    labels = torch.tensor([1.0, -2, 0, 3, -1, 0, 2, -3, 1], dtype=torch.float64)
    known = torch.tensor([True] * 7 + [False, True])
    positive, negative, both = class_centres(features, labels.unsqueeze(1), known)
    expected = [slow.centre(features.numpy(), labels.tolist(), known.tolist(), sign) for sign in (1, -1)]
    assert both.tolist() == [True]
    for fast, side in zip((positive, negative), expected, strict=True):
        torch.testing.assert_close(fast[0], torch.tensor(side, dtype=torch.float64))
    alpha = [slow.relative_distance(row.tolist(), *expected) for row in rows]  # type: ignore[arg-type]
    torch.testing.assert_close(
        relative_distance(rows, positive, negative)[:, 0], torch.tensor(alpha, dtype=torch.float64)
    )
    assert not class_centres(features, labels.abs().unsqueeze(1), known)[2].any()


def test_a_row_at_a_centre_lies_on_its_side() -> None:
    positive, negative = drawn(2, 1, 4), drawn(3, 1, 4)
    at = relative_distance(torch.cat([positive, negative, (positive + negative) / 2]), positive, negative)
    assert at[0] > 1e3
    assert at[1] == pytest.approx(-1, abs=1e-5)
    assert at[2] == pytest.approx(0, abs=1e-9)


def test_the_label_is_the_mean_of_both_rules() -> None:
    label, joint, own = drawn(4, 20, 1), drawn(5, 20, 1), drawn(6, 20, 1)
    expected = [slow.pseudo_label(*(float(x) for x in row)) for row in zip(label, joint, own, strict=True)]
    torch.testing.assert_close(pseudo_label(label, joint, own)[:, 0], torch.tensor(expected, dtype=torch.float64))
    # A modality that lies where the whole lies has the label of the whole.
    torch.testing.assert_close(pseudo_label(label, joint, joint), label)
    assert pseudo_label(label, torch.zeros_like(joint), own).isfinite().all()


@pytest.mark.parametrize("task", [SCORES, Regression(low=0.0, high=5.0)])
def test_labels_over_three_epochs(task: Task) -> None:
    """Batches in another order each time, an absent modality among them, against dictionaries and loops."""
    rng = np.random.default_rng(7)
    count = 8
    scores = rng.uniform(task.low, task.high, count)
    present = rng.random(count) < 0.8
    fast, loops = PseudoLabels(task, {"audio": 3}, 4).double(), slow.Generator(task.low, task.high)
    for epoch in range(3):
        for half in np.array_split(rng.permutation(count), 2):
            index = half.tolist()
            joint = rng.standard_normal((len(index), 4)) + scores[index][:, None]
            own = rng.standard_normal((len(index), 3)) + scores[index][:, None] / 2
            mask = torch.from_numpy(present[index]).unsqueeze(1)
            batch = Batch(
                ids=tuple(map(str, index)),
                index=torch.tensor(index),
                streams={"audio": Stream(torch.zeros(len(index), 1, 1), mask, mask.sum(1))},
                targets=Targets(torch.from_numpy(scores[index]).float()),
            )
            fast.update(batch, torch.from_numpy(joint), {"audio": torch.from_numpy(own)})
            y = torch.from_numpy(scores[index]).float().tolist()
            loops.step(index, y, joint.astype(np.float32).astype(float), own.astype(np.float32).astype(float),
                       present[index].tolist())  # fmt: skip
        labels = fast.memory.read("label_audio", torch.arange(count))[:, 0]
        torch.testing.assert_close(
            labels, torch.tensor([loops.label[i] for i in range(count)]).double(), rtol=1e-4, atol=1e-5
        )
        moved = (labels - (torch.from_numpy(scores) - loops.middle)).abs() > 1e-4
        assert moved.any() == (epoch > 0)
        assert not (moved & ~torch.from_numpy(present)).any()
        assert labels.abs().max() <= loops.limit


def test_signed_targets_of_every_task() -> None:
    assert Regression(low=1.0, high=5.0).signed(torch.tensor([1.0, 3.0])).tolist() == [[-2], [0]]
    assert Classes(("a", "b")).signed(torch.tensor([1])).tolist() == [[-1, 1]]
    assert Labels(("a", "b")).signed(torch.tensor([[1.0, 0.0]])).tolist() == [[1, -1]]


@pytest.mark.parametrize("kind", ["regression", "classes", "multilabel"])
def test_labels_that_have_not_moved_cost_what_the_task_costs(kind: str) -> None:
    names = () if kind == "regression" else ("a", "b", "c")
    task = KINDS[kind](names=names)
    target = {
        "regression": torch.tensor([1.0, -2.0, 0.5]),
        "classes": torch.tensor([0, 2, 1]),
        "multilabel": torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]]),
    }[kind]
    output = torch.randn(3, task.outputs, generator=torch.Generator().manual_seed(0))
    label, present = task.signed(target), torch.tensor([True, True, False])
    own = supervised_loss(task, output, label, torch.ones_like(label), present)
    whole = task.loss((output[:, 0] if kind == "regression" else output)[:2], target[:2])
    torch.testing.assert_close(own, whole)
