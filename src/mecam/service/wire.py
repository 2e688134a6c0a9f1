"""What goes over the wire, as the description of the service (OpenAPI) tells it.

Answers are made by `to_json` of the predictions themselves, so that they are the same everywhere; the models of answers
here describe them, and tests hold one against the other.
"""

from datetime import datetime, timezone
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mecam.service.jobs import Job

__all__ = ["EVENTS", "PROBLEMS", "FormFields", "JobAnswer", "ModelAnswer", "Problem", "RecordingAnswer", "Status"]
__all__ += ["TextAnswer", "TextRequest", "job_json"]

SENTENCE: dict[str, Any] = {
    "id": "1",
    "text": "I would see it again tomorrow",
    "score": 1.4,
    "low": 0.1,
    "high": 2.7,
    "label": "positive",
    "kept": {"text": [0.98, 0.97, 0.99, 0.99, 0.96, 0.97]},
    "emotions": {"joy": 0.62, "neutral": 0.31},
}


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TextRequest(BaseModel):
    """One text, or several."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "oneOf": [
                {"required": ["text"], "properties": {"text": {"type": "string"}}},
                {"required": ["texts"], "properties": {"texts": {"type": "array"}}},
            ],
            "examples": [{"texts": ["I would see it again tomorrow", "What a waste of two hours"]}],
        },
    )

    text: str | None = Field(None, description="One text.")
    texts: list[str] | None = Field(None, description="Several texts.", min_length=1)


class VoiceAnswer(_Answer):
    """How something is said."""

    activation: float | None = Field(None, ge=0, le=1, description="From 0, calm, to 1, activated.")
    low: float | None = Field(None, description="Lower end of the interval around it.")
    high: float | None = Field(None, description="Upper end.")
    words_per_s: float | None = Field(None, description="Words a second of speech.")
    pitch_hz: float | None = Field(None, description="Median pitch in hertz.")
    pitch_range: float | None = Field(None, description="Semitones from the 10th to the 90th percentile of the pitch.")
    pauses: float | None = Field(None, ge=0, le=1, description="Fraction of the time without voice.")


class FaceAnswer(_Answer):
    """What a face shows, which is not what anybody feels."""

    visible: float = Field(ge=0, le=1, description="Fraction of the frames in which it is seen.")
    expressions: dict[str, float] = Field({}, description="Expression → probability; they sum to 1.")
    movements: dict[str, float] = Field({}, description="Movement → 0 to 1; with a baseline -1 to 1.")


class PredictionAnswer(_Answer):
    """The prediction of an utterance, a moment, a sentence, or a whole recording. What is not known is left out."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [SENTENCE]})

    id: str
    text: str | None = Field(None, description="The words.")
    score: float | None = Field(None, description="Sentiment on the scale of the model.")
    low: float | None = Field(None, description="Lower end of the 90 % interval.")
    high: float | None = Field(None, description="Upper end.")
    label: str = Field(description="In words; empty where there is nothing to go by.")
    probabilities: dict[str, float] = Field({}, description="Class or label → probability.")
    shares: dict[str, float] = Field({}, description="Modality → its weight; they sum to 1.")
    kept: dict[str, list[float | None]] = Field(
        {}, description="Modality → how much of each frame or word the filter kept, 0 to 1; null where it is missing."
    )
    start: float | None = Field(None, description="Seconds.")
    stop: float | None = Field(None, description="Seconds.")
    alone: dict[str, float | str] = Field({}, description="Modality → what it alone would predict.")
    disagrees: list[str] = Field([], description="Modalities that alone predict the opposite.")
    doubts: dict[str, float] = Field({}, description="Modality → probability that it contradicts the others.")
    contradicts: list[str] = Field([], description="Modalities that contradict the others.")
    absent: list[str] = Field([], description="Modalities of which there is nothing.")
    emotions: dict[str, float] = Field({}, description="Emotion → probability that the words express it.")
    voice: VoiceAnswer | None = None
    face: FaceAnswer | None = None
    person: int | None = Field(None, ge=1, description="Number of the person whose face is told.")
    speaking: bool | None = Field(None, description="Whether that person speaks.")


class TextAnswer(_Answer):
    """The predictions of texts, in the order of the texts."""

    predictions: list[PredictionAnswer]
    model: str = Field(description="What predicted them.")
    notes: list[str] = Field(description="What every answer should be read with.")


