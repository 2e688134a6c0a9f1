"""The deletion test: does it hurt less to remove what the filter marks than to remove as much at random?

Within each utterance and modality the rows (for text: the words) are ranked by how much the filter kept of them, and a
share of them is left out: those kept least (`marked`), as many at random (`random`), those kept most (`kept`). A filter
that finds what is of no use to the model comes out in this order, from little hurt to much.

On data with injected negative information the marked rows should be the spoilt ones, and leaving them out may even
help. On clean data nothing is spoilt: the test then says whether the filter ranks rows by how much the model needs
them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.data.corruption import generator_for
from mecam.data.store import Store
from mecam.errors import DataError, ModelError
from mecam.evaluation.explanation.asking import answers, unknown_token
from mecam.evaluation.explanation.costs import Removals, adjust, cost_metric, cost_table
from mecam.evaluation.explanation.perturbation import bare, observed, without
from mecam.models.checkpoint import Trained
from mecam.types import Modality, Predictions, Utterance

__all__ = ["DRAWS", "SHARES", "Deletions", "deletion_test"]

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
DRAWS = 5
CHUNK = 16
"""Utterances whose variants are held in memory at a time."""
FEWEST = 2
"""Rows below which there is nothing to rank."""

Order = NDArray[np.int64]


def deletion_test(
    seeds: Sequence[Trained],
    source: Store | Sequence[Utterance],
    indices: NDArray[np.int64] | None = None,
    *,
    shares: Sequence[float] = SHARES,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Remove rows and words by rank of the filter's gate, and at random, and measure what it costs.

    Args:
        seeds: one model per seed of a run, with a filter.
        source: labelled utterances, as a store or in memory.
        indices: which of them; all when None.
        shares: of the observed rows of a modality to remove, rounded to whole rows per utterance.
        draws: random removals that are averaged.
        seed: of the random removals.
        progress: called with (utterances done, all), over seeds and modalities.

    Returns: `metric`, `higher_is_better`, `shares`, `draws`, `seeds`, and `modalities` → modality → group (`all`;
        `injected` where negative information is known to lie in part of the modality) → what `costs.cost_table`
        describes.
    Raises: ModelError for a model without a filter; DataError if there are no labels or no rows to rank.
    """
    task = seeds[0].checkpoint.inputs.task
    per_seed = [_Material.of(trained, source, indices) for trained in seeds]
    modalities = _modalities(per_seed[0])
    count, done = len(per_seed[0].utterances), 0
    total = count * len(seeds) * len(modalities)
    tables: dict[Modality, dict[str, Any]] = {}
    for modality in modalities:
        given = []
        for trained, material in zip(seeds, per_seed, strict=True):
            asked = Deletions(trained, material, modality, shares, draws, seed)
            for done_here in asked.run():
                if progress:
                    progress(done + done_here, total)
            done += count
            given.append(asked)
        tables[modality] = {
            name: cost_table(task, [each.removals for each in given], rows) for name, rows in given[0].groups().items()
        }
    adjust([table for groups in tables.values() for table in groups.values()])
    metric = cost_metric(task)
    return {
        "metric": metric.name,
        "higher_is_better": metric.higher_is_better,
        "shares": list(shares),
        "draws": draws,
        "seeds": len(seeds),
        "modalities": tables,
    }


@dataclass(frozen=True)
class _Material:
    """Utterances as one seed's model reads them, and its answers to them as they are."""

    utterances: list[Utterance]
    whole: Predictions

    @classmethod
    def of(
        cls, trained: Trained, source: Store | Sequence[Utterance], indices: NDArray[np.int64] | None
    ) -> "_Material":
        utterances = list(trained.dataset(source, indices))
        whole = answers(trained, utterances, details=True)
        if not any(whole.gates):
            raise ModelError(
                f"{trained.checkpoint.name} has no filter, so there is nothing to rank rows by",
                fix="test a model with a filter, such as mecam",
            )
        if whole.truth is None:
            raise DataError("the utterances have no labels, so nothing tells what a removal costs")
        return cls(utterances, whole)


