"""What is known of each part of the built-in model: where it is from, what it learned from, how well it does."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from mecam.errors import ModelError
from mecam.hashes import sha256_of

__all__ = ["DEMO_CLIP", "FOLDER", "Card", "Measured", "Tier", "cards", "damaged_files"]

FOLDER = Path(__file__).parent
"""Where the weights lie."""

DEMO_CLIP = FOLDER / "demo" / "clip.mp4"
"""A rendered clip to try the built-in model on; its captions lie beside it."""

Tier = Literal["permissive", "research"]
"""Whether what it learned from allows any use, or research only."""


@dataclass(frozen=True)
class Measured:
    """A quality, measured on data that the part never saw.

    Attributes:
        data: on what, with the number of utterances or clips.
        metric: its name and unit.
        value: measured.
        low: lower end of the 95 % interval over speakers, recordings or comments, where one was computed.
        high: its upper end.
        note: how, where it is not plain.
    """

    data: str
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Card:
    """What a user must know of a part before relying on it.

    Attributes:
        name: of the part.
        reads: `text`, `audio` or `vision`.
        says: what it answers, in a sentence.
        learned_from: data → its licence.
        tier: see `Tier`.
        licence: of the weights.
        measured: how well it does.
        limits: what it does not know.
        not_for: what it must not be used for.
        files: name below the folder of the weights → SHA-256.
        made_by: the command that makes it.
        seeds: of its training.
    """

    name: str
    reads: str
    says: str
    learned_from: Mapping[str, str]
    tier: Tier
    licence: str
    measured: tuple[Measured, ...]
    limits: str
    not_for: str
    files: Mapping[str, str] = field(default_factory=dict)
    made_by: str = "make pretrained"
    seeds: tuple[int, ...] = ()


@cache
def cards() -> Mapping[str, Card]:
    """The cards of all parts, by name.

    Raises: ModelError if one is damaged.
    """
    found = {}
    for path in sorted((FOLDER / "cards").glob("*.json"), key=lambda path: path.stem):
        try:
            values: Any = json.loads(path.read_text(encoding="utf-8"))
            found[path.stem] = TypeAdapter(Card).validate_python(values)
        except (OSError, ValueError, ValidationError) as error:
            what = f"the card {path.name} cannot be read ({type(error).__name__})"
            raise ModelError(what, where=str(path.parent), fix="install mecam again") from error
    return found


def damaged_files() -> list[str]:
    """Files of the built-in model that are missing, or are not what their cards say."""
    known = {name: sha256 for card in cards().values() for name, sha256 in card.files.items()}
    return [name for name, sha in known.items() if not (FOLDER / name).is_file() or sha256_of(FOLDER / name) != sha]
