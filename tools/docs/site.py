"""Stages what the site is made of, has Zensical build it, and checks that it loads nothing from elsewhere.

The pages of docs/ are read as they are on GitHub. Five things differ on the site: generated pages are added, a notebook
becomes a page of Markdown with its outputs, a file of the repository that a page links to is copied along, a link that
shows the name of a page shows its title, and Markdown inside `<details>` is turned on.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from mecam.errors import ConfigError
from mecam.files import write_whole
from tools.docs.links import OUTSIDE
from tools.docs.markdown_pages import DOCS, ROOT, links, summary, text_of
from tools.docs.notebook_pages import notebook_page, with_download
from tools.docs.reference import reference_pages

CONFIG = ROOT / "zensical.toml"
STAGE = ROOT / "build" / "docs"
SITE = ROOT / "site"
AT_THE_ROOT = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "README.md": "index.md"}
"""Pages at the root of the repository → where they are on the site. The home page stands for the README."""
NOT_COPIED = ("*.j2", "*.json", "*.toml", ".ipynb_checkpoints")
LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc=["']?(https?:)?//"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preload|preconnect|icon|modulepreload))[^>]*?\bhref=["']?(https?:)?//""",
    re.IGNORECASE,
)
IN_CSS = re.compile(r"""(?:url\(|@import)\s*["']?(?:https?:)?//""", re.IGNORECASE)


def stage(folder: Path = STAGE) -> None:
    """Write everything that the site is made of into a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCS, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
    for source, target in AT_THE_ROOT.items():
        if target != "index.md":
            shutil.copyfile(ROOT / source, folder / target)
    origins = {folder / target: ROOT / source for source, target in AT_THE_ROOT.items() if target != "index.md"}
    for page in sorted(folder.rglob("*.md")):
        origin = origins.get(page, DOCS / page.relative_to(folder))
        page.write_text(_staged(origin.read_text(encoding="utf-8"), page, origin, folder), encoding="utf-8")
    for copied in sorted(folder.rglob("*.ipynb")):
        origin, page = DOCS / copied.relative_to(folder), copied.with_suffix(".md")
        text, pictures = notebook_page(origin)
        page.write_text(with_download(_staged(text, page, origin, folder), copied.name), encoding="utf-8")
        for name, content in pictures.items():
            (page.parent / name).write_bytes(content)
    for name, text in reference_pages():
        generated = folder / "reference" / name
        generated.parent.mkdir(parents=True, exist_ok=True)
        generated.write_text(text, encoding="utf-8")


def _staged(text: str, page: Path, origin: Path, folder: Path) -> str:
    """The text of a page with the links that it has on the site."""
    text = text.replace("<details>", '<details markdown="1">')
    for link in set(links(text)):
        if link.startswith((*OUTSIDE, "#")):
            continue
        path, mark, anchor = link.partition("#")
        target = (origin.parent / path).resolve()
        place = _place(target, folder)
        new = Path(os.path.relpath(place, page.parent)).as_posix() + mark + anchor
        if place.suffix == ".md":
            title = summary(text_of(target))[0].replace("[", "\\[").replace("]", "\\]")
            named = re.compile(rf"\[(?:docs/)?[\w/]+\.md\](?=\({re.escape(link)}\))")
            text = named.sub(f"[{title}]".replace("\\", r"\\"), text)
        if new != link:
            leading = re.compile(rf"(?<=\]\(){re.escape(link)}(?=\))|(?<=[fc]=\"){re.escape(link)}(?=\")")
            text = leading.sub(new.replace("\\", r"\\"), text)
    return text


def _place(target: Path, folder: Path) -> Path:
    """Where a file of the repository is in the staged folder; it is copied there if it is not a part of docs/."""
    if DOCS in target.parents:
        place = folder / target.relative_to(DOCS)
        return place.with_suffix(".md") if place.suffix == ".ipynb" else place
    name = target.relative_to(ROOT).as_posix()
    if name in AT_THE_ROOT:
        return folder / AT_THE_ROOT[name]
    copied = folder / "files" / name
    if target.is_file():
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(target, copied)
    return copied


def _config() -> dict[str, Any]:
    with CONFIG.open("rb") as file:
        project: dict[str, Any] = tomllib.load(file)["project"]
    return project


def _listed(nav: list[Any]) -> Iterator[str]:
    """The pages of a navigation, in its order."""
    for entry in nav:
        if isinstance(entry, str):
            yield entry
        else:
            for value in entry.values():
                yield from _listed(value) if isinstance(value, list) else [value]


def sections() -> Mapping[str, list[str]]:
    """Part of the navigation → its pages."""
    found: dict[str, list[str]] = {}
    for entry in _config()["nav"]:
        ((title, value),) = entry.items()
        found[title] = list(_listed(value if isinstance(value, list) else [value]))
    return found


def build() -> None:
    """Build site/ with warnings as errors, write llms.txt, and check what the pages load.

    Raises: ConfigError if Zensical warns, or a page loads something from elsewhere.
    """
    stage()
    named = [page for pages in sections().values() for page in pages]
    there = {path.relative_to(STAGE).as_posix() for path in STAGE.rglob("*.md")}
    if unnamed := sorted(there - set(named)):
        raise ConfigError("pages are not in the navigation", where=str(CONFIG), fix=f"add {', '.join(unnamed)}")
    shutil.rmtree(SITE, ignore_errors=True)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", str(CONFIG)]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise ConfigError("the site was not built", fix="see the warnings above; they are errors here")
    write_llms(SITE)
    if elsewhere := list(loaded_from_elsewhere(SITE)):
        raise ConfigError("pages load files from elsewhere, and would not work offline: " + "; ".join(elsewhere))


def loaded_from_elsewhere(site: Path) -> Iterator[str]:
    """What pages and style sheets of a site load from another host when they are opened."""
    for path in sorted(site.rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        yield from (f"{path.relative_to(site)}: {text[m.start() : m.end() + 60]!r}" for m in LOADED.finditer(text))
    for path in sorted(site.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        yield from (f"{path.relative_to(site)}: {text[m.start() : m.end() + 60]!r}" for m in IN_CSS.finditer(text))


def write_llms(site: Path) -> None:
    """Write llms.txt (each page with a sentence) and llms-full.txt (all pages in whole, as Markdown) for programs."""
    project = _config()
    index = [f"# {project['site_name']}", f"> {project['site_description']}."]
    whole = list(index)
    for title, pages in sections().items():
        entries = []
        for page in pages:
            text = (STAGE / page).read_text(encoding="utf-8")
            name, sentence = summary(text)
            address = page.removesuffix(".md") + ".html"
            entries.append(f"- [{name}]({address})" + (f": {sentence}" if sentence else ""))
            whole.append(f"<!-- {address} -->\n\n{text.strip()}")
        index.append(f"## {title}\n\n" + "\n".join(entries))
    write_whole(site / "llms.txt", "\n\n".join(index) + "\n")
    write_whole(site / "llms-full.txt", "\n\n".join(whole) + "\n")
