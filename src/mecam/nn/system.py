"""Memory fusion: LSTMs that step together, attention on the change of their memories, a gated memory between them."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mecam.nn.masked import masked_softmax
from mecam.nn.recurrent import stepped
from mecam.types import Modality

__all__ = ["DeltaMemoryAttention", "DynamicFusionGraph", "GatedMemory", "LstmSystem", "two_layers"]


def two_layers(features: int, hidden: int, width: int, dropout: float) -> nn.Sequential:
    """The small networks 𝓓 of both papers: linear, ReLU, linear."""
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, width))


class LstmSystem(nn.Module):
    """One LSTM per modality on a shared time axis, whose memories (cell states) are kept at every step.

    At a step without a row of a modality, that modality's LSTM rests.

    Source: Zadeh et al., MFN, AAAI 2018 (arXiv 1802.00927), "System of LSTMs".

    Args:
        widths: modality → (D of its rows, size of its LSTM).
    """

    def __init__(self, widths: Mapping[Modality, tuple[int, int]]) -> None:
        super().__init__()
        self.sizes = {m: hidden for m, (_, hidden) in widths.items()}
        self.input = nn.ModuleDict({m: nn.Linear(d, 4 * hidden) for m, (d, hidden) in widths.items()})
        self.recurrent = nn.ModuleDict({m: nn.Linear(h, 4 * h, bias=False) for m, (_, h) in widths.items()})

    def forward(
        self, values: Mapping[Modality, Float[Tensor, "B N _"]], masks: Mapping[Modality, Bool[Tensor, "B N"]]
    ) -> tuple[dict[Modality, Float[Tensor, "B _"]], dict[Modality, Float[Tensor, "B S _"]]]:
        """Last hidden states, and the memories before the first step (zeros) and after each."""
        last, memories = {}, {}
        for m in self.sizes:
            last[m], memories[m] = self._run(m, values[m], masks[m])
        return last, memories

    def _run(self, modality: Modality, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        given = self.input[modality](values)  # B N 4H
        start = given.new_zeros(given.shape[0], self.sizes[modality])  # B H

        def step(state: Sequence[Tensor], here: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
            (cell, hidden), (entering, there) = state, here
            gates = entering + self.recurrent[modality](hidden)
            enter, forget, leave, candidate = gates.chunk(4, dim=1)
            new = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
            return torch.where(there, new, cell), torch.where(there, leave.sigmoid() * new.tanh(), hidden)

        (_, hidden), cells = stepped(step, (start, start), (given, mask.unsqueeze(2)))
        return hidden, cells


class DeltaMemoryAttention(nn.Module):
    """Softmax attention over all coordinates of the memories before and after a step: ĉ = c ⊙ softmax(𝓓_a(c)).

    Source: Zadeh et al., MFN, AAAI 2018, "Delta-memory Attention Network". Differs: coordinates of a modality that the
    utterance lacks are left out of the softmax.

    Args:
        sizes: modality → H of its LSTM; the coordinates are the memories before the step, then those after it.
        hidden: of 𝓓_a.
        dropout: in 𝓓_a.
    """

    def __init__(self, sizes: Mapping[Modality, int], *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.sizes = tuple(sizes.values())
        self.width = 2 * sum(self.sizes)
        self.attend = two_layers(self.width, hidden, self.width, dropout)

    def forward(
        self, memories: Sequence[Float[Tensor, "B S _"]], present: Bool[Tensor, "B M"]
    ) -> Float[Tensor, "B N C"]:
        """Attended coordinates at every step."""
        cells = torch.cat(list(memories), dim=2)  # B S sum(H), S = N + 1
        both = torch.cat([cells[:, :-1], cells[:, 1:]], dim=2)  # B N C
        owner = [i for i, size in enumerate(self.sizes) for _ in range(size)]  # of each coordinate
        there = present[:, owner].repeat(1, 2).unsqueeze(1)  # B 1 C
        return both * masked_softmax(self.attend(both), there)


class GatedMemory(nn.Module):
    """u_t = γ₁ ⊙ u_{t−1} + γ₂ ⊙ tanh(û_t), with γ₁, γ₂ and û computed from what was attended to at step t.

    Source: Zadeh et al., MFN, AAAI 2018, "Multi-view Gated Memory". Differs: where an utterance has no step, the memory
    rests.

    Args:
        features: D of what was attended to.
        width: of u.
        hidden: of the three networks.
        dropout: in them.
    """

    def __init__(self, features: int, width: int, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.update = two_layers(features, hidden, width, dropout)
        self.retain_gate = two_layers(features, hidden, width, dropout)
        self.update_gate = two_layers(features, hidden, width, dropout)

    def forward(self, attended: Float[Tensor, "B N C"], mask: Bool[Tensor, "B N"]) -> Float[Tensor, "B U"]:
        """The memory after the last step."""
        new = self.update(attended).tanh() * self.update_gate(attended).sigmoid()  # B N U
        keep = self.retain_gate(attended).sigmoid()

        def step(state: Sequence[Tensor], here: Sequence[Tensor]) -> tuple[Tensor]:
            (memory,), (entering, kept, there) = state, here
            return (torch.where(there, kept * memory + entering, memory),)

        state, _ = stepped(step, (new.new_zeros(new.shape[0], self.width),), (new, keep, mask.unsqueeze(2)))
        memory: Tensor = state[0]
        return memory


class DynamicFusionGraph(nn.Module):
    """A vertex for every set of modalities, fed by the vertices of its subsets, each edge weighed by an efficacy.

    v_S = 𝓓_S([α_{Q→S} v_Q for Q ⊂ S]), τ = 𝓓_τ([α_{S→τ} v_S for all S]), α = σ(𝓓_α(all single vertices)).

    Source: Zadeh, Liang, Vanbriesen, Poria, Tong, Cambria, Chen and Morency, ACL 2018 (P18-1208), "Dynamic Fusion
    Graph".
    Differs: a linear map brings the memories of each modality to one width; any number of modalities; a vertex is zero
    where the utterance lacks one of its modalities.

    Args:
        sizes: modality → D of its input.
        width: of every vertex and of τ.
        hidden: of the networks.
        dropout: in them.

    Attributes:
        sets: the vertices, single modalities first, as tuples of positions.
        edges: (from, to) as positions in `sets`; `to` is len(sets) for τ.
    """

    def __init__(self, sizes: Mapping[Modality, int], *, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        count = len(sizes)
        self.sets = [chosen for n in range(1, count + 1) for chosen in combinations(range(count), n)]
        into = {t: [q for q, other in enumerate(self.sets) if set(other) < set(s)] for t, s in enumerate(self.sets)}
        into[len(self.sets)] = list(range(len(self.sets)))
        self.into = into
        self.edges = [(q, t) for t, sources in into.items() for q in sources]
        self.enter = nn.ModuleDict({m: nn.Linear(size, width) for m, size in sizes.items()})
        self.efficacy = two_layers(count * width, hidden, len(self.edges), dropout)
        self.vertices = nn.ModuleDict(
            {str(t): two_layers(len(sources) * width, hidden, width, dropout) for t, sources in into.items() if sources}
        )

    def forward(
        self, values: Sequence[Float[Tensor, "B N _"]], present: Bool[Tensor, "B M"]
    ) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B N E"]]:
        """τ and the efficacies at every step; inputs in the order of the modalities."""
        layers = self.enter.values()
        there = [present[:, list(chosen)].all(dim=1)[:, None, None] for chosen in self.sets]  # each B 1 1
        found = [layer(v) * there[i] for i, (layer, v) in enumerate(zip(layers, values, strict=True))]  # each B N D
        efficacy = self.efficacy(torch.cat(found, dim=2)).sigmoid()  # B N E
        number = {edge: e for e, edge in enumerate(self.edges)}
        for t in range(len(found), len(self.sets) + 1):
            given = [found[q] * efficacy[..., number[q, t], None] for q in self.into[t]]
            vertex = self.vertices[str(t)](torch.cat(given, dim=2))
            found.append(vertex * there[t] if t < len(self.sets) else vertex)
        return found[-1], efficacy
