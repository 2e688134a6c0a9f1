"""A recording through a trained model: features as they were made for its training, then what it says of each part.

What a prediction rests on is found by asking the model again: with one modality alone, which tells who disagrees, and
with one word unknown, which tells what the word contributes. Both hold for any model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mecam.data.operations.speakers import RELATIVE
from mecam.errors import ModelError
from mecam.evaluation.explanation.perturbation import leave_one_out, words_left_out
from mecam.features.extractor import extractor_of
from mecam.features.media import Progress, nobody
from mecam.features.people import Whose
from mecam.features.recording import NOTHING, Recipe, Recording, read_recording
from mecam.features.segmentation import Lengths
from mecam.features.text import transcript_beside
from mecam.models.backend import Backend
from mecam.prediction.answers import model_of, notes_of, predict_utterances
from mecam.prediction.inputs import id_of, printable
from mecam.prediction.moments import check_every, moments_of
from mecam.prediction.result import Prediction, RecordingPrediction
from mecam.task import Task
from mecam.types import TEXT, Modality, Utterance

__all__ = ["alone_of", "contributions_of", "disagreeing", "overall_of", "predict_recording", "recipe_of"]
__all__ += ["prediction_of", "recording_of"]

MAX_WORDS = 200
"""Words of one utterance whose contribution is looked for; each costs a pass of the model."""


def predict_recording(
    backend: Backend,
    path: str | Path,
    *,
    transcript: str | Path | None = None,
    asr: str | None = None,
    language: str | None = None,
    lengths: Lengths | None = None,
    words: bool = False,
    every: float | None = None,
    person: Whose = "speaker",
    name: str | None = None,
    baseline: str | Path | None = None,
    progress: Progress = nobody,
) -> RecordingPrediction:
    """Predict a recording.

    Args:
        backend: computes the model.
        path: a video or sound file.
        transcript: its file; by default the one next to the recording with the same name.
        asr: a speech model that writes down what no transcript says; None or empty leaves text absent.
        language: of the speech.
        lengths: of utterances.
        words: also look for what each word contributes.
        every: also tell each stretch of so many seconds apart; see `mecam.prediction.moments`.
        person: whose face is read: the speaker's, that of the most visible one who does not speak (`listener`), or that
            of the person with this number, in order of appearance.
        name: what the recording, and by it the ids of its utterances, are called; by default the file's name.
        baseline: a recording of the same person, or `auto`, this recording itself: what the features are relative to,
            of a model that learned from features relative to the speaker; others do not need it.
        progress: told how far reading it is.

    Raises: ConfigError if `every` is too short, or a person is asked for and the model does not read faces that mecam
        extracts; DataError if there is no person with this number; MediaError for an unusable file; ModelError if the
        model's features cannot be made, or the recording has nothing that the model reads.
    """
    path = Path(path)
    if every is not None:
        check_every(every)
    recipe = replace(
        recipe_of(backend, baseline), asr=asr or None, language=language, lengths=lengths or Lengths(), person=person
    )
    recording = recording_of(path, recipe, transcript=transcript, name=name, progress=progress)
    return prediction_of(backend, path, recording, recipe, words=words, every=every, name=name)


def recording_of(
    path: Path,
    recipe: Recipe,
    *,
    transcript: str | Path | None = None,
    name: str | None = None,
    progress: Progress = nobody,
) -> Recording:
    """What a model is to read of a recording: the part of `predict_recording` that needs no model.

    Raises: as `predict_recording`, for a file that is unusable.
    """
    given = None if transcript is None else Path(transcript)
    beside = transcript_beside(path) if given is None else ()
    called = path if name is None else Path(name)
    return read_recording(path, recipe, id=id_of(called), transcript=given, beside=beside, progress=progress)


def prediction_of(
    backend: Backend,
    path: Path,
    recording: Recording,
    recipe: Recipe,
    *,
    words: bool = False,
    every: float | None = None,
    name: str | None = None,
) -> RecordingPrediction:
    """What a model says of a recording that was read: the other part of `predict_recording`.

    Raises: ModelError if the recording has nothing that the model reads.
    """
    called = path if name is None else Path(name)
    predicted = predict_utterances(backend, recording.utterances, together=True)
    parts = [
        replace(one, start=start, stop=stop) for one, (start, stop) in zip(predicted, recording.spans, strict=True)
    ]
    absent = _absent(backend, recording, recipe, parts)
    _require_something(backend, path, parts, absent)
    alone, task = alone_of(backend, recording.utterances, parts), backend.checkpoint.inputs.task
    parts = [replace(p, alone=a, disagrees=disagreeing(task, p, a)) for p, a in zip(parts, alone, strict=True)]
    asked = words and TEXT in backend.reads and TEXT not in absent
    return RecordingPrediction(
        path,
        recording.duration,
        overall_of(task, printable(called.stem), _telling(backend, parts)),
        tuple(parts),
        recording.utterances,
        contributions_of(backend, recording.utterances, parts) if asked else (),
        absent,
        recording.details,
        (*recording.findings, *_empty_parts(backend, parts)),
        recording.language,
        notes_of(backend),
        printable(path.name) if name is None else name,
        moments=() if every is None else moments_of(parts, recording.utterances, recording.duration, every),
        model=model_of(backend),
        people=recording.people,
    )


def _absent(backend: Backend, recording: Recording, recipe: Recipe, parts: Sequence[Prediction]) -> dict[Modality, str]:
    """Modalities that the model reads and that no utterance has, each with the reason."""
    reasons = {}
    for modality in backend.reads:
        if not all(modality in part.absent for part in parts):
            continue
        follows_words = modality in recipe.aligned and not any(modality in u.streams for u in recording.utterances)
        known = "its features are aligned to words, and no word has a time" if follows_words else NOTHING.get(modality)
        reasons[modality] = recording.absent.get(modality) or known or "all time steps are missing"
    return reasons


def _require_something(
    backend: Backend, path: Path, parts: Sequence[Prediction], absent: Mapping[Modality, str]
) -> None:
    """Refuse a recording of which the model reads nothing: its answer would be that of no recording at all."""
    reads = backend.reads
    if reads and not _telling(backend, parts, or_all=False):
        reasons = "; ".join(f"{m}: {why}" for m, why in absent.items()) or "it is too short"
        raise ModelError(
            f"the recording has no input for this model ({reasons})",
            where=str(path),
            fix="give a transcript with --transcript, or --asr" if reads == (TEXT,) else "choose another model",
        )


def _telling(backend: Backend, parts: Sequence[Prediction], *, or_all: bool = True) -> Sequence[Prediction]:
    """The utterances of which the model reads something; all of them where it reads nothing of any."""
    reads = set(backend.reads)
    found = [part for part in parts if not reads or reads - set(part.absent)]
    return found or (parts if or_all else [])


def _empty_parts(backend: Backend, parts: Sequence[Prediction]) -> list[str]:
    """The remark where some utterances contain nothing."""
    empty = len(parts) - len(_telling(backend, parts))
    if not empty:
        return []
    return [
        f"{empty} of {len(parts)} utterances contain no input for the model: their predictions have no meaning and "
        "are not part of the overall result"
    ]


def recipe_of(backend: Backend, baseline: str | Path | None = None) -> Recipe:
    """How recordings must be treated so that this model can read them, as its checkpoint says.

    Args:
        backend: the model.
        baseline: of the person, if there is one.

    Raises: ModelError if the features are not ours to make; the error names them.
    """
    inputs = backend.checkpoint.inputs
    specs = {m: inputs.features[m] for m in backend.reads if m in inputs.features}
    here = {m: s for m, s in specs.items() if not (m == TEXT and inputs.raw_text)}
    known = {"allow_encoder": backend.allow_encoder, "baseline": baseline is not None}
    return Recipe(
        extractors=tuple(extractor_of(m, spec, **known).name for m, spec in here.items()),
        aligned=tuple(m for m, spec in specs.items() if spec.aligned),
        relative=tuple(m for m, spec in here.items() if spec.extractor.endswith(RELATIVE)),
        baseline=baseline,
    )


def overall_of(task: Task, name: str, parts: Sequence[Prediction]) -> Prediction:
    """One prediction for several utterances: means weighted by how long each lasts.

    The interval is the mean of theirs: where the score of one utterance may lie, not where their mean may.
    """
    weights = np.array([max((p.stop or 0) - (p.start or 0), 1e-3) for p in parts])

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.average(known, weights=weights)) if len(known) == len(values) else None

    score = mean([p.score for p in parts])
    probabilities = {n: mean([p.probabilities[n] for p in parts]) or 0.0 for n in parts[0].probabilities}
    modalities = sorted({m for p in parts for m in p.shares})
    return Prediction(
        id=name,
        text=" ".join(p.text for p in parts if p.text) or None,
        score=score,
        low=mean([p.low for p in parts]),
        high=mean([p.high for p in parts]),
        label=_words_for(task, score, probabilities),
        probabilities=probabilities,
        shares={m: mean([p.shares.get(m, 0.0) for p in parts]) or 0.0 for m in modalities},
        start=parts[0].start,
        stop=parts[-1].stop,
    )


def _words_for(task: Task, score: float | None, probabilities: Mapping[str, float]) -> str:
    """A prediction in words; none where there is nothing to go by."""
    if score is not None:
        return task.words(score)
    return task.words(np.array(list(probabilities.values()))) if probabilities else ""


def alone_of(
    backend: Backend, utterances: Sequence[Utterance], parts: Sequence[Prediction]
) -> list[dict[Modality, float | str]]:
    """The prediction from each modality alone; empty if there is only one."""
    asked: list[tuple[int, Modality, Utterance]] = []
    for i, (utterance, part) in enumerate(zip(utterances, parts, strict=True)):
        present = [m for m in backend.reads if m not in part.absent]
        asked += [(i, m, _only(utterance, m)) for m in present if len(present) > 1]
    answers: list[dict[Modality, float | str]] = [{} for _ in utterances]
    for (i, modality, _), predicted in zip(asked, predict_utterances(backend, [u for *_, u in asked]), strict=True):
        answers[i][modality] = predicted.label if predicted.score is None else predicted.score
    return answers


def _only(utterance: Utterance, modality: Modality) -> Utterance:
    streams = {m: rows for m, rows in utterance.streams.items() if m == modality}
    return replace(utterance, streams=streams, text=utterance.text if modality == TEXT else None)


def disagreeing(task: Task, whole: Prediction, alone: Mapping[Modality, float | str]) -> tuple[Modality, ...]:
    """Modalities that alone predict the opposite sentiment (what is neutral has none), or another class."""
    if not task.is_score or whole.score is None:
        return tuple(m for m, label in alone.items() if label != whole.label)
    opposite = {"positive": "negative", "negative": "positive"}.get(task.words(whole.score))
    return tuple(m for m, score in alone.items() if task.words(score) == opposite)


def contributions_of(
    backend: Backend, utterances: Sequence[Utterance], parts: Sequence[Prediction]
) -> tuple[tuple[float, ...], ...]:
    """How much each word carries: the answer less the answer with the word unknown, the recording's rest left out."""
    if backend.checkpoint.recording is not None:
        parts = predict_utterances(backend, utterances)

    rows = []
    for utterance, whole in zip(utterances, parts, strict=True):
        odds = whole.probabilities
        first = max(odds, key=lambda name: odds[name], default="")  # of several labels, of which none may be given, too

        def target(given: Prediction, label: str = first) -> float:
            return given.score if given.score is not None else given.probabilities[label]

        def predict(variants: Sequence[Utterance], target: Callable[[Prediction], float] = target) -> list[float]:
            return [target(one) for one in predict_utterances(backend, variants)]

        effects = leave_one_out(target(whole), words_left_out(utterance, limit=MAX_WORDS), predict)
        rows.append(tuple(effect.adds for effect in effects.values()))
    return tuple(rows)
