import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric

import tiny
from mecam.batch import Batch, Output
from mecam.errors import TrainingError
from mecam.models.base import Phase
from mecam.training import loop
from mecam.training.loop import _Means, choose_precision, fit
from probe import Probe, ProbeData, assert_same, run, weights


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_loss_that_is_not_finite_stops_the_run_with_the_ids_of_its_batch(bad: float, accumulate: int) -> None:
    model, data = Probe(), ProbeData()
    model.corrupt = lambda batch, loss: loss * bad if "u4" in batch.ids else loss
    with pytest.raises(TrainingError, match=r"task = (nan|inf)") as caught:
        run(model, data, accumulate=accumulate)
    assert caught.value.where is not None
    assert "u4" in caught.value.where
    assert set(caught.value.where.removeprefix("batch of ").split(", ")) == set(model.seen[-1])
    assert not data.validated  # it is not skipped
    assert all(value.isfinite().all() for value in weights(model).values())


def test_a_gradient_that_is_not_finite_stops_the_run_before_it_reaches_the_weights() -> None:
    model, data = Probe(), ProbeData()
    # sqrt has an infinite slope at 0, where its value is as finite as can be.
    model.corrupt = lambda batch, loss: loss + (loss - loss).sqrt() if "u4" in batch.ids else loss
    with pytest.raises(TrainingError, match="gradient") as caught:
        run(model, data)
    assert "u4" in str(caught.value.where)
    assert all(value.isfinite().all() for value in weights(model).values())


def test_a_loss_without_weight_may_be_anything() -> None:
    model = Probe(phases=[Phase("main", {"size": 1.0, "task": 0.0})])
    model.corrupt = lambda batch, loss: loss * float("nan")
    assert len(run(model, ProbeData(scores=[0.1, 0.2])).history) == 2


