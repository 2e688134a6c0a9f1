"""The wheel in an empty environment, without extras: data is imported, a sentence and a clip are predicted, no PyTorch.

Takes the packages from wherever pip takes them: a network, or an index that its configuration names.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mecam
import tiny
import voices
from clips import talking
from mecam.data.store import Store, StoreWriter
from mecam.errors import EXTRAS
from mecam.features.recording import Recipe, read_recording
from mecam.models.trained import save_checkpoint
from mecam.synthetic.clips.render import write_clip
from mecam.task import Regression

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
MAX_MEGABYTES = 500
"""Of an environment with nothing but mecam, pip and setuptools not counted."""

SENTENCE = "it was good"
RECIPE = Recipe(("mecam-audio", "mecam-vision"))

TABLE = """id,video_id,text,label,mode
a_1,a,it was good,1.5,train
a_2,a,it was bad,-2,train
b_1,b,I liked it,2,valid
c_1,c,I did not like it,-1.5,test
"""


def clean_environment() -> dict[str, str]:
    """The environment without what leads Python to this checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def interpreter(version: str) -> str | None:
    """A Python of a version on this machine, which can make environments: from PATH, pyenv or uv."""
    if version == RUNNING:
        return sys.executable
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [shutil.which(f"python{version}"), *map(str, sorted(root.glob(f"versions/{version}.*/bin/python")))]
    if (uv := shutil.which("uv")) is not None:
        asked = subprocess.run([uv, "python", "find", version], capture_output=True, text=True, check=False)
        found.append(asked.stdout.strip())
    code = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    for python in filter(None, found):
        told = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        if told.stdout.strip() == version:
            return python
    return None


def run(*command: object, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        list(map(str, command)), cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False
    )


def done(*command: object, folder: Path) -> str:
    """What a command printed, which must not fail."""
    result = run(*command, folder=folder)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, as setuptools leaves its traces beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", folder / "source" / "src", ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    done(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, "./source", folder=folder)
    (built,) = folder.glob("mecam-*.whl")
    return built


@pytest.fixture(scope="module", params=["running", *sorted({"3.11", "3.13"} - {RUNNING})])
def environment(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that holds mecam without extras."""
    version = RUNNING if request.param == "running" else request.param
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    folder = tmp_path_factory.mktemp("environment")
    done(python, "-m", "venv", folder / "venv", folder=folder)
    programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    done(programs / "python", "-m", "pip", "install", "--quiet", wheel, folder=folder)
    return programs


@pytest.fixture(scope="module")
def trained(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the clip `face.mp4`, a model of text, audio and vision in `model`, and its export in `exported`."""
    folder = tmp_path_factory.mktemp("trained")
    pictures = talking(lambda time: {"yaw": 8 * time, "mouth_open": time / 4}, np.arange(0, 2, 1 / 8))
    write_clip(folder / "face.mp4", pictures, rate=8.0, sound=voices.buzz(2.0))
    (folder / "face.srt").write_text(f"1\n00:00:00,100 --> 00:00:01,900\n{SENTENCE}\n", encoding="utf-8")
    with StoreWriter(folder / "store", name="faces", task=Regression(), specs=RECIPE.specs()) as writer:
        for number, split in enumerate(("train", "train", "valid")):
            clip = read_recording(folder / "face.mp4", RECIPE, id=str(number), text=SENTENCE)
            writer.add(replace(clip.utterances[0], split=split, label=float(number - 1)))
    model = tiny.build("mecam", Store(folder / "store"), encoder, used=True)
    save_checkpoint(folder / "model", model)
    # In a process of its own: the shapes that are checked here would be written into the network.
    code = "from mecam.cli import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, "export", "model", "--data", "store", "-o", "exported"]
    subprocess.run(command, cwd=folder, check=True)
    return folder


def test_nothing_of_the_extras_is_there(environment: Path, tmp_path: Path) -> None:
    code = f"from importlib.util import find_spec; print([m for m in {tuple(EXTRAS)} if find_spec(m)])"
    assert done(environment / "python", "-c", code, folder=tmp_path).strip() == "[]"
    assert "No broken requirements" in done(environment / "python", "-m", "pip", "check", folder=tmp_path)


def test_the_environment_is_small(environment: Path, tmp_path: Path) -> None:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(done(environment / "python", "-c", code, folder=tmp_path).strip())
    theirs = ("pip", "setuptools", "pkg_resources")
    files = [path for path in packages.rglob("*") if path.is_file()]
    sizes = [path.stat().st_size for path in files if not path.relative_to(packages).parts[0].startswith(theirs)]
    assert sum(sizes) < MAX_MEGABYTES * 2**20


def test_data_is_imported(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "label.csv").write_text(TABLE, encoding="utf-8")
    program = environment / "mecam"
    done(program, "data", "import", "label.csv", "-o", "store", "--task", "regression:-3..3", folder=tmp_path)
    assert "4 utterances" in done(program, "data", "info", "store", folder=tmp_path)


def test_a_sentence_and_a_clip_are_predicted_as_with_pytorch(environment: Path, trained: Path) -> None:
    command = (environment / "mecam", "predict", "--model", "exported", "--format", "jsonl")
    said, clip = (done(*command, what, folder=trained).strip() for what in (SENTENCE, "face.mp4"))
    with_pytorch = mecam.load(trained / "model", device="cpu")
    assert json.loads(said)["score"] == pytest.approx(with_pytorch.predict(SENTENCE).score, abs=1e-4)
    (part,) = json.loads(clip)["utterances"]
    (expected,) = with_pytorch.predict(trained / "face.mp4").parts
    assert part["score"] == pytest.approx(expected.score, abs=1e-4)
    assert set(part["shares"]) == set(expected.shares) == {"text", "audio", "vision"}


def test_training_says_what_it_needs(environment: Path, trained: Path) -> None:
    result = run(environment / "mecam", "train", "--data", "store", "--out", "new", folder=trained)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == 'error: this needs PyTorch, which is not installed (pip install "mecam[train]")\n'
    assert not (trained / "new").exists()
