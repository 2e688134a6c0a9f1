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
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mecam.budget import check_regular_file, small_json
from mecam.config import DataConfig, decode
from mecam.data.collate import Collator
from mecam.data.datasets import Dataset
from mecam.data.normalise import Normaliser
from mecam.data.store import Store
from mecam.data.tokens import Tokenizer
from mecam.errors import DataError, MecamError, MissingExtraError, ModelError
from mecam.files import NO_ROOM, set_alike, usual_mode, whole_folder
from mecam.hashes import check_files, check_record, record_sha256, sha256_of
from mecam.models.base import Inputs, Model
from mecam.models.calibration import IntervalScale, RecordingContext
from mecam.models.registry import MODELS
from mecam.models.sizes import build_within
from mecam.types import TEXT, Utterance
from mecam.version import __version__

__all__ = ["ALLOW_ENCODER", "Checkpoint", "Trained", "build_model", "check_features", "load_checkpoint", "not_finite"]
__all__ += ["save_checkpoint"]

FORMAT = "mecam-checkpoint"
VERSION = 1
CONFIG, WEIGHTS, TEXT_ENCODER = "config.json", "model.safetensors", "text_encoder"

OWN = "config_sha256"
"""Key of the configuration's own SHA-256: of all its other keys."""

MAX_CHECKPOINT_CONFIG_BYTES = 64 << 20
"""Of `config.json`; ours have some 100 kB."""

ALLOW_ENCODER: ContextVar[bool] = ContextVar("allow_encoder", default=False)
"""Whether checkpoints may name encoders that lie elsewhere, where `load_checkpoint` is not told; a command sets it."""


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
    widening: IntervalScale | None = None
    recording: RecordingContext | None = None
    data_name: str = ""
    synthetic: bool = False

    @property
    def half_width(self) -> float | None:
        """Of the interval around the score of a complete utterance; None without one."""
        return next(iter(self.calibration.values()), None)


@dataclass(frozen=True)
class Trained:
    """A model ready to predict, with how its inputs are made.

    Attributes:
        model: with its weights.
        checkpoint: what is known beside them.
        tokenizer: of its text encoder, if it has one.
        allow_encoder: True if it may name encoders (of speech too) that are fetched, or lie elsewhere on this machine.
    """

    model: Model
    checkpoint: Checkpoint
    tokenizer: Tokenizer | None
    allow_encoder: bool = False

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
        _write_weights(partial / WEIGHTS, model)
        if trained.tokenizer is not None:
            model.encoders.text.network.config.save_pretrained(partial / TEXT_ENCODER)  # type: ignore[union-attr, operator]
            trained.tokenizer.save(partial / TEXT_ENCODER)
        content["sha256"] = {name: sha256_of(partial / name) for name in _files_of(partial)}
        content[OWN] = record_sha256(content, OWN)
        (partial / CONFIG).write_text(json.dumps(content, indent=1), encoding="utf-8")
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
        raise ModelError("there is no checkpoint here", where=str(folder), fix="give a run folder of `mecam train`")
    try:
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
    content = _configuration(folder)
    name: str = content["model"]["name"]
    if name not in MODELS:
        raise ModelError(f"there is no model {name!r}", fix=f"known: {', '.join(MODELS)}")
    options: Any = decode(MODELS[name].config, content["model"]["options"], where="model")
    if hasattr(options, "encoder"):
        options = replace(options, encoder=_encoder_of(folder, content, options.encoder, allow_encoder))
    checkpoint = Checkpoint(
        name=name,
        options=options,
        inputs=Inputs.from_json(content["inputs"]),
        data=decode(DataConfig, content["data"], where="data"),
        normaliser=Normaliser.from_json(content["normaliser"]),
        calibration={level: float(width) for level, width in content["calibration"].items()},
        widening=IntervalScale.from_json(content["widening"]) if content.get("widening") else None,
        recording=RecordingContext.from_json(content["recording"]) if content.get("recording") else None,
        data_name=content["trained_on"]["name"],
        synthetic=content["trained_on"]["synthetic"],
    )
    _require_finite(checkpoint)
    weights = folder / WEIGHTS
    check_regular_file(weights)
    model: Model = build_within(weights, lambda: MODELS[name].model(options, checkpoint.inputs, pretrained=False))
    _fill(model, load_file(weights), name, content.get("mecam"))
    if model.text_encoder is None:
        return Trained(model.eval(), checkpoint, None, allow_encoder)
    tokenizer = Tokenizer(model.text_encoder, max_tokens=checkpoint.data.max_tokens)
    # Where its files are missing, `transformers` makes up an empty tokenizer, to which every word is unknown.
    if len(tokenizer) != content["vocabulary"]:
        raise ModelError(f"the tokenizer knows {len(tokenizer)} pieces instead of {content['vocabulary']}")
    return Trained(model.eval(), checkpoint, tokenizer, allow_encoder)


