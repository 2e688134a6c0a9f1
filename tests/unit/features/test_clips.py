"""The file of a row is the one that the table means, or there is an error that names those it may be."""

import csv
import os
import shutil
import unicodedata
from itertools import islice
from pathlib import Path

import pytest

import voices
from mecam.errors import DataError
from mecam.features.clips import find_clips, with_splits
from mecam.features.find_media import MEDIA_SUFFIXES, is_media

MELD = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"


def lay(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def meld(folder: Path) -> Path:
    """Three splits in MELD's folders, whose clips have the same names."""
    places = ("train_splits", "dev_splits_complete", "output_repeated_splits_test")
    return lay(folder / "MELD.Raw", *(f"{place}/dia{d}_utt0.mp4" for place in places for d in (0, 1)))


def table(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def chosen(root: Path, labels: Path) -> list[tuple[str, str]]:
    found = find_clips([root], labels)
    assert not found.missing
    return [(clip.id, clip.path.relative_to(root).as_posix()) for clip in found.clips]


@pytest.mark.parametrize("form", ["{root}/{name}", "{name}", "./{name}", "../MELD.Raw/{name}", "MELD.Raw/{name}"])
@pytest.mark.parametrize("separator", ["/", "\\"])
@pytest.mark.parametrize("beside", [True, False], ids=["table beside the folder", "table in it"])
def test_paths_are_taken_as_given(tmp_path: Path, form: str, separator: str, beside: bool) -> None:
    root = meld(tmp_path)
    names = ["train_splits/dia0_utt0.mp4", "dev_splits_complete/dia0_utt0.mp4"]
    given = [form.format(root=root, name=name).replace("/", separator) for name in names]
    labels = table(
        (tmp_path if beside else root) / "t.csv", "id,file,label", *(f"{i},{g},{i}" for i, g in enumerate(given))
    )
    assert chosen(root, labels) == [("0", names[0]), ("1", names[1])]


@pytest.mark.parametrize("prefix", ["/home/bob/work/MELD.Raw", "C:\\data\\MELD", "/mnt/x"])
def test_paths_of_another_machine_are_found_by_their_end(tmp_path: Path, prefix: str) -> None:
    root = meld(tmp_path)
    names = ["train_splits/dia0_utt0.mp4", "dev_splits_complete/dia0_utt0.mp4"]
    labels = table(tmp_path / "t.csv", "id,file,label", *(f"{i},{prefix}/{n},{i}" for i, n in enumerate(names)))
    assert chosen(root, labels) == [("0", names[0]), ("1", names[1])]
    flat = lay(tmp_path / "flat", "a.wav", "b.wav")
    labels = table(tmp_path / "u.csv", "id,file,label", f"0,{prefix}/one/a.wav,1", f"1,{prefix}/two/b.wav,1")
    assert chosen(flat, labels) == [("0", "a.wav"), ("1", "b.wav")]


def test_the_clip_of_another_split_never_stands_in(tmp_path: Path) -> None:
    root = meld(tmp_path)
    shutil.rmtree(root / "train_splits")
    lines = ["/x/train_splits/dia0_utt0.mp4", "/x/dev_splits_complete/dia0_utt0.mp4"]
    found = find_clips([root], table(tmp_path / "t.csv", "id,file,label", f"0,{lines[0]},1", f"1,{lines[1]},1"))
    assert ([clip.id for clip in found.clips], found.missing) == (["1"], ("0",))
    (tmp_path / "one").mkdir()
    only = lay(tmp_path / "one", "dev_splits/dia0_utt0.mp4")
    with pytest.raises(DataError, match="has a file"):
        find_clips([only], table(tmp_path / "t.csv", "id,file,label", f"0,{lines[0]},1"))


@pytest.mark.parametrize("rows", [["dia0_utt0.mp4"], ["dia0_utt0"]], ids=["name", "stem"])
def test_a_name_that_may_be_several_files_is_an_error_that_names_them(tmp_path: Path, rows: list[str]) -> None:
    root = meld(tmp_path)
    for column in ("file", "id"):
        labels = table(tmp_path / "t.csv", f"{column},label", *(f"{row},1" for row in rows))
        with pytest.raises(DataError, match=r"more than one file: .*train_splits/dia0_utt0.mp4") as caught:
            find_clips([root], labels)
        assert "dev_splits_complete/dia0_utt0.mp4" in str(caught.value)


def test_a_split_tells_files_apart_where_their_folders_name_it(tmp_path: Path) -> None:
    root = meld(tmp_path)
    lines = ["dia0,utt0,joy,train", "dia0,utt0,anger,dev", "dia1,utt0,sadness,test"]
    found = find_clips([root], table(tmp_path / "t.csv", "video_id,clip_id,emotion,mode", *lines))
    assert [(c.id, c.path.parent.name) for c in found.clips] == [
        ("train_dia0_utt0", "train_splits"),
        ("valid_dia0_utt0", "dev_splits_complete"),
        ("dia1_utt0", "output_repeated_splits_test"),
    ]
    assert any("split" in note for note in found.notes)


def test_melds_own_tables_find_their_clips(tmp_path: Path) -> None:
    root = meld(tmp_path)
    labels = []
    for split in ("train", "dev", "test"):
        labels.append(tmp_path / f"{split}_sent_emo.csv")
        text = f'1,"{split}, said",Joey,anger,negative,0,0,1,1,"00:16:16,059","00:16:21,731"\n'
        labels[-1].write_text(MELD + text + text.replace("0,0,1,1", "1,0,1,1"))
    found = find_clips([root], labels)
    assert [(c.id, c.path.parent.name, c.span, c.row and c.row.text) for c in found.clips][::2] == [
        ("train_dia0_utt0", "train_splits", None, "train, said"),
        ("valid_dia0_utt0", "dev_splits_complete", None, "dev, said"),
        ("test_dia0_utt0", "output_repeated_splits_test", None, "test, said"),
    ]
    assert len(find_clips([root / "train_splits"], labels[0]).clips) == 2
    with pytest.raises(DataError, match="has a file"):  # not the clips of the training split
        find_clips([root / "train_splits"], labels[1])
    plain = tmp_path / "labels.csv"
    shutil.copy(labels[0], plain)
    with pytest.raises(DataError, match="more than one file"):
        find_clips([root], plain)


def test_real_tables_of_meld(shared_data: Path, tmp_path: Path) -> None:
    root = lay(tmp_path / "MELD.Raw", "train_splits/dia0_utt0.mp4", "dev_splits_complete/dia0_utt0.mp4")
    tables = [tmp_path / f"{split}_sent_emo.csv" for split in ("train", "dev")]
    for path in tables:
        with (
            (shared_data / "meld" / path.name).open(encoding="utf-8", newline="") as whole,
            path.open("w", newline="", encoding="utf-8") as part,
        ):
            csv.writer(part).writerows(islice(csv.reader(whole), 300))
    found = find_clips([root], tables)
    assert [(c.id, c.path.parent.name, c.row and c.row.labels["emotion"]) for c in found.clips] == [
        ("train_dia0_utt0", "train_splits", "neutral"),
        ("valid_dia0_utt0", "dev_splits_complete", "sadness"),
    ]


def test_names_in_either_form_of_unicode_and_as_a_last_resort_in_other_capitals(tmp_path: Path) -> None:
    names = ["José", "한글", "Zoë", "plain"]
    for stored, written in (("NFD", "NFC"), ("NFC", "NFD")):
        root = lay(tmp_path / stored, *(f"{unicodedata.normalize(stored, name)}.WAV" for name in names))
        lines = [f"{unicodedata.normalize(written, name)},{i}" for i, name in enumerate(names)]
        found = find_clips([root], table(tmp_path / "t.csv", "id,label", *lines))
        assert (len(found.clips), found.missing, found.unlabelled) == (4, (), ())
        files = [f"{unicodedata.normalize(written, name)}.wav,{i}" for i, name in enumerate(names)]
        assert len(find_clips([root], table(tmp_path / "t.csv", "file,label", *files)).clips) == 4
        named = root / f"{unicodedata.normalize(written, 'José')}.WAV"
        assert [clip.id for clip in find_clips([named]).clips] == ["José"]
    lay(tmp_path / "c", "A.wav", "a.wav")
    with pytest.raises(DataError, match="has a file"):
        find_clips([tmp_path / "c" / "A.wav"], table(tmp_path / "t.csv", "id,label", "b,1"))
    assert chosen(tmp_path / "c", table(tmp_path / "t.csv", "id,label", "a,1")) == [("a", "a.wav")]


def test_rows_of_one_file_are_stretches_and_ids_never_stand_for_two_things(tmp_path: Path) -> None:
    root = lay(tmp_path / "m", "talk.mp4", "one.mp4")
    lines = ["talk.mp4,0,2,1", "talk.mp4,2,4,-1", "one.mp4,5,9,1"]
    found = find_clips([root], table(tmp_path / "t.csv", "file,start,end,label", *lines))
    assert [(c.id, c.span) for c in found.clips] == [
        ("talk.mp4_1", (0.0, 2.0)),
        ("talk.mp4_2", (2.0, 4.0)),
        ("one.mp4", None),
    ]
    assert any("all of the file" in note for note in found.notes)
    with pytest.raises(DataError, match="stands in 2 rows that differ"):
        find_clips([root], table(tmp_path / "t.csv", "id,label", "talk,1", "talk,2"))
    found = find_clips([root], table(tmp_path / "t.csv", "id,label", "talk,1", "talk,1"))
    assert len(found.clips) == 1
    assert any("repeat" in note for note in found.notes)


def test_a_table_of_paths_alone_names_its_clips_by_them(tmp_path: Path) -> None:
    root = lay(tmp_path / "m", "a/x.wav", "b/x.wav")
    labels = table(tmp_path / "t.csv", "file,label", "a/x.wav,1", f"{root}/b/x.wav,2")
    assert chosen(root, labels) == [("a_x", "a/x.wav"), ("b_x", "b/x.wav")]


def test_a_video_and_its_sound_side_by_side_are_one_recording(tmp_path: Path) -> None:
    root = lay(tmp_path / "m", "v/1.mp4", "v/1.wav")
    assert chosen(root, table(tmp_path / "t.csv", "video_id,clip_id,label", "v,1,1")) == [("v_1", "v/1.mp4")]


ENDINGS = (
    "m2ts mts vob amr caf 3g2 m4b mka weba sph au wv ape tta ac3 mxf f4v asf divx m1v m2v w64 gsm spx mp2 aifc voc"
)


@pytest.mark.posix
def test_recordings_are_found_by_ending_or_content_and_the_rest_is_named(tmp_path: Path) -> None:
    assert {f".{ending}" for ending in ENDINGS.split()} <= MEDIA_SUFFIXES
    names = [f"a.{ending}" for ending in ENDINGS.split() if ending != "mts"] + ["A.AMR-NB", "label.txt", "x.json"]
    root = lay(tmp_path / "m", *names)
    sound = voices.write_wav(tmp_path / "s.wav", voices.buzz(0.3)).read_bytes()
    (root / "note.rec1").write_bytes(sound)
    (root / "program.ts").write_text("export const a = 1;\n")
    (root / "README").write_text("read me\n")
    (root / "what.xyz").write_bytes(bytes(range(256)) * 8)
    os.mkfifo(root / "pipe.mp4")
    (root / "nowhere.mp4").symlink_to(root / "no such file")
    found = find_clips([root])
    assert {clip.path.name for clip in found.clips} == {*names, "note.rec1"} - {"label.txt", "x.json"}
    assert set(found.left_out) == {"what.xyz", "pipe.mp4", "nowhere.mp4"}


@pytest.mark.parametrize(
    "head",
    [b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9), b"ID3\x04", b"\xff\xfb\x90\x64", b"G" + bytes(187), b"FORM....AIFF"],
    ids=["adts", "id3", "mp3", "ts", "aiff"],
)
def test_what_begins_like_media_is_media(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "a.unknown").write_bytes(head * 8 if head[0] == 0x47 else head + bytes(400))
    expected = head[:2] != b"\xff\xf1"  # of ADTS the next frame must follow: here there is none
    assert is_media(tmp_path / "a.unknown") is expected


@pytest.mark.parametrize("name", ["x\n.wav", "x[/red].wav", "x" * 251 + ".wav", " .wav", "\x1b[31m.wav", "a..wav"])
def test_no_name_of_a_file_stops_the_rest(tmp_path: Path, name: str) -> None:
    lay(tmp_path, name, "good.wav")
    os.close(os.open(os.fsencode(tmp_path) + b"/na\xffme.wav", os.O_CREAT))
    ids = [clip.id for clip in find_clips([tmp_path]).clips]
    assert len(ids) == len(set(ids)) == 3
    assert all(id.isprintable() and id and id.encode() for id in ids)


def test_a_list_that_cannot_be_read_is_an_error_and_a_name_that_cannot_be_is_not(tmp_path: Path) -> None:
    lay(tmp_path, "a.wav")
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(DataError, match="encoding of this text is not certain"):
        find_clips([tmp_path / "list.txt"])
    (tmp_path / "list.txt").write_bytes(b"a.wav\nb\0.wav\nlong" + b"g" * 5000 + b".wav\n")
    assert len(find_clips([tmp_path / "list.txt"]).clips) == 3


def split_of(root: Path, *lines: str) -> tuple[list[str], tuple[str, ...]]:
    found = with_splits(find_clips([root], table(root.parent / "t.csv", *lines)))
    return [clip.row.split for clip in found.clips if clip.row], found.notes


def test_rows_without_a_split_get_one_by_recording_and_it_is_said(tmp_path: Path) -> None:
    root = lay(tmp_path / "m", *(f"v{v}/{c}.wav" for v in range(10) for c in range(3)))
    lines = [f"v{v},{c},1" for v in range(10) for c in range(3)]
    splits, notes = split_of(root, "video_id,clip_id,label", *lines)
    assert splits == split_of(root, "video_id,clip_id,label", *lines)[0]
    assert [len(set(splits[i : i + 3])) for i in range(0, 30, 3)] == [1] * 10
    assert set(splits) == {"train", "valid", "test"}
    assert splits.count("train") == 21
    assert any("drawn by recording" in note and "mecam data split" in note for note in notes)
    speakers = [f"v{v},{c},1,s{v // 2}" for v in range(10) for c in range(3)]
    splits, notes = split_of(root, "video_id,clip_id,label,speaker", *speakers)
    assert [len(set(splits[i : i + 6])) for i in range(0, 30, 6)] == [1] * 5
    assert any("drawn by speaker" in note for note in notes)


def test_ids_that_tell_no_recording_are_recordings_of_their_own(tmp_path: Path) -> None:
    root = lay(tmp_path / "m", *(f"clip_{i:03}.wav" for i in range(10)))
    assert set(split_of(root, "id,label", *(f"clip_{i:03},1" for i in range(10)))[0]) == {"train", "valid", "test"}


def test_too_few_recordings_have_no_split_and_it_is_said_what_to_do(tmp_path: Path) -> None:
    root = lay(tmp_path / "m", "v/1.wav", "v/2.wav", "w/1.wav")
    splits, notes = split_of(root, "video_id,clip_id,label", "v,1,1", "v,2,1", "w,1,1")
    assert splits == ["", "", ""]
    assert any("2 recordings are too few" in note and "mecam data split" in note for note in notes)
    splits, notes = split_of(root, "video_id,clip_id,label,mode", "v,1,1,train", "v,2,1,train", "w,1,1,")
    assert splits == ["train", "train", ""]
    assert any("1 of 3 rows have no split" in note for note in notes)


def test_the_cases(shared_cases: Path) -> None:
    folder = shared_cases / "07_same_name"
    for name in ("label_absolute", "label_relative", "label_nofile"):
        found = find_clips([folder / "MELD.Raw"], folder / f"{name}.csv")
        assert [clip.path.parent.name for clip in found.clips] == ["train_splits", "dev_splits", "test_splits"], name
    found = find_clips([shared_cases / "10_unicode_names/clips"], shared_cases / "10_unicode_names/label.csv")
    assert (len(found.clips), found.missing) == (4, ())
    assert len(find_clips([shared_cases / "11_extensions"]).clips) == 4


def test_a_list_of_paths_may_be_in_another_encoding(tmp_path):
    names = ["в ресторане очень хорошо.wav", "я ждал целый час.wav"]
    for name in names:
        (tmp_path / name).write_bytes(b"RIFF    WAVE")
    (tmp_path / "list.txt").write_bytes("\r\n".join(names).encode("cp1251"))
    found = find_clips([tmp_path / "list.txt"])
    assert [clip.path.name for clip in found.clips] == names
    assert "read as Windows-1251" in found.notes[0]
