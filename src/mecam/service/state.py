"""What the service says of itself: model, health, metrics."""

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from mecam.errors import MecamError
from mecam.escaping import json_text
from mecam.features.text.asr import ready as speech_model
from mecam.prediction.built_in import BuiltIn
from mecam.prediction.predictor import Predictor
from mecam.service.metrics import CONTENT_TYPE_LATEST
from mecam.service.settings import Settings
from mecam.service.wire import PROBLEMS, ModelAnswer, Status
from mecam.types import AUDIO, TEXT, VISION
from mecam.version import __version__

__all__ = ["router"]

router = APIRouter()


@router.get("/v1/model", tags=["service"], summary="The model", response_model=ModelAnswer, responses=PROBLEMS())
async def model(request: Request) -> Response:
    """The model, its cards, and how much may be asked."""
    answer = await asyncio.to_thread(_about, request.app.state.predictor, request.app.state.settings)
    return Response(json_text(answer), media_type="application/json")


@router.get("/healthz", tags=["service"], summary="Whether it runs", response_model=Status)
async def healthz() -> Status:
    """Whether the process answers."""
    return Status(status="ok")


@router.get(
    "/readyz",
    tags=["service"],
    summary="Whether it takes requests",
    response_model=Status,
    responses={503: {"model": Status, "description": "Not now."}},
)
async def readyz(request: Request) -> Response:
    """Whether the service takes requests; a load balancer asks this."""
    state = request.app.state
    status = "stopping" if state.stopping else "ready" if state.ready else "starting"
    return Response(json_text({"status": status}), 200 if status == "ready" else 503, media_type="application/json")


@router.get(
    "/metrics",
    tags=["service"],
    summary="Numbers for Prometheus",
    response_class=PlainTextResponse,
    responses=PROBLEMS(),
)
async def metrics(request: Request) -> Response:
    """Requests, how long they take, what waits."""
    state = request.app.state
    text = await asyncio.to_thread(state.metrics.text, state.jobs)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _about(predictor: Predictor, settings: Settings) -> dict[str, Any]:
    built_in = isinstance(predictor, BuiltIn)
    return {
        "name": predictor.about["model"],
        "task": {"kind": type(predictor.task).__name__.lower(), **asdict(predictor.task)},
        "reads": [TEXT, AUDIO, VISION] if built_in else list(predictor.backend.reads),
        "notes": list(predictor.notes),
        "cards": [asdict(card) for card in predictor.cards] if isinstance(predictor, BuiltIn) else _card(predictor),
        "limits": dict(settings.limits()),
        "speech_to_text": speech_model(),
        "live": settings.live > 0 and _works_live(predictor),
        "version": __version__,
    }


def _works_live(predictor: Predictor) -> bool:
    """Whether the features of the model can be made while a conversation goes on."""
    from mecam.prediction.live import recipe_for_live

    try:
        recipe_for_live(predictor)
    except MecamError:
        return False
    return True


def _card(predictor: Predictor) -> list[dict[str, Any]]:
    """What an exported model says of itself."""
    card = getattr(predictor.backend, "card", None)
    return [] if card is None else [{key: value for key, value in dict(card).items()}]
