"""Configuration: frozen dataclasses; YAML and dotted overrides in, resolved YAML out.

Bounds are written on the fields (`Annotated[float, Gt(0)]`), so that pydantic reports every problem of a
file at once. Defaults < YAML < `--set key=value`.
"""

import dataclasses
import difflib
import logging
import math
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from mecam.budget import check_regular_file
from mecam.errors import ConfigError, DataError

if TYPE_CHECKING:
    import yaml

__all__ = [
    "AugmentationConfig",
    "Between",
    "Choice",
    "DataConfig",
    "Range",
    "TrainingConfig",
    "apply_overrides",
    "decode",
    "dump_yaml",
    "parse_yaml",
    "read_yaml",
]

_log = logging.getLogger(__name__)

RENAMED = {("DataConfig", "damaged"): "corrupted_stores"}
"""Group and old name of an option → its name; the old one is accepted until the next release."""

MAX_CONFIG_BYTES = 1 << 20
MAX_VALUES, MAX_LEVELS, MAX_CHARACTERS = 10_000, 40, 4_000
"""What a configuration may hold once every alias is unfolded, and how deep; ours hold a hundred on four levels."""

C = TypeVar("C")
Rate = Annotated[float, Ge(0), Le(1)]
Dropout = Annotated[float, Ge(0), Lt(1)]
Positive = Annotated[float, Gt(0), Le(1e6)]
Weight = Annotated[float, Ge(0), Le(1e6)]
Count = Annotated[int, Ge(1), Le(8192)]
"""Of units, layers, heads, seeds: larger ones are slips, and fill any memory."""
Many = Annotated[int, Ge(1), Le(65_536)]
LearningRate = Annotated[float, Gt(0), Le(10)]


@dataclass(frozen=True)
class Between:
    """Any number from `low` to `high`, both among them; whole ones where both are whole.

    Attributes:
        low: smallest.
        high: largest.
        log: each doubling is as likely as any other.
    """

    low: int | float
    high: int | float
    log: bool = False

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}" + (", log" if self.log else "")

    @property
    def ends(self) -> tuple[Any, ...]:
        """What must be possible if anything between is."""
        return self.low, self.high


@dataclass(frozen=True)
class Choice:
    """One of these."""

    values: tuple[Any, ...]

    def __contains__(self, value: Any) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))

    @property
    def ends(self) -> tuple[Any, ...]:
        """All of them."""
        return self.values


Range: TypeAlias = Between | Choice


@dataclass(frozen=True)
class DataConfig:
    """How utterances become batches."""

    batch_size: Many = 32
    """Utterances per step."""
    max_tokens: Annotated[int, Ge(8), Le(65_536)] = 128
    """Sub-words of a text that are read; the rest is cut off at a word's end."""
    clip: Positive = 5.0
    """Normalised features are limited to ± this many robust standard deviations."""
    zero_rows_missing: bool = True
    """Take a row of nothing but zeros, which is how feature files write a frame that was lost, as missing."""
    target: str = ""
    """What is learned, of a store that has several targets (`mecam data info` lists them); empty is the first."""
    without: tuple[str, ...] = ()
    """Modalities to leave out, as in `[audio]`."""
    corrupted_stores: tuple[str, ...] = ()
    """Stores of the same utterances from corrupted recordings (`mecam extract --corrupt any`), for corrupted views."""
    workers: Annotated[int, Ge(0), Le(256)] | None = field(default=None, compare=False)  # it changes no number
    """Processes that make the training batches; 0: the main one does. By default 0, and up to four for each GPU."""


@dataclass(frozen=True)
class AugmentationConfig:
    """Corruption of the training utterances of any model, drawn anew each epoch; the labels stay.

    Off by default. A model that learns from a corrupted view too (`training.view_rate`) gets the view beside these.
    """

    missing: Rate = 0.0
    """Share of the utterances that lose rows and words at random, each at a rate of its own between 0 and 1."""
    corrupted: Rate = 0.0
    """How likely each modality is corrupted, in one of the ways of a corrupted view."""
    absent: Rate = 0.0
    """How likely each modality is taken away altogether, but never the last (modality dropout)."""


