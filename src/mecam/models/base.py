"""What every model is: one interface, so that one loop trains them all."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from annotated_types import Ge
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor, nn

from mecam.batch import Batch, Output
from mecam.errors import ModelError
from mecam.hub import EMBEDDED
from mecam.models.inputs import Inputs
from mecam.nn.encoders import ConvEncoder, Rows
from mecam.nn.text import TextEncoder
from mecam.types import TEXT, Modality

__all__ = [
    "ClosedFormModel",
    "Model",
    "Phase",
    "RowModel",
    "TextOptions",
    "build_encoder",
    "or_prior",
    "prediction_head",
    "presence",
]


@dataclass(frozen=True)
class Phase:
    """One way of going through the training data.

    Attributes:
        name: for logs.
        weights: loss name → weight; losses not named here are logged and not followed.
        parameters: name prefixes of the parameters that move; `("",)` is all of them.
    """

    name: str
    weights: Mapping[str, float]
    parameters: tuple[str, ...] = ("",)


class Model(nn.Module, ABC):
    """A model reads a batch and predicts; the loop, the metrics and the checkpoint do the rest.

    A concrete model is built as `Model(config, inputs, pretrained=True)`; `pretrained=False` builds the same
    architecture without loading a text encoder's weights, for a checkpoint to fill.

    Attributes:
        inputs: what it was built for.
        reads: the modalities that it is given and learns from.
        text_encoder: name of the encoder whose tokens it reads, or None where text is absent or numbers.
        views: True asks the loop for a corrupted view of every training batch.
    """

    text_encoder: str | None = None
    views: bool = False
    reads_nothing: ClassVar[bool] = False
    """True for a model that predicts without looking."""
    text_encoder_prefix: ClassVar[str] = "encoders.text."
    """Parameters that start so learn at the text encoder's rate."""

    def __init__(self, inputs: Inputs, reads: Sequence[Modality]) -> None:
        super().__init__()
        missing = [modality for modality in reads if modality not in inputs.modalities]
        if missing or not (reads or self.reads_nothing):
            raise ModelError(
                f"{type(self).__name__} needs {', '.join(missing) or 'at least one modality'}",
                where=f"the data has {', '.join(inputs.modalities) or 'no modality'}",
                fix="choose another model or another store",
            )
        self.inputs = inputs
        self.reads = tuple(reads)

    @abstractmethod
    def forward(self, batch: Batch) -> Output:
        """Predict for every utterance of the batch."""

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Named, unweighted losses, here that of the task alone; `batch.targets` is set."""
        assert batch.targets is not None
        return {"task": self.inputs.task.loss(output.prediction, batch.targets.value)}

    def predicted(self, values: Float[Tensor, "B O"], batch: Batch) -> Tensor:
        """Outputs as `Output.prediction`; the best constant one where an utterance has nothing that the model reads."""
        there = presence(batch, self.reads).any(dim=1)
        return self.inputs.task.as_prediction(or_prior(self.inputs, values, there))

    def phases(self) -> Sequence[Phase]:
        """How the loop goes through the data; nearly always one phase."""
        return (Phase("main", {"task": 1.0}),)

    def after_step(self, output: Output, batch: Batch) -> None:
        """Update memories or pseudo-labels after an optimiser step."""


class ClosedFormModel(Model):
    """A model whose last layer is computed from the whole train split at once, not learned step by step.

    Its forward pass gives what the layer is computed from as `extra["figures"]`, B × F.
    """

    strengths: ClassVar[tuple[float, ...]]
    """Strengths of regularisation to choose from on validation."""

    @abstractmethod
    def solve(self, figures: NDArray[np.float64], targets: NDArray[Any], strength: float) -> None:
        """Compute the layer from N × F figures and N encoded labels."""


@dataclass(frozen=True)
class TextOptions:
    """The options that every model with a text encoder has: the options of such a model begin with them."""

    encoder: str = EMBEDDED
    """Text encoder: `minilm`, `mpnet`, a hub name, or a folder."""
    freeze_encoder: bool = False
    """Leave the text encoder as it is."""
    freeze_layers: Annotated[int, Ge(0)] = 0
    """Leave its embeddings and this many of its first layers as they are."""


Options = TypeVar("Options", bound=TextOptions)


class RowModel(Model, Generic[Options]):
    """A model with sequence encoders of its own, which is handed the rows of every modality.

    Transcripts come through a pretrained encoder, rows of numbers (among them text features) as they are.

    Attributes:
        config: its options.
        encoders: what hands it the rows of each modality.
        widths: modality → width of these rows.
    """

    needs_text: ClassVar[bool] = False
    """True for a method that is built around the text, which then comes first."""

    def __init__(self, config: Options, inputs: Inputs, *, pretrained: bool = True) -> None:
        first = (TEXT,) if self.needs_text else ()
        super().__init__(inputs, reads=tuple(dict.fromkeys((*first, *inputs.modalities))))
        self.config = config
        self.text_encoder = config.encoder if TEXT in self.reads and inputs.raw_text else None
        readers = {modality: self._reader(modality, pretrained=pretrained) for modality in self.reads}
        self.encoders = nn.ModuleDict(readers)
        self.widths = {modality: reader.width for modality, reader in readers.items()}

    def _reader(self, modality: Modality, *, pretrained: bool) -> TextEncoder | Rows:
        if modality != TEXT or self.text_encoder is None:
            return Rows(self.inputs.features[modality].width)
        return TextEncoder(
            self.text_encoder,
            pretrained=pretrained,
            frozen=self.config.freeze_encoder,
            frozen_layers=self.config.freeze_layers,
        )

    def rows(self, batch: Batch) -> dict[Modality, Float[Tensor, "B T D"]]:
        """The rows of every modality, of its width in `widths`; missing ones are zero or, of a text, of no meaning."""
        streams = batch.streams
        return {m: reader(streams[m].values, streams[m].mask) for m, reader in self.encoders.items()}


def prediction_head(inputs: Inputs, width: int) -> nn.Linear:
    """The last layer of a model, starting at the best constant prediction."""
    head = nn.Linear(width, inputs.task.outputs)
    nn.init.normal_(head.weight, std=0.02)
    with torch.no_grad():
        head.bias.copy_(torch.tensor(inputs.prior))
    return head


def or_prior(inputs: Inputs, values: Float[Tensor, "B O"], present: Bool[Tensor, " B"]) -> Float[Tensor, "B O"]:
    """The outputs; where an utterance has nothing that the model reads, the best constant prediction instead."""
    prior = torch.tensor(inputs.prior, device=values.device, dtype=values.dtype)
    return torch.where(present.unsqueeze(1), values, prior)


def build_encoder(
    inputs: Inputs,
    modality: Modality,
    *,
    text_encoder: str,
    freeze: bool,
    freeze_layers: int,
    pretrained: bool,
    width: int,
    layers: int,
    dropout: float,
    lora: int = 0,
) -> TextEncoder | ConvEncoder:
    """The encoder of one modality: (values, mask) → B × T × `encoder.width`.

    Transcripts are read by a pretrained encoder, rows of numbers (among them precomputed text features) by a
    convolutional one.
    """
    if modality == TEXT and inputs.raw_text:
        return TextEncoder(text_encoder, pretrained=pretrained, frozen=freeze, frozen_layers=freeze_layers, lora=lora)
    return ConvEncoder(inputs.features[modality].width, width, layers=layers, dropout=dropout)


def presence(batch: Batch, reads: Sequence[Modality]) -> Bool[Tensor, "B M"]:
    """Which utterance has which modality, in the order of `reads`."""
    return torch.stack([batch.streams[m].mask.any(dim=1) for m in reads], dim=1)
