"""Recordings predicted on a cluster: the answers of one process, in the same order, failures among them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import voices
from mecam.cli import main
from mecam.prediction import ray_prediction

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),  # Ray Data's own
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    # Of an actor that a pipeline ended before it had started, a thread of Ray's tells that it died.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def recordings(clips_model: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    shutil.copy(clips_model / "clip.mp4", folder / "talk.mp4")
    shutil.copy(clips_model / "clip.srt", folder / "talk.srt")
    for i in range(3):
        voices.write_wav(folder / f"sound{i}.wav", voices.buzz(0.6, hertz=100 + 50 * i))
    (folder / "broken.wav").write_bytes(b"RIFF" + bytes(100))
    return folder


@pytest.mark.parametrize("name", ["built-in", "exported", "model"])
def test_the_same_answers(
    name: str, cluster: Any, clips_model: Path, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the paths are relative, which mean nothing on another machine.

    The cluster says that it has a GPU: a model of PyTorch gets a stage of its own.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ray_prediction, "_WholeActor" if name == "model" else "_PredictingActor", None)
    model = [] if name == "built-in" else ["--model", str(clips_model / name)]
    asked = ["predict", recordings.name, "--no-asr", "--every", "0.5s", *model]
    assert main([*asked, "-o", "plain.json"]) == 3
    assert main([*asked, "-o", "ray.json", "--ray", cluster.address]) == 3
    plain, ray = (json.loads(Path(f"{one}.json").read_text()) for one in ("plain", "ray"))
    assert ray == plain
    assert "talk.mp4" in Path("ray.json").read_text()


def test_a_single_recording_that_fails_is_an_error(
    cluster: Any, recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(recordings / "broken.wav"), "--ray", cluster.address]) == 1
    assert "this recording cannot be predicted" in capsys.readouterr().err
