"""One dictionary: name → model and its configuration."""

from collections.abc import Callable
from typing import Any, NamedTuple

from mecam.models.base import Model
from mecam.models.constant import Constant, ConstantConfig
from mecam.models.mecam import Mecam, MecamConfig
from mecam.models.text_only import TextOnly, TextOnlyConfig

__all__ = ["MODELS", "Entry"]


class Entry(NamedTuple):
    """A model and the dataclass of its options."""

    model: Callable[..., Model]
    config: type[Any]


MODELS: dict[str, Entry] = {
    "mecam": Entry(Mecam, MecamConfig),
    "text_only": Entry(TextOnly, TextOnlyConfig),
    "constant": Entry(Constant, ConstantConfig),
}
