"""Builds the documentation site, or checks what it links to.

python -m tools.docs              # site/, with warnings as errors; opens from the disk and from any static server
python -m tools.docs --pictures   # draws docs/pictures/*.svg again
python -m tools.docs --external   # asks for every address that the pages link to (needs a network and httpx)
"""

import argparse
import sys

from mecam.errors import MecamError
from tools.docs.links import broken_links, check_external
from tools.docs.markdown_pages import pages


def main() -> int:
    """Do what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description="The documentation site.")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--pictures", action="store_true", help="draw the pictures of the concepts again")
    chosen.add_argument("--external", action="store_true", help="check links to other sites, over the network")
    given = parser.parse_args()
    try:
        return _run(pictures=given.pictures, external=given.external)
    except MecamError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _run(*, pictures: bool, external: bool) -> int:
    if pictures:
        from tools.docs.pictures import draw_all

        draw_all()
        return 0
    if external:
        return 1 if check_external() else 0
    broken = [problem for page in pages() for problem in broken_links(page)]
    for problem in broken:
        sys.stderr.write(f"{problem}\n")
    if broken:
        return 1
    from tools.docs.site import build

    build()
    return 0


if __name__ == "__main__":
    sys.exit(main())
