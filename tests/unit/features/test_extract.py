"""Extraction: whatever is stopped, damaged or in whatever order, the store is the same and nothing is done twice."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import clips
import tiny
import voices
from in_this_process import InThisProcess
from mecam.data.mixture import WeightedStore, check_sources
from mecam.data.store import Store
from mecam.errors import ConfigError, DataError
from mecam.features import extraction_processes as module
from mecam.features.clips import Clip, find_clips
from mecam.features.extract import extract
from mecam.features.extraction_cache import ExtractedRecording, FolderParts, Parts, key_of, read_part, write_part
from mecam.features.extraction_processes import Outcomes
from mecam.features.extractor import extractor
from mecam.features.recording import Recipe, read_recording
from mecam.features.segmentation import Lengths
from mecam.features.vision.face_extractors import Blendshapes
from mecam.hashes import sha256_of
from mecam.task import Regression
from mecam.types import Utterance, Word

AUDIO_ONLY = Recipe(("mecam-audio",), lengths=Lengths(0.5, 4.0))


@pytest.fixture
def mmsa(tmp_path: Path) -> Path:
    """The MMSA-FET layout: a damaged clip, a row without a file, a file without a row, a path with spaces."""
    folder = tmp_path / "clips für mich"
    rows = [("vid a", 1, "good", 2.0, "train"), ("vid a", 2, "bad", -2.0, "train"), ("b_1", 10, "so so", 0.2, "valid")]
    rows += [("b_1", 11, "gone", 1.0, "test"), ("c", 1, "broken", 1.0, "test"), ("c", 2, "", -1.0, "test")]
    lines = [f"{v},{c},{text},{label},x,{mode}" for v, c, text, label, mode in rows]
    folder.mkdir()
    (folder / "label.csv").write_text("video_id,clip_id,text,label,annotation,mode\n" + "\n".join(lines))
    for i, (video, clip, text, *_) in enumerate(rows):
        if text != "gone":
            voices.write_wav(folder / "Raw" / video / f"{clip}.wav", voices.buzz(0.5 + 0.1 * i, hertz=100 + 30 * i))
    (folder / "Raw" / "c" / "1.wav").write_text("this is no sound")
    voices.write_wav(folder / "Raw" / "c" / "3.wav", voices.buzz(0.4))
    (folder / "Raw" / "vid a" / "1.csv").write_text("word,start,end\nGood,0.1,0.3\ngrief.,0.3,0.45\n")
    return folder


def content(store: Path) -> dict[str, str]:
    return {file.name: sha256_of(file) for file in sorted(store.iterdir())}


def test_a_labelled_folder_and_any_number_of_workers(mmsa: Path, tmp_path: Path) -> None:
    reports = [extract([mmsa], tmp_path / f"s{jobs}", recipe=AUDIO_ONLY, jobs=jobs) for jobs in (1, 2)]
    assert reports[0] == reports[1]
    assert content(tmp_path / "s1") == content(tmp_path / "s2")
    assert not list(tmp_path.glob(".*"))
    (report, _), store = reports, Store(tmp_path / "s1", verify=True)
    assert [(f.id, f.reason) for f in report.failures][1] == ("b_1_11", "no file for this row of the label table")
    assert report.failures[0].id == "c_1"
    assert report.failures[0].file == "1.wav"
    assert report.task == Regression()
    assert [(u.id, u.split, u.video, u.label, u.text) for u in store] == [
        ("vid a_1", "train", "vid a", 2.0, "Good grief."),
        ("vid a_2", "train", "vid a", -2.0, "bad"),
        ("b_1_10", "valid", "b_1", 0.2, "so so"),
        ("c_2", "test", "c", -1.0, None),
    ]
    assert store[0].words == (Word("Good", 0.1, 0.3), Word("grief.", 0.3, 0.45))
    for utterance in store:
        assert np.isfinite(utterance.streams["audio"]).all(axis=1).any()
        times = utterance.intervals["audio"]
        assert (np.diff(times[:, 0]) > 0).all()
        assert (times[:, 1] > times[:, 0]).all()
    spec, made = store.specs["audio"], extractor("mecam-audio")
    assert spec == made.spec
    assert store.manifest["provenance"]["extracted"]["extractors"]["audio"]["version"] == made.version
    assert str(tmp_path) not in (store.path / "manifest.json").read_text(encoding="utf-8")


def test_the_manifest_tells_the_options_of_each_extractor(tmp_path: Path) -> None:
    """Those of one that is built upon another too."""
    media = tmp_path / "a.mp4"
    clips.clip(media, 10, sound=clips.tone(0.4))
    extract([media], tmp_path / "store", recipe=Recipe(("mecam-audio", "mecam-blendshapes")), jobs=1)
    told = Store(tmp_path / "store").manifest["provenance"]["extracted"]["extractors"]["vision"]
    assert told["name"] == "mecam-blendshapes"
    assert told["options"]["watching"]["rate_hz"] == Blendshapes().watching.rate_hz


def test_after_a_stop_only_the_rest_is_done(mmsa: Path, tmp_path: Path) -> None:
    """Wherever it stops."""
    tried: list[str] = []

    def reading(clip: Clip) -> ExtractedRecording | str:
        tried.append(clip.id)
        return "bad" if clip.id == "c_1" else ExtractedRecording((Utterance(clip.id, video=clip.id, text=clip.id),))

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    workers = InThisProcess(reading)
    with pytest.raises(KeyboardInterrupt):
        extract([mmsa], tmp_path / "s", recipe=AUDIO_ONLY, workers=workers, progress=stop)
    assert not (tmp_path / "s").exists()
    assert tried == ["vid a_1", "vid a_2"]
    report = extract([mmsa], tmp_path / "s", recipe=AUDIO_ONLY, workers=workers)
    assert tried[2:] == ["b_1_10", "c_1", "c_2"]
    assert (report.reused, report.recordings) == (2, 4)
    extract([mmsa], tmp_path / "fresh", recipe=AUDIO_ONLY, workers=workers)
    assert content(tmp_path / "s")["utterances.jsonl"] == content(tmp_path / "fresh")["utterances.jsonl"]


@pytest.mark.posix
@pytest.mark.slow
def test_after_a_kill_nothing_is_done_twice_and_nothing_is_lost(tmp_path: Path) -> None:
    folder, store = tmp_path / "many", tmp_path / "store"
    for i in range(14):
        voices.write_wav(folder / f"clip{i:02}.wav", voices.buzz(30 if i > 5 else 0.5, hertz=100 + 10 * i))
    recipe = "Recipe(('mecam-audio',), lengths=Lengths(0.5, 4.0))"
    code = (
        "from mecam.features.extract import *; from mecam.features.recording import Recipe\n"
        "from mecam.features.segmentation import Lengths\n"
        f"if __name__ == '__main__': extract([{str(folder)!r}], {str(store)!r}, recipe={recipe}, jobs=1)"
    )
    script = tmp_path / "go.py"
    script.write_text(code)
    running = subprocess.Popen([sys.executable, str(script)])
    parts = tmp_path / ".store.parts"
    deadline = time.monotonic() + 100
    while len(list(parts.glob("*.safetensors"))) < 4 and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    before = {file.name: file.stat().st_mtime_ns for file in parts.glob("*.safetensors")}
    assert 4 <= len(before) < 14
    assert not store.exists()
    seen: list[tuple[int, int]] = []
    kept: dict[str, int] = {}

    def watch(done: int, total: int) -> None:
        seen.append((done, total))
        kept.update({file.name: file.stat().st_mtime_ns for file in parts.glob("*.safetensors")})

    report = extract([folder], store, recipe=AUDIO_ONLY, jobs=1, progress=watch)
    assert report.reused == len(before)
    assert seen[0] == (len(before) + 1, 14)
    assert {name: kept[name] for name in before} == before
    assert not parts.exists()
    fresh = extract([folder], tmp_path / "fresh" / "store", recipe=AUDIO_ONLY, jobs=2, name="many")
    assert (fresh.reused, fresh.utterances) == (0, report.utterances)
    assert content(store) == content(tmp_path / "fresh" / "store")


@pytest.mark.slow
def test_a_file_that_kills_its_reader_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "extract_clip", voices.fatal)
    names = ["a", "b", "killer", "c", "bad", "d"]
    parts = FolderParts(tmp_path / "parts")
    parts.prepare()
    results = list(module.Processes(1)({name: Clip(name, tmp_path / name) for name in names}, AUDIO_ONLY, parts))
    by_name = {clip.id: reason for clip, reason in results}
    assert len(results) == len(names)
    assert by_name.pop("killer") == "the process crashed while reading the file"
    assert by_name.pop("bad") == "bad"
    assert by_name == dict.fromkeys("abcd")
    assert parts.known() == set("abcd")
    for name in "abcd":
        part = parts.read(name)
        assert part is not None
        assert part.utterances[0].id == name
    assert "OMP_NUM_THREADS" not in os.environ or os.environ["OMP_NUM_THREADS"] == "1"


def fake(clip: Clip) -> ExtractedRecording:
    return ExtractedRecording((Utterance(clip.id, video=clip.id, text="x"),))


def test_a_full_disk_is_one_error_and_leaves_no_store(
    mmsa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mecam.features.extraction_cache.save_file", full)
    with pytest.raises(DataError, match="No space left on device"):
        extract([mmsa], tmp_path / "store", recipe=AUDIO_ONLY, workers=InThisProcess(fake))
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / ".store.parts").exists()
    monkeypatch.undo()
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(DataError, match="cannot write here"):
        extract([mmsa], tmp_path / "elsewhere" / "store", recipe=AUDIO_ONLY, workers=InThisProcess(fake))


def test_what_cannot_be_is_said_before_anything_is_done(
    mmsa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.Processes, "__call__", lambda *_: pytest.fail("work was begun"))
    (tmp_path / "store").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="exists already"):
        extract([mmsa], tmp_path / "store", recipe=AUDIO_ONLY)
    with pytest.raises(DataError, match="cannot write here"):
        extract([mmsa], tmp_path / "file" / "store", recipe=AUDIO_ONLY)
    with pytest.raises(DataError, match="no video or sound file"):
        extract([tmp_path / "store"], tmp_path / "new")
    with pytest.raises(DataError, match="no such file"):
        extract([tmp_path / "nowhere"], tmp_path / "new")
    with pytest.raises(ConfigError, match="there is no extractor 'mfcc'"):
        extract([mmsa], tmp_path / "new", recipe=Recipe(("mfcc",)))
    with pytest.raises(ConfigError, match="both make audio"):
        extract([mmsa], tmp_path / "new", recipe=Recipe(("mecam-audio", "egemaps")))


def test_a_part_comes_back_as_it_was_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    wav = voices.write_wav(tmp_path / "a.wav", voices.buzz(0.6))
    part = ExtractedRecording.of(read_recording(wav, AUDIO_ONLY, id="a"))
    assert part.absent == {"text": "no transcript was given"}
    write_part(tmp_path / "p", part)
    back = read_part(tmp_path / "p")
    assert back is not None
    np.testing.assert_array_equal(back.utterances[0].streams["audio"], part.utterances[0].streams["audio"])
    np.testing.assert_array_equal(back.utterances[0].intervals["audio"], part.utterances[0].intervals["audio"])
    assert (back.absent, back.findings) == (part.absent, part.findings)
    data = (tmp_path / "p").read_bytes()
    for cut in (0, 10, len(data) // 2):
        (tmp_path / "p").write_bytes(data[:cut])
        assert read_part(tmp_path / "p") is None


def test_a_part_is_made_again_when_what_it_depends_on_changes(tmp_path: Path) -> None:
    wav = voices.write_wav(tmp_path / "a.wav", voices.buzz(0.3))
    clip = Clip("a", wav)
    keys = [key_of(clip, AUDIO_ONLY), key_of(clip, Recipe()), key_of(clip, Recipe(("mecam-audio",), asr="tiny"))]
    (tmp_path / "a.srt").write_text("x")
    keys.append(key_of(Clip("a", wav, transcript=(tmp_path / "a.srt",)), AUDIO_ONLY))
    assert key_of(Clip("a", wav), AUDIO_ONLY) == keys[0]
    voices.write_wav(wav, voices.buzz(0.4))
    keys.append(key_of(clip, AUDIO_ONLY))
    assert len(set(keys)) == 5


def test_lists_patterns_and_names(tmp_path: Path) -> None:
    for name in ("x/a.wav", "y/a.wav", "b.MP4", "notes.txt", ".hidden.wav", "x/deep/c.mov"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert [c.id for c in find_clips([tmp_path]).clips] == ["b", "x_a", "x_deep_c", "y_a"]
    by_pattern = find_clips([str(tmp_path / "*" / "*.wav"), tmp_path / "x" / "a.wav"])
    assert [c.id for c in by_pattern.clips] == ["a", "a-2"]
    (tmp_path / "list.txt").write_text("# mine\nb.MP4\n\nx/a.wav\n")
    assert [c.path.name for c in find_clips([tmp_path / "list.txt"]).clips] == ["b.MP4", "a.wav"]


def test_labels_find_their_files(tmp_path: Path) -> None:
    for name in ("one.wav", "v_3.wav", "whole.mp4"):
        (tmp_path / "media" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "media" / name).write_text("")
    table = tmp_path / "t.csv"
    table.write_text("id,emotion,actor,wav\nfirst,calm,7,one.wav\nnone,sad,8,two.wav\n")
    found = find_clips([tmp_path / "media"], table)
    assert [(c.id, c.path.name, c.row and c.row.speaker) for c in found.clips] == [("first", "one.wav", "7")]
    assert found.missing == ("none",)
    assert set(found.unlabelled) == {"v_3.wav", "whole.mp4"}
    table.write_text("video_id,clip_id,text,label,start,end\nv,3,a,1,,\nwhole,1,b,-1,2.5,4\n")
    found = find_clips([tmp_path / "media"], table)
    assert [(c.id, c.path.name, c.span) for c in found.clips] == [
        ("v_3", "v_3.wav", None),
        ("whole_1", "whole.mp4", (2.5, 4.0)),
    ]
    table.write_text("id,label\nnothing,1\n")
    with pytest.raises(DataError, match="has a file"):
        find_clips([tmp_path / "media"], table)
    table.write_text("a,b\n1,1\n")
    with pytest.raises(DataError, match="has no id"):
        find_clips([tmp_path / "media"], table)


def test_a_long_recording_becomes_utterances_with_its_own_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mecam.features.segmentation.has_silero", lambda: False)  # it knows a buzz from a voice
    quiet = np.zeros(voices.RATE_HZ, np.float32)
    sound = np.concatenate([quiet, voices.buzz(2.0), quiet, voices.buzz(1.5, hertz=200), quiet])
    wav = voices.write_wav(tmp_path / "a.wav", sound)
    first, second = read_recording(wav, AUDIO_ONLY, id="a").utterances
    assert (first.id, second.id, first.video, second.video) == ("a_1", "a_2", "a", "a")
    assert first.intervals["audio"][0, 0] == pytest.approx(0.85, abs=0.05)
    assert second.intervals["audio"][-1, 1] == pytest.approx(5.65, abs=0.05)
    whole = read_recording(wav, AUDIO_ONLY, id="a", whole=True).utterances[0]
    np.testing.assert_array_equal(
        whole.streams["audio"][np.isin(whole.intervals["audio"][:, 0], first.intervals["audio"][:, 0])],
        first.streams["audio"],
    )
    (tmp_path / "a.srt").write_text(
        "1\n00:00:01,000 --> 00:00:03,000\nHi there.\n\n2\n00:00:04,000 --> 00:00:05,500\nYes\n"
    )
    said = read_recording(wav, AUDIO_ONLY, id="a", transcript=tmp_path / "a.srt")
    assert [u.text for u in said.utterances] == ["Hi there.", "Yes"]
    assert said.spans == ((1.0, 3.0), (4.0, 5.5))
    recipe = Recipe(("mecam-audio",), lengths=AUDIO_ONLY.lengths, aligned=("audio",))
    aligned = read_recording(wav, recipe, id="a", transcript=tmp_path / "a.srt").utterances
    assert [len(u.streams["audio"]) for u in aligned] == [2, 1]
    pitch = extractor("mecam-audio").spec.names.index("f0_semitones")
    rise = aligned[1].streams["audio"][0, pitch] - aligned[0].streams["audio"][0, pitch]
    assert rise == pytest.approx(12 * np.log2(200 / 140), abs=0.3)


def test_what_a_recording_lacks_is_said(tmp_path: Path) -> None:
    wav = voices.write_wav(tmp_path / "a.wav", voices.buzz(0.6))
    recording = read_recording(wav, Recipe(), id="a", text="fine")
    assert set(recording.absent) == {"vision"}
    assert recording.utterances[0].text == "fine"
    (tmp_path / "late.srt").write_text("1\n00:01:00,000 --> 00:01:03,000\nHi\n")
    with pytest.raises(DataError, match="overruns the recording"):
        read_recording(wav, AUDIO_ONLY, id="a", transcript=tmp_path / "late.srt")
    empty = voices.write_wav(tmp_path / "empty.wav", np.zeros(0, np.float32))
    with pytest.raises(DataError):
        read_recording(empty, AUDIO_ONLY, id="a")
    ten_ms = voices.write_wav(tmp_path / "short.wav", voices.buzz(0.01))
    assert len(read_recording(ten_ms, AUDIO_ONLY, id="a").utterances[0].streams["audio"]) == 1


SCRIPT = """
import sys
from mecam.features.extract import extract
from mecam.features.recording import Recipe

