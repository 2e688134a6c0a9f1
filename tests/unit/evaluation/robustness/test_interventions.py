"""What it means that a filter matters: shown on models whose gates are the truth, are constant, or are names."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tiny
from mecam.batch import Batch, Output
from mecam.data.normalise import Normaliser
from mecam.evaluation.robustness.changes import Changed, Changes, changes_of
from mecam.evaluation.robustness.conditions import CLEAN, FeatureCorruption
from mecam.evaluation.robustness.evaluation_split import EvaluationSplit
from mecam.evaluation.robustness.interventions import (
    CHANGES,
    PARTS,
    Intervention,
    Untouched,
    holds_corruption,
    interventions,
    parts_of,
)
from mecam.evaluation.robustness.measure import Job, measure
from mecam.evaluation.robustness.protocols import Plan
from mecam.evaluation.robustness.scores import RunCells
from mecam.models.base import Model, presence
from mecam.models.inputs import Inputs
from mecam.models.trained import Trained
from mecam.nn.masked import masked_mean, masked_softmax, weighted_mean
from mecam.nn.tap import Tap
from mecam.types import Span, Utterance

SCORES = tiny.TASKS["regression"]
WIDTHS = {"audio": 2, "vision": 2}


class Filtering(Model):
    """Reads the label in the first column, and what a gate is worth in the second."""

    def __init__(self, inputs: Inputs, *, constant: bool = False, telling: bool = False) -> None:
        super().__init__(inputs, reads=inputs.modalities)
        self.constant, self.telling = constant, telling
        self.gate_taps = nn.ModuleDict({m: Tap() for m in self.reads})
        self.weight_tap = Tap()

    def forward(self, batch: Batch) -> Output:
        own, kept = [], []
        for m in self.reads:
            rows, mask = batch.streams[m].values, batch.streams[m].mask
            gate = torch.full_like(rows[..., 1:], 0.25) if self.constant else rows[..., 1:]
            gate = self.gate_taps[m](gate, mask)
            own.append(weighted_mean(rows[..., :1], gate, mask, floor=1e-6))
            kept.append(masked_mean(gate, mask))
        present = presence(batch, self.reads)
        shares = self.weight_tap(masked_softmax(8 * torch.cat(kept, dim=1), present), present)
        said: Tensor = torch.cat(kept if self.telling else own, dim=1)
        return Output(prediction=(shares * said).sum(dim=1))


def damaged(count: int = 60, *, rows: int | None = None) -> list[Utterance]:
    """In every second utterance most of one modality says the opposite; the second column knows where."""
    rng = np.random.default_rng(0)
    content = []
    for i in range(count):
        label, streams, injected = float(rng.uniform(0.5, 3) * rng.choice([-1, 1])), {}, []
        for modality in WIDTHS:
            length = rows or int(rng.integers(8, 16))
            values = np.tile(np.array([label, 1.0], np.float32), (length, 1))
            if i % 2 and modality == ("audio", "vision")[i // 2 % 2]:
                start = int(rng.integers(0, length // 3))
                span = slice(start, start + length // 2)
                values[span] = [-label, 0.0]
                injected.append(Span(modality, "burst", span.start, span.stop))
            streams[modality] = values
        split = "test" if i % 3 else "train"
        content.append(Utterance(f"u{i}", split, f"v{i // 6}", streams=streams, label=label, injected=tuple(injected)))
    return content


def fabricated(folder: Path, content: list[Utterance], **options: bool) -> tuple[Trained, EvaluationSplit]:
    """A model that reads features as they lie in the store."""
    store = tiny.write_store(folder / "store", SCORES, content, widths=WIDTHS)
    trained = tiny.build("late_fusion", store, "")
    zeros, ones = ({m: np.full(2, value, np.float32) for m in WIDTHS} for value in (0, 1))
    checkpoint = replace(trained.checkpoint, normaliser=Normaliser(zeros, ones, clip=1e9))
    model = Filtering(trained.checkpoint.inputs, **options).eval()
    return Trained(model, checkpoint, None), EvaluationSplit(store, "test", raw_text=False)


def changes(trained: Trained, data: EvaluationSplit, folder: Path, corruption: Any = CLEAN, *parts: str) -> Changes:
    """All that can be replaced, or some parts of it, replaced."""
    steps = [step for step in interventions(corruption) if step.part in (parts or parts_of(trained.model))]
    seeds = (1, 2)
    folder.mkdir()
    jobs = [
        Job(step, seed, folder / f"{step.key}.{seed}.npz")
        for step in steps
        for seed in (seeds if step.random else (1,))
    ]
    measure(trained, data, jobs)
    run = RunCells("run", "fabricated", "", (0,), (jobs,), (1.0,), trained.model.reads)
    return changes_of(run, data, Plan("permutation", (corruption, *steps), ()))


def mae(changed: Changed) -> tuple[float, tuple[float, float], float]:
    found = changed.metrics["mae"]
    assert found.value is not None
    assert found.ci95 is not None
    assert found.p_value is not None
    return found.value, found.ci95, found.p_value


@pytest.fixture(autouse=True)
def _few_permutations(monkeypatch):
    monkeypatch.setattr("mecam.evaluation.robustness.changes.PERMUTATIONS", 200)


def test_constant_gates_change_nothing_at_all(tmp_path):
    found = changes(*fabricated(tmp_path, damaged(), constant=True), tmp_path / "cells", CLEAN, "both")
    assert len(found) == len(CHANGES)
    for changed in found.values():
        for one in changed.values():
            assert mae(one) == (0.0, (0.0, 0.0), 1.0)


def test_a_filter_that_knows_the_truth_is_missed_where_something_is_corrupted_only(tmp_path):
    found = changes(*fabricated(tmp_path, damaged()), tmp_path / "cells", CLEAN, "gates", "weights")
    for change in CHANGES:
        changed = found[f"clean.gates.{change}"]
        value, (low, high), p = mae(changed["corrupted"])
        assert 0 < low < value < high
        assert p < 0.05
        assert changed["corrupted"].metrics["mae"].p_holm >= p
        rest = changed["intact"].utterances * mae(changed["intact"])[0]
        together = (changed["corrupted"].utterances * value + rest) / changed["all"].utterances
        assert mae(changed["all"])[0] == pytest.approx(together)
    assert mae(found["clean.weights.exchanged-alike"]["corrupted"])[1][0] > 0
    for key, changed in found.items():
        if key != "clean.gates.inverted":
            value, (low, high), _ = mae(changed["intact"])  # all of its rows say the same, whoever is believed
            assert value == pytest.approx(0, abs=1e-4)
            assert low - 1e-4 <= 0 <= high + 1e-4


def test_the_same_seed_gives_the_same_again_and_another_does_not(tmp_path):
    trained, data = fabricated(tmp_path, damaged())
    condition = Intervention.at(CLEAN, "gates", "exchanged")
    said = []
    for seed in (1, 1, 2):
        before = Untouched(trained, data, data.utterances)
        said.append(before.changed(condition, seed).prediction)
        assert not np.array_equal(said[-1], before.predictions.prediction)
    np.testing.assert_array_equal(said[0], said[1])
    assert not np.array_equal(said[0], said[2])
    again = Untouched(trained, data, data.utterances)
    np.testing.assert_array_equal(again.predictions.prediction, before.predictions.prediction)


def names(*, alike: bool = False) -> list[Utterance]:
    """A single row each, whose gate is the number of the utterance; some lack a modality, some are corrupted."""
    content = []
    for i in range(24):
        values = np.array([[0.0, i + 1.0]], np.float32)
        left = {m: values for m in WIDTHS if not (m == "vision" and i % 3 == 0)}
        injected = (Span("audio", "burst", 0, 1),) if alike and i % 4 == 0 else ()
        content.append(Utterance(f"u{i}", "test", f"v{i // 2}", streams=left, label=0.5, injected=injected))
    return [*content, *(replace(u, id=f"t{i}", split="train") for i, u in enumerate(content[:6]))]


@pytest.mark.parametrize("change", ["exchanged", "exchanged-alike"])
def test_everybody_is_given_what_somebody_like_them_had(tmp_path, change):
    trained, data = fabricated(tmp_path, names(alike=True), telling=True)
    before = Untouched(trained, data, data.utterances)
    own = np.round(before.predictions.prediction).astype(int)
    assert own.tolist() == list(range(1, 25))
    given = np.round(before.changed(Intervention.at(CLEAN, "gates", change), 3).prediction).astype(int)
    assert sorted(given) == sorted(own)
    assert (given != own).all()
    assert ((given - 1) % 3 == 0).tolist() == ((own - 1) % 3 == 0).tolist()  # the same modalities
    if change == "exchanged-alike":
        assert ((given - 1) % 4 == 0).tolist() == ((own - 1) % 4 == 0).tolist()


def test_turning_round_moves_the_largest_to_the_smallest_and_removes_as_much(tmp_path):
    trained, data = fabricated(tmp_path, names(), telling=True)
    before = Untouched(trained, data, data.utterances)
    given = np.round(before.changed(Intervention.at(CLEAN, "gates", "inverted"), 3).prediction).astype(int)
    for group in (range(0, 24, 3), [i for i in range(24) if i % 3]):
        own = [i + 1 for i in group]
        assert [given[i] for i in group] == own[::-1]
    mean = before.changed(Intervention.at(CLEAN, "gates", "mean"), 3).prediction
    assert sorted(set(np.round(mean, 4))) == [pytest.approx(np.mean(range(1, 24, 3))), pytest.approx(13, abs=0.6)]


def test_gates_are_exchanged_by_their_relative_position(tmp_path):
    short, long = (np.stack([np.full(n, label), np.linspace(0, 1, n)], axis=1) for n, label in ((4, 1), (12, 2)))
    content = [
        Utterance(f"u{i}", "test", "v", streams={"audio": rows.astype(np.float32)}, label=1.0)
        for i, rows in enumerate((short, long))
    ]
    content += [replace(u, id=f"t{u.id}", split="train") for u in content]
    trained, data = fabricated(tmp_path, content, telling=True)
    before = Untouched(trained, data, data.utterances)
    given = before.changed(Intervention.at(CLEAN, "gates", "exchanged"), 1).prediction
    assert given[0] == pytest.approx(np.linspace(0, 1, 12)[[1, 4, 7, 10]].mean(), abs=1e-6)
    assert given[1] == pytest.approx(0.5)


@pytest.mark.parametrize("change", CHANGES)
def test_weights_that_follow_from_the_modalities_alone_stay_what_they_are(store, encoder, change, tmp_path):
    """Late fusion trusts every modality as much in every utterance; absent ones are in the data."""
    trained = tiny.build("late_fusion", store, encoder, used=True)
    data = EvaluationSplit(store, "train")
    before = Untouched(trained, data, data.utterances)
    assert parts_of(trained.model) == ("weights",)
    after = before.changed(Intervention.at(CLEAN, "weights", change), 1)
    np.testing.assert_array_equal(after.prediction, before.predictions.prediction)


@pytest.mark.parametrize(
    ("name", "part"),
    [*(("mecam", part) for part in PARTS), ("mag", "gates"), ("tfr_net", "gates"), ("lnln", "weights")],
)
def test_what_a_model_has_can_be_replaced_and_is_itself_again(store, encoder, name, part):
    trained = tiny.build(name, store, encoder, used=True)
    data = EvaluationSplit(store, "train")
    assert parts_of(trained.model) == (PARTS if name == "mecam" else (part,))
    before = Untouched(trained, data, data.utterances)
    for change in CHANGES:
        after = before.changed(Intervention.at(CLEAN, part, change), 1).prediction
        assert np.isfinite(after).all()
        assert np.abs(after - before.predictions.prediction).max() > 1e-5, change
    again = Untouched(trained, data, data.utterances)
    np.testing.assert_array_equal(again.predictions.prediction, before.predictions.prediction)
    assert not any(tap._forward_hooks for tap in trained.model.modules() if isinstance(tap, Tap))
    assert not trained.model._forward_pre_hooks


def test_what_is_corrupted_on_purpose_counts_and_what_is_missing_does_not(tmp_path):
    content = damaged(rows=10)
    content = [replace(u, injected=()) for u in content]
    content[1].streams["audio"][3] = np.nan
    trained, data = fabricated(tmp_path, content)
    kept = [u.injected for u in data.utterances]
    assert not holds_corruption(data, kept, ("audio", "vision")).any()
    burst = FeatureCorruption.at("audio", "burst", 3, words=False)
    spoilt = [burst.corrupt(data, place, 1).injected for place in range(len(data))]
    assert holds_corruption(data, spoilt, ("audio",)).all()
    assert not holds_corruption(data, spoilt, ("vision",)).any()
    found = changes(trained, data, tmp_path / "cells", burst, "gates")
    assert {kind for changed in found.values() for kind in changed} == {"all"}
    assert set(found) == {s.key for s in interventions(burst) if s.part == "gates" and s.change != "exchanged-alike"}
