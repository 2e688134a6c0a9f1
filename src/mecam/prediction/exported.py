"""An exported model as a folder: names of its files, of what its network reads and of what it answers.

model.onnx       the network, with its weights where they are small numbers (`--int8`)
model.onnx.data  its weights otherwise, which are mapped into memory
tokenizer.json   of its text encoder, where it has one
model.json       all that a checkpoint says beside its weights, and a card: how the export was checked

The network reads, for each modality m that the model is given: `m_values` (B × T × D numbers, or B × T token ids),
`m_mask` (B × T, True where a row is observed), and, where the model needs them, `m_lengths` (B) and `m_words` (B × T,
the word of each token, -1 where it has none). An absent modality is one row that is masked. A network that reads no
modality is given `index` (B numbers), for how many answers are wanted. It answers `prediction`
(B scores, or B × C probabilities), `gate_m` (B × T), `weight_m` (B), `conflict` (B × M), `embedding_*` (B × D).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray
from pydantic import TypeAdapter

from mecam.arrays import BatchArrays
from mecam.data.tokens import SpecialIds, Tokenizer
from mecam.errors import MecamError, ModelError
from mecam.models.checkpoint import EXPORTED, Checkpoint, Preprocessor, read_description
from mecam.prediction.onnx_file import check_network
from mecam.types import TEXT, Modality

__all__ = [
    "DESCRIPTION",
    "FORMAT",
    "INDEX",
    "NETWORK",
    "PARTS",
    "TOKENIZER",
    "VERSION",
    "WEIGHTS",
    "Exported",
]
__all__ += ["Files", "inputs_of", "output_names", "read_exported"]

FORMAT = "mecam-export"
VERSION = 1

DESCRIPTION = EXPORTED
NETWORK, WEIGHTS, TOKENIZER = "model.onnx", "model.onnx.data", "tokenizer.json"


@dataclass(frozen=True)
class Files:
    """What the files of an exported model are called; several may share their weights and their tokenizer.

    Attributes:
        description: of the model.
        network: the network.
        weights: its weights, where they have a file of their own.
        tokenizer: of its text encoder.
        again: what to do where one is damaged.
    """

    description: str = DESCRIPTION
    network: str = NETWORK
    weights: str = WEIGHTS
    tokenizer: str = TOKENIZER
    again: str = "export it again"

    def beside_description(self, folder: Path) -> list[str]:
        """Those of the others that are there."""
        return [name for name in (self.network, self.weights, self.tokenizer) if (folder / name).exists()]


STANDARD = Files()
"""As `mecam export` writes them."""

INDEX = "index"
"""What a network reads that is given no modality."""

PARTS = ("values", "mask", "lengths", "words")
"""Of a stream, what the network may read."""

Value = TypeVar("Value")


def inputs_of(batch: BatchArrays, reads: Sequence[Modality]) -> dict[str, NDArray[Any]]:
    """All that a network may read of a batch, by name; it may need less."""
    given = {f"{m}_{part}": getattr(batch.streams[m], part) for m in reads for part in PARTS}
    return {INDEX: batch.index, **{name: values for name, values in given.items() if values is not None}}


def output_names(kind: str, values: Mapping[str, Value]) -> dict[str, Value]:
    """Answers of one kind by the names that they have in the network."""
    return {f"{kind}_{name}": value for name, value in values.items()}


@dataclass(frozen=True)
class Exported:
    """An exported model, all but its network.

    Attributes:
        network: the file of its network.
        again: what to do where a file is damaged.
        preprocessor: makes what the network reads.
        outputs: names of what the network answers.
        int8: its text encoder computes with 8-bit integers.
        card: how the export was made and checked.
    """

    network: Path
    again: str
    preprocessor: Preprocessor
    outputs: tuple[str, ...]
    int8: bool
    card: Mapping[str, Any]


def read_exported(folder: Path, files: Files = STANDARD) -> Exported:
    """Read an exported model: its files are what was written, and its network asks for no more than they hold.

    Args:
        folder: where it lies.
        files: their names.

    Raises: ModelError if it is damaged, was changed, or asks for what it may not.
    """
    try:
        return _read(folder, files)
    except MecamError as error:
        what, fix = error.what, error.fix
    except Exception as error:  # whatever a changed number or name makes of what reads it
        what, fix = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", None
    raise ModelError(f"the exported model cannot be read: {what}", where=str(folder), fix=fix or files.again)


def _read(folder: Path, files: Files) -> Exported:
    content = read_description(
        folder / files.description,
        kind=FORMAT,
        newest=VERSION,
        files=files.beside_description(folder),
        again=files.again,
    )
    check_network(folder / files.network, data=folder / files.weights)
    checkpoint = Checkpoint.from_json(content)
    reads = tuple(content["reads"])
    if unknown := set(reads) - set(checkpoint.inputs.modalities):
        raise ModelError(f"it reads {', '.join(sorted(unknown))}, of which nothing is known")
    tokenizer = _tokenizer(folder / files.tokenizer, content["tokenizer"])
    if (tokenizer is None) == (TEXT in reads and checkpoint.inputs.raw_text):
        raise ModelError(
            "it reads texts without a tokenizer" if tokenizer is None else "it has a tokenizer and reads no text"
        )
    outputs = tuple(content["outputs"])
    if "prediction" not in outputs:
        raise ModelError("its network answers nothing")
    preprocessor, card = Preprocessor(checkpoint, reads, tokenizer), content["card"]
    return Exported(folder / files.network, files.again, preprocessor, outputs, bool(card["int8"]), card)


def _tokenizer(path: Path, facts: Mapping[str, Any] | None) -> Tokenizer | None:
    if facts is None:
        return None
    special = TypeAdapter(SpecialIds).validate_python({key: facts[key] for key in ("start", "end", "unk", "pad")})
    most = TypeAdapter(int).validate_python(facts["max_tokens"])
    if most <= len(special.start) + len(special.end):
        raise ModelError(f"it reads {most} pieces of a text at most, which leaves no room for words")
    tokenizer = Tokenizer.from_file(path, special, max_tokens=most)
    if len(tokenizer) != facts["vocabulary"]:
        raise ModelError(f"the tokenizer knows {len(tokenizer)} pieces instead of {facts['vocabulary']}")
    if not all(0 <= piece < len(tokenizer) for piece in (*special.start, *special.end, special.unk, special.pad)):
        raise ModelError("the tokenizer has special pieces that it does not know")
    return tokenizer
