"""What is remembered from epoch to epoch: it grows, it travels with the checkpoint, a killed run finds it again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

import tiny
from mecam.batch import Batch
from mecam.data.collate import ViewOptions, batches
from mecam.data.store import Store
from mecam.losses.pseudo_labels import Memory
from mecam.models.base import Model
from mecam.models.trained import Trained
from mecam.training import loop


class KilledError(Exception):
    """A run that ends in the middle."""


def test_a_memory_grows_and_gives_back() -> None:
    memory = Memory({"label": 2})
    index = torch.tensor([4, 1])
    assert memory.read("label", index).tolist() == [[0, 0], [0, 0]]
    memory.write(index, {"label": torch.tensor([[1.0, 2.0], [3.0, 4.0]])})
    memory.write(torch.tensor([1]), {"label": torch.tensor([[5.0, 6.0]])})
    assert len(memory) == 5
    assert memory.read("label", torch.tensor([1, 9, 4])).tolist() == [[5, 6], [0, 0], [1, 2]]
    assert memory.times_met(torch.tensor([0, 1, 4, 9])).tolist() == [0, 2, 1, 0]
    values, known = memory.everything("label")
    assert known.tolist() == [False, True, False, False, True]
    assert values[known].tolist() == [[5, 6], [1, 2]]


def test_a_memory_takes_the_size_of_what_it_loads() -> None:
    memory, other = Memory({"label": 1}), Memory({"label": 1})
    memory.write(torch.tensor([2]), {"label": torch.tensor([[7.0]])})
    other.write(torch.tensor([5]), {"label": torch.tensor([[1.0]])})
    other.load_state_dict(memory.state_dict())
    assert other.read("label", torch.tensor([2, 5])).tolist() == [[7], [0]]
    assert len(other) == 3


class Data:
    """The train split in batches of 6; killed where told."""

    metric = "none"

    def __init__(self, trained: Trained, store: Store, kill_at: int | None = None) -> None:
        self.trained, self.train = trained, tiny.dataset(trained, store, store.split("train"))
        self.steps, self.kill_at, self.validated = -(-len(self.train) // 6), kill_at, 0.0

    def batches(self, epoch: int) -> Iterator[Batch]:
        views = ViewOptions(0.5) if self.trained.model.views else None
        parts = batches(self.train, self.trained.collator, 6, shuffle_seed=epoch, views=views)
        for number, batch in enumerate(parts):
            if epoch == self.kill_at and number == 1:
                raise KilledError
            yield batch

    def validate(self, model: Model) -> dict[str, float | None]:
        self.validated += 1
        return {"select": self.validated}


@pytest.mark.parametrize("name", ["self_mm", "tetfn", "mmim"])
def test_a_killed_run_remembers_what_it_knew(
    name: str, store: Store, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit, memories among it; and labels have moved by then."""
    monkeypatch.setattr(loop, "SAVE_SECONDS", -1)
    config, state = tiny.training(epochs=3, patience=9), tmp_path / "resume.pt"

    def run(trained: Trained, data: Data, resume: Path | None) -> dict[str, torch.Tensor]:
        loop.fit(trained.model, data, config, fabric=Fabric(accelerator="cpu", devices=1), seed=1, resume=resume)
        return trained.model.state_dict()

    whole = tiny.build(name, store, encoder)
    expected = run(whole, Data(whole, store), None)
    killed = tiny.build(name, store, encoder)
    with pytest.raises(KilledError):
        run(killed, Data(killed, store, kill_at=2), state)
    again = tiny.build(name, store, encoder, seed=9)
    data = Data(again, store)
    data.validated = 2.0
    actual = run(again, data, state)
    assert [key for key in expected if not torch.equal(expected[key], actual[key])] == []
    if name == "mmim":
        return
    memory = whole.model.labels.memory
    assert isinstance(memory, Memory)
    assert memory.times_met(torch.arange(len(whole.model.reads))).tolist() == [3] * len(whole.model.reads)
    labels, truth = memory.get_buffer("label_audio"), memory.get_buffer("truth")
    assert (labels - truth).abs().max() > 0.01
    assert labels.abs().max() <= 3
