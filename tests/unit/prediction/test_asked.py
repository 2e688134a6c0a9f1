"""What is given is a recording or a sentence; what could be either is refused, in Python as on the command line."""

import io
from pathlib import Path

import numpy as np
import pytest

import tiny
import voices
from mecam.cli.predict_inputs import sorted_out
from mecam.data.store import Store
from mecam.errors import DataError, MecamError, ModelError
from mecam.features.find_media import find_media
from mecam.prediction.inputs import as_paths, as_sentences, kind_of, kind_of_all
from mecam.prediction.predictor import Predictor
from mecam.prediction.result import Prediction


@pytest.fixture(scope="module")
def reader(store: Store, encoder: str) -> Predictor:
    return Predictor(tiny.build("text_only", store, encoder, used=True))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two recordings with their words, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name, words in (("one.wav", "the film was superb"), ("two clips.wav", "the food was awful")):
        voices.write_wav(tmp_path / name, voices.buzz(0.5))
        (tmp_path / name).with_suffix(".txt").write_text(words, encoding="utf-8")
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (Path("not there.wav"), "file"),
        ("one.wav", "file"),
        ("two clips.wav", "file"),
        ("I would see it again tomorrow", "text"),
        ("good", "text"),
        ("U.S.A", "text"),
        ("3.5", "text"),
        ("Great.", "text"),
        ("nice acting / bad plot", "text"),
        ("bon cafe\u0301 et croissants", "text"),
        ("x" * 5000, "text"),
        ("with a \0 in it", "text"),
    ],
)
def test_what_a_single_thing_is(files: Path, given: object, kind: str) -> None:
    assert kind_of(given) == kind


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("missing.mp4", "there is no file"),
        ("my clip.mp4", "there is no file"),
        ("clips/a", "there is no file"),
        ("C:\\clips\\a", "there is no file"),
        ("https://example.com/a.mp4", "there is no file"),
        ("reviews.txt", "there is no file"),
        ("folder", "is a folder"),
        ("", "is empty"),
        (" \n", "is empty"),
        (None, "neither a text nor a path"),
        (3.5, "neither a text nor a path"),
        (np.zeros(16_000), "neither a text nor a path"),
        (io.BytesIO(b"x"), "neither a text nor a path"),
        (b"one.wav", "neither a text nor a path"),
        ({"a": 1}, "neither a text nor a path"),
        (["one.wav", "a good film"], "the list contains both"),
        ([Path("one.wav"), "a good film"], "the list contains both"),
        (["a good film", ""], "is empty"),
        (["a good film", None], "neither a text nor a path"),
    ],
)
def test_what_is_refused(files: Path, reader: Predictor, given: object, says: str) -> None:
    with pytest.raises(MecamError, match=says):
        reader.predict(given)  # type: ignore[call-overload]


def test_one_gives_one_and_a_list_gives_a_list(files: Path, reader: Predictor) -> None:
    one = reader.predict_text("the film was superb")
    assert isinstance(one, Prediction)
    many = reader.predict_text(["the film was superb", "the food was awful"])
    assert [p.id for p in many] == ["1", "2"]
    assert reader.predict("the film was superb") == one
    assert reader.predict(("the film was superb", "the food was awful")) == many
    for paths in (["one.wav", "two clips.wav"], [Path("one.wav"), Path("two clips.wav")]):
        watched = reader.predict(paths)
        assert [w.overall.score for w in watched] == pytest.approx([p.score for p in many], abs=1e-5)
        assert [w.name for w in watched] == ["one.wav", "two clips.wav"]
    assert reader.predict("one.wav").overall.score == pytest.approx(one.score, abs=1e-5)
    assert reader.predict([]) == reader.predict_text([]) == reader.predict_file([]) == []
    assert kind_of_all([]) is None


def test_options_go_with_what_they_are_for(files: Path, reader: Predictor) -> None:
    with pytest.raises(DataError, match="one transcript is given for several"):
        reader.predict_file(["one.wav", "two clips.wav"], transcript="one.txt")
    with pytest.raises(ModelError, match="a sentence cannot have the option 'transcript'"):
        reader.predict("a good film", transcript="one.txt")
    with pytest.raises(ModelError, match="this is not a path"):
        as_paths([1])
    with pytest.raises(ModelError, match="this is not a text"):
        as_sentences([Path("one.wav")])
    for one in (b"bytes", np.zeros(3), None):
        with pytest.raises(ModelError, match="neither a single input nor a list"):
            as_sentences(one)
        with pytest.raises(ModelError, match="neither a single input nor a list"):
            as_paths(one)


