"""What lies beside the weights of a trained model, and what it makes of data: features, tokens, batches.

Nothing here needs PyTorch: `mecam.models.trained` reads and writes the weights for it, `mecam.prediction.exported` for
ONNX Runtime.
"""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.budget import small_json
from mecam.config import DataConfig, decode
from mecam.data.collate import Collator
from mecam.data.datasets import Dataset
from mecam.data.normalise import Normaliser
from mecam.data.store import Store
from mecam.data.tokens import Tokenizer
from mecam.errors import ModelError
from mecam.hashes import check_files, check_record, record_sha256
from mecam.models.calibration import IntervalScale, RecordingContext
from mecam.models.inputs import Inputs
from mecam.types import TEXT, Modality, Utterance

__all__ = ["ALLOW_ENCODER", "CONFIG", "EXPORTED", "TEXT_ENCODER", "WEIGHTS", "Checkpoint", "Preprocessor"]
__all__ += ["is_exported", "no_checkpoint", "read_description", "sealed", "without_encoder_place"]

ALLOW_ENCODER: ContextVar[bool] = ContextVar("allow_encoder", default=False)
"""Whether checkpoints may name encoders that lie elsewhere, where who loads one is not told; a command sets it."""

OWN = "config_sha256"
"""Key of a description's own SHA-256: of all its other keys."""

CONFIG, WEIGHTS, TEXT_ENCODER = "config.json", "model.safetensors", "text_encoder"
"""What lies in a checkpoint folder: its description, its weights, and the folder of its text encoder."""

EXPORTED = "model.json"
"""The description of an exported model, by which its folder is known."""

MAX_DESCRIPTION_BYTES = 64 << 20
"""Of the description of a model; ours have some 100 kB."""


