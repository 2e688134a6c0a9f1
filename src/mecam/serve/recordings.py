"""A recording through a trained model: features as they were made for its training, then what it says of each part.

What a prediction rests on is found by asking the model again: with one modality alone, which tells who disagrees, and
with one word unknown, which tells what the word contributes. Both hold for any model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mecam.data.sources.base import make_id
from mecam.errors import ModelError
from mecam.evaluation.evaluate import in_words
from mecam.features.clips import RENDERED
from mecam.features.registry import extractor_of
from mecam.features.segmentation import Lengths
from mecam.features.transcript import transcript_beside
from mecam.features.utterances import Recipe, read_recording
from mecam.types import TEXT, Modality, Task, Utterance

if TYPE_CHECKING:
    from mecam.serve.predictor import Prediction, Predictor

__all__ = ["Watched", "notes_of", "recipe_of", "watch"]

UNKNOWN = "[UNK]"
MOST_WORDS = 200
"""Words of one utterance whose contribution is looked for; each costs a pass of the model."""


@dataclass(frozen=True)
class Watched:
    """What a model says about a recording.

    Attributes:
        path: the file.
        duration: seconds.
        overall: over the whole recording: the mean over its parts, each weighing as long as it lasts.
        parts: one prediction per utterance, in time; their `start` and `stop` say when.
        utterances: what each prediction was made from; features with times, words with times.
        contributions: per utterance, per word: how much the score (or the probability of the class that is given)
            falls when the word is unknown; empty where not asked for or where there is no text.
        absent: modality that the model reads and the recording lacks → why.
        details: modality → per utterance, what the extractor reports (faces found …).
        findings: what was odd, in sentences.
        language: of the transcript, where known.
        notes: what must be said beside every result of this model.
    """

    path: Path
    duration: float
    overall: "Prediction"
    parts: tuple["Prediction", ...]
    utterances: tuple[Utterance, ...]
    contributions: tuple[tuple[float, ...], ...] = ()
    absent: Mapping[Modality, str] = field(default_factory=dict)
    details: Mapping[Modality, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    language: str = ""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values; the file by its name."""
        content = {
            "file": self.path.name,
            "duration": round(self.duration, 3),
            "overall": self.overall.to_json(),
            "utterances": [part.to_json() for part in self.parts],
            "contributions": [[round(c, 4) for c in row] for row in self.contributions],
            "absent": dict(self.absent),
            "details": {m: [dict(row) for row in rows] for m, rows in self.details.items()},
            "findings": list(self.findings),
            "language": self.language,
            "notes": list(self.notes),
        }
        return {key: value for key, value in content.items() if value not in ([], {}, "")}


def watch(
    predictor: "Predictor",
    path: str | Path,
    *,
    transcript: str | Path | None = None,
    asr: str | None = None,
    language: str | None = None,
    lengths: Lengths | None = None,
    words: bool = False,
) -> Watched:
    """Predict a recording.

    Args:
        predictor: the model.
        path: a video or sound file.
        transcript: a file of what is said; one that lies beside the recording under its name is found by itself.
        asr: a speech model that writes down what no transcript says; None leaves text absent.
        language: of the speech.
        lengths: of utterances.
        words: also look for what each word contributes.

    Raises: MediaError for an unusable file; ModelError if the model's features cannot be made, or the recording has
        nothing that the model reads.
    """
    path = Path(path)
    recipe = replace(recipe_of(predictor), asr=asr, language=language, lengths=lengths or Lengths())
    reads = predictor.trained.model.reads
    given = None if transcript is None else Path(transcript)
    beside = transcript_beside(path) if given is None else ()
    recording = read_recording(path, recipe, id=make_id(path.stem), transcript=given, beside=beside)
    absent = {m: why for m, why in recording.absent.items() if m in reads}
    if reads and not any(set(u.streams) & set(reads) or (u.text and TEXT in reads) for u in recording.utterances):
        reasons = "; ".join(f"{m}: {why}" for m, why in absent.items()) or "it is too short"
        raise ModelError(
            f"the recording has nothing that this model reads ({reasons})",
            where=str(path),
            fix="give a transcript with --transcript, or --asr" if reads == (TEXT,) else "choose another model",
        )
    said = predictor.predict_utterances(recording.utterances, together=True)
    parts = [replace(one, start=start, stop=stop) for one, (start, stop) in zip(said, recording.spans, strict=True)]
    alone = _alone(predictor, recording.utterances)
    parts = [
        replace(p, alone=a, disagrees=_disagreeing(predictor.task, p, a)) for p, a in zip(parts, alone, strict=True)
    ]
    return Watched(
        path,
        recording.duration,
        overall_of(predictor.task, path.stem, parts),
        tuple(parts),
        recording.utterances,
        _contributions(predictor, recording.utterances, parts) if words and TEXT in reads else (),
        absent,
        recording.details,
        recording.findings,
        recording.language,
        notes_of(predictor),
    )