def test_ids_of_sentences_are_lines_of_their_file(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blank lines keep their place, whatever ends a line; what only looks like a line's end to Python does not."""
    Path("a.txt").write_bytes("\ufeffone\r\n\r\n  \rtwo\u2028still two\nthree".encode())
    found = sorted_out(["a.txt"])
    assert found.sentences == [("1", "one"), ("4", "two\u2028still two"), ("5", "three")]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\ngut\n")))
    assert sorted_out(["-"]).sentences == [("2", "gut")]
    both = sorted_out(["a.txt", "a good film", "and another"]).sentences
    assert [name for name, _ in both] == ["a.txt:1", "a.txt:4", "a.txt:5", "1", "2"]
    for wrong, says in ((["folder"], "no recording lies in it"), ([""], "is empty"), (["x.txt"], "there is no file")):
        with pytest.raises(DataError, match=says):
            sorted_out(wrong)
    Path("blank.txt").write_text("\n \n")
    with pytest.raises(DataError, match="no sentence"):
        sorted_out(["blank.txt"])
    Path("binary.txt").write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match="binary data"):
        sorted_out(["binary.txt"])


@pytest.mark.parametrize(
    ("encoding", "name", "text"),
    [
        ("gb18030", "GBK", "这家餐厅的服务态度很好，菜也新鲜。\n我等了一个小时，最后还是走了。"),
        ("cp1251", "Windows-1251", "В этом ресторане очень хорошо.\nЯ ждал целый час и всё-таки ушёл."),
        ("utf-16", "", "Schön!\nÜber die Straße."),
    ],
)
def test_sentences_may_be_in_another_encoding(
    files: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, name: str, text: str
) -> None:
    Path("a.txt").write_bytes(text.encode(encoding))
    found = sorted_out(["a.txt"])
    assert [said for _, said in found.sentences] == text.split("\n")
    assert [f"read as {name}" in note for note in found.notes] == [True] * bool(name)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode(encoding))))
    assert sorted_out(["-"]).sentences == found.sentences


def test_folders_give_the_recordings_that_extract_finds(files: Path) -> None:
    for place in ("d/a/no ending", "d/x.wav", "d/.hidden.wav", "d/y.caf"):
        voices.write_wav(files / place, voices.buzz(0.1))
    Path("d/notes.txt").write_text("not a recording")
    Path("d/strange.bin9").write_bytes(bytes(range(128, 256)) * 8)
    found = sorted_out(["d"])
    assert [r.path for r in found.recordings] == [place.path for place in find_media(["d"]).places]
    assert {r.name for r in found.recordings} == {"a/no ending", "x.wav", "y.caf"}
    assert found.left_out == ("strange.bin9",)
    assert [r.name for r in sorted_out(["d/a/no ending"]).recordings] == ["no ending"]


def test_no_two_recordings_are_called_the_same(files: Path) -> None:
    for place in ("d/a/x.wav", "d/b/x.wav", "d/y.wav", "e/a/x.wav"):
        voices.write_wav(files / place, voices.buzz(0.1))
    assert [r.name for r in sorted_out(["d"]).recordings] == ["a/x.wav", "b/x.wav", "y.wav"]
    assert [r.name for r in sorted_out(["d/y.wav"]).recordings] == ["y.wav"]
    assert [r.name for r in sorted_out(["d/a/x.wav", "d/b/x.wav"]).recordings] == ["a/x.wav", "b/x.wav"]
    assert [r.name for r in sorted_out(["d", "e"]).recordings] == ["d/a/x.wav", "b/x.wav", "y.wav", "e/a/x.wav"]
    assert [r.name for r in sorted_out(["d/y.wav", "./d/y.wav", "d"]).recordings] == ["y.wav", "a/x.wav", "b/x.wav"]


@pytest.mark.parametrize("pattern", ["*.wav", "[ot]*.wav", "./*"])
def test_a_pattern_stands_for_recordings(files: Path, pattern: str) -> None:
    assert [one.name for one in sorted_out([pattern]).recordings] == ["one.wav", "two clips.wav"]


def test_what_looks_like_a_pattern_and_is_none(files: Path) -> None:
    assert [text for _, text in sorted_out(["really?", "good * bad"]).sentences] == ["really?", "good * bad"]
    (files / "take[1].wav").write_bytes((files / "one.wav").read_bytes())
    assert [one.name for one in sorted_out(["take[1].wav"]).recordings] == ["take[1].wav"]
    with pytest.raises(DataError):
        sorted_out(["nothing*.mp4"])
