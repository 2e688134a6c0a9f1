"""What goes in comes out, to the last bit: every layout, at true dimensions and dtypes."""

import pickle
from collections import defaultdict
from pathlib import Path

import h5py
import numpy as np
import pytest

from import_layouts import (
    assert_streams,
    csd,
    label_csv,
    lmf,
    make_clips,
    mmsa,
    mult,
    pad,
    python2,
    segments,
)
from mecam.data.importing.importer import import_data
from mecam.data.importing.sources.base import data_set_name
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.task import EMOTIONS, Labels, Regression

REAL = Path(__file__).parents[4] / "shared" / "data"
real_data = pytest.mark.skipif(not REAL.is_dir(), reason="the real data are not beside the repository")

PROTOCOLS = range(6)


def imported(tmp_path, *paths, **options):
    report = import_data(paths, tmp_path / "store", **options)
    return Store(tmp_path / "store", verify=True), report


def found(report):
    return {finding.kind: finding.count for finding in report.findings}


def write(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def assert_same(store, clips, modalities, *, text=True):
    assert [u.id for u in store] == [clip.id for clip in clips]
    for utterance, clip in zip(store, clips, strict=True):
        assert (utterance.split, utterance.video, utterance.label) == (clip.split, clip.video, clip.label)
        assert utterance.text == (clip.text if text else None)
        assert_streams(utterance, clip.streams, modalities)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("widths", "longest"),
    [
        ({"audio": 5, "vision": 20}, {"audio": 375, "vision": 500}),
        ({"audio": 74, "vision": 35}, {"audio": 500, "vision": 500}),
        ({"audio": 33, "vision": 709}, {"audio": 400, "vision": 55}),
    ],
    ids=["mosi", "mosei", "sims"],
)
def test_mmsa_comes_in_as_it_was(tmp_path, widths, longest, protocol):
    clips = make_clips(widths, longest)
    store, report = imported(tmp_path, write(tmp_path / "file", mmsa(clips, longest, widths), protocol))
    assert_same(store, clips, ("audio", "vision"))
    assert set(store.specs) == {"audio", "vision"}  # raw text is there, so its numeric form is not kept
    assert found(report) == {"non-finite values": 2, "empty streams": 1}
    assert report.layouts == ("MMSA",)


def test_mmsa_without_lengths_loses_padding_and_nothing_else(tmp_path):
    widths, longest = {"audio": 5, "vision": 20}, {"audio": 50, "vision": 50}
    clips = make_clips(widths, longest, same_length=True)
    store, _ = imported(tmp_path, write(tmp_path / "file", mmsa(clips, longest, widths, lengths=False)))
    assert_same(store, clips, ("audio", "vision"))
    assert (store[0].streams["audio"][1:3] == 0).all()


