"""Start from what another run has learned: `mecam train --init RUN`.

What fits is taken, what does not stays as it was initialised, and both are recorded. It fits when it has the same
name and shape, and
  - the encoder of a modality is taken whole or not at all, from a run that read the same features or the same
    sub-words;
  - of a run with another task, the encoders alone are taken: what was behind them learned to answer something else.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mecam.errors import ModelError
from mecam.hashes import sha256_of
from mecam.models.base import Model
from mecam.models.trained import Trained, load_checkpoint
from mecam.runs.run import RunFolder
from mecam.types import TEXT, Modality

__all__ = ["Loaded", "initialise"]

PROBE = "not really what I'd call 1 unforgettable film, is it?"
"""Two tokenizers that cut this alike are taken for the same."""


@dataclass(frozen=True)
class Loaded:
    """What a run was started from.

    Attributes:
        run: the folder, as it was given.
        checkpoint: which of it: `seeds/1111` or `checkpoint`.
        model: name of its model.
        data: name of the data set it learned from.
        sha256: of its weights.
        parameters: numbers that were taken over.
        of: numbers in this model.
        left_out: why → parts of this model that stayed as they were initialised.
    """

    run: str
    checkpoint: str
    model: str
    data: str
    sha256: str
    parameters: int
    of: int
    left_out: dict[str, list[str]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values for the record of a run."""
        return asdict(self)


def initialise(trained: Trained, run: Path, seed: int) -> Loaded:
    """Fill a fresh model with the weights of a finished run, as far as they fit.

    Args:
        trained: the model to fill, with the tokenizer it reads through.
        run: a run folder, or a checkpoint folder.
        seed: its checkpoint of this seed is taken where there is one, else that of its first seed.

    Raises: ModelError if there is no checkpoint, or nothing of it fits.
    """
    places = RunFolder(run).checkpoints
    place = next((one for one in places if one.parent.name == str(seed)), places[0])
    source = load_checkpoint(place)
    reasons = _reasons(trained, source)
    theirs = _renamed(source.model, trained.model)
    left_out: dict[str, list[str]] = {}
    taken: dict[str, Tensor] = {}
    for name, parameter in trained.model.named_parameters():
        reason = _refusal(name, parameter, trained.model, theirs, reasons)
        if reason is None:
            taken[name] = theirs[name]
            continue
        part = ".".join(name.split(".")[:2])
        if part not in (parts := left_out.setdefault(reason, [])):
            parts.append(part)
    if not taken:
        raise ModelError(
            "nothing of this run fits the model: " + "; ".join(left_out or ["the model has nothing to train"]),
            where=str(run),
            fix="start from a run of the same model, or of one with the same text encoder",
        )
    with torch.no_grad():
        for name, parameter in trained.model.named_parameters():
            if name in taken:
                parameter.copy_(taken[name])
    return Loaded(
        run=str(run),
        checkpoint=(place.parent if place.parent.name.isdigit() else place).relative_to(run).as_posix(),
        model=source.checkpoint.name,
        data=source.checkpoint.data_name,
        sha256=sha256_of(place / "model.safetensors"),
        parameters=sum(value.numel() for value in taken.values()),
        of=sum(parameter.numel() for parameter in trained.model.parameters()),
        left_out=left_out,
    )


def _reasons(trained: Trained, source: Trained) -> dict[str, str]:
    """Name prefix → why nothing below it can be taken."""
    ours, theirs = trained.checkpoint.inputs, source.checkpoint.inputs
    reasons: dict[str, str] = {}
    for modality in trained.model.reads:
        if modality == TEXT and trained.tokenizer is not None:
            reason = _tokenizers_differ(trained, source)
        elif modality in ours.features and modality in theirs.features:
            here, there = ours.features[modality], theirs.features[modality]
            same = (here.width, here.extractor) == (there.width, there.extractor)
            what = f"{there.extractor} of width {there.width} there, {here.extractor} of width {here.width} here"
            reason = None if same else f"the {modality} features differ: {what}"
        else:
            reason = None
        reason = reason or _encoders_differ(trained.model, source.model, modality)
        if reason:
            reasons[_encoder_prefix(trained.model, modality)] = reason
    if ours.task != theirs.task:
        reasons[""] = "the tasks differ, so that only encoders are taken"
    return reasons


def _refusal(
    name: str, parameter: Tensor, model: Model, theirs: dict[str, Tensor], reasons: dict[str, str]
) -> str | None:
    """Why a parameter is not taken over; None if it is."""
    for prefix, reason in reasons.items():
        if prefix and name.startswith(prefix):
            return reason
    if "" in reasons and not name.startswith(("encoders.", model.text_encoder_prefix)):
        return reasons[""]
    if name not in theirs:
        return "not in that model"
    if theirs[name].shape != parameter.shape:
        return "of another size in that run"
    return None


def _tokenizers_differ(trained: Trained, source: Trained) -> str | None:
    assert trained.tokenizer is not None
    if source.tokenizer is None:
        return "that run did not read transcripts"
    same = len(trained.tokenizer) == len(source.tokenizer) and trained.tokenizer([PROBE]) == source.tokenizer([PROBE])
    return None if same else "the text encoder is different"


def _encoders_differ(ours: Model, theirs: Model, modality: Modality) -> str | None:
    prefix = _encoder_prefix(ours, modality)
    here, there = _shapes(dict(ours.named_parameters()), prefix), _shapes(_renamed(theirs, ours), prefix)
    return None if here == there or not there else f"the {modality} encoder has another architecture"


def _shapes(parameters: Any, prefix: str) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in parameters.items() if name.startswith(prefix)}


def _encoder_prefix(model: Model, modality: Modality) -> str:
    return model.text_encoder_prefix if modality == TEXT and model.text_encoder else f"encoders.{modality}."


def _renamed(source: Model, target: Model) -> dict[str, Tensor]:
    """The source's parameters, its text encoder's under the name that it has in the target."""
    old, new = source.text_encoder_prefix, target.text_encoder_prefix
    return {
        new + name[len(old) :] if name.startswith(old) else name: value.detach()
        for name, value in source.named_parameters()
    }
