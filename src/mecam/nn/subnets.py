"""The plain networks that turn one modality into one vector, shared by the fusion papers of 2017 to 2020."""

from collections.abc import Mapping

from jaxtyping import Bool, Float
from torch import Tensor, nn

from mecam.nn.masked import masked_mean
from mecam.nn.recurrent import Lstm
from mecam.types import TEXT, Modality

__all__ = ["MeanSubnet", "SequenceSubnet", "build_subnets"]


class MeanSubnet(nn.Module):
    """Mean over time, then fully connected layers with ReLU.

    Source: Zadeh et al., EMNLP 2017 (arXiv 1707.07250), "Modality Embedding Subnetworks", visual and acoustic: 3
    layers of 32.

    Args:
        features: D of the rows.
        width: D of the vector.
        layers: how many.
        dropout: before each.
    """

    def __init__(self, features: int, width: int, *, layers: int = 3, dropout: float = 0.0) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for i in range(layers):
            parts += [nn.Dropout(dropout), nn.Linear(width if i else features, width), nn.ReLU()]
        self.layers = nn.Sequential(*parts)
        self.width = width

    def forward(self, values: Float[Tensor, "B T F"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
        """One vector per utterance; zeros where the modality is absent."""
        vector: Tensor = self.layers(masked_mean(values, mask))
        return vector.masked_fill(~mask.any(dim=1, keepdim=True), 0.0)


class SequenceSubnet(nn.Module):
    """An LSTM whose last state goes through one fully connected layer with ReLU.

    Source: Zadeh et al., EMNLP 2017 (arXiv 1707.07250), "Modality Embedding Subnetworks", language: 128 wide.
    Differs: the last state is read, not all states side by side, which would fix the length.

    Args:
        features: D of the rows.
        width: D of the LSTM's state and of the vector.
        dropout: before the fully connected layer.
    """

    def __init__(self, features: int, width: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.lstm = Lstm(features, width)
        self.leave = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, width), nn.ReLU())
        self.width = width

    def forward(self, values: Float[Tensor, "B T F"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
        """One vector per utterance; zeros where the modality is absent."""
        vector: Tensor = self.leave(self.lstm(values, mask).last)
        return vector.masked_fill(~mask.any(dim=1, keepdim=True), 0.0)


def build_subnets(
    features: Mapping[Modality, int], *, text_width: int, width: int, dropout: float
) -> dict[Modality, MeanSubnet | SequenceSubnet]:
    """A sequence subnet for text, a mean subnet for every other modality.

    Args:
        features: modality → D of its rows.
        text_width: of the text's vector.
        width: of the others' vectors.
        dropout: in all of them.
    """
    return {
        m: SequenceSubnet(size, text_width, dropout=dropout) if m == TEXT else MeanSubnet(size, width, dropout=dropout)
        for m, size in features.items()
    }