def test_sims_labels_of_single_modalities_come_along(tmp_path):
    widths, longest = {"audio": 33, "vision": 709}, {"audio": 40, "vision": 55}
    clips = make_clips(widths, longest, scale=1.0)
    for number, clip in enumerate(clips):
        clip.text = "我觉得很好"
        clip.unimodal = {"text": 0.2 * (number % 5), "audio": -0.4, "vision": float("nan") if number == 1 else 1.0}
    store, _ = imported(tmp_path, write(tmp_path / "file", mmsa(clips, longest, widths, unimodal=True, tokens=39)))
    assert_same(store, clips, ("audio", "vision"))
    assert store.task == Regression(-1.0, 1.0)
    assert store[0].unimodal == clips[0].unimodal
    assert set(store[1].unimodal) == {"text", "audio"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("byte_ids", [True, False], ids=["mosi", "mosei"])
def test_mult_comes_in_as_it_was(tmp_path, byte_ids, protocol):
    widths = {"audio": 5, "vision": 20, "text": 300} if byte_ids else {"audio": 74, "vision": 35, "text": 300}
    longest = {"audio": 375, "vision": 500, "text": 50}
    clips = make_clips(widths, longest)
    store, report = imported(
        tmp_path, write(tmp_path / "file", mult(clips, longest, widths, byte_ids=byte_ids), protocol)
    )
    assert_same(store, clips, ("audio", "vision", "text"), text=False)
    assert store.specs["text"].width == 300
    assert found(report) == {"non-finite values": 2, "empty streams": 1}


def test_word_aligned_modalities_keep_their_rows_together(tmp_path):
    widths, longest = {"audio": 5, "vision": 20, "text": 300}, {"audio": 50, "vision": 50, "text": 50}
    clips = make_clips(widths, longest, same_length=True)
    clips[3].streams["audio"][0] = 0  # a silent first word: padding to look at, and none
    store, report = imported(tmp_path, write(tmp_path / "file", mult(clips, longest, widths, byte_ids=True)))
    assert_same(store, clips, ("audio", "vision", "text"), text=False)
    assert store.specs["audio"].aligned
    assert report.layouts == ("MulT, word-aligned",)


@pytest.mark.parametrize("byte_ids", [True, False], ids=["mosi", "mosei"])
def test_mecam_folder_is_joined_by_id_not_by_position(tmp_path, byte_ids):
    widths, longest = {"audio": 5, "vision": 20, "text": 300}, {"audio": 37, "vision": 50, "text": 50}
    clips = make_clips(widths, longest)
    folder = tmp_path / "MOSI"
    folder.mkdir()
    write(folder / "mosi_data_noalign.pkl", mult(clips, longest, widths, byte_ids=byte_ids))
    label_csv(folder / "MOSI-label.csv", clips[::-1], columns=("video_id", "clip_id", "text"))
    (folder / "README.txt").write_text("notes, and no table")
    store, report = imported(tmp_path, folder)
    assert_same(store, clips, ("audio", "vision"))
    assert set(store.specs) == {"audio", "vision"}
    assert report.ignored == ("README.txt",)


def test_clips_that_are_counted_in_one_file_and_timed_in_the_other_meet(tmp_path):
    widths, longest = {"audio": 74, "vision": 35, "text": 300}, {"audio": 50, "vision": 50, "text": 50}
    clips = make_clips(widths, longest)
    content = mult(clips, longest, widths, byte_ids=False)
    for part in content.values():
        part["id"] = np.array([[video, f"{float(clip) * 10:.4f}", "99"] for video, clip, _ in part["id"]])
    write(tmp_path / "file", content)
    label_csv(tmp_path / "labels", clips[::-1], columns=("video_id", "clip_id", "text", "label"))
    store, report = imported(tmp_path, tmp_path / "file", tmp_path / "labels")
    assert [u.text for u in store] == [clip.text for clip in clips]
    assert found(report)["rows without a common id"] == len(clips)


@pytest.mark.parametrize("layout", ["misa", "mmim"])
def test_one_file_per_split_makes_one_data_set(tmp_path, layout):
    widths, longest = {"audio": 74, "vision": 47}, {"audio": 30, "vision": 30}
    clips = make_clips(widths, longest, same_length=layout == "misa")
    for split, content in segments(clips, layout).items():
        write(tmp_path / f"{'dev' if split == 'valid' else split}.pkl", content)
    store, report = imported(tmp_path, tmp_path)
    assert_same(store, clips, ("audio", "vision"))
    assert [word.text for word in store[0].words] == clips[0].text.split()
    assert store.specs["audio"].aligned == (layout == "misa")
    assert len(report.files) == 3
    assert report.splits == {"train": 4, "valid": 2, "test": 3}


def test_mag_bert_comes_in_as_it_was(tmp_path):
    widths, longest = {"audio": 74, "vision": 35}, {"audio": 30, "vision": 30}
    clips = make_clips(widths, longest, same_length=True)
    content = segments(clips, "mag")
    content["dev"] = content.pop("valid")
    store, report = imported(tmp_path, write(tmp_path / "mosei.pkl", content))
    assert_same(store, clips, ("audio", "vision"))
    assert report.layouts == ("MAG-BERT",)


def test_seven_labels_are_a_score_or_six_emotions(tmp_path):
    clips = make_clips({"audio": 74, "vision": 35}, {"audio": 9, "vision": 9}, same_length=True)
    file = write(tmp_path / "mosei.pkl", segments(clips, "mag"))
    store, _ = imported(tmp_path, file, task=Labels(EMOTIONS))
    assert [tuple(u.label.values()) for u in store] == [clip.emotions for clip in clips]
    assert tuple(store[0].label) == EMOTIONS


def test_lmf_from_python_2_comes_in_as_it_was(tmp_path):
    widths, longest = {"audio": 74, "vision": 47, "text": 300}, {"audio": 1, "vision": 1, "text": 20}
    clips = make_clips(widths, {**longest, "audio": 2, "vision": 2}, same_length=True)
    (tmp_path / "mosi.pkl").write_bytes(python2(lmf(clips, widths)))
    store, report = imported(tmp_path, tmp_path / "mosi.pkl")
    assert report.layouts == ("LMF",)
    for utterance, clip in zip(store, clips, strict=True):
        rows = {m: clip.streams[m][-1:] if m != "text" else clip.streams[m] for m in widths}
        rows = {m: values if values.any() else values[:0] for m, values in rows.items()}
        assert_streams(utterance, rows, widths)
        assert (utterance.split, utterance.label) == (clip.split, clip.label)


def test_python_2_mult_with_bytes_everywhere(tmp_path):
    widths, longest = {"audio": 5, "vision": 20, "text": 300}, {"audio": 30, "vision": 30, "text": 20}
    clips = make_clips(widths, longest)
    content = mult(clips, longest, widths, byte_ids=True)
    old = {split.encode(): {key.encode(): value for key, value in part.items()} for split, part in content.items()}
    (tmp_path / "file").write_bytes(python2(old))
    store, _ = imported(tmp_path, tmp_path / "file")
    assert_same(store, clips, ("audio", "vision", "text"), text=False)


def test_features_by_id_from_npz_and_csv(tmp_path):
    widths, longest = {"audio": 7, "vision": 3, "physio": 4}, {"audio": 9, "vision": 8, "physio": 12}
    clips = make_clips(widths, longest)
    label_csv(tmp_path / "label.csv", clips)
    ids = np.array([clip.id for clip in clips])
    np.savez(tmp_path / "a.npz", id=ids[::-1], audio=pad([c.streams["audio"] for c in clips[::-1]], 9, 7, left=True))
    np.savez(tmp_path / "p.npz", id=ids, physio=pad([c.streams["physio"] for c in clips], 12, 4, left=False))
    lines = ["id,start,end,au01,au02,au12"]
    for clip in clips:
        lines += [
            f"{clip.id},{t},{t + 1}," + ",".join(map(repr, map(float, r))) for t, r in enumerate(clip.streams["vision"])
        ]
    (tmp_path / "vision.csv").write_text("\n".join(lines))
    store, report = imported(
        tmp_path, tmp_path / "label.csv", tmp_path / "a.npz", tmp_path / "p.npz", tmp_path / "vision.csv"
    )
    assert_same(store, clips, tuple(widths))
    assert store.specs["vision"].names == ("au01", "au02", "au12")
    assert store[1].intervals["vision"][0].tolist() == [0.0, 1.0]
    assert found(report)["utterances missing from a file"] == 1  # the clip without any row in the CSV


def test_computational_sequences_are_cut_by_time(tmp_path):
    labels = {"v1": (np.array([[1.0, *range(6)], [-2.0, *range(6)]], np.float32), [[0, 2], [2, 5]])}
    words = {"v1": (np.array([[b"so"], [b"sp"], [b"good"], [b"caf\xc3\xa9"]]), [[0, 1], [1, 1.5], [1.5, 2], [2.1, 3]])}
    features = np.arange(50, dtype=np.float32).reshape(10, 5) + 1
    times = np.stack([np.arange(10), np.arange(10) + 1], 1) / 2
    store, report = imported(
        tmp_path,
        csd(tmp_path / "l", "All Labels", labels),
        csd(tmp_path / "w", "words", words),
        csd(tmp_path / "f", "COVAREP", {"v1": (features, times)}),
    )
    first, second = store
    assert (first.id, second.id, first.video) == ("v1[0]", "v1[1]", "v1")
    assert (first.text, second.text, first.label, second.label) == ("so good", "café", 1.0, -2.0)
    assert (first.words[1].start, first.words[1].stop) == (1.5, 2.0)
    assert first.streams["audio"].tobytes() == features[:4].tobytes()
    assert second.streams["audio"].tobytes() == features[4:].tobytes()
    assert second.intervals["audio"].tolist() == times[4:].tolist()
    assert store.specs["audio"].extractor == "covarep"
    assert found(report) == {}


def test_sequences_that_are_cut_already_are_joined_by_segment(tmp_path):
    one, two = [[0, 1]], [[0, 1], [1, 2]]
    words = np.array([["so"], ["gut — é"]], h5py.string_dtype())
    labels = {"v[0]": (np.array([[1.5]]), one), "v[1]": (np.array([[-0.5]]), one)}
    store, report = imported(
        tmp_path,
        csd(tmp_path / "l", "Labels", labels),
        csd(tmp_path / "w", "words", {"v[0]": (words, two), "v[1]": (words[:1], one)}),
        csd(tmp_path / "f", "FACET 4.2", {"v[0]": (np.ones((2, 35)), two), "v[1]": (np.full((1, 35), 2.0), one)}),
    )
    assert [(u.id, u.video, u.text, u.label) for u in store] == [
        ("v[0]", "v", "so gut — é", 1.5),
        ("v[1]", "v", "so", -0.5),
    ]
    assert [u.streams["vision"].shape for u in store] == [(2, 35), (1, 35)]
    assert found(report) == {}


def test_old_mosei_labels_are_clipped_and_counted(tmp_path):
    labels = {"v1": (np.array([[3.3333], [-2.0]], np.float32), [[0, 2], [2, 5]])}
    words = {"v1": (np.array([[b"so"]]), [[0, 1]])}
    store, report = imported(tmp_path, csd(tmp_path / "l", "Labels", labels), csd(tmp_path / "w", "words", words))
    assert [u.label for u in store] == [3.0, -2.0]
    assert found(report) == {"labels out of range": 1}


def test_every_mismatch_is_counted_and_strict_refuses_it(tmp_path):
    clips = make_clips({"audio": 5, "vision": 20}, {"audio": 9, "vision": 9})
    content = mmsa(clips, {"audio": 9, "vision": 9}, {"audio": 5, "vision": 20})
    content["train"]["id"][3] = content["train"]["id"][0]  # twice in one split
    content["train"]["id"][2] = content["test"]["id"][0]  # in two splits
    content["test"]["regression_labels"][1] = 3.3333
    content["test"]["regression_labels"][2] = np.nan
    content["test"]["annotations"] = content["test"]["annotations"].astype(object)
    file = write(tmp_path / "file", content)
    label_csv(tmp_path / "label.csv", [*clips[:2], clips[6]], columns=("video_id", "clip_id", "text", "label"))
    with (tmp_path / "label.csv").open("a") as table:
        table.write("other,1,never seen,0.5\n")
    store, report = imported(tmp_path, file, tmp_path / "label.csv")
    assert found(report) == {
        "non-finite values": 2,
        "duplicate ids": 1,
        "ids in two splits": 1,
        "unmatched rows": 1,
        "utterances missing from a file": 4,
        "missing labels": 1,
        "labels out of range": 1,
    }
    assert all(finding.rule and finding.examples for finding in report.findings)
    assert {u.id: u.split for u in store}[clips[6].id] == "test"
    assert max(u.label for u in store) == 3.0
    assert store.manifest["provenance"]["findings"][0]["kind"] == "non-finite values"
    with pytest.raises(DataError, match="the data has problems"):
        imported(tmp_path, file, tmp_path / "label.csv", strict=True, overwrite=True)
    assert len(Store(tmp_path / "store")) == len(store)


def test_two_files_for_one_modality_or_of_two_data_sets_are_refused(tmp_path):
    clips = make_clips({"audio": 5, "vision": 20}, {"audio": 9, "vision": 9})
    content = mmsa(clips, {"audio": 9, "vision": 9}, {"audio": 5, "vision": 20})
    write(tmp_path / "one", content), write(tmp_path / "two", content)
    with pytest.raises(DataError, match="occurs twice"):
        imported(tmp_path, tmp_path / "one", tmp_path / "two")
    (tmp_path / "label.csv").write_text("video_id,clip_id,text\nother,1,hello\n")
    with pytest.raises(DataError, match="shares no id"):
        imported(tmp_path, tmp_path / "one", tmp_path / "label.csv")


def test_a_folder_is_read_by_content_and_progress_is_told(tmp_path):
    widths, longest = {"audio": 5, "vision": 20}, {"audio": 9, "vision": 9}
    clips = make_clips(widths, longest)
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "notes.csv", mmsa(clips, longest, widths))
    (folder / "picture.pkl").write_bytes(b"\x89PNG\r\n")
    steps = []
    store, report = imported(tmp_path, folder, progress=lambda done, total: steps.append((done, total)))
    assert_same(store, clips, ("audio", "vision"))
    assert report.ignored == ("picture.pkl",)
    assert steps[-1] == (len(clips), len(clips))
    assert report.name == "in"


