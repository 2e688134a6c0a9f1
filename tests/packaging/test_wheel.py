"""The wheel in an empty environment, without extras: data is imported, a sentence and a clip are predicted, no PyTorch.

Takes the packages from wherever pip takes them: a network, or an index that its configuration names.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import exported_models
import mecam
from empty_environment import done, run
from mecam.errors import EXTRAS

pytestmark = pytest.mark.slow

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
MAX_MEGABYTES = 500
"""Of an environment with nothing but mecam, pip and setuptools not counted."""

TABLE = """id,video_id,text,label,mode
a_1,a,it was good,1.5,train
a_2,a,it was bad,-2,train
b_1,b,I liked it,2,valid
c_1,c,I did not like it,-1.5,test
"""


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


@pytest.fixture(scope="module")
def wheel(distributions: tuple[Path, Path]) -> Path:
    """As it is published: built from the sdist."""
    return distributions[1]


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
    """A folder as `exported_models.of_clips` makes it."""
    return exported_models.of_clips(tmp_path_factory.mktemp("trained"), encoder)


def test_nothing_of_the_extras_is_there(environment: Path, tmp_path: Path) -> None:
    unwanted = tuple(name for name in EXTRAS if name != "huggingface_hub")  # tokenizers brings that one
    code = f"from importlib.util import find_spec; print([m for m in {unwanted} if find_spec(m)])"
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
    said, clip = (done(*command, what, folder=trained).strip() for what in ("it was good", "clip.mp4"))
    with_pytorch = mecam.load(trained / "model", device="cpu")
    assert json.loads(said)["score"] == pytest.approx(with_pytorch.predict("it was good").score, abs=1e-4)
    (part,) = json.loads(clip)["utterances"]
    (expected,) = with_pytorch.predict(trained / "clip.mp4").parts
    assert part["score"] == pytest.approx(expected.score, abs=1e-4)
    assert set(part["shares"]) == set(expected.shares) == {"text", "audio", "vision"}


def test_the_built_in_model_answers(environment: Path, tmp_path: Path) -> None:
    """The first answer after `pip install`: a clip that comes with mecam, and a sentence, without a model named."""
    code = "from mecam.pretrained.cards import DEMO_CLIP, damaged_files; print(damaged_files(), DEMO_CLIP)"
    listed, clip = done(environment / "python", "-c", code, folder=tmp_path).split()
    assert listed == "[]"
    command = (environment / "mecam", "predict", "--format", "jsonl")
    said = json.loads(done(*command, "I love this film", folder=tmp_path))
    assert said["score"] > 1
    seen = json.loads(done(*command, clip, folder=tmp_path))
    assert len(seen["utterances"]) == 3
    assert {"emotions", "voice", "face", "score"} <= set(seen["utterances"][0])
    assert "words-emotions" in done(environment / "mecam", "models", "--ready", folder=tmp_path)


def test_training_says_what_it_needs(environment: Path, trained: Path) -> None:
    result = run(environment / "mecam", "train", "--data", "store", "--out", "new", folder=trained)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == 'error: this needs PyTorch, which is not installed (pip install "mecam[train]")\n'
    assert not (trained / "new").exists()
