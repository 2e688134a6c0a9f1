"""`POST /v1/predict/text`."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from mecam.escaping import json_text
from mecam.prediction.predictor import Predictor
from mecam.service.problems import Refused
from mecam.service.settings import Settings
from mecam.service.wire import PROBLEMS, TextAnswer, TextRequest

__all__ = ["router"]

router = APIRouter()


@router.post(
    "/v1/predict/text",
    tags=["predict"],
    summary="Predict texts",
    response_model=TextAnswer,
    responses=PROBLEMS(400, 408, 413, 422, 429, 503),
)
async def predict_text(request: Request, body: TextRequest) -> Response:
    """Predict one text or several, each on its own."""
    state = request.app.state
    predictor: Predictor = state.predictor
    texts = _texts(body, state.settings)
    with state.metrics.waiting.track_inprogress():
        predictions = await state.batcher.predict(texts)
    answer = {
        "predictions": [one.to_json() for one in predictions],
        "model": predictor.about["model"],
        "notes": list(predictor.notes),
    }
    return Response(json_text(answer), media_type="application/json")


def _texts(body: TextRequest, settings: Settings) -> list[str]:
    """The texts that are asked for.

    Raises: Refused if there is none, or they are too many, too long or empty.
    """
    if (body.text is None) == (body.texts is None):
        raise Refused(422, "give either `text` or `texts`", fix='{"texts": ["one sentence", "another one"]}')
    texts = [body.text] if body.text is not None else body.texts or []
    if len(texts) > settings.max_texts:
        what = f"there are {len(texts)} texts; at most {settings.max_texts} go into one request"
        raise Refused(413, what, where="texts", fix="send several requests")
    for place, text in enumerate(texts):
        if len(text) > settings.max_characters:
            what = f"the text has {len(text)} characters; at most {settings.max_characters} are read"
            raise Refused(413, what, where=f"texts.{place}", fix="send it in pieces")
        if not text.strip():
            raise Refused(422, "the text is empty", where=f"texts.{place}", fix="leave it out")
    return texts