@real_data
def test_mosi_comes_in_as_text_words_and_audio(tmp_path):
    store, report = imported(tmp_path, REAL / "mosi")
    assert report.splits == {"train": 1284, "valid": 229, "test": 686}
    assert {modality: spec.width for modality, spec in store.specs.items()} == {"audio": 73}
    source = np.load(REAL / "mosi" / "audio_utterance.npz")
    expected = dict(zip(source["id"].tolist(), source["audio"], strict=True))
    assert all((utterance.streams["audio"][0] == expected[utterance.id]).all() for utterance in store)
    assert store.task == Regression(-3.0, 3.0)
    first = store[0]
    assert (first.id, first.video, first.text) == ("03bSnISJMiM_1", "03bSnISJMiM", "ANYHOW IT WAS REALLY GOOD")
    assert str(REAL) not in (tmp_path / "store" / "manifest.json").read_text()


def timed_words(utterance):
    return [(word.text, round(word.start, 3), round(word.stop, 3)) for word in utterance.words]


def reference_words():
    words = defaultdict(list)
    for line in (REAL / "mosi" / "words.csv").read_text(encoding="utf-8-sig").splitlines()[1:]:
        name, word, start, stop = line.rsplit(",", 3)
        words[name].append((word, float(start), float(stop)))
    return words


