"""Save and load a trained model with all that predicting needs: weights, options, feature specs, calibration.

checkpoint/
model.safetensors   weights
config.json         model name and options, inputs, batching, normalisation, calibration
text_encoder/       the text encoder's architecture and tokenizer, where one is used
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mecam.config import DataConfig, decode
from mecam.data.collate import Collator
from mecam.data.datasets import Dataset
from mecam.data.normalise import Normaliser
from mecam.data.store import Store
from mecam.data.tokens import Tokenizer
from mecam.errors import MecamError, MissingExtraError, ModelError
from mecam.files import whole_folder
from mecam.models.base import Inputs, Model
from mecam.models.recording import RecordingContext
from mecam.models.registry import MODELS
from mecam.models.widening import Widening
from mecam.types import TEXT, Utterance
from mecam.version import __version__

__all__ = ["Checkpoint", "Trained", "build_model", "check_features", "load_checkpoint", "not_finite", "save_checkpoint"]

FORMAT = "mecam-checkpoint"
VERSION = 1
TEXT_ENCODER = "text_encoder"


@dataclass(frozen=True)
class Checkpoint:
    """What is known about a model beside its weights.

    Attributes:
        name: in the registry.
        options: the model's configuration.
        inputs: what it was built for.
        data: batching.
        normaliser: of the features.
        calibration: level → half width of the interval around a score; empty before calibration.
        widening: how the interval grows with what is missing; None where it does not.
        recording: what it makes of the rest of a recording; None where each utterance stands for itself.
        data_name: the data set it learned from.
        synthetic: True if that was the built-in corpus.
    """

    name: str
    options: Any
    inputs: Inputs
    data: DataConfig
    normaliser: Normaliser
    calibration: dict[str, float]
    widening: Widening | None = None
    recording: RecordingContext | None = None
    data_name: str = ""
    synthetic: bool = False

    @property
    def half_width(self) -> float | None:
        """Of the interval around the score of an undamaged utterance; None without one."""
        return next(iter(self.calibration.values()), None)


@dataclass(frozen=True)
class Trained:
    """A model ready to predict, with how its inputs are made."""

    model: Model
    checkpoint: Checkpoint
    tokenizer: Tokenizer | None

    @property
    def collator(self) -> Collator:
        """Makes the batches that the model reads."""
        widths = {m: spec.width for m, spec in self.checkpoint.inputs.features.items() if m in self.model.reads}
        return Collator(self.checkpoint.inputs.task, widths, self.tokenizer)

    def dataset(self, source: Store | Sequence[Utterance], indices: NDArray[np.int64] | None = None) -> Dataset:
        """Utterances, or some of a store, as the model reads them: features normalised, texts tokenised."""
        task, normaliser = self.checkpoint.inputs.task, self.checkpoint.normaliser
        return Dataset(source, indices, task=task, normaliser=normaliser, tokenizer=self.tokenizer)


def build_model(name: str, options: Any, inputs: Inputs, data: DataConfig) -> tuple[Model, Tokenizer | None]:
    """Build an untrained model and the tokenizer that its text encoder needs."""
    model = MODELS[name].model(options, inputs)
    tokenizer = Tokenizer(model.text_encoder, max_tokens=data.max_tokens) if model.text_encoder else None
    return model, tokenizer


def save_checkpoint(folder: Path, trained: Trained) -> None:
    """Write `folder`, whole or not at all."""
    checkpoint, model = trained.checkpoint, trained.model
    content = {
        "format": FORMAT,
        "version": VERSION,
        "mecam": __version__,
        "model": {"name": checkpoint.name, "options": asdict(checkpoint.options)},
        "inputs": checkpoint.inputs.to_json(),
        "data": asdict(checkpoint.data),
        "normaliser": checkpoint.normaliser.to_json(),
        "calibration": checkpoint.calibration,
        "widening": None if checkpoint.widening is None else checkpoint.widening.to_json(),
        "recording": None if checkpoint.recording is None else checkpoint.recording.to_json(),
        "vocabulary": None if trained.tokenizer is None else len(trained.tokenizer),
        "trained_on": {"name": checkpoint.data_name, "synthetic": checkpoint.synthetic},
    }
    with whole_folder(folder) as partial:
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, partial / "model.safetensors")
        (partial / "config.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
        if trained.tokenizer is not None:
            model.encoders.text.network.config.save_pretrained(partial / TEXT_ENCODER)  # type: ignore[union-attr, operator]
            trained.tokenizer.save(partial / TEXT_ENCODER)


def load_checkpoint(folder: str | Path) -> Trained:
    """Load a checkpoint folder, or the checkpoint of a run folder.

    Raises: ModelError if there is none, or it is damaged or of an unknown model.
    """
    folder = Path(folder)
    if (folder / "checkpoint").is_dir():
        folder = folder / "checkpoint"
    if not (folder / "config.json").is_file():
        raise ModelError(
            "there is no checkpoint here", where=str(folder), fix="name a run folder made by `mecam train`"
        )
    try:
        return _read(folder)
    except MissingExtraError:
        raise
    except MecamError as error:
        what, fix = error.what, error.fix
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError, RuntimeError) as error:
        what, fix = f"{type(error).__name__}: {error}", None
    except SafetensorError as error:
        what, fix = str(error), None
    raise ModelError(f"the checkpoint cannot be read: {what}", where=str(folder), fix=fix or "train again")


def _read(folder: Path) -> Trained:
    """Read the folder; whatever is wrong with it may show as any kind of error."""
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if content["format"] != FORMAT:
        raise ModelError("this is no checkpoint of mecam")
    if content["version"] > VERSION:
        raise ModelError(
            f"version {content['version']} is newer than this mecam reads ({VERSION})", fix="upgrade mecam"
        )
    name: str = content["model"]["name"]
    if name not in MODELS:
        raise ModelError(f"no model is called {name!r}", fix=f"known: {', '.join(MODELS)}")
    options: Any = decode(MODELS[name].config, content["model"]["options"], where="model")
    if (folder / TEXT_ENCODER).is_dir() and hasattr(options, "encoder"):
        options = replace(options, encoder=str(folder / TEXT_ENCODER))
    checkpoint = Checkpoint(
        name=name,
        options=options,
        inputs=Inputs.from_json(content["inputs"]),
        data=decode(DataConfig, content["data"], where="data"),
        normaliser=Normaliser.from_json(content["normaliser"]),
        calibration={level: float(width) for level, width in content["calibration"].items()},
        widening=Widening.from_json(content["widening"]) if content.get("widening") else None,
        recording=RecordingContext.from_json(content["recording"]) if content.get("recording") else None,
        data_name=content["trained_on"]["name"],
        synthetic=content["trained_on"]["synthetic"],
    )
    model = MODELS[name].model(options, checkpoint.inputs, pretrained=False)
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except RuntimeError as error:
        first = re.search(r'(?:: "|mismatch for )([\w.]+)', str(error))  # of the lines that PyTorch lists
        raise ModelError(
            f"its weights are not those of {name} in mecam {__version__}" + (f": {first[1]} differs" if first else ""),
            fix=f"train again, or use the mecam that made it (it says {content.get('mecam')})",
        ) from error
    _require_finite(model, checkpoint)
    if model.text_encoder is None:
        return Trained(model.eval(), checkpoint, None)
    tokenizer = Tokenizer(model.text_encoder, max_tokens=checkpoint.data.max_tokens)
    # Where its files are missing, `transformers` makes up an empty tokenizer, to which every word is unknown.
    if len(tokenizer) != content["vocabulary"]:
        raise ModelError(f"the tokenizer knows {len(tokenizer)} pieces instead of {content['vocabulary']}")
    return Trained(model.eval(), checkpoint, tokenizer)


def not_finite(tensors: Mapping[str, Tensor]) -> str:
    """What is not a finite number among weights, in words; empty where all are."""
    bad = [(name, t) for name, t in tensors.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]
    if not bad:
        return ""
    kind = "NaN" if any(bool(torch.isnan(t).any()) for _, t in bad) else "infinity"
    return f"{kind}: {bad[0][0]}" + (f" and {len(bad) - 1} more" if len(bad) > 1 else "")


def _require_finite(model: Model, checkpoint: Checkpoint) -> None:
    """Refuse weights and intervals that are no numbers: every answer would be wrong."""
    if found := not_finite(dict(model.named_parameters())):
        raise ModelError(f"the model's weights hold {found}")
    if not np.isfinite(list(checkpoint.calibration.values())).all():
        raise ModelError(f"the interval around a score has no finite width: {checkpoint.calibration}")


def check_features(trained: Trained, store: Store) -> None:
    """Refuse a store whose features are not those that the model was trained on; absent ones are fine.

    Raises: ModelError naming the first stream that differs.
    """
    known = trained.checkpoint.inputs.features
    for modality in trained.model.reads:
        if modality not in store.specs or modality not in known:
            continue
        here, there = store.specs[modality], known[modality]
        if (here.width, here.extractor) != (there.width, there.extractor):
            raise ModelError(
                f"the {modality} features differ: the model knows {there.extractor} of width {there.width}, "
                f"the store holds {here.extractor} of width {here.width}",
                where=str(store.path),
                fix="extract the same features, or train on this store",
            )
    readable = set(store.specs) | ({TEXT} if store.has_text else set())
    if trained.model.reads and not readable & set(trained.model.reads):
        raise ModelError(f"the store has none of {', '.join(trained.model.reads)}", where=str(store.path))
