"""What `mecam tune` searches: seven options of every model, five that all share and two of its own.

The same number for every model, so that a comparison of tuned models gives each the same budget. A model's own two
stand in its configuration, as `search`. Every default lies inside its range; the defaults are always the first trial.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mecam.config import Between, Choice, Range, parse_yaml
from mecam.errors import ConfigError, MecamError
from mecam.evaluation.metrics import Metric
from mecam.models.registry import MODELS

__all__ = ["Trial", "Tuned", "parsed_ranges", "space_of"]


SHARED: dict[str, Range] = {
    "training.learning_rate": Between(2e-4, 5e-3, log=True),
    "training.encoder_learning_rate": Between(1e-5, 5e-4, log=True),
    "training.layer_decay": Between(0.7, 1.0),
    "training.weight_decay": Between(1e-2, 10.0, log=True),
}
DROPOUT: dict[str, Range] = {"model.dropout": Between(0.0, 0.5)}


@dataclass(frozen=True)
class Trial:
    """One configuration and what came of it.

    Attributes:
        number: in the order of the search, from 1.
        options: dotted name → value.
        state: `complete`, `pruned` (cut short, since it lagged behind) or `failed`.
        score: the selection metric on validation, mean over the trial's seeds; None if there is none.
        epochs: the metric after each epoch of the first seed.
        error: why it failed.
    """

    number: int
    options: Mapping[str, Any]
    state: str
    score: float | None
    epochs: tuple[float, ...]
    error: str = ""


@dataclass(frozen=True)
class Tuned:
    """A search.

    Attributes:
        model: name in the registry.
        data: name of the data set.
        seeds: that every trial trains.
        metric: that was searched by, on validation.
        trials: all of them, in their order.
        best: the best; None where none is complete.
        defaults: the trial of the options that were given, where they lie inside the ranges.
        importance: option → share of what the score depends on; empty for too few trials.
        space: option → where it was searched.
    """

    model: str
    data: str
    seeds: int
    metric: Metric = field(compare=False)  # made of functions, which are never equal
    trials: tuple[Trial, ...]
    best: Trial | None
    defaults: Trial | None
    importance: Mapping[str, float]
    space: Mapping[str, Range]

    def count(self, state: str) -> int:
        """How many trials ended like this."""
        return sum(trial.state == state for trial in self.trials)

    @property
    def budget(self) -> str:
        """What the search may be said to have cost, for tables: trials that failed were tried too."""
        return f"{len(self.trials)} trials" + (f" of {self.seeds} seeds" if self.seeds > 1 else "")


def space_of(name: str, more: Mapping[str, Range] | None = None) -> dict[str, Range]:
    """Everything to search for a model: what all share, and what its configuration adds.

    Args:
        name: in the registry.
        more: further ranges, or other ones.

    Raises: ConfigError if it has nothing to train, or lacks an option of `more`.
    """
    entry = MODELS[name]
    if getattr(entry.model, "reads_nothing", False):
        raise ConfigError("the constant predictor has no options to tune", where="--models", fix="choose another model")
    if hasattr(entry.model, "strengths"):
        raise ConfigError(
            f"{name} has nothing to tune: it chooses how strongly it is regularised itself, on validation",
            where="--models",
            fix="train it as it is",
        )
    fields = {item.name for item in dataclasses.fields(entry.config)}
    own: Mapping[str, Range] = getattr(entry.config, "search", {})
    return {**SHARED, **(DROPOUT if "dropout" in fields else {}), **own, **(more or {})}


def parsed_ranges(texts: Sequence[str]) -> dict[str, Range]:
    """`--search KEY=RANGE` of the command line, RANGE being `low..high`, `low..high:log` or `one|two|three`.

    Raises: ConfigError for what is not a range.
    """
    ranges: dict[str, Range] = {}
    for text in texts:
        key, separator, given = text.partition("=")
        if not separator or "." not in key:
            raise _no_range(text)
        ranges[key.strip()] = _between(given, text) if ".." in given else _choice(given, text)
    return ranges


def _between(given: str, text: str) -> Between:
    span, _, scale = given.partition(":")
    ends = [_plain(part) for part in span.split("..")]
    if len(ends) != 2 or scale not in ("", "log") or not all(isinstance(end, int | float) for end in ends):
        raise _no_range(text)
    low, high = ends
    if not low < high or (scale and low <= 0):
        raise ConfigError(
            f"{given!r} is empty" if not low < high else f"{given!r} has no logarithm for {low}",
            where=f"--search {text}",
            fix="write the smaller number first" if not low < high else "start above 0",
        )
    return Between(low, high, log=bool(scale))


def _choice(given: str, text: str) -> Choice:
    values = tuple(_plain(part) for part in given.split("|"))
    if len(values) < 2 or not all(isinstance(value, str | int | float) for value in values):
        raise _no_range(text)
    return Choice(values)


def _plain(text: str) -> Any:
    """A number wherever it is one: YAML takes 1e-4 for a word."""
    try:
        return float(text) if "e" in text.lower() else parse_yaml(text, where=text)
    except (ValueError, MecamError):
        return text


def _no_range(text: str) -> ConfigError:
    fix = "write KEY=low..high, KEY=low..high:log or KEY=one|two|three, as in training.learning_rate=1e-4..1e-2:log"
    return ConfigError(f"{text!r} is not a range", where="--search", fix=fix)