@real_data
def test_mosi_sequences_give_every_segment_its_timed_words(tmp_path):
    mosi = REAL / "mosi"
    store, _ = imported(tmp_path, *mosi.glob("*.csd"), mosi / "label.csv")
    words = reference_words()
    assert len(store) == 2199
    assert sum(timed_words(utterance) == words[utterance.id] for utterance in store) == 2199


@real_data
def test_mosi_sequences_alone_mend_intervals_that_are_one_word_early(tmp_path):
    store, report = imported(tmp_path, *(REAL / "mosi").glob("*.csd"))
    words = reference_words()
    names = [f"{u.video}_{int(u.id.rpartition('[')[2][:-1]) + 1}" for u in store]
    same = sum(timed_words(utterance) == words[name] for utterance, name in zip(store, names, strict=True))
    assert (len(store), same) == (2199, 1951)
    assert found(report)["intervals one word early"] == 2199


@real_data
@pytest.mark.parametrize(
    ("folder", "splits", "widths", "kind"),
    [
        pytest.param("mosei", {"train": 16274, "valid": 1861}, {}, "regression", marks=pytest.mark.slow),
        pytest.param("meld", {"train": 9989, "valid": 1109}, {}, "classes", marks=pytest.mark.slow),
        ("ravdess", {"": 1080}, {"vision": 35}, "classes"),
        ("mmmo", {"train": 220, "valid": 40, "test": 80}, {"audio": 74, "vision": 36, "text": 300}, "regression"),
    ],
)
def test_other_real_data_come_in_whole(tmp_path, folder, splits, widths, kind):
    store, report = imported(tmp_path, REAL / folder)
    assert report.splits == splits
    assert {modality: spec.width for modality, spec in store.specs.items()} == widths
    assert store.task.kind == kind
    if folder == "mmmo":
        assert (store.task.low, store.task.high) == (1.0, 5.0)
        train = store.split("train")
        assert store.lengths("text")[train].sum() == 0 < store.lengths("text").sum()
    if folder == "ravdess":
        assert len(store.task.names) == 8
        assert {u.speaker for u in store} == {str(actor) for actor in range(1, 19)}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("mosei/label.csv", "mosei"),
        ("ravdess/flac/", "ravdess"),
        ("sdk/CMU_MOSI_ModifiedTimestampedWords.csd", "sdk"),
        ("MOSI/Processed/aligned_50.pkl", "MOSI"),
        ("data/mosi.pkl", "mosi"),
        ("Films 2/", "Films 2"),
    ],
)
def test_a_data_set_is_named_by_its_folder(tmp_path: Path, given: str, name: str) -> None:
    path = tmp_path / given
    if given.endswith("/"):
        path.mkdir(parents=True)
    else:
        path.parent.mkdir(parents=True)
        path.touch()
    assert data_set_name(path) == name
