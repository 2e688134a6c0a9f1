"""An utterance explained by asking the model again: without each modality, each part, and what the filter marks.

What comes out says what the model does, not why it is right: a part whose absence changes the score is a part that the
model relies on. Everything but the filter works for every model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mecam.data.store import Store
from mecam.evaluation.explanation.agreement import agreements
from mecam.evaluation.explanation.asking import Quantity, answers, unknown_token
from mecam.evaluation.explanation.explanation import ALL, MARKED, Effect, Explanation, PartEffect, Strand
from mecam.evaluation.explanation.gradients import STEPS, integrated_gradients, require_captum
from mecam.evaluation.explanation.perturbation import (
    bare,
    has_words,
    inside,
    observed,
    parts_of,
    read_by,
    without,
    without_modality,
)
from mecam.evaluation.predict import interval_around, with_widths
from mecam.models.checkpoint import Trained
from mecam.types import Modality, Predictions, Utterance

__all__ = ["explain", "measures"]

Gates = Mapping[Modality, NDArray[np.float32]]


def explain(
    trained: Trained,
    source: Store | Sequence[Utterance],
    indices: NDArray[np.int64] | None = None,
    *,
    gradients: bool = False,
    steps: int = STEPS,
    progress: Callable[[int, int], None] | None = None,
) -> list[Explanation]:
    """Explain utterances.

    Args:
        trained: the model.
        source: a store with the features that the model knows, or utterances in memory.
        indices: which of them; all when None.
        gradients: also integrated gradients; needs the extra `explain`.
        steps: of the path that gradients are integrated over.
        progress: called with (utterances done, all).

    Raises: MissingExtraError if gradients are asked for without captum.
    """
    if gradients:
        require_captum()
    utterances = list(trained.dataset(source, indices))
    whole = answers(trained, utterances, details=True)
    explained = []
    for i, utterance in enumerate(utterances):
        one = _explained(trained, utterance, whole, i)
        if gradients:
            one = _with_gradients(trained, utterance, one, steps)
        strands = {m: replace(s, agreement=agreements(measures(s.parts))) for m, s in one.strands.items()}
        explained.append(replace(one, strands=strands))
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


@dataclass(frozen=True)
class _Question:
    """What is left out, and the utterance without it.

    Attributes:
        key: (`modality`, its name), (`removed`, its name or `all`) or (modality, number of the part).
        count: rows or words that are left out.
        variant: the utterance without them.
    """

    key: tuple[str, str | int]
    count: int | None
    variant: Utterance


def _explained(trained: Trained, utterance: Utterance, whole: Predictions, i: int) -> Explanation:
    """All but gradients and agreement."""
    task = trained.checkpoint.inputs.task
    quantity = Quantity.of(task, whole.prediction[i])
    score = float(quantity.read(whole.prediction[i : i + 1])[0])
    known = trained.checkpoint.half_width
    ends = None
    if known is not None and quantity.column is None:
        ends = interval_around(task, score, float(with_widths(trained, whole).half_widths(known)[i]))
    read, gates = read_by(trained.model.reads, utterance), whole.gates[i]
    asked = _questions(utterance, read, gates, unknown_token(trained))
    said = quantity.read(answers(trained, [q.variant for q in asked]).prediction) if asked else np.empty(0)
    effects = {q.key: Effect(float(value), score - float(value), q.count) for q, value in zip(asked, said, strict=True)}
    nothing = Effect(score, 0.0, 0)
    return Explanation(
        id=utterance.id,
        text=utterance.text,
        truth=utterance.label,
        quantity=quantity,
        score=score,
        low=None if ends is None else ends[0],
        high=None if ends is None else ends[1],
        label=task.words(whole.prediction[i]),
        shares={m: float(share[i]) for m, share in whole.shares.items() if m in read},
        doubts={m: float(doubt[i]) for m, doubt in whole.doubts.items() if m in read},
        strands={m: _strand(utterance, m, gates.get(m), effects, nothing) for m in read},
        without_modality={m: effects["modality", m] for m in read if ("modality", m) in effects},
        without_removed={m: effects.get(("removed", m), nothing) for m in (*gates, ALL)} if gates else {},
    )


def _questions(utterance: Utterance, read: Sequence[Modality], gates: Gates, unk: int | None) -> list[_Question]:
    plain = bare(utterance)
    asked, filtered, removed = [], plain, 0
    for m in read:
        if len(read) > 1:
            asked.append(_Question(("modality", m), None, without_modality(plain, m)))
        seen = observed(utterance, m)
        marked = seen & (gates[m] < MARKED) if m in gates else np.zeros(len(seen), bool)
        if marked.any():
            count = int(marked.sum())
            asked.append(_Question(("removed", m), count, without(plain, m, marked, unk)))
            filtered, removed = without(filtered, m, marked, unk), removed + count
        for number, part in enumerate(parts_of(utterance, m)):
            rows = seen & inside(part, len(seen))
            if rows.any():
                asked.append(_Question((m, number), int(rows.sum()), without(plain, m, rows, unk)))
    return [*asked, _Question(("removed", ALL), removed, filtered)] if removed else asked


def _strand(
    utterance: Utterance,
    modality: Modality,
    gate: NDArray[np.float32] | None,
    effects: Mapping[tuple[str, str | int], Effect],
    nothing: Effect,
) -> Strand:
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
    return Strand(
        words=has_words(utterance, modality),
        observed=seen,
        kept=kept,
        injected=injected if spans else None,
        kinds=tuple(sorted({span.kind for span in spans})),
        parts=tuple(parts),
    )


def _with_gradients(trained: Trained, utterance: Utterance, one: Explanation, steps: int) -> Explanation:
    """The same with integrated gradients summed over every part."""
    found = integrated_gradients(trained, utterance, one.quantity, steps=steps)
    strands = dict(one.strands)
    for modality, rows in found.rows.items():
        strand = strands[modality]
        parts = [replace(p, gradient=float(rows[p.part.start : p.part.stop].sum())) for p in strand.parts]
        strands[modality] = replace(strand, parts=tuple(parts))
    return replace(one, strands=strands, gradients=found)