@dataclass(frozen=True)
class TrainingConfig:
    """The one training loop."""

    epochs: Annotated[int, Ge(0), Le(100_000)] = 8
    """At most; early stopping may end it before."""
    patience: Many = 5
    """Epochs without a better validation score before stopping."""
    select: str = "auto"
    """Validation metric that chooses the checkpoint: `mae` for scores, `uar` for classes, `f1_mean` for labels."""
    keep: Literal["best", "last"] = "best"
    """Weights of the epoch that is best on validation, or of the last one. Where few speakers validate, an early epoch
    is best by chance, and `patience` then ends the training before the learning rate has fallen."""
    learning_rate: LearningRate = 3e-3
    """For everything but the text encoder."""
    encoder_learning_rate: LearningRate = 1e-4
    """For the pretrained text encoder."""
    layer_decay: Annotated[float, Gt(0), Le(1)] = 1.0
    """Each encoder layer further from the output learns at this fraction of the rate above it."""
    weight_decay: Weight = 3.0
    """AdamW, on matrices only, for everything but the text encoder."""
    encoder_weight_decay: Weight = 1e-2
    """The same for the text encoder."""
    warmup: Rate = 0.1
    """Fraction of all steps over which the rate rises; then it falls linearly to 0."""
    clip_norm: Positive = 1.0
    """Gradient norm above which a step is scaled down."""
    accumulate: Many = 1
    """Batches per optimiser step."""
    average: Annotated[float, Ge(0), Lt(1)] = 0.98
    """Decay of a running average of the weights, which is then what is validated and kept; 0 is off."""
    precision: Annotated[Literal["auto", "32", "tf32", "bf16", "16"], BeforeValidator(str)] = "auto"
    """`auto` takes bf16 where the hardware gains from it; `tf32` multiplies matrices of 32 bits with fewer digits."""
    compile: bool = False
    """Compile the text encoder (`torch.compile`, needs a C++ compiler): a minute first, then faster steps on a GPU."""
    seed: Annotated[int, Ge(0), Le(2**31)] = 1111
    """The first seed; further ones count up."""
    view_rate: Rate = 0.5
    """How likely each modality of a corrupted view is touched, for models that ask for views."""
    view_missing: Rate = 0.0
    """Share of the views that instead lose rows and words at random, at a rate of their own between 0 and 1."""
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    """Corrupted utterances to learn from, for every model."""
    recording_context: bool = False
    """Let the other utterances of a recording make up for what one of them has lost (scores only)."""
    tensorboard: bool = False
    """Also write the history into `RUN/tensorboard`, epoch by epoch (extra `tensorboard`)."""


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises: ConfigError if it is missing or is something else.
    """
    try:
        size = check_regular_file(Path(path))
        text = Path(path).read_text(encoding="utf-8")
    except DataError as error:
        raise ConfigError(error.what, where=str(path), fix=error.fix) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration cannot be read: {error}", where=str(path)) from error
    if size > MAX_CONFIG_BYTES:
        raise ConfigError(f"a file of {size:,} bytes is too large for a configuration", where=str(path))
    content = parse_yaml(text, where=str(path))
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError("a configuration must be a mapping of keys to values", where=str(path))
    return content


def parse_yaml(text: str, *, where: str) -> Any:
    """Read YAML that may come from anyone: plain values in lists and mappings, with aliases as far as they stay small.

    Raises: ConfigError if it is no YAML, holds itself, or would unfold to more than a configuration holds.
    """
    import yaml  # a prediction need not wait for it: it reads no configuration

    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _unfolded(node, {}, 0)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ConfigError(f"the configuration cannot be read: {error}", where=where) from error
    except RecursionError as error:
        raise ConfigError("the configuration is nested too deeply", where=where) from error
    except (ValueError, TypeError, OverflowError, AttributeError, LookupError) as error:
        detail = "a number of thousands of digits" if "digits" in str(error) else str(error)[:120]
        what = f"a value of the configuration cannot be read: {detail}"
        raise ConfigError(what, where=where) from error
    finally:
        loader.dispose()


def _unfolded(node: "yaml.Node", known: dict[int, int], depth: int) -> int:
    """Values below a node, each alias counted as what it stands for.

    Raises: yaml.YAMLError if they are too many or nested too deep, or a node holds itself.
    """
    import yaml

    if id(node) in known:
        if not known[id(node)]:
            raise yaml.YAMLError("a value contains itself")
        return known[id(node)]
    if depth > MAX_LEVELS:
        raise yaml.YAMLError("it is nested too deeply")
    if isinstance(node, yaml.ScalarNode) and len(node.value) > MAX_CHARACTERS:
        raise yaml.YAMLError(f"a value of {len(node.value):,} characters")
    known[id(node)] = 0
    below: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        below = node.value
    elif isinstance(node, yaml.MappingNode):
        below = [part for pair in node.value for part in pair]
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            raise yaml.YAMLError(f"the key {max(keys, key=keys.count)!r:.60} occurs twice")
    count = 1 + sum(_unfolded(part, known, depth + 1) for part in below)
    if count > MAX_VALUES:
        raise yaml.YAMLError(f"it unfolds to more than {MAX_VALUES:,} values")
    known[id(node)] = count
    return count


def apply_overrides(config: Mapping[str, Any], overrides: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Return `config` with each `a.b=value` of `overrides` set.

    Args:
        config: nested mappings of plain values.
        overrides: texts `a.b=value`, whose values are read as YAML; or a mapping `a.b` → value.

    Raises: ConfigError for an override without `=`, or below a single option.
    """
    result = _copied(config)
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            _set(result, str(key), value, where=f"set: {key}")
        return result
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key.strip():
            raise ConfigError(
                f"{override!r} does not set an option", where="--set", fix="write key=value, as in model.width=64"
            )
        _set(result, key, parse_yaml(text, where=f"--set {key}"), where=f"--set {override}")
    return result