print("begin")
report = extract([{folder!r}], {store!r}, recipe=Recipe(("mecam-audio",)), jobs=2)
print(report.utterances, report.failures)
"""


@pytest.mark.parametrize("piped", [True, False], ids=["piped", "file"])
def test_a_script_without_a_guard_works_and_runs_once(tmp_path: Path, piped: bool) -> None:
    for name in ("a", "b"):
        voices.write_wav(tmp_path / "clips" / f"{name}.wav", voices.buzz(0.4))
    code = SCRIPT.format(folder=str(tmp_path / "clips"), store=str(tmp_path / "store"))
    (tmp_path / "go.py").write_text(code)
    command = [sys.executable, *([] if piped else [str(tmp_path / "go.py")])]
    done = subprocess.run(command, input=code if piped else None, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split("\n")[:2]) == (0, ["begin", "2 ()"]), done.stderr


def test_a_worker_that_imports_the_script_again_is_told_of_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    process = module.multiprocessing.current_process()
    monkeypatch.setattr(process, "_inheriting", True, raising=False)
    with pytest.raises(DataError, match="imports the script") as caught:
        extract(["anything"], "nowhere")
    assert "__main__" in str(caught.value)


@pytest.mark.posix
def test_odd_names_and_broken_files_stop_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    for name in ("x\n", "x[/red]", "n" * 251, "\x1b[31m", " "):
        voices.write_wav(folder / f"{name}.wav", voices.buzz(0.3))
    odd = os.fsencode(folder) + b"/na\xffme.wav"
    Path(os.fsdecode(odd)).write_bytes((folder / "x[/red].wav").read_bytes())
    (folder / "broken.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(300))
    (folder / "empty.wav").write_bytes(b"")
    (folder / "not\udcffsound.flac").write_bytes(b"fLaC" + bytes(64))
    report = extract([folder], tmp_path / "store", recipe=AUDIO_ONLY, jobs=1)
    assert report.recordings == 6
    assert len(report.failures) == 3
    assert len(Store(tmp_path / "store", verify=True)) == 6
    assert all(name.encode() for failure in report.failures for name in (failure.id, failure.file, failure.reason))


def test_recordings_that_are_done_in_another_order_give_the_same_store(mmsa: Path, tmp_path: Path) -> None:
    """It is written meanwhile, in its own order."""

    def backwards(todo: Mapping[str, Clip], recipe: Recipe, parts: Parts) -> Outcomes:
        yield from InThisProcess()(dict(reversed(todo.items())), recipe, parts)

    seen: list[tuple[int, int]] = []
    told = extract(
        [mmsa], tmp_path / "a", recipe=AUDIO_ONLY, workers=backwards, progress=lambda *step: seen.append(step)
    )
    assert seen == [(done, 5) for done in range(1, 6)]
    assert told == extract([mmsa], tmp_path / "b", recipe=AUDIO_ONLY, workers=InThisProcess())
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_pieces_and_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    for name in ("talk", "talk_1"):
        voices.write_wav(folder / f"{name}.wav", voices.buzz(0.3))

    def reading(clip: Clip) -> ExtractedRecording:
        pieces = [f"{clip.id}_1", f"{clip.id}_2"] if clip.id == "talk" else [clip.id]
        return ExtractedRecording(tuple(Utterance(name, video=clip.id, text="x") for name in pieces))

    report = extract([folder], tmp_path / "store", recipe=AUDIO_ONLY, workers=InThisProcess(reading))
    assert sorted(Store(tmp_path / "store").column("id")) == ["talk_1", "talk_1-2", "talk_2"]
    assert report.oddities == (("talk_1-2", "another utterance has the id talk_1"),)


def test_a_table_of_files_and_labels_is_enough_to_train_on(tmp_path: Path) -> None:
    lines = []
    for i in range(12):
        voices.write_wav(tmp_path / "clips" / f"clip_{i}.wav", voices.buzz(0.3, hertz=100 + 10 * i))
        lines.append(f"clip_{i}.wav,{i % 5 - 2}")
    table = tmp_path / "labels.csv"
    table.write_text("file,label\n" + "\n".join(lines) + "\n")
    report = extract([tmp_path / "clips"], tmp_path / "store", labels=table, recipe=AUDIO_ONLY, jobs=1)
    assert any("by recording (seed 1111)" in note for note in report.notes)
    store = Store(tmp_path / "store")
    assert all(len(store.split(split)) for split in ("train", "valid", "test"))
    assert store.manifest["provenance"]["notes"] == list(report.notes)
    check_sources([WeightedStore(store)])


def test_training_without_splits_names_the_way_out(tmp_path: Path) -> None:
    store = tiny.write_store(tmp_path / "s", tiny.TASKS["regression"], [Utterance("a", text="x", label=1.0)])
    with pytest.raises(DataError, match="none of its 1 utterances has a split") as caught:
        check_sources([WeightedStore(store)])
    assert "mecam data split" in str(caught.value)


def test_how_the_label_table_was_read_is_reported(tmp_path: Path) -> None:
    rows = ["id;text;label", 'один;"очень хорошо, правда";1,5', 'два;"всё-таки плохо";-2,5']
    (tmp_path / "label.csv").write_bytes("\r\n".join(rows).encode("cp1251"))
    for name in ("один", "два"):
        voices.write_wav(tmp_path / f"{name}.wav", voices.buzz(0.4))
    report = extract([tmp_path], tmp_path / "store", recipe=AUDIO_ONLY, jobs=1)
    assert Store(tmp_path / "store").column("label") == [1.5, -2.5]
    assert {"other encodings", "unusual delimiters", "decimal commas"} <= {f.kind for f in report.findings}
    said = "label.csv: Windows-1251 (Cyrillic), columns separated by semicolons, decimal comma"
    assert report.notes[0] == said
    assert Store(tmp_path / "store").manifest["provenance"]["notes"][0] == said


def test_an_extraction_that_cannot_begin_leaves_nothing(tmp_path: Path) -> None:
    voices.write_wav(tmp_path / "a b.wav", voices.buzz(0.5))
    with pytest.raises(ConfigError, match="cannot compute on 'cuda:77'"):
        extract([tmp_path / "a b.wav"], tmp_path / "store", recipe=Recipe(("mecam-audio",), device="cuda:77"))
    assert [path.name for path in tmp_path.iterdir()] == ["a b.wav"]