def notes_of(predictor: "Predictor") -> tuple[str, ...]:
    """What must be said beside every result of this model."""
    checkpoint = predictor.trained.checkpoint
    notes = []
    if checkpoint.synthetic and checkpoint.data_name == RENDERED:
        notes.append(
            "This model learned from rendered clips: it is for trying the tool, and knows no real faces or voices."
        )
    elif checkpoint.synthetic:
        notes.append("This model learned from the built-in synthetic corpus: it is for trying the tool.")
    if checkpoint.recording is not None:
        notes.append(
            "Scores of a recording's utterances lean on its other utterances where words or rows are missing; "
            "explanations leave that out."
        )
    return tuple(notes)


def recipe_of(predictor: "Predictor") -> Recipe:
    """How recordings must be treated so that this model can read them, as its checkpoint says.

    Raises: ModelError if the features are not ours to make; it says which they are.
    """
    inputs = predictor.trained.checkpoint.inputs
    specs = {m: inputs.features[m] for m in predictor.trained.model.reads if m in inputs.features}
    names = tuple(extractor_of(m, spec).name for m, spec in specs.items() if not (m == TEXT and inputs.raw_text))
    return Recipe(extractors=names, aligned=tuple(m for m, spec in specs.items() if spec.aligned))


def overall_of(task: Task, name: str, parts: Sequence["Prediction"]) -> "Prediction":
    """One prediction for several utterances: means weighted by how long each lasts.

    The interval is the mean of theirs: where the score of one utterance may lie, not where their mean may.
    """
    from mecam.serve.predictor import Prediction

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
        label=in_words(task, np.array(list(probabilities.values())) if score is None else score),
        probabilities=probabilities,
        shares={m: mean([p.shares.get(m, 0.0) for p in parts]) or 0.0 for m in modalities},
        start=parts[0].start,
        stop=parts[-1].stop,
    )


def _alone(predictor: "Predictor", utterances: Sequence[Utterance]) -> list[dict[Modality, float | str]]:
    """What each modality would say without the others; nothing where there is only one."""
    asked: list[tuple[int, Modality, Utterance]] = []
    for i, utterance in enumerate(utterances):
        present = [m for m in predictor.trained.model.reads if m in utterance.streams or (m == TEXT and utterance.text)]
        asked += [(i, m, _only(utterance, m)) for m in present if len(present) > 1]
    answers: list[dict[Modality, float | str]] = [{} for _ in utterances]
    for (i, modality, _), said in zip(asked, predictor.predict_utterances([u for *_, u in asked]), strict=True):
        answers[i][modality] = said.label if said.score is None else said.score
    return answers


def _only(utterance: Utterance, modality: Modality) -> Utterance:
    streams = {m: rows for m, rows in utterance.streams.items() if m == modality}
    return replace(utterance, streams=streams, text=utterance.text if modality == TEXT else None)


def _disagreeing(task: Task, whole: "Prediction", alone: Mapping[Modality, float | str]) -> tuple[Modality, ...]:
    """Modalities that, alone, would say the opposite sentiment, or another class."""
    if task.kind != "regression" or whole.score is None:
        return tuple(m for m, label in alone.items() if label != whole.label)
    middle, neutral = (task.high + task.low) / 2, (task.high - task.low) / 12
    away = whole.score - middle
    apart = {m: float(score) - middle for m, score in alone.items()}
    return tuple(m for m, a in apart.items() if abs(a) > neutral and a * away < 0)


def _contributions(
    predictor: "Predictor", utterances: Sequence[Utterance], parts: Sequence["Prediction"]
) -> tuple[tuple[float, ...], ...]:
    """How much each word carries: the answer less the answer with the word unknown, the recording's rest left out."""
    if predictor.trained.checkpoint.recording is not None:
        parts = predictor.predict_utterances(utterances)

    def answer(said: "Prediction", label: str) -> float:
        return said.score if said.score is not None else said.probabilities[label]

    rows = []
    for utterance, whole in zip(utterances, parts, strict=True):
        words = (utterance.text or "").split()[:MOST_WORDS]
        odds = whole.probabilities
        first = max(odds, key=lambda name: odds[name], default="")  # of several labels, of which none may be given, too
        without = [replace(utterance, text=" ".join([*words[:i], UNKNOWN, *words[i + 1 :]])) for i in range(len(words))]
        said = predictor.predict_utterances(without)
        rows.append(tuple(answer(whole, first) - answer(p, first) for p in said))
    return tuple(rows)
