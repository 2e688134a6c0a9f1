"""The files of the page: its own, and what it has in common with the reports, which is not written twice."""

from functools import cache
from importlib import resources

from mecam.report.page import asset, palette

__all__ = ["page_file"]

TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@cache
def page_file(name: str) -> tuple[bytes, str] | None:
    """The content of a file of the page and its type; None where there is no such file.

    Args:
        name: without folders, such as `index.html`.
    """
    if name == "colours.css":
        return palette().encode(), TYPES["css"]
    if name == "report.css":
        return "\n".join(map(asset, ("style.css", "recording.css"))).encode(), TYPES["css"]
    if name == "player.js":
        return asset("player.js").encode(), TYPES["js"]
    folder = resources.files("mecam.service").joinpath("page")
    if name not in {each.name for each in folder.iterdir()}:
        return None
    ending = name.rpartition(".")[2]
    return folder.joinpath(name).read_bytes(), TYPES[ending]
