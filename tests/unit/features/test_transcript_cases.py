"""The cases of other people's files with their right values (`shared_cases`), through `mecam extract`."""

import shutil
from pathlib import Path

import pytest

from mecam.data.store import Store
from mecam.features.extract import extract
from mecam.features.recording import Recipe
from mecam.types import Utterance


def extracted(
    case: Path, tmp_path: Path, extractor: str = "mecam-prosody", labels: str | None = None
) -> dict[str, Utterance]:
    folder = Path(shutil.copytree(case, tmp_path / "case"))
    for file in folder.iterdir():
        file.chmod(0o644)
    table = folder / labels if labels else None
    report = extract([folder], tmp_path / "store", labels=table, recipe=Recipe((extractor,)), jobs=1)
    assert [failure for failure in report.failures if failure.file] == []
    return {utterance.id: utterance for utterance in Store(tmp_path / "store")}


def test_youtubes_captions(shared_cases: Path, tmp_path: Path) -> None:
    (talk,) = extracted(shared_cases / "05_youtube_vtt", tmp_path, "mecam-audio").values()
    assert talk.text == "I went to see this film we did not expect much the first half was slow"
    assert [w.text for w in talk.words] == talk.text.split()
    assert talk.words[0].start == pytest.approx(0.1)


def test_recognisers(shared_cases: Path, tmp_path: Path) -> None:
    found = extracted(shared_cases / "06_asr_json", tmp_path, "mecam-audio")
    loved = {name: (w.start, w.stop) for name, u in found.items() for w in u.words if w.text == "loved"}
    assert loved == {
        "openai": (0.9, 1.3),
        "whisper_timestamped": (0.9, 1.3),
        "whisperx": (1.0, 1.3),
    }
    number = next(w for w in found["whisperx"].words if w.text == "2014")
    assert (number.start, number.stop) == (0.25, 0.9)


def test_oddities_of_srt(shared_cases: Path, tmp_path: Path) -> None:
    found = extracted(shared_cases / "18_srt_oddities", tmp_path)
    blank = [found[f"blank_{i}"].text for i in (1, 2, 3)]
    assert blank == [
        "I went to see this film with my brother last night.",
        "We did not expect much of it.",
        "The first half was slow.",
    ]
    assert [found[f"negative_{i}"].text for i in (1, 2)] == ["I went to see this film.", "We did not expect much."]
    assert found["negative_1"].words[0].start == 0


@pytest.mark.parametrize("labels", [None, "_label.csv"])
def test_neighbours(labels: str | None, shared_cases: Path, tmp_path: Path) -> None:
    found = extracted(shared_cases / "19_neighbours", tmp_path, labels=labels)
    manifest = (tmp_path / "store" / "manifest.json").read_text()
    assert "openface.csv is left out" in manifest
    assert len(found["openface"].streams["audio"])
    if labels is None:
        assert found["ytdlp"].text == "I really loved this movie."
        assert found["openface"].text is None
    else:
        assert found["openface"].text == "I really loved this movie."