class RecordingAnswer(_Answer):
    """What is said of a recording. What is empty is left out."""

    file: str = Field(description="What the client calls the recording.")
    duration: float = Field(ge=0, description="Seconds.")
    overall: PredictionAnswer
    utterances: list[PredictionAnswer]
    listeners: list[PredictionAnswer] = Field([], description="Faces of the others who are seen.")
    moments: list[PredictionAnswer] = Field([], description="Stretches of equal length, where asked for.")
    contributions: list[list[float]] = Field([], description="Per utterance and word: what it adds to the score.")
    absent: dict[str, str] = Field({}, description="Modality of which there is nothing → why.")
    details: dict[str, list[dict[str, Any]]] = Field({}, description="What extractors report.")
    findings: list[str] = Field([], description="What was odd, in sentences.")
    language: str = Field("", description="Of the transcript.")
    model: str = Field("", description="What predicted it.")
    notes: list[str] = Field([], description="What the answer should be read with.")


class Problem(BaseModel):
    """What is wrong, where, and what to do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": 422,
                    "what": "this is not a readable video or sound file",
                    "where": "clip.mp4",
                    "fix": "give a video or sound file (mp4, mov, mkv, webm, avi, mpg, wav, flac, mp3 …)",
                }
            ]
        }
    )

    status: int
    what: str
    where: str | None = None
    fix: str | None = None


class JobAnswer(_Answer):
    """A recording that is read, or will be."""

    id: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    stage: str = Field(description="What is being done.", examples=["faces"])
    progress: float = Field(ge=0, le=1)
    place: int | None = Field(None, ge=0, description="Jobs before it in the queue.")
    name: str = Field(description="What the client calls the recording.", examples=["clip.mp4"])
    created: str = Field(description="UTC.", examples=["2026-11-28T12:00:00Z"])
    started: str | None = None
    finished: str | None = None
    expires: str | None = Field(None, description="When its result is removed.")
    error: Problem | None = None
    files: dict[str, str] = Field({}, description="Kind of file → where it is, of a job that is done.")


class ModelAnswer(_Answer):
    """The model and the service."""

    name: str
    task: dict[str, Any]
    reads: list[str] = Field(description="Modalities.")
    notes: list[str]
    cards: list[dict[str, Any]] = Field(
        description="What the model learned from, how well it does, what it is not for."
    )
    limits: dict[str, float] = Field(description="How much may be asked.")
    speech_to_text: str | None = Field(description="The speech model that writes down what no transcript says.")
    live: bool = Field(description="Whether live sessions are possible.")
    version: str = Field(description="Of mecam.")


class Status(_Answer):
    """Whether the service is there."""

    status: Literal["ok", "ready", "starting", "stopping"]


class FormFields(BaseModel):
    """How a recording is read, beside the parts that are files."""

    model_config = ConfigDict(extra="forbid")

    language: str | None = Field(None, max_length=16, pattern=r"^[A-Za-z-]*$", description="Of the speech.")
    asr: bool | None = Field(None, description="Write down what no transcript says. Default: where it can be done.")
    every: float | None = Field(None, ge=0.1, le=3600, description="Also tell stretches of so many seconds.")
    person: int | Literal["speaker", "listener"] = Field("speaker", description="Whose face is read.")
    words: bool = Field(False, description="Also tell what each word adds.")
    shortest: float = Field(1.0, gt=0, le=3600, description="Seconds of an utterance, at least.")
    longest: float = Field(15.0, gt=0, le=3600, description="Seconds of an utterance, at most.")
    page: bool = Field(False, description="Also make what a page needs.")
    baseline: Literal["auto"] | None = Field(None, description="`auto`, or a part that is a file.")


_MEANINGS = {
    400: "The request cannot be understood.",
    401: "The token is missing or wrong.",
    403: "Not from this host or origin.",
    404: "There is no such thing.",
    405: "There is no such method here.",
    408: "The request came too slowly.",
    409: "It is not there yet.",
    413: "The request is too large.",
    415: "This is not a form.",
    422: "The input cannot be used.",
    429: "Too much is asked at once; `Retry-After` says when to try again.",
    501: "The service lacks an extra.",
    503: "The service is stopping; `Retry-After` says when to try again.",
    507: "There is no room on the disk.",
}


def PROBLEMS(*statuses: int) -> dict[int | str, dict[str, Any]]:  # noqa: N802 - stands where a table would
    """The problems that a route may answer with; each may fail for want of a token, or come from a foreign page."""
    told = sorted({*statuses, 401, 403})
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _MEANINGS[status], "model": Problem, "content": content} for status in told}


EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "An event `job` with the job at every change.",
        "content": {"text/event-stream": {}},
    }
}


def job_json(job: Job) -> dict[str, Any]:
    """A job as clients see it; what is not known is left out."""
    place = f"/v1/jobs/{job.id}"
    values = {
        "id": job.id,
        "state": job.state,
        "stage": job.stage,
        "progress": round(job.progress, 3),
        "place": job.place,
        "name": job.name,
        "created": _time(job.created),
        "started": _time(job.started),
        "finished": _time(job.finished),
        "expires": _time(job.expires),
        "error": None if job.error is None else dict(job.error),
        "files": {kind: f"{place}/files/{kind}" for kind in job.files} or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
