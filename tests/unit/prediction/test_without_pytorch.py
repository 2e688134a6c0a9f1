"""Reading, extracting, explaining by leaving out and all of prediction but PyTorch's backend run without any extra."""

from pathlib import Path

import tiny
import trained_runs
import voices
from clips import moving_face
from light import run_light
from mecam.data.store import Store

PROGRAM = """
import importlib, pkgutil
from pathlib import Path

PACKAGES = ("mecam.cli", "mecam.data", "mecam.features", "mecam.prediction")
for package in PACKAGES:
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        importlib.import_module(module.name)
for name in ("evaluation.explanation.occlusion", "models.registry", "report.explanation", "report.recording"):
    importlib.import_module(f"mecam.{name}")

from mecam.data.store import Store
from mecam.features.media import Media
from mecam.features.extractor import extractor
from mecam.features.corruption import KINDS, CorruptedMedia, parse_corruption
from mecam.features.recording import Recipe, read_recording
from mecam.features.text import read_transcript

folder = Path(sys.argv[1])
store = Store(folder / "store")
assert len(store) == int(sys.argv[2]) and store[0].text
voice = Media(folder / "voice.wav")
for name in ("mecam-audio", "mecam-prosody"):
    assert len(extractor(name)(voice).values)
faces = extractor("mecam-vision")(Media(folder / "face.mp4"))
assert faces.details["with_face"] > 0
for kind in KINDS:
    given, others = [parse_corruption(f"{kind}:3")], [folder / "voice.wav"]
    if KINDS[kind].medium == "sound":
        assert len(CorruptedMedia(folder / "voice.wav", given, name="x", others=others).waveform()[1])
    else:
        assert len(list(CorruptedMedia(folder / "face.mp4", given, name="x").frames(0.0, 0.2))) == 2
clip = read_recording(folder / "face.mp4", Recipe(("mecam-prosody", "mecam-vision")), id="x", text="good", whole=True)
assert set(clip.utterances[0].streams) >= {"vision"}
transcript = read_transcript(folder / "voice.srt")
assert transcript.text == "it was good"
assert not [name for name in sys.modules if name.partition(".")[0] in HIDDEN]
"""

LOAD = """
import mecam
from mecam.errors import MissingExtraError

try:
    mecam.load(sys.argv[1])
except MissingExtraError as error:
    print(error)
"""


def test_without_extras(tmp_path: Path) -> None:
    task = tiny.TASKS["regression"]
    utterances = tiny.utterances(task)
    tiny.write_store(tmp_path / "store", task, utterances)
    voices.write_wav(tmp_path / "voice.wav", voices.buzz(1.0))
    (tmp_path / "voice.srt").write_text("1\n00:00:00,100 --> 00:00:00,900\nit was good\n", encoding="utf-8")
    moving_face(tmp_path / "face.mp4", {"yaw": lambda t: 8 * t}, seconds=0.5, rate=8.0)
    run_light(PROGRAM, tmp_path, len(utterances))


def test_a_run_says_that_it_needs_pytorch(store: Store, encoder: str, tmp_path: Path) -> None:
    run = trained_runs.make_run(tmp_path / "run", "text_only", store, encoder)
    assert run_light(LOAD, run / "seeds" / "1") == (
        'this needs PyTorch, which is not installed (pip install "mecam[train]")\n'
    )
