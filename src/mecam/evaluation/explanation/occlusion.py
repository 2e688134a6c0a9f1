"""An utterance explained by asking the model again: without each modality, each part, and what the filter marks.

What comes out says what the model does, not why it is right: a part whose absence changes the score is a part that the
model relies on. Everything but the filter works for every model.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.data.corruption import without_modality
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.evaluation.explanation.agreement import TOP_SHARE, agreement_table, agreements
from mecam.evaluation.explanation.explanation import (
    ALL,
    REMOVED_BELOW,
    STEPS,
    Explanation,
    ModalityExplanation,
    PartEffect,
    require_captum,
)
from mecam.evaluation.explanation.perturbation import (
    Effect,
    Removal,
    Target,
    bare,
    has_words,
    inside,
    leave_one_out,
    observed,
    parts_of,
    perturbed_predictions,
    read_by,
    unknown_token,
    without,
)
from mecam.evaluation.groups import Groups
from mecam.evaluation.predict import with_interval_scales
from mecam.models.backend import Backend
from mecam.runs.predictions import interval_around
from mecam.types import Modality, Predictions, Utterance

__all__ = ["explain", "find_utterances", "measures", "some_of", "survey"]

Gates = Mapping[Modality, NDArray[np.float32]]


def explain(
    backend: Backend,
    source: Store | Sequence[Utterance],
    indices: NDArray[np.int64] | None = None,
    *,
    gradients: bool = False,
    steps: int = STEPS,
    progress: Callable[[int, int], None] | None = None,
) -> list[Explanation]:
    """Explain utterances.

    Args:
        backend: computes the model.
        source: a store with the features that the model knows, or utterances in memory.
        indices: which of them; all when None.
        gradients: also integrated gradients; needs the extra `explain`.
        steps: of the path that gradients are integrated over.
        progress: called with (utterances done, all).

    Raises: MissingExtraError if gradients are requested without captum.
    """
    if gradients:
        require_captum()
    utterances = list(backend.preprocessor.dataset(source, indices))
    whole = perturbed_predictions(backend, utterances, details=True)
    explained = []
    for i, utterance in enumerate(utterances):
        one = _explained(backend, utterance, whole, i)
        if gradients:
            one = _with_gradients(backend, utterance, one, steps)
        modalities = {m: replace(s, agreement=agreements(measures(s.parts))) for m, s in one.modalities.items()}
        explained.append(replace(one, modalities=modalities))
        if progress:
            progress(i + 1, len(utterances))
    return explained


def measures(parts: Sequence[PartEffect]) -> dict[str, NDArray[np.float64]]:
    """What each measure says of the parts, larger where a part counts for more; signs are left out.

    Returns: `kept`, `occlusion` and `gradients` → P, as far as they are known; parts of which the model saw nothing are
        left out.
    """
    seen = [part for part in parts if part.without.count]
    found = {"occlusion": np.array([abs(part.without.adds) for part in seen])}
    for name, values in (("kept", [p.kept for p in seen]), ("gradients", [p.gradient for p in seen])):
        known = [abs(value) for value in values if value is not None]
        if seen and len(known) == len(seen):
            found[name] = np.array(known)
    return found


def _explained(backend: Backend, utterance: Utterance, whole: Predictions, i: int) -> Explanation:
    """All but gradients and agreement."""
    task = backend.checkpoint.inputs.task
    target = Target.of(task, whole.prediction[i])
    score = float(target.read(whole.prediction[i : i + 1])[0])
    known = backend.checkpoint.half_width
    ends = None
    if known is not None and target.column is None:
        ends = interval_around(task, score, float(with_interval_scales(backend, whole).interval_half_widths(known)[i]))
    read, gates = read_by(backend.reads, utterance), whole.gates[i]
    effects = leave_one_out(
        score,
        _removals(utterance, read, gates, unknown_token(backend)),
        lambda variants: target.read(perturbed_predictions(backend, variants).prediction),
    )
    nothing = Effect(score, 0.0, 0)
    return Explanation(
        id=utterance.id,
        text=utterance.text,
        truth=utterance.label,
        target=target,
        score=score,
        low=None if ends is None else ends[0],
        high=None if ends is None else ends[1],
        label=task.words(whole.prediction[i]),
        shares={m: float(share[i]) for m, share in whole.shares.items() if m in read},
        doubts={m: float(doubt[i]) for m, doubt in whole.conflict_probabilities.items() if m in read},
        modalities={m: _modality_explanation(utterance, m, gates.get(m), effects, nothing) for m in read},
        without_modality={m: effects["modality", m] for m in read if ("modality", m) in effects},
        without_removed={m: effects.get(("removed", m), nothing) for m in (*gates, ALL)} if gates else {},
    )


def _removals(utterance: Utterance, read: Sequence[Modality], gates: Gates, unk: int | None) -> list[Removal]:
    """Without (`modality`, its name), (`removed`, its name or `all`), and (modality, number of a part)."""
    plain = bare(utterance)
    asked, filtered, removed = [], plain, 0
    for m in read:
        if len(read) > 1:
            asked.append(Removal(("modality", m), None, without_modality(plain, m)))
        seen = observed(utterance, m)
        marked = seen & (gates[m] < REMOVED_BELOW) if m in gates else np.zeros(len(seen), bool)
        if marked.any():
            count = int(marked.sum())
            asked.append(Removal(("removed", m), count, without(plain, m, marked, unk)))
            filtered, removed = without(filtered, m, marked, unk), removed + count
        for number, part in enumerate(parts_of(utterance, m)):
            rows = seen & inside(part, len(seen))
            if rows.any():
                asked.append(Removal((m, number), int(rows.sum()), without(plain, m, rows, unk)))
    return [*asked, Removal(("removed", ALL), removed, filtered)] if removed else asked


def _modality_explanation(
    utterance: Utterance,
    modality: Modality,
    gate: NDArray[np.float32] | None,
    effects: Mapping[tuple[str, str | int], Effect],
    nothing: Effect,
) -> ModalityExplanation:
    seen = observed(utterance, modality)
    kept = None if gate is None else np.where(seen, gate.astype(np.float64), np.nan)
    spans = [span for span in utterance.injected if span.modality == modality]
    injected = np.zeros(len(seen), bool)
    for span in spans:
        injected[span.start : span.stop] = True
    parts = []
    for number, part in enumerate(parts_of(utterance, modality)):
        rows = seen & inside(part, len(seen))
        mean = None if kept is None or not rows.any() else float(kept[rows].mean())
        parts.append(PartEffect(part, mean, effects.get((modality, number), nothing)))
    return ModalityExplanation(
        words=has_words(utterance, modality),
        observed=seen,
        kept=kept,
        injected=injected if spans else None,
        kinds=tuple(sorted({span.kind for span in spans})),
        parts=tuple(parts),
    )


def _with_gradients(backend: Backend, utterance: Utterance, one: Explanation, steps: int) -> Explanation:
    """The same with integrated gradients summed over every part."""
    from mecam.evaluation.explanation.gradients import integrated_gradients

    found = integrated_gradients(backend, utterance, one.target, steps=steps)
    modalities = dict(one.modalities)
    for modality, rows in found.rows.items():
        of_modality = modalities[modality]
        parts = [replace(p, gradient=float(rows[p.part.start : p.part.stop].sum())) for p in of_modality.parts]
        modalities[modality] = replace(of_modality, parts=tuple(parts))
    return replace(one, modalities=modalities, gradients=found)


def find_utterances(store: Store, ids: Sequence[str]) -> NDArray[np.int64]:
    """Positions of utterances by their ids.

    Raises: DataError naming the first that is not there, with what it may have been meant to be.
    """
    places = {name: i for i, name in enumerate(store.column("id"))}
    for name in ids:
        if name not in places:
            close = difflib.get_close_matches(name, places, n=3)
            hint = f"did you mean {', '.join(close)}?" if close else f"ids look like {next(iter(places))}"
            raise DataError(f"there is no utterance {name!r}", where=str(store.path), fix=hint)
    return np.array([places[name] for name in dict.fromkeys(ids)], np.int64)


def some_of(store: Store, split: str, limit: int | None) -> NDArray[np.int64]:
    """Positions of a split, or of `limit` utterances spread evenly over it.

    Raises: DataError if the split is empty.
    """
    places: NDArray[np.int64] = store.split(split)
    if not len(places):
        raise DataError(f"the store has no utterance in {split}", where=str(store.path))
    if limit is None or limit >= len(places):
        return places
    chosen: NDArray[np.int64] = places[np.linspace(0, len(places) - 1, limit).round().astype(np.int64)]
    return chosen


def survey(
    backend: Backend,
    store: Store,
    indices: NDArray[np.int64],
    *,
    gradients: bool = True,
    steps: int = STEPS,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Agreement over the utterances of a store.

    Args:
        backend: computes the model.
        store: with features that it knows.
        indices: which utterances.
        gradients: also ask integrated gradients.
        steps: of their path.
        progress: called with (utterances done, all).

    Returns: `utterances`, `videos`, `resampled` (unit and count), `top` (share of the parts that the overlap is about),
        `modalities` (as `agreement_table` describes them) and `completeness` (of the gradients; None without them).
    """
    explained = explain(backend, store, indices, gradients=gradients, steps=steps, progress=progress)
    dataset = backend.preprocessor.dataset(store, indices)
    groups = Groups.among(dataset.videos, dataset.speakers)
    found = [{m: of_modality.agreement for m, of_modality in one.modalities.items()} for one in explained]
    return {
        "utterances": len(explained),
        "videos": len(set(dataset.videos)),
        "resampled": asdict(groups.resampled),
        "top": TOP_SHARE,
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
