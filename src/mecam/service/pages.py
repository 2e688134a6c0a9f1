"""The page: files that ship with the package, told by name, and the clip to try it on."""

from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from mecam.escaping import json_text
from mecam.hashes import sha256_of
from mecam.pretrained.cards import DEMO_CLIP
from mecam.service.problems import Refused

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parent / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".mp4": "video/mp4",
    ".vtt": "text/vtt; charset=utf-8",
}
SAMPLES = {file.name: file for file in (DEMO_CLIP, DEMO_CLIP.with_suffix(".vtt"))}


@router.get("/")
async def index(request: Request) -> Response:
    """The page."""
    return _served(request, FOLDER / "index.html")


@router.get("/page/samples.json")
async def samples() -> Response:
    """What the page can be tried on."""
    below = "/page/samples"
    clip = {
        "name": DEMO_CLIP.name,
        "title": "A rendered clip",
        "file": f"{below}/{DEMO_CLIP.name}",
        "transcript": f"{below}/{DEMO_CLIP.with_suffix('.vtt').name}",
    }
    return Response(json_text([clip]), media_type="application/json")


@router.get("/page/samples/{name}")
async def sample(request: Request, name: str) -> Response:
    """A recording or its transcript."""
    if name not in SAMPLES:
        raise Refused(404, "there is no such sample")
    return _served(request, SAMPLES[name])


@router.get("/page/{name}")
async def file(request: Request, name: str) -> Response:
    """A file of the page."""
    if name not in _files():
        raise Refused(404, "the page has no such file")
    return _served(request, FOLDER / name)


@cache
def _files() -> frozenset[str]:
    """Names of the files; nothing else is ever opened."""
    return frozenset(file.name for file in FOLDER.iterdir() if file.suffix in TYPES)


@cache
def _tag(path: Path) -> str:
    return f'"{sha256_of(path)[:20]}"'


def _served(request: Request, path: Path) -> Response:
    """A file; a browser that has it asks only whether it has changed."""
    headers = {"ETag": _tag(path), "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return FileResponse(path, headers=headers, media_type=TYPES[path.suffix])
