import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from mecam.config import DataConfig, TrainingConfig, apply_overrides, decode, dump_yaml, read_yaml
from mecam.errors import ConfigError
from mecam.models.registry import MODELS
from mecam.runs.config import RunConfig


def run_config(**values: Any) -> RunConfig:
    return RunConfig.decode(values)


def test_an_unknown_key_is_named_with_the_one_that_was_meant() -> None:
    with pytest.raises(ConfigError, match=r"training\.learnin_rate: no such option; did you mean 'learning_rate'"):
        run_config(training={"learnin_rate": 1})
    with pytest.raises(ConfigError, match=r"model\.filter\.contrastt.*did you mean 'contrast'"):
        run_config(model={"filter": {"contrastt": 1}})
    with pytest.raises(ConfigError, match="zzz: no such option; known: batch_size"):
        run_config(data={"zzz": 1})
    with pytest.raises(ConfigError, match="trainin: no such option; did you mean 'training'"):
        run_config(trainin={})
    with pytest.raises(ConfigError, match=r"epochs: no such option; did you mean 'training\.epochs'"):
        run_config(epochs=9)
    with pytest.raises(ConfigError, match=r"training\.epochs: a whole number is needed, got 'ten'") as bad:
        run_config(training={"epochs": "ten"})
    assert "input should" not in str(bad.value)
    with pytest.raises(ConfigError, match="there is no model 'mecan'"):
        run_config(model="mecan")


