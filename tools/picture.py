"""The README's picture: the page that `mecam predict --html` writes of the clip that comes with mecam.

python -m tools.picture docs/pictures/page.png      # needs Chromium
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from mecam.pretrained.cards import DEMO_CLIP

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT, SHOWN = 1180, 640, 1035
"""Of the window, and how much of the page's height the picture shows, in pixels."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    picture = parser.parse_args().picture
    program = next(filter(None, map(shutil.which, CHROMIUM)))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Path(folder) / "page.html"
        command = [sys.executable, "-m", "mecam", "predict", str(DEMO_CLIP), "--preview", "never"]
        subprocess.run([*command, "--html", str(page)], check=True, stdout=subprocess.DEVNULL)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        view.goto(page.as_uri())
        view.wait_for_timeout(1500)
        view.screenshot(path=str(picture), full_page=True, clip={"x": 0, "y": 0, "width": WIDTH, "height": SHOWN})
        browser.close()


if __name__ == "__main__":
    main()