def _set(config: dict[str, Any], key: str, value: Any, *, where: str) -> None:
    """Set one option of nested mappings, in place."""
    *parents, last = key.strip().split(".")
    place = config
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise ConfigError(f"{parent!r} is a single option, not a group", where=where)
    place[last] = value


def decode(kind: type[C], values: Mapping[str, Any], *, where: str) -> C:
    """Build the dataclass `kind` from plain values.

    Args:
        kind: a frozen dataclass, possibly of further dataclasses.
        values: nested mappings of plain values.
        where: the group's name, for messages; empty at the top.

    Raises: ConfigError listing every unknown key (with a suggestion) and every bad value.
    """
    values = _with_new_names(kind, values, where)
    problems = list(_unknown_keys(kind, values, where))
    try:
        result = TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        for item in error.errors():
            problems.append(f"{_dotted(where, *item['loc'])}: {_expected(item)}, got {_shown(item['input'])}")
    if problems:
        raise ConfigError("\n".join(problems), fix="`mecam models NAME` lists every option and its default")
    return result


def dump_yaml(config: Mapping[str, Any]) -> str:
    """Plain values as YAML text; dataclasses become mappings."""
    import yaml

    plain = {
        key: dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
        for key, value in config.items()
    }
    return yaml.safe_dump(_without_tuples(plain), sort_keys=False, allow_unicode=True)


def _with_new_names(kind: Any, values: Any, where: str) -> Any:
    """The values under today's names of the options; an old name that sets anything is told."""
    if not dataclasses.is_dataclass(kind) or not isinstance(values, Mapping):
        return values
    types = typing.get_type_hints(kind)
    result: dict[Any, Any] = {}
    for key, value in values.items():
        now = RENAMED.get((getattr(kind, "__name__", ""), str(key)), str(key))
        if now != key and value not in ([], (), None):
            names = _dotted(where, key), _dotted(where, now)
            _log.warning("%s is now called %s: the old name will not work in the next release", *names)
        result[now] = _with_new_names(types.get(now), value, _dotted(where, key))
    return result


def _unknown_keys(kind: Any, values: Any, where: str) -> Iterator[str]:
    if not dataclasses.is_dataclass(kind) or not isinstance(values, Mapping):
        return
    types = typing.get_type_hints(kind)
    known = [item.name for item in dataclasses.fields(kind)]
    for key, value in values.items():
        if key in known:
            yield from _unknown_keys(types[key], value, _dotted(where, key))
        else:
            close = difflib.get_close_matches(str(key), known, n=1)
            close = close or [place for place in _places(kind) if place.rpartition(".")[2] == key]
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
            yield f"{_dotted(where, key)}: no such option; {hint}"


def _places(kind: Any) -> Iterator[str]:
    """Dotted names of the options in the groups below a dataclass."""
    types = typing.get_type_hints(kind)
    for group in (item.name for item in dataclasses.fields(kind) if dataclasses.is_dataclass(types[item.name])):
        yield from (f"{group}.{item.name}" for item in dataclasses.fields(types[group]))
        yield from (f"{group}.{below}" for below in _places(types[group]))


EXPECTED = {
    "int_": "a whole number is needed",
    "float_": "a number is needed",
    "bool_": "true or false is needed",
    "string_": "a text is needed",
    "list_": "a list is needed",
    "tuple_": "a list is needed",
    "dataclass_": "a group of options is needed",
    "dict_": "a group of options is needed",
    "finite_number": "a finite number is needed",
    "greater_than_equal": "a value of at least {ge} is needed",
    "greater_than": "a value above {gt} is needed",
    "less_than_equal": "a value of at most {le} is needed",
    "less_than": "a value below {lt} is needed",
    "literal_error": "one of {expected} is needed",
    "too_short": "at least {min_length} entries are needed",
    "too_long": "at most {max_length} entries are allowed",
}
"""Start of a pydantic error's type → what the option takes; the longer start comes first."""


def _expected(item: Mapping[str, Any]) -> str:
    """What an option takes, from pydantic's description of a bad value."""
    for start, text in EXPECTED.items():
        if item["type"].startswith(start):
            return text.format(**item.get("ctx", {}))
    return str(item["msg"]).lower()


def _shown(value: Any) -> str:
    """A value in an error, cut off where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write very long integers
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:80]}…"


def _dotted(*parts: object) -> str:
    return ".".join(str(part) for part in parts if part != "")


def _copied(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(item) if isinstance(item, Mapping) else item for key, item in value.items()}


def _without_tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_tuples(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tuples(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"a configuration must contain finite numbers only, got {value}")
    return value
