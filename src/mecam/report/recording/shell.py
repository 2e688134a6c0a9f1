"""The frame of the pages about recordings and utterances: style, policy, head, sections; it loads nothing."""

from collections.abc import Sequence
from importlib import resources

from mecam.report.markup import escape

__all__ = ["shell"]

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "media-src data: 'self' file:"
)


def shell(
    command: str,
    title: str,
    head: str,
    sections: Sequence[str],
    *,
    notes: Sequence[str] = (),
    duration: float = 0.0,
    styles: Sequence[str] = (),
) -> str:
    """A whole page.

    Args:
        command: that made it.
        title: as text.
        head: HTML below the title.
        sections: HTML; an empty one is left out.
        notes: what must be said above everything, as text.
        duration: of the recording that a player on the page plays, in seconds.
        styles: further style sheets, by their place in `mecam.report`.
    """
    style = _asset("mecam.report", "style.css")
    style += "".join(_asset("mecam.report", name) for name in ("recording/watched.css", *styles))
    badges = "".join(f'<p class="badge">{escape(note)}</p>' for note in notes)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)} · mecam</title>
<style>
{style}</style>
</head>
<body data-duration="{max(duration, 1e-3):.3f}">
<header>
<p class="kicker">{escape(command)}</p>
<h1>{escape(title)}</h1>
{badges}{head}
</header>
<main>
{"".join(f"<section>{content}</section>" for content in sections if content)}</main>
<script>
{_asset("mecam.report", "recording/watched.js")}</script>
</body>
</html>
"""


def _asset(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")