def _modalities(material: _Material) -> list[Modality]:
    """Those with rows to rank in some utterance."""
    known = dict.fromkeys(m for gates in material.whole.gates for m in gates)
    pairs = [(m, u) for m in known for u in material.utterances]
    ranked = {m for m, u in pairs if observed(u, m).sum() >= FEWEST}
    if not ranked:
        raise DataError("no utterance has more than one row of any modality: there is nothing to rank")
    return [m for m in known if m in ranked]


class Deletions:
    """Asks one seed's model for answers without rows of one modality.

    Attributes:
        use: N, utterances that have rows to rank.
        removals: the answers, as far as they are asked for.
    """

    def __init__(
        self,
        trained: Trained,
        material: _Material,
        modality: Modality,
        shares: Sequence[float],
        draws: int,
        seed: int,
    ) -> None:
        self._trained, self._utterances, self._modality, self._seed = trained, material.utterances, modality, seed
        self._arms = [("marked", 0), ("kept", 0), *(("random", draw) for draw in range(draws))]
        self.use = np.array([observed(u, modality).sum() >= FEWEST for u in material.utterances])
        whole = material.whole
        self.removals = Removals(
            whole=whole,
            draws=draws,
            shares=tuple(shares),
            predictions={(*arm, s): whole.prediction.copy() for arm in self._arms for s in range(len(shares))},
            removed=np.zeros((len(shares), len(whole))),
        )

    def run(self) -> Iterator[int]:
        """Ask for everything; yields how many utterances are done."""
        chosen = np.flatnonzero(self.use).tolist()
        for start in range(0, len(chosen), CHUNK):
            asked = [ask for i in chosen[start : start + CHUNK] for ask in self._asks(i)]
            said = answers(self._trained, [variant for *_, variant in asked]).prediction
            for (i, arm, shares, _), value in zip(asked, said, strict=True):
                for s in shares:
                    key = (*arm, s)
                    self.removals.predictions[key][i] = value
            yield start
        yield len(self.use)

    def groups(self) -> dict[str, NDArray[np.bool_]]:
        """`all` utterances with rows to rank; `injected`: those with something put into some of them only."""
        touched = np.zeros(len(self.use), bool)
        for i, marks in enumerate(self.removals.whole.injected):
            rows = marks.get(self._modality)
            touched[i] = rows is not None and bool(rows.any()) and not bool(rows.all())
        groups = {"all": self.use, "injected": self.use & touched}
        return {name: rows for name, rows in groups.items() if rows.any()}

    def _asks(self, i: int) -> Iterator[tuple[int, tuple[str, int], list[int], Utterance]]:
        """Utterance, arm, numbers of the shares that remove as many rows, and the utterance without these."""
        utterance = bare(self._utterances[i])
        seen = np.flatnonzero(observed(utterance, self._modality))
        counts = [int(share * len(seen) + 0.5) for share in self.removals.shares]
        self.removals.removed[:, i] = np.array(counts) / len(seen)
        unk = unknown_token(self._trained)
        for arm in self._arms:
            order = seen[self._order(i, arm, seen)]
            for count in sorted(set(counts) - {0}):
                gone = np.zeros(len(observed(utterance, self._modality)), bool)
                gone[order[:count]] = True
                here = [s for s, many in enumerate(counts) if many == count]
                yield i, arm, here, without(utterance, self._modality, gone, unk)

    def _order(self, i: int, arm: tuple[str, int], seen: Order) -> Order:
        """Which of the observed rows goes first, second …; ties in random order."""
        name, draw = arm
        rng = generator_for(self._seed, "deletion", self._modality, self._utterances[i].id, str(draw))
        shuffled = rng.permutation(len(seen))
        if name == "random":
            return shuffled
        kept = self.removals.whole.gates[i][self._modality][seen][shuffled]
        order: Order = shuffled[np.argsort(kept if name == "marked" else -kept, kind="stable")]
        return order
