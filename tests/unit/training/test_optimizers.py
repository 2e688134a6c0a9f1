import pytest

import tiny
from mecam.config import TrainingConfig
from mecam.data.store import Store
from mecam.errors import ModelError
from mecam.models.base import Phase
from mecam.training.optimizers import check_phases, phase_optimizer
from probe import Probe


def groups(model: object, **options: object) -> dict[str, dict[str, float]]:
    """Name of every parameter that moves → its group."""
    optimizer = phase_optimizer(model, model.phases()[0], tiny.training(**options))  # type: ignore[attr-defined]
    names = {id(parameter): name for name, parameter in model.named_parameters()}  # type: ignore[attr-defined]
    return {
        names[id(parameter)]: {"lr": group["lr"], "decay": group["weight_decay"]}
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


@pytest.mark.parametrize("name", ["mecam", "text_only"])
def test_the_text_encoder_learns_at_its_own_rate(name: str, store: Store, encoder: str) -> None:
    model = tiny.build(name, store, encoder).model
    found = groups(model, learning_rate=0.1, encoder_learning_rate=0.01)
    assert set(found) == set(tiny.trainable(model))
    for key, group in found.items():
        assert group["lr"] == (0.01 if key.startswith("encoders.text.") else 0.1), key
    assert len({group["lr"] for group in found.values()}) == 2


def test_weight_decay_is_for_matrices_only_and_the_text_encoders_own(store: Store, encoder: str) -> None:
    model = tiny.build("mecam", store, encoder).model
    shapes = {name: parameter.ndim for name, parameter in model.named_parameters()}
    for key, group in groups(model, weight_decay=0.3, encoder_weight_decay=0.1).items():
        decay = 0.1 if key.startswith("encoders.text.") else 0.3
        assert group["decay"] == (decay if shapes[key] >= 2 else 0.0), key


def test_layers_further_from_the_output_learn_slower(store: Store, encoder: str) -> None:
    found = groups(tiny.build("text_only", store, encoder).model, encoder_learning_rate=1.0, layer_decay=0.5)
    rates = {
        place: {group["lr"] for key, group in found.items() if place in key}
        for place in ("embeddings.", "layer.0.", "layer.1.")
    }
    assert rates == {"layer.1.": {1.0}, "layer.0.": {0.5}, "embeddings.": {0.25}}


def test_a_text_stream_of_numbers_learns_like_the_rest(encoder: str) -> None:
    """`encoders.text.` is a pretrained encoder only where there is one."""
    model = Probe()
    model.text_encoder_prefix = "first."  # type: ignore[misc]
    assert {group["lr"] for group in groups(model, learning_rate=0.1, encoder_learning_rate=0.01).values()} == {0.1}


def test_a_parameter_in_no_phase_is_an_error() -> None:
    model = Probe(phases=[Phase("main", {"task": 1.0}, ("first.",))])
    with pytest.raises(ModelError, match=r"no training phase moves the parameter 'second\.weight'"):
        check_phases(model)
    model.second.requires_grad_(False)
    check_phases(model)
    check_phases(Probe(phases=[Phase("a", {}, ("first.",)), Phase("b", {}, ("second.",))]))


def test_a_phase_that_moves_nothing_is_an_error() -> None:
    with pytest.raises(ModelError, match="the phase 'b' moves no parameter"):
        check_phases(Probe(phases=[Phase("a", {}), Phase("b", {}, ("thrid.",))]))


def test_a_phase_moves_its_prefixes_only() -> None:
    model = Probe(phases=[Phase("main", {"task": 1.0}, ("first.",))])
    optimizer = phase_optimizer(model, model.phases()[0], TrainingConfig())
    assert {id(p) for group in optimizer.param_groups for p in group["params"]} == {
        id(p) for p in model.first.parameters()
    }
