"""A model whose every answer and gate can be worked out by hand, and utterances for it."""

import numpy as np
import torch

from mecam.batch import Batch, Output
from mecam.config import DataConfig
from mecam.data.normalise import Normaliser
from mecam.models.base import Model
from mecam.models.checkpoint import Checkpoint
from mecam.models.inputs import Inputs
from mecam.models.trained import Trained
from mecam.nn.masked import masked_mean
from mecam.task import Regression
from mecam.types import FeatureSpec, Span, Utterance

TASK = Regression()


class Planted(Model):
    """Predicts the mean of the first column of its rows; the second column says how much of each row to keep."""

    def __init__(self, inputs: Inputs, *, gated: bool = True, inverted: bool = False) -> None:
        super().__init__(inputs, reads=inputs.modalities)
        self.gated, self.inverted = gated, inverted
        self.calls = 0

    def forward(self, batch: Batch) -> Output:
        self.calls += 1
        total, gates = torch.zeros(len(batch)), {}
        for m in self.reads:
            stream = batch.streams[m]
            total = total + masked_mean(stream.values[..., :1], stream.mask).squeeze(-1)
            keep = stream.values[..., 1].detach()
            gates[m] = 1 - keep if self.inverted else keep
        return Output(prediction=total, gates=gates if self.gated else {})

    def losses(self, output: Output, batch: Batch) -> dict[str, torch.Tensor]:
        raise NotImplementedError


def planted(*modalities: str, gated: bool = True, inverted: bool = False) -> Trained:
    """The model for streams of two columns; features reach it as they are."""
    names = modalities or ("audio",)
    inputs = Inputs(TASK, {m: FeatureSpec(2) for m in names})
    as_is = Normaliser({m: np.zeros(2, np.float32) for m in names}, {m: np.ones(2, np.float32) for m in names}, 1e6)
    checkpoint = Checkpoint("planted", None, inputs, DataConfig(), as_is, {"0.9": 0.5})
    return Trained(Planted(inputs, gated=gated, inverted=inverted), checkpoint, None)


def utterance(name: str, rows: object, *, label: float = 0.0, **fields: object) -> Utterance:
    """One utterance whose audio holds (value, keep) rows."""
    return Utterance(id=name, streams={"audio": np.array(rows, np.float32)}, label=label, **fields)


def spoilt(count: int = 40, *, rows: int = 12, seed: int = 0) -> list[Utterance]:
    """Utterances whose rows say their label, but for a third that say something else; these should not be kept."""
    rng = np.random.default_rng(seed)
    result = []
    for i in range(count):
        label = float(rng.uniform(-2, 2))
        wrong = rng.permutation(rows) < rows // 3
        value = label + 0.1 * rng.standard_normal(rows) + wrong * 3.0 * rng.choice([-1, 1])
        keep = np.where(wrong, 0.1, 0.9) + 0.05 * rng.uniform(-1, 1, rows)
        spans = tuple(Span("audio", "burst", int(k), int(k) + 1) for k in np.flatnonzero(wrong)) if i % 2 else ()
        pair = np.stack([value, keep], axis=1)
        result.append(utterance(f"u{i}", pair, label=label, video=f"v{i // 2}", injected=spans))
    return result
