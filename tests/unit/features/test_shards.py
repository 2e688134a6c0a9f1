"""Shards of an extraction: however many, in whatever order, their store is that of one process, byte for byte."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import voices
from commands import contents
from in_this_process import InThisProcess
from mecam.cli import main
from mecam.data.corruption import Corruption
from mecam.data.store import Store
from mecam.errors import ConfigError, DataError
from mecam.features.clips import Clip
from mecam.features.extract import extract
from mecam.features.extraction_cache import ExtractedRecording
from mecam.features.extraction_plan import plan_extraction
from mecam.features.recording import Recipe
from mecam.features.segmentation import Lengths
from mecam.features.shards import Shard, extract_shard, merge_shards
from mecam.types import Utterance

AUDIO_ONLY = Recipe(("mecam-audio",), lengths=Lengths(0.5, 4.0))


def say_words(clip: Clip) -> ExtractedRecording | str:
    """In the place of reading a file: pieces, ids that clash, remarks, files that fail."""
    if "broken" in clip.path.name:
        return "it is broken"
    pieces = [f"{clip.id}_1", f"{clip.id}_2"] if clip.id == "talk" else [clip.id]
    utterances = tuple(Utterance(name, video=clip.id, text=f"words of {name}") for name in pieces)
    found = ("the sound is silent",) if "2" in clip.id else ()
    return ExtractedRecording(utterances, {"audio": "no sound"} if found else {}, found)


def make_shards(
    folder: Path, inputs: Path, count: int, *, recipe: Recipe = AUDIO_ONLY, labels: Path | None = None
) -> list[Path]:
    plan = plan_extraction([inputs], recipe, labels=labels)
    places = [folder / f"shard{number}" for number in range(1, count + 1)]
    for number, place in enumerate(places, 1):
        extract_shard(plan, recipe, place, Shard(number, count), workers=InThisProcess(say_words))
    return places


def many_clips(folder: Path) -> Path:
    """Names that clash as utterances, a broken file, other files."""
    for name in ("talk", "talk_1", "talk_1-2", "a2", "b", "broken"):
        voices.write_wav(folder / f"{name}.wav", voices.buzz(0.2))
    (folder / "left.bin").write_bytes(bytes(range(256)))
    return folder


def labelled_clips(folder: Path) -> Path:
    """A table with a row too many, labels out of range, one that cannot be, none, and no splits."""
    folder.mkdir()
    labels = ["1.5", "-2", "3.2", "", "0.25", "-1", "2", "1", "-3", "0"]
    rows = [f"v{i // 2},{i},words {i},{label}" for i, label in enumerate(labels)]
    (folder / "label.csv").write_text("video_id,clip_id,text,label\n" + "\n".join([*rows, "v9,9,gone,1"]) + "\n")
    for i in range(len(labels)):
        voices.write_wav(folder / "Raw" / f"v{i // 2}" / f"{i}.wav", voices.buzz(0.2))
    voices.write_wav(folder / "Raw" / "v9" / "extra.wav", voices.buzz(0.2))
    return folder


@pytest.mark.parametrize("make", [many_clips, labelled_clips])
@pytest.mark.parametrize("count", [1, 2, 3, 14])
def test_shards_give_the_store_of_one_process(make: Callable[[Path], Path], count: int, tmp_path: Path) -> None:
    clips = make(tmp_path / "clips")
    whole = extract([clips], tmp_path / "whole", recipe=AUDIO_ONLY, workers=InThisProcess(say_words))
    assert whole.failures
    assert whole.oddities
    shards = make_shards(tmp_path, clips, count)
    random.Random(count).shuffle(shards)
    merged = merge_shards(shards, tmp_path / "merged")
    assert merged == whole
    assert contents(tmp_path / "merged") == contents(tmp_path / "whole")
    Store(tmp_path / "merged", verify=True)
    for shard in shards:
        assert str(tmp_path) not in "".join(path.read_text() for path in shard.glob("*.json*"))
    assert not list(tmp_path.glob(".*"))


def test_real_features_and_babble_of_all_recordings(tmp_path: Path) -> None:
    """What babbles over a recording is drawn from all of them, not from those of its shard."""
    recipe = Recipe(("mecam-audio",), lengths=Lengths(0.5, 4.0), corruptions=(Corruption("babble", 3.0, seed=1),))
    for i in range(5):
        voices.write_wav(tmp_path / "clips" / f"c{i}.wav", voices.buzz(0.4 + 0.1 * i, hertz=100 + 30 * i))
    extract([tmp_path / "clips"], tmp_path / "whole", recipe=recipe, workers=InThisProcess())
    plan = plan_extraction([tmp_path / "clips"], recipe)
    for number in (1, 2):
        extract_shard(plan, recipe, tmp_path / f"s{number}", Shard(number, 2), workers=InThisProcess())
    merge_shards([tmp_path / "s2", tmp_path / "s1"], tmp_path / "merged")
    assert contents(tmp_path / "merged") == contents(tmp_path / "whole")


def test_a_stopped_shard_goes_on(tmp_path: Path) -> None:
    clips = many_clips(tmp_path / "clips")
    plan, shard, tried = plan_extraction([clips], AUDIO_ONLY), Shard(1, 2), []

    def reading(clip: Clip) -> ExtractedRecording | str:
        tried.append(clip.id)
        return say_words(clip)

    def stop(done: int, _: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    workers = InThisProcess(reading)
    with pytest.raises(KeyboardInterrupt):
        extract_shard(plan, AUDIO_ONLY, tmp_path / "s", shard, workers=workers, progress=stop)
    assert not (tmp_path / "s").exists()
    report = extract_shard(plan, AUDIO_ONLY, tmp_path / "s", shard, workers=workers)
    assert (report.recordings, report.all_recordings, report.reused) == (3, 6, 1)
    assert len(tried) == len(set(tried)) == 3
    with pytest.raises(DataError, match="exists already"):
        extract_shard(plan, AUDIO_ONLY, tmp_path / "s", shard, workers=workers)
    before = contents(tmp_path / "s")
    extract_shard(plan, AUDIO_ONLY, tmp_path / "s", shard, workers=workers, overwrite=True)
    assert contents(tmp_path / "s") == before


def test_a_missing_doubled_or_foreign_shard_is_one_error(tmp_path: Path) -> None:
    clips = many_clips(tmp_path / "clips")
    a, b, c = make_shards(tmp_path, clips, 3)
    with pytest.raises(DataError, match="1 of 3 shards are missing: 2"):
        merge_shards([a, c], tmp_path / "merged")
    shutil.copytree(a, tmp_path / "copy")
    with pytest.raises(DataError, match="shard 1/3 is given twice"):
        merge_shards([a, b, tmp_path / "copy", c], tmp_path / "merged")
    other, _ = make_shards(tmp_path / "two", clips, 2)
    with pytest.raises(DataError, match="different extractions"):
        merge_shards([a, b, c, other], tmp_path / "merged")
    longer = make_shards(tmp_path / "longer", clips, 3, recipe=Recipe(("mecam-audio",), lengths=Lengths(0.5, 5.0)))
    with pytest.raises(DataError, match="different extractions"):
        merge_shards([a, b, longer[2]], tmp_path / "merged")
    extract([clips], tmp_path / "store", recipe=AUDIO_ONLY, workers=InThisProcess(say_words))
    with pytest.raises(DataError, match="no shard of an extraction"):
        merge_shards([a, b, tmp_path / "store"], tmp_path / "merged")
    with pytest.raises(DataError, match="one shard of an extraction"):
        Store(a)
    assert not (tmp_path / "merged").exists()


def test_changed_shards_are_refused(tmp_path: Path) -> None:
    shards = make_shards(tmp_path, many_clips(tmp_path / "clips"), 2)
    part = next(shards[0].glob("*.safetensors"))
    known = part.read_bytes()
    part.write_bytes(known[:-1] + bytes([known[-1] ^ 1]))
    with pytest.raises(DataError, match="was changed or is damaged"):
        merge_shards(shards, tmp_path / "merged")
    part.write_bytes(known)
    lines = (shards[1] / "clips.jsonl").read_text()
    (shards[1] / "clips.jsonl").write_text(lines.replace("words", "other") + "\n")
    with pytest.raises(DataError, match=r"clips.jsonl differs"):
        merge_shards(shards, tmp_path / "merged")
    (shards[1] / "clips.jsonl").write_text(lines)
    manifest = json.loads((shards[1] / "manifest.json").read_text())
    (shards[1] / "manifest.json").write_text(json.dumps({**manifest, "number": 1}))
    with pytest.raises(DataError, match="differs from its own SHA-256"):
        merge_shards(shards, tmp_path / "merged")


def test_shards_of_which_nothing_came_are_one_error(tmp_path: Path) -> None:
    for i in range(2):
        voices.write_wav(tmp_path / "clips" / f"broken{i}.wav", voices.buzz(0.2))
    shards = make_shards(tmp_path, tmp_path / "clips", 2)
    with pytest.raises(DataError, match="none of 2 recordings could be extracted: it is broken"):
        merge_shards(shards, tmp_path / "merged")


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", ""])
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(ConfigError, match="there is no shard"):
        Shard.parse(text)
    assert Shard.parse("2/16") == Shard(2, 16)


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The merge says what extraction says: exit code 3, and the files that failed."""
    shards = list(map(str, make_shards(tmp_path, many_clips(tmp_path / "clips"), 2)))
    assert main(["data", "merge", *shards, "-o", str(tmp_path / "merged")]) == 3
    assert "it is broken" in capsys.readouterr().out
    assert main(["data", "merge", shards[0], "-o", str(tmp_path / "m")]) == 1
    assert main(["data", "merge", *shards, "-o", str(tmp_path / "m"), "--name", "other"]) == 2
    assert main(["data", "info", shards[0]]) == 1
    assert "mecam data merge" in capsys.readouterr().err
    for wrong in (["--ray", "local"], ["--parts", "p"]):
        asked = ["extract", str(tmp_path / "clips"), "-o", str(tmp_path / "m"), "--shard", "1/2", *wrong]
        assert main(asked) == 1
    assert not (tmp_path / "m").exists()