@dataclass(frozen=True)
class Checkpoint:
    """What is known about a model beside its weights.

    Attributes:
        name: in the registry.
        options: the model's configuration: a dataclass, or plain values where PyTorch is not needed to predict.
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

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the file that lies beside the weights."""
        options = self.options if isinstance(self.options, Mapping) else asdict(self.options)
        return {
            "model": {"name": self.name, "options": dict(options)},
            "inputs": self.inputs.to_json(),
            "data": asdict(self.data),
            "normaliser": self.normaliser.to_json(),
            "calibration": self.calibration,
            "widening": None if self.widening is None else self.widening.to_json(),
            "recording": None if self.recording is None else self.recording.to_json(),
            "trained_on": {"name": self.data_name, "synthetic": self.synthetic},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], *, options: Any = None) -> "Checkpoint":
        """Inverse of `to_json`.

        Args:
            content: what the file says.
            options: the model's configuration; None leaves it as plain values.

        Raises: ModelError if a number is not finite, with which every answer would be NaN.
        """
        checkpoint = cls(
            name=content["model"]["name"],
            options=content["model"]["options"] if options is None else options,
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
        return checkpoint


@dataclass(frozen=True)
class Preprocessor:
    """Makes what a trained model reads out of utterances and stores, whichever library computes it.

    Attributes:
        checkpoint: of the model.
        reads: the modalities that it is given.
        tokenizer: of its text encoder, if it has one.
    """

    checkpoint: Checkpoint
    reads: tuple[Modality, ...]
    tokenizer: Tokenizer | None

    @property
    def collator(self) -> Collator:
        """Makes the batches that the model reads."""
        widths = {m: spec.width for m, spec in self.checkpoint.inputs.features.items() if m in self.reads}
        return Collator(self.checkpoint.inputs.task, widths, self.tokenizer)

    def dataset(self, source: Store | Sequence[Utterance], indices: NDArray[np.int64] | None = None) -> Dataset:
        """Utterances, or some of a store, as the model reads them: features normalised, texts tokenised."""
        task, normaliser = self.checkpoint.inputs.task, self.checkpoint.normaliser
        return Dataset(source, indices, task=task, normaliser=normaliser, tokenizer=self.tokenizer)

    def check_features(self, store: Store) -> None:
        """Refuse a store whose features are not those that the model was trained on; absent ones are fine.

        Raises: ModelError naming the first stream that differs.
        """
        known = self.checkpoint.inputs.features
        for modality in self.reads:
            if modality not in store.specs or modality not in known:
                continue
            here, there = store.specs[modality], known[modality]
            if (here.width, here.extractor) != (there.width, there.extractor):
                raise ModelError(
                    f"the {modality} features differ: the model was trained on {there.extractor} of width "
                    f"{there.width}, the store has {here.extractor} of width {here.width}",
                    where=str(store.path),
                    fix="extract the same features, or train on this store",
                )
        readable = set(store.specs) | ({TEXT} if store.has_text else set())
        if self.reads and not readable & set(self.reads):
            raise ModelError(f"the store has none of {', '.join(self.reads)}", where=str(store.path))


def is_exported(folder: Path) -> bool:
    """Whether a folder is an exported model."""
    return (folder / EXPORTED).is_file()


def no_checkpoint(folder: Path) -> ModelError:
    """The error where a checkpoint is needed and a folder holds none."""
    if is_exported(folder) or is_exported(folder.parent):
        return ModelError(
            "this is an exported model, which predicts and explains",
            where=str(folder),
            fix="give the run folder that it was exported from",
        )
    return ModelError("there is no checkpoint here", where=str(folder), fix="give a run folder of `mecam train`")


def sealed(content: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """A description with the SHA-256 of the files beside it, and then its own.

    Args:
        content: what is known of the model.
        files: name → SHA-256.
    """
    whole: dict[str, Any] = {**content, "sha256": dict(files)}
    whole[OWN] = record_sha256(whole, OWN)
    return whole


def without_encoder_place(content: Mapping[str, Any]) -> dict[str, Any]:
    """A description without the place of the text encoder on this machine: its name remains."""
    options = content["model"]["options"]
    if isinstance(options.get("encoder"), str) and Path(options["encoder"]).is_absolute():
        options = {**options, "encoder": Path(options["encoder"]).name}
    return {**content, "model": {**content["model"], "options": options}}


def read_description(path: Path, *, kind: str, newest: int, files: Sequence[str], again: str) -> dict[str, Any]:
    """What the description of a model says, once it is clear that it is ours and that no file was changed since.

    Args:
        path: the description.
        kind: what its key `format` must say.
        newest: the version that is read.
        files: what lies beside it, by name.
        again: what to do where a file differs.

    Raises: ModelError or DataError if it is none, was changed, or lies beside other files than it says.
    """
    content: dict[str, Any] = small_json(path, most=MAX_DESCRIPTION_BYTES)
    if content["format"] != kind:
        raise ModelError(f"this is not a {kind.removeprefix('mecam-')} of mecam")
    if content["version"] > newest:
        raise ModelError(f"version {content['version']} is newer than this mecam reads ({newest})", fix="upgrade mecam")
    check_record(content, OWN, path, fix=f"{again}; if you changed it yourself, remove {OWN} from it")
    if "sha256" in content:  # checkpoints of earlier versions do not say
        known: Mapping[str, str] = content["sha256"]
        if strange := sorted(set(files) ^ set(known)):
            where = "was added later" if strange[0] in files else "is missing"
            raise ModelError(f"{strange[0]} {where}", fix=f"{again}, or copy the folder again")
        check_files(path.parent, known, beside=path.name, full=False, fix=f"{again}, or copy the folder again")
    return content


def _require_finite(checkpoint: Checkpoint) -> None:
    """Refuse numbers with which every answer would be NaN."""
    normaliser = checkpoint.normaliser
    arrays = [*normaliser.centre.values(), *normaliser.scale.values(), [*checkpoint.calibration.values()]]
    if not all(np.isfinite(np.asarray(values, np.float64)).all() for values in [*arrays, [normaliser.clip]]):
        raise ModelError(
            "a number in its description is not finite: of the features' scales, or the width of the interval"
        )
    for modality, scale in normaliser.scale.items():
        spec = checkpoint.inputs.features.get(modality)
        if spec is not None and not scale.shape == normaliser.centre[modality].shape == (spec.width,):
            raise ModelError(f"the scales of {modality} in its description are not those of {spec.width} features")
    if any((scale <= 0).any() for scale in normaliser.scale.values()):
        raise ModelError("a scale in its description is not positive")
