"""Does the filter filter: its gate against the known place of injected negative information.

Filter AUROC is the chance that a row with negative information was kept less than a row without: rank the
rows of a whole split by 1 − gate and compare with the injected mask. 0.5 is guessing, 1 is perfect. Rows are
frames, or words for text. Only data whose negative information was injected can be scored.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from mecam.errors import DataError
from mecam.types import Modality, Predictions, Span

__all__ = ["ALL_KINDS", "auroc", "filter_auroc"]

ALL_KINDS = "all"
"""Key under which every kind of negative information is taken together."""


def filter_auroc(predictions: Predictions, spans: Sequence[Sequence[Span]]) -> dict[Modality, dict[str, float | None]]:
    """Return how well the gate finds each kind of negative information in each modality.

    For a kind, the positives are the rows that its spans touch. The negatives are always the same: every row
    of the split that nothing was injected into, in corrupted and in clean utterances alike.

    Args:
        predictions: with `gates` and `injected`, predicted with details.
        spans: per utterance, in the order of `predictions.ids`: what was injected. Rows of a span that the
            model did not read (text beyond its longest) are left out.

    Returns: modality → kind, and "all" → AUROC; only modalities and kinds that occur. None where no row is
        untouched.
    Raises: DataError if spans, gates and masks do not belong together.
    """
    if not len(predictions.gates) == len(predictions.injected) == len(spans):
        raise DataError(
            f"{len(predictions.gates)} gates, {len(predictions.injected)} masks and {len(spans)} lists of spans",
            fix="predict with details, and give the spans of the same utterances",
        )
    modalities = {modality: None for masks in predictions.injected for modality in masks}
    scores = {modality: _of_modality(predictions, spans, modality) for modality in modalities}
    return {modality: kinds for modality, kinds in scores.items() if kinds}


def auroc(score: NDArray[np.floating], positive: NDArray[np.bool_]) -> float | None:
    """Return the chance that a positive scores above a negative, ties counting half.

    Args:
        score: N values, higher where positives are expected.
        positive: N.

    Returns: a value in [0, 1]; None unless both sides occur.
    """
    above, below = int(positive.sum()), int((~positive).sum())
    if not above or not below:
        return None
    ranks = rankdata(score)[positive].sum() - above * (above + 1) / 2  # Mann and Whitney's U
    return float(ranks / above / below)


def _of_modality(
    predictions: Predictions, spans: Sequence[Sequence[Span]], modality: Modality
) -> dict[str, float | None]:
    """AUROC of each kind that touches a row of this modality, and of all together."""
    removed, touched = [], []
    rows_of: dict[str, list[NDArray[np.int64]]] = {}
    offset = 0
    for name, gates, masks, found in zip(predictions.ids, predictions.gates, predictions.injected, spans, strict=True):
        if modality not in gates or modality not in masks:
            continue
        _require_equal_length(name, modality, gates, masks)
        removed.append(1 - gates[modality].astype(np.float64))
        touched.append(masks[modality])
        for span in found:
            if span.modality == modality:
                rows = np.arange(span.start, min(span.stop, len(removed[-1])))
                rows_of.setdefault(span.kind, []).append(rows + offset)
        offset += len(removed[-1])
    if not removed:
        return {}
    score, injected = np.concatenate(removed), np.concatenate(touched)
    kinds: dict[str, float | None] = {}
    for kind in sorted(rows_of):
        positive = np.zeros(offset, bool)
        positive[np.concatenate(rows_of[kind])] = True
        if positive.any():
            chosen = positive | ~injected
            kinds[kind] = auroc(score[chosen], positive[chosen])
    return {**kinds, ALL_KINDS: auroc(score, injected)} if kinds else {}


def _require_equal_length(
    name: str,
    modality: Modality,
    gates: Mapping[Modality, NDArray[np.float32]],
    masks: Mapping[Modality, NDArray[np.bool_]],
) -> None:
    if len(gates[modality]) != len(masks[modality]):
        raise DataError(
            f"the gate covers {len(gates[modality])} rows, the mask {len(masks[modality])}",
            where=f"{modality} of {name}",
        )
