"""Reading, extracting and all of prediction but the backend itself run without anything that training needs."""

import subprocess
import sys
import textwrap
from pathlib import Path

import tiny
import voices
from clips import moving_face

BLOCKED = ("torch", "transformers", "lightning_fabric", "sklearn", "scipy", "altair", "jaxtyping", "plotly")

PROGRAM = """
import importlib, pkgutil, sys
from pathlib import Path

BLOCKED = {blocked!r}


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{{name}} is not installed here", name=name)


sys.meta_path.insert(0, Refuse())

importlib.import_module("mecam.report.recording")
PACKAGES = ("mecam.prediction", "mecam.features", "mecam.data")
for package in PACKAGES:
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if module.name != "mecam.prediction.torch_backend":
            importlib.import_module(module.name)

from mecam.data.store import Store
from mecam.features.media import Media
from mecam.features.extractor import extractor
from mecam.features.corruption import KINDS, CorruptedMedia, parse_corruption
from mecam.features.recording import Recipe, read_recording
from mecam.features.text import read_transcript

folder = Path({folder!r})
store = Store(folder / "store")
assert len(store) == {count} and store[0].text
voice = extractor("mecam-prosody")(Media(folder / "voice.wav"))
assert len(voice.values)
faces = extractor("mecam-vision")(Media(folder / "face.mp4"))
assert faces.details["with_face"] > 0
for kind in KINDS:
    given, others = [parse_corruption(f"{{kind}}:3")], [folder / "voice.wav"]
    if KINDS[kind].medium == "sound":
        assert len(CorruptedMedia(folder / "voice.wav", given, name="x", others=others).waveform()[1])
    else:
        assert len(list(CorruptedMedia(folder / "face.mp4", given, name="x").frames(0.0, 0.2))) == 2
clip = read_recording(folder / "face.mp4", Recipe(("mecam-prosody", "mecam-vision")), id="x", text="good", whole=True)
assert set(clip.utterances[0].streams) >= {{"vision"}}
transcript = read_transcript(folder / "voice.srt")
assert transcript.text == "it was good"
assert not [name for name in sys.modules if name.partition(".")[0] in BLOCKED]
"""


def test_without_pytorch(tmp_path: Path) -> None:
    task = tiny.TASKS["regression"]
    utterances = tiny.utterances(task)
    tiny.write_store(tmp_path / "store", task, utterances)
    voices.write_wav(tmp_path / "voice.wav", voices.buzz(1.0))
    (tmp_path / "voice.srt").write_text("1\n00:00:00,100 --> 00:00:00,900\nit was good\n", encoding="utf-8")
    moving_face(tmp_path / "face.mp4", {"yaw": lambda t: 8 * t}, seconds=0.5, rate=8.0)
    program = textwrap.dedent(PROGRAM).format(blocked=BLOCKED, folder=str(tmp_path), count=len(utterances))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
