"""Save and load a trained model with all that predicting needs: weights, options, feature specs, calibration.

checkpoint/
model.safetensors   weights
config.json         model name and options, inputs, batching, normalisation, calibration, SHA-256 of all files
text_encoder/       the text encoder's architecture and tokenizer, where one is used

A checkpoint may come from a stranger. It is read as data and holds all that it needs: one that asks for an encoder from
elsewhere is refused unless the user allows it, and so is one whose files were changed, whose numbers are not finite, or
whose configuration describes more than its weights can fill.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mecam.arrays import BatchArrays, OutputArrays
from mecam.budget import check_regular_file, small_json
from mecam.config import DataConfig, decode
from mecam.data.collate import Collator
from mecam.data.datasets import Dataset
from mecam.data.mixture import Mixture
from mecam.data.store import Store
from mecam.data.tokens import PretrainedTokenizer
from mecam.errors import DataError, MecamError, MissingExtraError, ModelError, missing_extras
from mecam.files import NO_ROOM, set_alike, usual_mode, whole_folder
from mecam.hashes import sha256_of
from mecam.models.base import Model
from mecam.models.checkpoint import (
    ALLOW_ENCODER,
    CONFIG,
    MAX_DESCRIPTION_BYTES,
    TEXT_ENCODER,
    WEIGHTS,
    Checkpoint,
    Preprocessor,
    no_checkpoint,
    read_description,
    sealed,
)
from mecam.models.inputs import Inputs
from mecam.models.registry import MODELS
from mecam.models.sizes import build_within
from mecam.models.torch_network import TorchNetwork, not_finite
from mecam.nn.text import TextEncoder
from mecam.types import Modality, Utterance
from mecam.version import __version__

__all__ = ["Trained", "build_model", "load_checkpoint"]
__all__ += ["save_checkpoint"]

FORMAT = "mecam-checkpoint"
VERSION = 1


@dataclass(frozen=True)
class Trained:
    """A model of PyTorch ready to predict, with how its inputs are made: a `mecam.models.backend.Backend`.

    Attributes:
        model: with its weights.
        checkpoint: what is known beside them.
        tokenizer: of its text encoder, if it has one.
        allow_encoder: True if it may name encoders (of speech too) that are fetched, or lie elsewhere on this machine.
    """

    model: Model
    checkpoint: Checkpoint
    tokenizer: PretrainedTokenizer | None
    allow_encoder: bool = False

    @property
    def preprocessor(self) -> Preprocessor:
        """Makes what the model reads."""
        return Preprocessor(self.checkpoint, self.model.reads, self.tokenizer)

    @property
    def reads(self) -> tuple[Modality, ...]:
        """The modalities that the model is given."""
        return self.model.reads

    def run(self, batch: BatchArrays, *, total: int, details: bool = False) -> OutputArrays:
        """As `Network.run`, on the device that the model is on."""
        return TorchNetwork(self.model, self.checkpoint.inputs.task).run(batch, total=total, details=details)

    def weights_fault(self) -> str:
        """As `Network.weights_fault`."""
        return not_finite(dict(self.model.named_parameters()))

    @property
    def collator(self) -> Collator:
        """Makes the batches that the model reads."""
        return self.preprocessor.collator

    def dataset(self, source: Store | Sequence[Utterance], indices: NDArray[np.int64] | None = None) -> Dataset:
        """As `Preprocessor.dataset`."""
        return self.preprocessor.dataset(source, indices)

    def remember_texts(self, datasets: Iterable[Dataset | Mixture]) -> None:
        """Let its text encoder compute these transcripts' lower layers once, as far as they are frozen."""
        encoders = [part for part in self.model.modules() if isinstance(part, TextEncoder)]
        texts = [ids for dataset in datasets for ids in dataset.token_ids] if encoders else []
        for encoder in encoders:
            encoder.remember(texts)


def build_model(name: str, options: Any, inputs: Inputs, data: DataConfig) -> tuple[Model, PretrainedTokenizer | None]:
    """Build an untrained model and the tokenizer that its text encoder needs."""
    model = MODELS[name].model(options, inputs)
    tokenizer = PretrainedTokenizer(model.text_encoder, max_tokens=data.max_tokens) if model.text_encoder else None
    return model, tokenizer


def save_checkpoint(folder: Path, trained: Trained) -> None:
    """Write `folder`, whole or not at all."""
    tokenizer = trained.tokenizer
    content = {
        "format": FORMAT,
        "version": VERSION,
        "mecam": __version__,
        **trained.checkpoint.to_json(),
        "vocabulary": None if tokenizer is None else len(tokenizer),
    }
    with whole_folder(folder) as partial:
        _write_weights(partial / WEIGHTS, trained.model)
        if tokenizer is not None:
            trained.model.encoders.text.network.config.save_pretrained(partial / TEXT_ENCODER)  # type: ignore[union-attr, operator]
            tokenizer.save(partial / TEXT_ENCODER)
        whole = sealed(content, {name: sha256_of(partial / name) for name in _files_of(partial)})
        (partial / CONFIG).write_text(json.dumps(whole, indent=1), encoding="utf-8")
        set_alike(partial / name for name in (CONFIG, *_files_of(partial)))


def _write_weights(path: Path, model: Model) -> None:
    """Write the weights, readable by everybody who may read our other files: the library makes them the owner's."""
    mode = usual_mode(path.parent)
    try:
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    except SafetensorError as error:
        raise DataError(f"cannot write here: {error}", where=str(path.parent), fix=NO_ROOM) from error
    path.chmod(mode)