def _configuration(folder: Path) -> dict[str, Any]:
    """What `config.json` says, once it is clear that it is ours and that no file was changed since."""
    path = folder / CONFIG
    content: dict[str, Any] = small_json(path, most=MAX_CHECKPOINT_CONFIG_BYTES)
    if content["format"] != FORMAT:
        raise ModelError("this is not a checkpoint of mecam")
    if content["version"] > VERSION:
        raise ModelError(
            f"version {content['version']} is newer than this mecam reads ({VERSION})", fix="upgrade mecam"
        )
    check_record(content, OWN, path, fix=f"train again; if you changed it yourself, remove {OWN} from it")
    if "sha256" in content:  # checkpoints of earlier versions do not say
        known: Mapping[str, str] = content["sha256"]
        here = _files_of(folder)
        if strange := sorted(set(here) ^ set(known)):
            where = "was added later" if strange[0] in here else "is missing"
            raise ModelError(f"{strange[0]} {where}", fix="train again, or copy the checkpoint again")
        check_files(folder, known, beside=CONFIG, full=False, fix="train again, or copy the checkpoint again")
    return content


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
    waiting: list[Any] = [small_json(path, most=MAX_CHECKPOINT_CONFIG_BYTES)]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
            found += [f"{key} = {value!r:.60}" for key, value in one.items() if value and _points_away(key)]
        elif isinstance(one, list):
            waiting += one
    return found


def _points_away(key: str) -> bool:
    return key == "auto_map" or key.endswith("_file") or "backbone" in key


def _require_finite(checkpoint: Checkpoint) -> None:
    """Refuse numbers with which every answer would be NaN."""
    normaliser = checkpoint.normaliser
    arrays = [*normaliser.centre.values(), *normaliser.scale.values(), [*checkpoint.calibration.values()]]
    if not all(np.isfinite(np.asarray(values, np.float64)).all() for values in [*arrays, [normaliser.clip]]):
        raise ModelError(f"a number in {CONFIG} is not finite: of the features' scales, or the width of the interval")
    if any((scale <= 0).any() for scale in normaliser.scale.values()):
        raise ModelError(f"a scale in {CONFIG} is not positive")


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


def not_finite(tensors: Mapping[str, Tensor]) -> str:
    """What is not a finite number among weights, in words; empty where all are."""
    bad = [(name, t) for name, t in tensors.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]
    if not bad:
        return ""
    kind = "NaN" if any(bool(torch.isnan(t).any()) for _, t in bad) else "infinity"
    return f"{kind}: {bad[0][0]}" + (f" and {len(bad) - 1} more" if len(bad) > 1 else "")


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
                f"the {modality} features differ: the model was trained on {there.extractor} of width {there.width}, "
                f"the store has {here.extractor} of width {here.width}",
                where=str(store.path),
                fix="extract the same features, or train on this store",
            )
    readable = set(store.specs) | ({TEXT} if store.has_text else set())
    if trained.model.reads and not readable & set(trained.model.reads):
        raise ModelError(f"the store has none of {', '.join(trained.model.reads)}", where=str(store.path))
