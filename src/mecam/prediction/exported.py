"""An exported model as a folder: names of its files, of what its network reads and of what it answers.

model.onnx       the network, with its weights
tokenizer.json   of its text encoder, where it has one
model.json       all that a checkpoint says beside its weights, and a card: how the export was checked

The network reads, for each modality m that the model is given: `m_values` (B × T × D numbers, or B × T token ids),
`m_mask` (B × T, True where a row is observed), and, where the model needs them, `m_lengths` (B) and `m_words` (B × T,
the word of each token, -1 where it has none). An absent modality is one row that is masked. A network that reads no
modality is given `index` (B numbers), for how many answers are wanted. It answers `prediction`
(B scores, or B × C probabilities), `gate_m` (B × T), `weight_m` (B), `conflict` (B × M), `embedding_*` (B × D).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

__all__ = ["DESCRIPTION", "INDEX", "NETWORK", "PARTS", "TOKENIZER", "is_exported", "output_names"]

DESCRIPTION, NETWORK, TOKENIZER = "model.json", "model.onnx", "tokenizer.json"

INDEX = "index"
"""What a network reads that is given no modality."""

PARTS = ("values", "mask", "lengths", "words")
"""Of a stream, what the network may read."""

Value = TypeVar("Value")


def output_names(kind: str, values: Mapping[str, Value]) -> dict[str, Value]:
    """Answers of one kind by the names that they have in the network."""
    return {f"{kind}_{name}": value for name, value in values.items()}


def is_exported(folder: Path) -> bool:
    """Whether a folder is an exported model."""
    return (folder / DESCRIPTION).is_file()
