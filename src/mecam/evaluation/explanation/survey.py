"""Many utterances explained: do the filter, occlusion and integrated gradients agree?"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.data.store import Store
from mecam.evaluation.explanation.agreement import TOP, agreement_table
from mecam.evaluation.explanation.explanation import Explanation
from mecam.evaluation.explanation.gradients import STEPS
from mecam.evaluation.explanation.occlusion import explain
from mecam.evaluation.groups import Groups
from mecam.models.checkpoint import Trained

__all__ = ["survey"]


def survey(
    trained: Trained,
    store: Store,
    indices: NDArray[np.int64],
    *,
    gradients: bool = True,
    steps: int = STEPS,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Agreement over the utterances of a store.

    Args:
        trained: the model.
        store: with features that it knows.
        indices: which utterances.
        gradients: also ask integrated gradients.
        steps: of their path.
        progress: called with (utterances done, all).

    Returns: `utterances`, `videos`, `resampled` (unit and count), `top` (share of the parts that the overlap is about),
        `modalities` (as `agreement_table` describes them) and `completeness` (of the gradients; None without them).
    """
    explained = explain(trained, store, indices, gradients=gradients, steps=steps, progress=progress)
    dataset = trained.dataset(store, indices)
    groups = Groups.among(dataset.videos, dataset.speakers)
    found = [{m: strand.agreement for m, strand in one.strands.items()} for one in explained]
    return {
        "utterances": len(explained),
        "videos": len(set(dataset.videos)),
        "resampled": asdict(groups.resampled),
        "top": TOP,
        "modalities": agreement_table(found, groups),
        "completeness": _completeness(explained),
    }


def _completeness(explained: Sequence[Explanation]) -> dict[str, Any] | None:
    """How far sums of attributions are from what they should be; in the unit of what is explained."""
    known = [one.gradients for one in explained if one.gradients is not None]
    if not known:
        return None
    errors, sizes = (np.abs([getattr(g, name) for g in known]) for name in ("error", "total"))
    return {
        "median_error": float(np.median(errors)),
        "largest_error": float(errors.max()),
        "median_total": float(np.median(sizes)),
        "steps": known[0].steps,
    }
