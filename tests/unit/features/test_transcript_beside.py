"""What lies beside a recording: its transcript is found, the richest is taken, and nothing else costs the clip."""

import json
import os
from pathlib import Path

import pytest

import voices
from mecam.data.store import Store
from mecam.features.extract import extract
from mecam.features.recording import Recipe, read_recording
from mecam.features.text import find_transcript as beside
from mecam.features.text import read_beside, transcript_beside

SRT = "1\n00:00:00,100 --> 00:00:00,500\nI loved it.\n"
WORDS = json.dumps([{"word": "I", "start": 0.1, "end": 0.2}, {"word": "loved", "start": 0.3, "end": 0.5}])
OPENFACE = "frame, face_id, timestamp, confidence, success, AU01_r\n1, 0, 0.000, 0.98, 1, 0.5\n"
AUDIO_ONLY = Recipe(("mecam-prosody",))


def names(path: Path) -> list[str]:
    return [found.name for found in transcript_beside(path)]


def put(folder: Path, *files: str, content: str = SRT) -> None:
    for name in files:
        (folder / name).write_text(content, encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        "clip.srt",
        "clip.SRT",
        "clip.en.vtt",
        "clip.en-US.vtt",
        "clip.en-orig.vtt",
        "clip.zh-Hans.srt",
        "clip.pt_BR.srt",
        "clip.mp4.json",
        "clip.mp4.words.json",
        "clip.en.sdh.srt",
        "clip.words.srt",
        "clip.json3",
        "clip.ass",
        "clip.txt",
    ],
)
def test_what_is_called_like_the_recording_is_found(name: str, tmp_path: Path) -> None:
    put(tmp_path, "clip.mp4", name)
    assert names(tmp_path / "clip.mp4") == [name]


@pytest.mark.parametrize(
    "name",
    [
        "clip2.srt",
        "clip-2.srt",
        "clip.info.json",
        "clip.live_chat.json",
        "clip.srt.bak",
        "my clip.srt",
        "cli.srt",
        "clip.f137.mp4",
        "clip.mp3",
        "clip.wav.json",
    ],
)
def test_what_is_called_otherwise_is_not(name: str, tmp_path: Path) -> None:
    put(tmp_path, "clip.mp4", name)
    (tmp_path / "clip.srt").mkdir()
    assert names(tmp_path / "clip.mp4") == []


def test_what_belongs_to_another_recording_stays_there(tmp_path: Path) -> None:
    put(tmp_path, "a.mp4", "a.en.mp4", "a.en.srt", "a.mp4.json", "a.wav.json", "a.srt")
    assert names(tmp_path / "a.en.mp4") == ["a.en.srt"]
    assert names(tmp_path / "a.mp4") == ["a.mp4.json", "a.srt"]


def test_names_from_a_mac(tmp_path: Path) -> None:
    put(tmp_path, "cafe\u0301.mp4", "café.srt")
    assert names(tmp_path / "cafe\u0301.mp4") == ["café.srt"]


def test_the_order_is_fixed(tmp_path: Path) -> None:
    put(tmp_path, "c.mp4", "c.txt", "c.srt", "c.json", "c.de.vtt", "c.en-orig.vtt", "c.en.vtt", "c.en.srt")
    assert names(tmp_path / "c.mp4") == [
        "c.json",
        "c.srt",
        "c.txt",
        "c.en-orig.vtt",
        "c.de.vtt",
        "c.en.vtt",
        "c.en.srt",
    ]


def test_a_folder_is_listed_once_and_a_change_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, *(f"c{i}.mp4" for i in range(9)), "c3.srt")
    os.utime(tmp_path, (1, 1))  # long settled
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(beside.os, "scandir", lambda folder: listed.append(folder) or scandir(folder))
    found = [names(tmp_path / f"c{i}.mp4") for i in range(9)]
    assert found == [["c3.srt"] if i == 3 else [] for i in range(9)]
    assert len(listed) == 1
    put(tmp_path, "c4.srt")
    assert names(tmp_path / "c4.mp4") == ["c4.srt"]
    put(tmp_path, "c5.srt")  # at once, perhaps within the same tick of the clock
    assert names(tmp_path / "c5.mp4") == ["c5.srt"]


def test_of_several_the_richest_is_taken_and_named(tmp_path: Path) -> None:
    put(tmp_path, "c.wav", "c.srt", "c.vtt")
    put(tmp_path, "c.txt", content="I loved it.")
    put(tmp_path, "c.json", content=json.dumps({"text": "", "segments": []}))
    put(tmp_path, "c.en.tsv", content="word\tstart\tend\nI\t0.1\t0.2\nloved\t0.3\t0.5\n")
    paths = transcript_beside(tmp_path / "c.wav")
    transcript, taken, findings = read_beside(paths)
    assert taken is not None
    assert taken.name == "c.en.tsv"
    assert transcript is not None
    assert [w.start for w in transcript.words] == [0.1, 0.3]
    assert findings == ("c.en.tsv is taken as transcript, not c.json, c.vtt, c.srt, c.txt: it has times of words",)
    (tmp_path / "c.en.tsv").unlink()
    assert read_beside(transcript_beside(tmp_path / "c.wav"))[1] == tmp_path / "c.vtt"
    (tmp_path / "c.vtt").unlink()
    (tmp_path / "c.srt").unlink()
    assert read_beside(transcript_beside(tmp_path / "c.wav"))[1] == tmp_path / "c.txt"