def differ(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("accumulate", [1, 2, 3, 4, 9])
def test_accumulation_drops_no_batch(accumulate: int) -> None:
    model, data = Probe(), ProbeData()
    run(model, data, accumulate=accumulate, epochs=1)
    assert sorted(name for ids in model.seen for name in ids) == sorted(u.id for u in data.utterances)
    moves = [one for one, other in itertools.pairwise([weights(Probe()), *model.steps]) if differ(one, other)]
    assert len(moves) == -(-data.steps // accumulate)


def test_accumulated_batches_equal_one_large_batch() -> None:
    """The last one is smaller, so that it shows how batches are weighed: Adam hides a factor common to all steps."""
    small, large = Probe(), Probe()
    run(small, ProbeData(15, 3), accumulate=2, epochs=3, clip_norm=1e3)
    run(large, ProbeData(15, 6), epochs=3, clip_norm=1e3)
    for key, value in weights(large).items():
        torch.testing.assert_close(weights(small)[key], value, rtol=1e-4, atol=1e-6)
    other = Probe()
    run(other, ProbeData(15, 3), epochs=3, clip_norm=1e3)
    assert not torch.allclose(weights(other)["first.weight"], weights(large)["first.weight"], rtol=1e-4, atol=1e-6)


class KilledError(Exception):
    """What a kill looks like from inside."""


OPTIONS: dict[str, Any] = {"epochs": 5, "average": 0.7, "accumulate": 2, "patience": 9}


@pytest.mark.parametrize(("epoch", "batch"), [(0, 2), (1, 0), (1, 3), (2, 1), (3, 0), (4, 3)])
def test_a_killed_run_goes_on_to_the_identical_result(
    epoch: int, batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", -1)
    whole = Probe(dropout=0.3)
    expected = run(whole, ProbeData(), **OPTIONS)
    data, state = ProbeData(), tmp_path / "resume.pt"

    def kill(now: int, number: int) -> None:
        if (now, number) == (epoch, batch):
            raise KilledError

    data.at_epoch = kill
    with pytest.raises(KilledError):
        run(Probe(dropout=0.3), data, resume=state, **OPTIONS)
    assert state.exists() == (epoch > 0)
    torch.manual_seed(99)
    again = Probe(dropout=0.3, seed=99)  # what it starts from must not matter
    if epoch == 0:
        again = Probe(dropout=0.3)
    actual = run(again, ProbeData(), resume=state, **OPTIONS)
    assert_same(weights(again), weights(whole))
    assert (actual.best_epoch, actual.best_score) == (expected.best_epoch, expected.best_score)
    assert [{**row, "seconds": 0} for row in actual.history] == [{**row, "seconds": 0} for row in expected.history]
    assert len(again.seen) == data.steps * (OPTIONS["epochs"] - epoch)  # finished epochs are not done again
    assert not list(tmp_path.iterdir())


def test_a_run_killed_while_it_saves_has_its_last_whole_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", -1)
    whole = Probe()
    run(whole, ProbeData(), epochs=4)
    real, calls = torch.save, 0

    def torn(state: Any, path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            Path(path).write_bytes(b"half of a st")
            raise KilledError
        real(state, path)

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(KilledError):
        run(Probe(), ProbeData(), epochs=4, resume=tmp_path / "resume.pt")
    again = Probe(seed=9)
    run(again, ProbeData(), epochs=4, resume=tmp_path / "resume.pt")
    assert_same(weights(again), weights(whole))
    assert len(again.seen) == 3 * 4


def test_early_stop_keeps_the_best_epoch() -> None:
    model, data = Probe(), ProbeData(scores=[0.1, 0.5, 0.4, 0.45, 0.9])
    result = run(model, data, epochs=9, patience=2)
    assert len(result.history) == 4
    assert (result.best_epoch, result.best_score) == (2, 0.5)
    assert [row["best"] for row in result.history] == [0, 1, 0, 0]
    assert_same(weights(model), data.validated[1])
    assert not torch.equal(data.validated[1]["first.weight"], data.validated[3]["first.weight"])


def test_the_last_epoch_is_kept_whatever_validation_says() -> None:
    scores = [0.3, 0.9, 0.2, 0.1, 0.1, 0.1]
    best, last = Probe(), Probe()
    assert run(best, ProbeData(scores=scores), epochs=6, patience=2).best_epoch == 2
    result = run(last, ProbeData(scores=scores), epochs=6, patience=2, keep="last")
    assert (result.best_epoch, result.best_score, len(result.history)) == (6, 0.1, 6)
    assert [row["best"] for row in result.history] == [0.0] * 5 + [1.0]
    assert differ(weights(best), weights(last))


def test_the_first_of_equal_epochs_is_kept_and_undefined_scores_are_passed_over() -> None:
    model, data = Probe(), ProbeData(scores=[None, 0.5, 0.5, None])
    assert run(model, data, epochs=4).best_epoch == 2
    assert_same(weights(model), data.validated[1])
    with pytest.raises(TrainingError, match="no epoch gave a defined validation score"):
        run(Probe(), ProbeData(scores=[None, None]))


def test_the_average_of_the_weights_is_what_is_validated_and_kept() -> None:
    model, data = Probe(), ProbeData(scores=[0.1, 0.2])
    start = weights(model)
    run(model, data, average=0.8)
    steps, average, expected = data.steps, {key: value.double() for key, value in start.items()}, []
    for number, now in enumerate(model.steps, start=1):
        decay = min(0.8, (1 + number) / (10 + number))
        average = {key: decay * average[key] + (1 - decay) * now[key] for key in average}
        if number % steps == 0:
            expected.append(average)
    assert len(expected) == len(data.validated) == 2
    for one, other in zip(data.validated, expected, strict=True):
        for key in one:
            torch.testing.assert_close(one[key], other[key].float())
    assert_same(weights(model), data.validated[1])
    assert not torch.allclose(weights(model)["first.weight"], model.steps[-1]["first.weight"])


def test_each_phase_moves_its_own_parameters() -> None:
    phases = [Phase("one", {"size": 1.0}, ("first.",)), Phase("two", {"task": 1.0}, ("second.",))]
    model, data = Probe(phases=phases), ProbeData()
    result = run(model, data, epochs=1, weight_decay=0.0)
    assert len(model.steps) == 2 * data.steps
    states = [weights(Probe()), *model.steps]
    for number, (before, after) in enumerate(itertools.pairwise(states)):
        moved = {key.partition(".")[0] for key in before if not torch.equal(before[key], after[key])}
        assert moved == ({"first"} if number < data.steps else {"second"}), number
    assert {"loss_task", "loss_size"} <= set(result.history[0])


def test_what_a_phase_does_not_move_asks_for_no_gradient_and_finds_none_left_over() -> None:
    phases = [Phase("one", {"task": 1.0}, ("first.",)), Phase("two", {"task": 1.0}, ("second.",))]
    model, data = Probe(phases=phases), ProbeData()
    model.first.bias.requires_grad_(False)  # frozen for good: no phase may wake it
    asked: list[set[str]] = []

    def corrupt(batch: Batch, loss: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            asked.append({name for name, p in model.named_parameters() if p.requires_grad})
            assert all(p.grad is None for p in model.parameters() if not p.requires_grad)
        return loss

    model.corrupt = corrupt
    run(model, data, epochs=2)
    one, two = {"first.weight"}, {"second.weight", "second.bias"}
    assert asked == ([one] * data.steps + [two] * data.steps) * 2
    assert {name for name, p in model.named_parameters() if p.requires_grad} == one | two


def test_logged_losses_are_unweighted_means_over_the_batches() -> None:
    logs = [
        run(Probe(phases=[Phase("main", {"task": w})]), ProbeData(), epochs=1, learning_rate=1e-12) for w in (1.0, 7.0)
    ]
    assert logs[0].history[0]["loss_task"] == pytest.approx(logs[1].history[0]["loss_task"], rel=1e-5)
    model, data = Probe(), ProbeData()
    with torch.no_grad():
        expected = [float(model.losses(model(batch), batch)["task"]) for batch in data.batches(0)]
    assert logs[0].history[0]["loss_task"] == pytest.approx(sum(expected) / len(expected), rel=1e-5)


@pytest.mark.parametrize("count", [1, 2])
def test_progress_runs_to_its_end_and_never_back(count: int) -> None:
    calls: list[tuple[int, int, str]] = []
    phases = [Phase(str(i), {"task": 1.0}) for i in range(count)]
    run(Probe(phases=phases), ProbeData(), progress=lambda *call: calls.append(call))
    done = [call[0] for call in calls]
    assert done == list(range(1, 2 * 4 * count + 1))
    assert {call[1] for call in calls} == {2 * 4 * count}
    assert "epoch 2, best mse on validation so far: " in calls[-1][2]


def test_no_epochs_leave_the_model_as_it_is() -> None:
    model = Probe()
    before = weights(model)
    result = run(model, ProbeData(), epochs=0)
    assert_same(weights(model), before)
    assert len(result.history) == 1
    assert result.best_score < 0


def test_precision() -> None:
    model = Probe()
    assert choose_precision("auto", model, torch.device("cpu")) == "32-true"  # nothing to gain without an encoder
    assert choose_precision("bf16", model, torch.device("cpu")) == "bf16-mixed"
    assert choose_precision("32", model, torch.device("cpu")) == "32-true"


def test_bf16_trains_to_about_the_same() -> None:
    full, half, data = Probe(), Probe(), ProbeData()
    run(full, data, epochs=5)
    widths: set[torch.dtype] = set()
    half.first.register_forward_hook(lambda _, __, result: widths.add(result.dtype))
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    fit(half, data, tiny.training(epochs=5), fabric=fabric, seed=3)
    assert torch.bfloat16 in widths
    assert half.first.weight.dtype == torch.float32
    for key, value in weights(full).items():
        torch.testing.assert_close(weights(half)[key], value, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_after_step_sees_every_batch_on_the_device_with_its_own_output(
    accumulate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = Probe(), ProbeData(10, 3)
    moved: list[Batch] = []
    plain = Batch.to

    def to(batch: Batch, *arguments: Any, **options: Any) -> Batch:
        moved.append(plain(batch, *arguments, **options))
        return moved[-1]

    monkeypatch.setattr(Batch, "to", to)
    seen: list[tuple[Batch, Output]] = []
    model.after_step = lambda output, batch: seen.append((batch, output))  # type: ignore[method-assign]
    run(model, data, accumulate=accumulate, epochs=1)
    assert [id(batch) for batch, _ in seen] == [id(batch) for batch in moved]
    assert [batch.ids for batch, _ in seen] == model.seen
    assert [len(output.prediction) for _, output in seen] == [3, 3, 3, 1]
    assert not any(output.prediction.requires_grad for _, output in seen)  # a kept output keeps no graph


def test_the_means_of_the_losses_are_sums_of_python_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Means, "MANY", 7)
    generator = torch.Generator().manual_seed(0)
    steps: list[dict[str, torch.Tensor]] = []
    for number in range(30):
        steps.append({"task": torch.randn((), generator=generator)})
        if number % 3:
            steps[-1]["now_and_then"] = torch.randn((), generator=generator).double()
    means = _Means()
    for losses in steps:
        means.add(losses)
    for name, value in means.read().items():
        total, count = 0.0, 0
        for losses in steps:
            if name in losses:
                total, count = total + float(losses[name]), count + 1
        assert value == total / count
    assert list(means.read()) == ["task", "now_and_then"]
    assert _Means().read() == {}


class Ranked(Fabric):
    """A process of several, as far as the seed is concerned."""

    rank = 0

    @property
    def global_rank(self) -> int:
        return self.rank


def test_dropout_follows_from_seed_epoch_and_process_alone() -> None:
    def draw(seed: int, epoch: int, rank: int) -> tuple[float, ...]:
        fabric = Ranked(accelerator="cpu", devices=1)
        fabric.rank = rank
        torch.rand(epoch + 7)  # whatever was drawn before
        loop._seed(fabric, seed, epoch)
        return tuple(torch.rand(4).tolist())

    places = list(itertools.product((1, 2), (0, 1, 2), (0, 1)))
    assert len({draw(*place) for place in places}) == len(places)
    assert [draw(*place) for place in places] == [draw(*place) for place in places]
