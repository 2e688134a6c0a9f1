"""Recordings over HTTP: they are received, become jobs, and are waited for where they are small."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi import Path as PathParameter
from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, Response, StreamingResponse

from mecam.escaping import json_text
from mecam.service.jobs import ENDED, Job, Jobs
from mecam.service.outputs import OUTPUTS, file_of
from mecam.service.problems import Refused, answer_of, problem_of_fields
from mecam.service.security import UPLOADS
from mecam.service.settings import MB, Settings
from mecam.service.uploads import FILES, FREE_LEFT, Form, receive_form
from mecam.service.wire import EVENTS, PROBLEMS, FormFields, JobAnswer, RecordingAnswer, job_json

__all__ = ["router"]

router = APIRouter()

LOOK_S = 0.5
"""Seconds between two looks whether a client that waits is still there."""

JobId = Annotated[str, PathParameter(pattern="^[0-9a-f]{32}$", description="Of the job.")]
NOT_FOUND = Refused(404, "there is no such job; its result may have expired, or it was removed")


def _fields() -> dict[str, Any]:
    """The parts of a form that are texts; a form knows no null: such a part is not there."""
    fields = FormFields.model_json_schema()["properties"]
    for field in fields.values():
        kinds = [kind for kind in field.pop("anyOf", ()) if kind.get("type") != "null"]
        if len(kinds) == 1:
            field.update(kinds[0])
        elif kinds:
            field["anyOf"] = kinds
        if field.get("default", ...) is None:
            del field["default"]
    return dict(fields)


_FILE = {"type": "string", "format": "binary"}
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {**_FILE, "description": "The recording: mp4, mov, mkv, webm, avi, wav, flac, mp3 …"},
                        "transcript": {**_FILE, "description": "What is said: txt, srt, vtt, csv or json."},
                        **_fields(),
                        "baseline": {
                            "anyOf": [{"const": "auto"}, _FILE],
                            "description": "A recording of the same person speaking calmly; `auto`: this one itself.",
                        },
                    },
                }
            }
        },
    },
    "parameters": [
        {
            "name": "Prefer",
            "in": "header",
            "schema": {"type": "string"},
            "description": "`respond-async`: a job at once. `wait=SECONDS`: how long the answer is waited for.",
            "example": "wait=10",
        }
    ],
}


@router.post(
    UPLOADS,
    tags=["predict"],
    summary="Predict a recording",
    response_model=RecordingAnswer,
    responses={
        202: {"model": JobAnswer, "description": "It became a job."},
        **PROBLEMS(400, 408, 413, 415, 422, 429, 503, 507),
    },
    openapi_extra=_FORM,
)
async def predict_recording(request: Request) -> Response:
    """Predict a recording. Small ones are answered at once; others become a job, and the answer says where it is."""
    state = request.app.state
    settings: Settings = state.settings
    if state.stopping:
        raise Refused(503, "the service is stopping", retry_s=5, close=True)
    job, size = await _received(request, state.jobs, settings)
    state.readers.wake()
    wait_s = _wait_of(request.headers.get("prefer", ""), settings, size)
    ended = await _waited(request, job.id, wait_s) if wait_s else None
    headers = {"Location": f"/v1/jobs/{job.id}"}
    if ended is None:
        now = await asyncio.to_thread(state.jobs.get, job.id)
        headers["Retry-After"] = "1"
        return Response(json_text(job_json(now or job)), 202, headers, "application/json")
    if ended.state == "failed":
        return answer_of(ended.error or {}, headers)
    return _file(state.jobs, ended, "json", headers)


@router.get("/v1/jobs/{id}", tags=["jobs"], summary="A job", response_model=JobAnswer, responses=PROBLEMS(404, 422))
async def job(request: Request, id: JobId) -> Response:
    """How far a job is."""
    return Response(json_text(job_json(await _known(request, id))), media_type="application/json")


@router.get(
    "/v1/jobs/{id}/events",
    tags=["jobs"],
    summary="The progress of a job",
    response_class=StreamingResponse,
    responses={**EVENTS, **PROBLEMS(404, 422)},
)
async def events(request: Request, id: JobId) -> Response:
    """The job at every change, as server-sent events, until it has ended."""
    first = await _known(request, id)
    return StreamingResponse(_events(request, first), media_type="text/event-stream")


@router.get(
    "/v1/jobs/{id}/result",
    tags=["jobs"],
    summary="The answer of a job",
    response_model=RecordingAnswer,
    responses=PROBLEMS(404, 409, 422),
)
async def result(request: Request, id: JobId) -> Response:
    """What came out; the problem, of a job that failed."""
    found = await _known(request, id)
    if found.state == "failed":
        return answer_of(found.error or {})
    return _file(request.app.state.jobs, _done(found), "json", {})


@router.get(
    "/v1/jobs/{id}/files/{kind}",
    tags=["jobs"],
    summary="A file of a job",
    response_class=FileResponse,
    responses={200: {"description": "The file.", "content": {"*/*": {}}}, **PROBLEMS(404, 409, 422)},
)
async def file(request: Request, id: JobId, kind: str) -> Response:
    """The answer as a file of some kind; `files` of the job names them."""
    found = _done(await _known(request, id))
    if kind not in found.files:
        raise Refused(404, "this job has no such file", fix=f"choose one of {', '.join(found.files)}")
    return _file(request.app.state.jobs, found, kind, {})


@router.delete(
    "/v1/jobs/{id}", tags=["jobs"], summary="Remove a job", status_code=204, responses=PROBLEMS(404, 422, 503, 507)
)
async def remove(request: Request, id: JobId) -> Response:
    """Stop a job, and remove all that is kept of it."""
    await _known(request, id)
    await asyncio.to_thread(request.app.state.jobs.remove, id)
    return Response(status_code=204)


async def _received(request: Request, jobs: Jobs, settings: Settings) -> tuple[Job, int]:
    """Receive a recording; when this returns, its job is in the queue.

    Raises: Refused; nothing is left then.
    """
    announced = request.headers.get("content-length", "")
    expected = int(announced) if announced.isdigit() else 0
    if expected > settings.max_upload_mb * MB:
        raise Refused(413, f"the request is larger than {settings.max_upload_mb:g} MB", close=True)
    job = await asyncio.to_thread(_begin, jobs, settings, expected)
    folder = jobs.folder_of(job.id)
    try:
        form = await receive_form(
            request.stream(), request.headers.get("content-type", ""), folder, lambda name: name in _PARTS
        )
        options = _options(form, settings)
        name = form.names["file"]
        await asyncio.to_thread(jobs.queue, job.id, name=name, options=options, size=form.size)
    except ClientDisconnect:
        await asyncio.to_thread(jobs.remove, job.id)
        raise Refused(400, "the client left", close=True) from None
    except BaseException:
        await asyncio.shield(asyncio.to_thread(jobs.remove, job.id))
        raise
    return Job(job.id, "queued", name=name, stage="waiting", created=job.created), form.size


_PARTS = {*FILES, *FormFields.model_fields}


def _begin(jobs: Jobs, settings: Settings, expected: int) -> Job:
    """Room for a recording.

    Raises: Refused if there is none.
    """
    begun: Job | str = "disk"
    if shutil.disk_usage(jobs.folder).free > expected + FREE_LEFT:
        begun = jobs.begin(
            expected=expected,
            max_disk=settings.max_disk_mb * MB,
            max_uploads=settings.max_uploads,
            max_queue=settings.max_queue,
        )
    if isinstance(begun, Job):
        return begun
    if begun == "disk":
        raise Refused(507, "there is no room for the recording", fix="try again later", retry_s=60, close=True)
    what = "too many recordings are waiting" if begun == "queue" else "too many recordings are being received"
    raise Refused(429, what, fix="try again later", retry_s=10, close=True)


def _options(form: Form, settings: Settings) -> dict[str, Any]:
    """How the recording is read.

    Raises: Refused for a field that is out of range.
    """
    given: dict[str, Any] = {name: text for name, text in form.fields.items() if text and name not in FILES}
    if "baseline" in form.fields:
        given["baseline"] = form.fields["baseline"]
    if given.get("person", "").isdecimal():
        given["person"] = int(given["person"])
    try:
        fields = FormFields.model_validate(given)
    except ValidationError as error:
        problem = problem_of_fields(error.errors())
        raise Refused(problem["status"], problem["what"], where=problem.get("where")) from None
    if fields.longest < fields.shortest:
        raise Refused(422, "the longest utterance is shorter than the shortest", where="longest")
    options = fields.model_dump(exclude_none=True)
    return {**options, "files": form.files, "names": form.names}


def _wait_of(prefer: str, settings: Settings, size: int) -> float:
    """Seconds for which the answer is waited for: what the client prefers, as far as settings allow."""
    wishes = [wish.strip().lower() for wish in prefer.split(",")]
    if "respond-async" in wishes or size > settings.at_once_mb * MB:
        return 0.0
    for wish in wishes:
        name, _, value = wish.partition("=")
        if name == "wait" and value.isdecimal():
            return min(float(value), settings.wait_s)
    return settings.wait_s


async def _waited(request: Request, id: str, seconds: float) -> Job | None:
    """The job, if it ends in time; a client that leaves meanwhile takes its job along, as it cannot know its name."""
    state = request.app.state
    wait = asyncio.create_task(state.watch.ended(id, seconds))
    try:
        while not wait.done():
            await asyncio.wait([wait], timeout=LOOK_S)
            if not wait.done() and await request.is_disconnected():
                await asyncio.to_thread(state.jobs.remove, id)
                break
        else:
            ended: Job | None = wait.result()
            return ended
    finally:
        wait.cancel()
    raise Refused(400, "the client left", close=True)


async def _known(request: Request, id: str) -> Job:
    """The job of this id.

    Raises: Refused if there is none.
    """
    found: Job | None = await asyncio.to_thread(request.app.state.jobs.get, id)
    if found is None:
        raise NOT_FOUND
    return found


def _done(job: Job) -> Job:
    if job.state != "done":
        what = "the job failed" if job.state == "failed" else "the job is not done yet"
        raise Refused(409, what, where=f"it is {job.state}", fix=f"see /v1/jobs/{job.id}", retry_s=1)
    return job


def _file(jobs: Jobs, job: Job, kind: str, headers: dict[str, str]) -> Response:
    """A file of a job that is done. What a browser would run is only saved."""
    output, place = OUTPUTS[kind], jobs.folder_of(job.id) / file_of(kind)
    if not place.is_file():
        raise NOT_FOUND
    name = None if kind == "json" else f"{Path(job.name).stem or 'recording'}{output.ending}"
    headers = {**headers, "Content-Security-Policy": "default-src 'none'; sandbox"}
    return FileResponse(place, headers=headers, media_type=output.type, filename=name)


async def _events(request: Request, last: Job) -> AsyncIterator[str]:
    """Events of a job; one that was removed meanwhile ends as cancelled."""
    state = request.app.state
    async for job in state.watch.changes(last.id):
        last = job
        yield _event(job_json(job))
    if last.state not in ENDED and await asyncio.to_thread(state.jobs.get, last.id) is None:
        yield _event({**job_json(last), "state": "cancelled"})


def _event(job: dict[str, Any]) -> str:
    return f"event: job\ndata: {json.dumps(job)}\n\n"
