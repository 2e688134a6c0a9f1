"""What a model cannot do it says before anything is trained, and how to go on."""

import pytest

from mecam.errors import ConfigError, ModelError
from mecam.models.inputs import Inputs
from mecam.models.misa import MisaConfig
from mecam.models.mult import MultConfig
from mecam.models.registry import MODELS
from mecam.task import Regression
from mecam.types import FeatureSpec


def inputs(*modalities: str) -> Inputs:
    return Inputs(Regression(), {m: FeatureSpec(3) for m in modalities})


def built(name: str, *modalities: str) -> object:
    return MODELS[name].model(MODELS[name].config(), inputs(*modalities))


def test_a_tensor_that_would_not_fit_is_refused() -> None:
    assert built("tfn", "text", "audio", "vision")
    with pytest.raises(ModelError, match="4,635,873 values") as caught:  # 129 · 33³
        built("tfn", "text", "audio", "vision", "physio")
    assert "model.width" in str(caught.value)
    assert "lmf" in str(caught.value)
    assert built("lmf", "text", "audio", "vision", "physio")


def test_a_graph_over_too_many_sets_is_refused() -> None:
    assert built("graph_mfn", *"abcdef")
    with pytest.raises(ModelError, match="127 vertices"):
        built("graph_mfn", *"abcdefg")


def test_mag_needs_transcripts() -> None:
    with pytest.raises(ModelError, match="needs text"):
        built("mag", "audio")
    with pytest.raises(ModelError, match="needs transcripts"):
        built("mag", "text", "audio")


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        (MultConfig, {"width": 40, "heads": 7}, "7 does not divide the width 40"),
        (MultConfig, {"kernel": 2}, "model.kernel: must be odd"),
        (MultConfig, {"text_kernel": 4}, "model.text_kernel: must be odd"),
        (MisaConfig, {"heads": 3}, "3 does not divide the width 128"),
    ],
)
def test_options_that_do_not_fit_each_other(kind: type, options: dict[str, int], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        kind(**options)
