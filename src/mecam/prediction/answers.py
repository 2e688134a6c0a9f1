"""Utterances through a backend: what it says of each, with interval, words for the score, and what was filtered out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mecam.data.datasets import Dataset
from mecam.evaluation.predict import ask, calibrated, contradicting, known_only
from mecam.models.backend import Backend
from mecam.prediction.result import Prediction
from mecam.runs.predictions import interval_around
from mecam.types import RENDERED, TEXT, Modality, Predictions, Utterance

__all__ = ["model_of", "notes_of", "predict_dataset", "predict_utterances"]


def predict_utterances(
    backend: Backend, utterances: Sequence[Utterance], *, together: bool = False
) -> list[Prediction]:
    """Predict utterances in memory.

    Args:
        backend: computes the model.
        utterances: of one recording or several.
        together: they are all utterances of their recordings, so that a model may use the context of a recording;
            otherwise each is predicted alone.
    """
    texts = [utterance.text for utterance in utterances]
    return predict_dataset(backend, backend.preprocessor.dataset(utterances), texts, together=together)


def predict_dataset(
    backend: Backend,
    dataset: Dataset,
    texts: Sequence[str | None],
    progress: Callable[[int, int], None] | None = None,
    *,
    together: bool,
) -> list[Prediction]:
    """Predict a data set that the backend has made; `texts` are its transcripts, the rest is as in `ask`."""
    predictions = ask(backend, dataset, backend.preprocessor.collator, details=True, progress=progress)
    predictions = calibrated(backend, predictions, together=together)
    half = backend.checkpoint.half_width
    return [_one(backend, predictions, i, texts[i], half) for i in range(len(predictions))]


def _one(backend: Backend, p: Predictions, i: int, text: str | None, half: float | None) -> Prediction:
    task = backend.checkpoint.inputs.task
    score = float(p.prediction[i]) if task.is_score else None
    ends: tuple[float | None, float | None] = (None, None)
    if half is not None and score is not None:
        ends = interval_around(task, score, float(p.interval_half_widths(half)[i]))
    doubts = {m: float(doubt[i]) for m, doubt in p.conflict_probabilities.items() if np.isfinite(doubt[i])}
    gates: Mapping[Modality, Any] = p.gates[i] if p.gates else {}
    doubts = doubts if len(doubts) > 1 else {}  # one voice alone contradicts nobody
    return Prediction(
        id=p.ids[i],
        text=text,
        score=score,
        low=ends[0],
        high=ends[1],
        label=task.words(p.prediction[i]),
        probabilities=dict(zip(task.names, p.prediction[i].tolist(), strict=True)) if score is None else {},
        shares={m: float(share[i]) for m, share in p.shares.items()},
        kept={m: known_only(kept) for m, kept in gates.items()},
        doubts=doubts,
        contradicts=contradicting(doubts),
        absent=tuple(m for m in backend.reads if _lacks(backend, m, text, float(p.missing_rates[m][i]))),
    )


def _lacks(backend: Backend, modality: Modality, text: str | None, lost: float) -> bool:
    """Whether an utterance has nothing of a modality; a text of unknown words only is still a text."""
    if modality == TEXT and backend.preprocessor.tokenizer is not None:
        return not (text or "").split()
    return lost >= 1


def model_of(backend: Backend) -> str:
    """What computes the predictions, in words."""
    checkpoint = backend.checkpoint
    return checkpoint.name + (f", trained on {checkpoint.data_name}" if checkpoint.data_name else "")


def notes_of(backend: Backend) -> tuple[str, ...]:
    """Notes that belong to every result of this model."""
    checkpoint = backend.checkpoint
    notes = []
    if checkpoint.synthetic and checkpoint.data_name == RENDERED:
        notes.append(
            "This model was trained on rendered clips: it is a demonstration and does not know real faces or voices."
        )
    elif checkpoint.synthetic:
        notes.append("This model was trained on the built-in synthetic corpus: it is a demonstration.")
    if checkpoint.recording is not None:
        notes.append(
            "Where words or time steps are missing, scores also depend on the other utterances of the recording; "
            "explanations do not include this."
        )
    return tuple(notes)
