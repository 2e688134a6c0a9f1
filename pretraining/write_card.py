"""Write the card of a part of the built-in model, with the hashes of its files."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mecam.hashes import sha256_of
from mecam.pretrained.cards import FOLDER, Card

NOT_FOR = (
    "Decisions about single people. In the European Union, inferring emotions of people at work or in education from "
    "their face or voice is forbidden (Regulation 2024/1689, Art. 5(1)(f))."
)


def write_card(card: Card, files: Sequence[Path]) -> Path:
    """Write a card into the package.

    Args:
        card: without `files`.
        files: of the part, below `FOLDER`.
    """
    hashes = {path.relative_to(FOLDER).as_posix(): sha256_of(path) for path in files}
    values = {**asdict(card), "files": hashes}
    place = FOLDER / "cards" / f"{card.name}.json"
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return place