def test_all_problems_are_reported_at_once() -> None:
    bad = {
        "model": {"widht": 3, "dropout": 1.5},
        "data": {"batch_size": 0},
        "training": {"epochs": "many", "warmup": -1},
        "seeds": 0,
    }
    with pytest.raises(ConfigError) as caught:
        RunConfig.decode(bad)
    for part in ("model.widht", "model.dropout", "data.batch_size", "training.epochs", "training.warmup", "seeds"):
        assert part in str(caught.value), part
    assert "0" in str(caught.value)
    assert "'many'" in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"seeds": 0},
        {"seeds": "three"},
        {"devices": 0},
        {"accelerator": 5},
        {"model": 5},
        {"model": {"name": ["mecam"]}},
        {"data": 5},
        {"training": [1]},
        {"training": {"learning_rate": float("nan")}},
        {"training": {"precision": "64"}},
        {"model": {"filter": 3}},
    ],
    ids=str,
)
def test_values_of_the_wrong_kind_are_a_config_error(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        RunConfig.decode(values)


def test_overrides() -> None:
    base = {"training": {"epochs": 3, "patience": 2}}
    result = apply_overrides(
        base,
        ["training.epochs=5", "model.filter.enabled=false", "training.learning_rate=1e-4", "model.encoder=my/enc=oder"],
    )
    assert result == {
        "training": {"epochs": 5, "patience": 2, "learning_rate": "1e-4"},
        "model": {"filter": {"enabled": False}, "encoder": "my/enc=oder"},
    }
    assert base == {"training": {"epochs": 3, "patience": 2}}
    config = RunConfig.decode(result)
    # YAML 1.1 reads 1e-4 as text, which must not become a text in the configuration.
    assert config.training.learning_rate == 1e-4
    assert config.options.filter.enabled is False
    assert config.training.patience == 2


@pytest.mark.parametrize("override", ["epochs", "=3", "training.epochs.x=3", "a=[1"])
def test_a_bad_override_is_a_config_error(override: str) -> None:
    with pytest.raises(ConfigError):
        apply_overrides({"training": {"epochs": 3}}, [override])


def test_defaults_then_file_then_overrides(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("training:\n  epochs: 4\n  patience: 9\n", encoding="utf-8")
    config = RunConfig.decode(apply_overrides(read_yaml(file), ["training.patience=1"]))
    assert config.training == dataclasses.replace(TrainingConfig(), epochs=4, patience=1)
    assert config.data == DataConfig()


def test_reading_what_is_no_configuration(tmp_path: Path) -> None:
    for content in (b"- a\n- b\n", b"a: [", b"\xff\xfe\x00", b"just text"):
        (tmp_path / "x.yaml").write_bytes(content)
        with pytest.raises(ConfigError, match=r"x\.yaml"):
            read_yaml(tmp_path / "x.yaml")
    with pytest.raises(ConfigError):
        read_yaml(tmp_path / "absent.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing\n", encoding="utf-8")
    assert read_yaml(tmp_path / "empty.yaml") == {}


@pytest.mark.parametrize("name", MODELS)
def test_the_resolved_configuration_reads_back_as_itself(name: str) -> None:
    config = RunConfig.decode({"model": name, "seeds": 3, "training": {"warmup": 0.25}})
    text = config.to_yaml()
    assert RunConfig.decode(yaml.safe_load(text)) == config
    assert RunConfig.decode(yaml.safe_load(text)).to_yaml() == text
    assert set(yaml.safe_load(text)["training"]) == {item.name for item in dataclasses.fields(TrainingConfig)}


def test_a_run_s_own_configuration_file_can_be_given_again() -> None:
    """`config.yaml` also says what data it was; that is a record, not an option."""
    config = run_config(model="constant")
    assert RunConfig.decode({**yaml.safe_load(config.to_yaml()), "store": {"name": "tiny", "sha256": {}}}) == config


def test_every_option_has_its_documentation() -> None:
    from mecam.cli.models import _options

    for kind in (DataConfig, TrainingConfig, *(entry.config for entry in MODELS.values())):
        for key, _, meaning in _options(kind, "x"):
            assert meaning, (kind, key)


def test_infinity_is_no_value() -> None:
    with pytest.raises(ConfigError, match=r"at most 10\.0 is needed, got inf"):
        run_config(training={"learning_rate": float("inf")})
    with pytest.raises(ConfigError, match="finite numbers only, got inf"):
        dump_yaml({"rate": float("inf")})


def test_decode_takes_whole_numbers_for_counts_only() -> None:
    with pytest.raises(ConfigError, match="batch_size"):
        decode(DataConfig, {"batch_size": 2.5}, where="data")
    assert decode(DataConfig, {"clip": 3}, where="data").clip == 3.0
    assert "clip: 3.0" in dump_yaml({"data": decode(DataConfig, {"clip": 3}, where="data")})


@pytest.mark.parametrize("group", ["fusion.heads", "filter.groups"])
def test_what_must_divide_the_width_is_told_so(group: str) -> None:
    with pytest.raises(ConfigError, match=f"{group}: 7 does not divide the width 16"):
        RunConfig.decode(apply_overrides({"model": {"width": 16}}, [f"model.{group}=7"]))


@pytest.mark.parametrize("written", ["32", "16", "bf16", "auto"])
def test_a_precision_may_look_like_a_number(written: str) -> None:
    values = apply_overrides({}, [f"precision={written}"])
    assert decode(TrainingConfig, values, where="training").precision == written


@pytest.mark.parametrize(
    "option",
    [
        "training.learning_rate=1e6", "training.encoder_learning_rate=11", "training.epochs=1000000000",
        "training.weight_decay=1e300", "training.seed=99999999999999999999", "training.accumulate=10000000",
        "data.batch_size=1000000000", "data.max_tokens=1000000000", "data.clip=1e300", "model.width=1000000000",
        "model.layers=1000000000", "seeds=1000000",
    ],
)  # fmt: skip
def test_absurd_values_are_refused_with_the_bound(option: str) -> None:
    with pytest.raises(ConfigError, match="at most"):
        RunConfig.decode(apply_overrides({"model": {"name": "mecam"}}, [option]))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("&x [*x]", "contains itself"),
        ("{a: &a [1, 1], b: [*a, *a, *a]}", ""),
        ("{clip: 1, clip: 2}", "occurs twice"),
        ("[" * 60 + "]" * 60, "nested too deeply"),
        ("9" * 5000, "characters"),
        ("!!python/name:os.system", "cannot be read"),
    ],
)
def test_yaml_of_an_override_is_bounded_too(text: str, what: str) -> None:
    if not what:
        assert apply_overrides({}, [f"x={text}"]) == {"x": {"a": [1, 1], "b": [[1, 1]] * 3}}
        return
    with pytest.raises(ConfigError, match=what):
        apply_overrides({}, [f"x={text}"])


def test_a_number_of_many_digits_is_shown_short() -> None:
    with pytest.raises(ConfigError) as caught:
        decode(DataConfig, {"batch_size": "9" * 3000}, where="data")
    assert len(str(caught.value)) < 400


@pytest.mark.posix
def test_a_configuration_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ConfigError, match="a pipe"):
        read_yaml(tmp_path / "pipe.yaml")


def test_an_option_under_its_old_name_is_read_and_told(caplog: pytest.LogCaptureFixture) -> None:
    config = RunConfig.decode({"model": "mecam", "data": {"damaged": ["stores/a"]}})
    assert config.data.corrupted_stores == ("stores/a",)
    assert "data.damaged is now called data.corrupted_stores" in caplog.text
    caplog.clear()
    assert RunConfig.decode({"model": "mecam", "data": {"damaged": []}}).data.corrupted_stores == ()
    assert not caplog.text  # every configuration of an older run has the empty list
