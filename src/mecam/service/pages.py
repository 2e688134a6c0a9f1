"""The page: files that ship with the package, told by name, what they share with reports, and the clip to try it on."""

from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from mecam.escaping import json_text
from mecam.hashes import sha256_of
from mecam.pretrained.cards import DEMO_CLIP
from mecam.report.page import asset, palette
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
SHARED: Mapping[str, Callable[[], str]] = {
    "colours.css": palette,
    "report.css": lambda: "\n".join(map(asset, ("style.css", "recording.css"))),
    "player.js": lambda: asset("player.js"),
}
"""What the page has in common with reports, which is written there."""
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
    if name in SHARED:
        return _shared(request, name)
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


@cache
def _made(name: str) -> tuple[bytes, str]:
    """The content of what is shared, and its tag."""
    content = SHARED[name]().encode()
    return content, f'"{sha256(content).hexdigest()[:20]}"'


def _shared(request: Request, name: str) -> Response:
    """What the page has in common with reports."""
    content, tag = _made(name)
    headers = _headers(tag)
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=TYPES[Path(name).suffix])


def _served(request: Request, path: Path) -> Response:
    """A file."""
    headers = _headers(_tag(path))
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return FileResponse(path, headers=headers, media_type=TYPES[path.suffix])


def _headers(tag: str) -> dict[str, str]:
    """A browser that has a file asks only whether it has changed."""
    return {"ETag": tag, "Cache-Control": "no-cache"}