def _files_of(folder: Path) -> list[str]:
    """What lies in a checkpoint folder beside its configuration, by name."""
    inside = sorted(path for path in (folder / TEXT_ENCODER).rglob("*") if path.is_file())
    seen = [WEIGHTS, *(path.relative_to(folder).as_posix() for path in inside)]
    return [name for name in seen if not name.rpartition("/")[2].startswith(".")]


def load_checkpoint(folder: str | Path, *, allow_encoder: bool | None = None) -> Trained:
    """Load a checkpoint folder, or the checkpoint of a run folder.

    Args:
        folder: of a run, or of a checkpoint.
        allow_encoder: let it name encoders that it does not hold: they are fetched, or read from elsewhere on this
            machine. None takes what the command line was told, which is no by default.

    Raises: ModelError if there is none, it is damaged or of an unknown model, or asks for what it may not.
    """
    allow_encoder = ALLOW_ENCODER.get() if allow_encoder is None else allow_encoder
    folder = Path(folder)
    if (folder / "checkpoint").is_dir():
        folder = folder / "checkpoint"
    if not (folder / CONFIG).is_file():
        raise no_checkpoint(folder)
    try:
        with missing_extras():
            return _read(folder, allow_encoder)
    except MissingExtraError:
        raise
    except MecamError as error:
        what, fix = error.what, error.fix
    except MemoryError:
        what, fix = "there is not enough memory", None
    except SafetensorError as error:
        what, fix = str(error), None
    except Exception as error:  # whatever a changed number or name makes of PyTorch and `transformers`
        what, fix = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", None
    raise ModelError(f"the checkpoint cannot be read: {what}", where=str(folder), fix=fix or "train again")


def _read(folder: Path, allow_encoder: bool) -> Trained:
    """Read the folder; whatever is wrong with it may show as any kind of error."""
    content = read_description(
        folder / CONFIG, kind=FORMAT, newest=VERSION, files=_files_of(folder), again="train again"
    )
    name: str = content["model"]["name"]
    if name not in MODELS:
        raise ModelError(f"there is no model {name!r}", fix=f"known: {', '.join(MODELS)}")
    options: Any = decode(MODELS[name].config, content["model"]["options"], where="model")
    if hasattr(options, "encoder"):
        options = replace(options, encoder=_encoder_of(folder, content, options.encoder, allow_encoder))
    checkpoint = Checkpoint.from_json(content, options=options)
    weights = folder / WEIGHTS
    check_regular_file(weights)
    model: Model = build_within(weights, lambda: MODELS[name].model(options, checkpoint.inputs, pretrained=False))
    _fill(model, load_file(weights), name, content.get("mecam"))
    if model.text_encoder is None:
        return Trained(model.eval(), checkpoint, None, allow_encoder)
    tokenizer = PretrainedTokenizer(model.text_encoder, max_tokens=checkpoint.data.max_tokens)
    # Where its files are missing, `transformers` makes up an empty tokenizer, to which every word is unknown.
    if len(tokenizer) != content["vocabulary"]:
        raise ModelError(f"the tokenizer knows {len(tokenizer)} pieces instead of {content['vocabulary']}")
    return Trained(model.eval(), checkpoint, tokenizer, allow_encoder)


def _encoder_of(folder: Path, content: Mapping[str, Any], named: str, allowed: bool) -> str:
    """Where the text encoder is: in the checkpoint; where the configuration says only if the user allows that.

    Raises: ModelError if it would be fetched, or read from elsewhere on this machine.
    """
    own = folder.resolve() / TEXT_ENCODER
    asks = f"needs the text encoder {named!r}, which it does not contain"
    if own.is_dir():
        found = [key for name in (CONFIG, "tokenizer_config.json") for key in _elsewhere(own / name)]
        if not found:
            return str(own)
        asks = f"has a text encoder that needs {found[0]}"
    elif content["vocabulary"] is None:  # it reads no transcripts
        return str(own)
    if allowed:
        return str(own) if own.is_dir() else named
    raise ModelError(
        f"this checkpoint {asks}: it would be downloaded, or loaded from another folder",
        fix="if you trust its source, add --allow-encoder (in Python: allow_encoder=True)",
    )


def _elsewhere(path: Path) -> list[str]:
    """What a configuration of `transformers` asks for from outside its folder: code, files, further networks."""
    if not path.is_file():
        return []
    found: list[str] = []
    waiting: list[Any] = [small_json(path, most=MAX_DESCRIPTION_BYTES)]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
            found += [f"{key} = {value!r:.60}" for key, value in one.items() if value and _points_away(key, value)]
        elif isinstance(one, list):
            waiting += one
    return found


def _points_away(key: str, value: object) -> bool:
    if "attn_implementation" in key:  # a name with a slash is a repository of kernels, which are programs
        return "/" in str(value)
    if key in ("_name_or_path", "name_or_path"):  # where it once was: nothing reads it
        return False
    return key == "auto_map" or key.endswith(("_file", "_path")) or "backbone" in key


def _fill(model: Model, weights: Mapping[str, Tensor], name: str, made_by: object) -> None:
    """Load the weights.

    Raises: ModelError if they are those of another model, or not finite.
    """
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        first = re.search(r'(?:: "|mismatch for )([\w.]+)', str(error))  # of the lines that PyTorch lists
        raise ModelError(
            f"its weights are not those of {name} in mecam {__version__}" + (f": {first[1]} differs" if first else ""),
            fix=f"train again, or use the version of mecam that wrote it ({made_by})",
        ) from error
    if found := not_finite(model.state_dict()):
        raise ModelError(f"the model's weights hold {found}")