def test_the_language_of_the_speech_decides_between_equals(tmp_path: Path) -> None:
    put(tmp_path, "c.wav", "c.de.srt", "c.en-US.srt")
    paths = transcript_beside(tmp_path / "c.wav")
    assert read_beside(paths)[1:] == (tmp_path / "c.de.srt", ())  # the same words: nothing to say
    assert read_beside(paths, language="en")[1] == tmp_path / "c.en-US.srt"
    (tmp_path / "c.de.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nSehr gut.\n")
    assert read_beside(paths)[2] == (
        "c.de.srt is taken as transcript, not c.en-US.srt: the first of equals; --language chooses",
    )
    assert read_beside(paths, language="en")[2][0].endswith("not c.de.srt: of the language asked for")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.csv", OPENFACE),
        ("c.json", '{"fps": 25, "title": "x"}'),
        ("c.json", "{"),
        ("c.csv", "name;frameTime;F0\nx;0.1;3\n"),
        ("c.tsv", "0.1\t0.2\n0.3\t0.4\n"),
        ("c.srt", "prose"),
        ("c.json", "[" * 100_000),
    ],
)
def test_what_is_no_transcript_is_left_out_and_named(name: str, content: str, tmp_path: Path) -> None:
    wav = voices.write_wav(tmp_path / "c.wav", voices.buzz(0.6))
    put(tmp_path, name, content=content)
    extract([tmp_path], tmp_path / "store", recipe=AUDIO_ONLY, jobs=1)
    report = json.loads((tmp_path / "store" / "manifest.json").read_text())
    assert f"{name} is left out: " in json.dumps(report)
    (utterance,) = Store(tmp_path / "store")
    assert utterance.text is None
    assert len(utterance.streams["audio"])
    # With a good one beside it, that one is taken.
    put(tmp_path, "c.vtt", content="WEBVTT\n\n" + SRT.replace(",", "."))
    recording = read_recording(wav, AUDIO_ONLY, id="c", beside=transcript_beside(wav))
    assert recording.utterances[0].text == "I loved it."
    assert any(finding.startswith(f"{name} is left out: ") for finding in recording.findings)


def test_named_by_the_user_it_is_an_error(tmp_path: Path) -> None:
    from mecam.errors import DataError

    wav = voices.write_wav(tmp_path / "c.wav", voices.buzz(0.6))
    put(tmp_path, "c.csv", content=OPENFACE)
    with pytest.raises(DataError, match="no column"):
        read_recording(wav, AUDIO_ONLY, id="c", transcript=tmp_path / "c.csv")


@pytest.mark.parametrize(
    ("name", "content"),
    [("c.json", '{"text": "", "segments": []}'), ("c.srt", ""), ("c.vtt", "WEBVTT\n\n"), ("c.txt", "\n")],
)
def test_an_empty_transcript_says_that_nothing_is_said(name: str, content: str, tmp_path: Path) -> None:
    wav = voices.write_wav(tmp_path / "c.wav", voices.buzz(0.6))
    put(tmp_path, name, content=content)
    for given in ({"transcript": tmp_path / name}, {"beside": transcript_beside(wav)}):
        recording = read_recording(wav, AUDIO_ONLY, id="c", **given)
        assert recording.absent == {"text": "the transcript is empty"}
        assert recording.utterances[0].text is None
        assert len(recording.utterances[0].streams["audio"])
    # What a table says is said, though.
    recording = read_recording(wav, AUDIO_ONLY, id="c", text="Hello.", beside=transcript_beside(wav))
    assert recording.utterances[0].text == "Hello."
    assert any("the text of the label table is used" in finding for finding in recording.findings)


def test_rows_of_words_need_words_in_the_text(tmp_path: Path) -> None:
    """Where features have a row per word, a text without blanks falls into the same words."""
    wav = voices.write_wav(tmp_path / "c.wav", voices.buzz(0.6))
    words = [{"word": "我", "start": 0.1, "end": 0.2}, {"word": "喜欢", "start": 0.2, "end": 0.5}]
    put(tmp_path, "c.json", content=json.dumps(words))
    whole = read_recording(wav, AUDIO_ONLY, id="c", beside=transcript_beside(wav)).utterances[0]
    assert whole.text == "我喜欢"
    assert [w.text for w in whole.words] == ["我", "喜欢"]
    recipe = Recipe(("mecam-prosody",), aligned=("audio",))
    aligned = read_recording(wav, recipe, id="c", beside=transcript_beside(wav)).utterances[0]
    assert aligned.text == "我 喜欢"
    assert len(aligned.streams["audio"]) == 2
