"""The examples of docs/live.md do what the page says."""

import re
import subprocess
import sys
from pathlib import Path

from mecam.features.media import Media
from mecam.pretrained.cards import DEMO_CLIP
from serving import running
from voices import write_wav

PAGE = Path(__file__).parents[2] / "docs" / "live.md"


def test_the_example_client_prints_answers_as_they_come(tmp_path: Path) -> None:
    _, sound = Media(DEMO_CLIP).waveform(0.0, 4.0, rate=16_000)
    recording = write_wav(tmp_path / "clip.wav", sound)
    client, in_python = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    with running(tmp_path) as address:
        url = address.replace("http", "ws") + "/v1/stream"
        told = subprocess.run(
            [sys.executable, "-c", client, url, str(recording)], capture_output=True, text=True, check=True, timeout=120
        ).stdout.splitlines()
    assert told[0].startswith("the built-in model")
    times = [float(line.split()[0]) for line in told[1:]]
    assert times == sorted(times)
    assert times[-1] > 3.5
    assert len(times) > 5
    subprocess.run([sys.executable, "-c", in_python], check=True, timeout=120)
