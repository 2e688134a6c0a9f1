import csv
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mecam.data.cells import original_cell, safe_cell
from mecam.data.importing.importer import import_data
from mecam.data.operations.export import export_csv, export_mmsa, export_npz
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.task import Classes, Labels, Regression
from mecam.types import FeatureSpec, Utterance
from store_samples import assert_same, sample, write

NAN = float("nan")


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@given(st.text())
def test_safe_cells_come_back_and_never_start_a_formula(text: str) -> None:
    assert original_cell(safe_cell(text)) == text
    assert not safe_cell(text).startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1"])
def test_formulas_are_made_text(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["a=b", "hello", "", "'tis", "1-2", " -1"])
def test_harmless_text_is_left_alone(text: str) -> None:
    assert safe_cell(text) == text


def test_csv_holds_everything_and_no_formula(tmp_path: Path) -> None:
    content = sample(6)
    content[0] = replace(content[0], id="-v_0", video="-v", text="=cmd|' /C calc'!A0", speaker="@me")
    content[1] = replace(content[1], streams={"audio": np.array([[-0.1, NAN, 3e-30]], np.float32)}, intervals={})
    store = write(tmp_path / "store", content)
    report = export_csv(store, tmp_path / "out")
    assert [Path(file).name for file in report.files] == ["audio.csv", "label.csv", "vision.csv", "words.csv"]
    labels = read_table(tmp_path / "out" / "label.csv")
    assert [original_cell(f"{row['video_id']}") for row in labels] == [u.video for u in content]
    assert labels[0]["text"] == "'=cmd|' /C calc'!A0"
    assert labels[0]["speaker"] == "'@me"
    assert [float(row["label"]) for row in labels] == [u.label for u in content]
    rows = read_table(tmp_path / "out" / "audio.csv")
    names = ["audio_0", "audio_1", "audio_2"]
    for utterance in content:
        mine = [row for row in rows if original_cell(row["id"]) == utterance.id]
        values = np.array([[row[name] or "nan" for name in names] for row in mine], np.float32)
        np.testing.assert_array_equal(values, utterance.streams["audio"])
        if "audio" in utterance.intervals:
            times = np.array([[row["start"], row["end"]] for row in mine], np.float64)
            np.testing.assert_array_equal(times, utterance.intervals["audio"])
    words = read_table(tmp_path / "out" / "words.csv")
    assert [(original_cell(w["id"]), w["word"], float(w["start"])) for w in words] == [
        (u.id, word.text, word.start) for u in content for word in u.words
    ]
    for file in (tmp_path / "out").iterdir():
        with file.open(newline="", encoding="utf-8") as opened:
            for cells in csv.reader(opened):
                for cell in cells:
                    assert not cell.startswith(("=", "+", "@")), cell
                    assert not cell.startswith("-") or float(cell) < 0, cell


@pytest.mark.parametrize("export", [export_csv, export_npz])
def test_what_is_exported_imports_to_the_same(export: Any, tmp_path: Path) -> None:
    content = [replace(u, unimodal={"text": 0.5, "audio": -0.25}) for u in sample()]
    content[4] = replace(content[4], streams={"vision": content[4].streams["vision"]}, intervals={})
    content[5] = replace(content[5], id="-x_1", video="-x", speaker="+me", text="=1+1")
    store = write(tmp_path / "store", content)
    export(store, tmp_path / "out")
    import_data([tmp_path / "out"], tmp_path / "again", task=Regression())
    again = {u.id: u for u in Store(tmp_path / "again")}
    assert sorted(again) == sorted(store.column("id"))
    for expected in content:
        if export is export_npz:  # holds no times of rows
            expected = replace(expected, intervals={})
        assert_same(again[expected.id], expected)


def test_npz_of_single_rows_is_a_plain_matrix(tmp_path: Path) -> None:
    content = [replace(u, streams={"audio": u.streams["audio"][:1]}, intervals={}) for u in sample(5)]
    content[2] = replace(content[2], streams={})
    export_npz(write(tmp_path / "store", content), tmp_path / "out")
    with np.load(tmp_path / "out" / "audio.npz") as arrays:
        assert arrays["id"].tolist() == [u.id for u in content]
        assert arrays["audio"].shape == (5, 3)
        assert arrays["audio_lengths"].tolist() == [1, 1, 0, 1, 1]
        np.testing.assert_array_equal(arrays["audio"][0], content[0].streams["audio"][0])
        assert np.isnan(arrays["audio"][2]).all()


def test_mmsa_layout(tmp_path: Path) -> None:
    content = sample()
    content[0] = replace(content[0], streams={"audio": np.array([[1, NAN, 3]], np.float32)}, intervals={}, label=0.0)
    content[1] = replace(content[1], label=None)
    content[2] = replace(content[2], split="")
    content[3] = replace(content[3], label=-2.0, unimodal={"audio": 0.25})
    report = export_mmsa(write(tmp_path / "store", content), tmp_path / "out.pkl")
    assert (report.utterances, report.left_out, report.filled) == (22, 2, {"audio": 1, "vision": 0})
    made = pickle.loads((tmp_path / "out.pkl").read_bytes())
    assert list(made) == ["train", "valid", "test"]
    longest = max(len(u.streams["audio"]) for u in content)
    for split, part in made.items():
        mine = [u for u in content if u.split == split and u.label is not None]
        assert part["id"] == [f"{u.video}$_${u.id.split('_')[1]}" for u in mine]
        assert part["raw_text"].tolist() == [u.text for u in mine]
        assert part["audio"].shape == (len(mine), longest, 3)
        np.testing.assert_array_equal(part["regression_labels"], np.float32([u.label for u in mine]))
        for i, u in enumerate(mine):
            rows = np.nan_to_num(u.streams["audio"])
            np.testing.assert_array_equal(part["audio"][i, : len(rows)], rows)
            assert not part["audio"][i, len(rows) :].any()
            assert part["audio_lengths"][i] == len(rows)
            sign = np.sign(u.label)
            assert part["classification_labels"][i] == sign + 1
            assert part["annotations"][i] == {-1: "Negative", 0: "Neutral", 1: "Positive"}[sign]
    train = made["train"]
    assert train["vision_lengths"][0] == 1  # absent: one row of zeros
    assert not train["vision"][0].any()
    scores = train["regression_labels_A"]
    assert (scores == 0.25).sum() == 1
    assert np.isnan(scores).sum() == len(scores) - 1
    assert "regression_labels_V" not in train


def test_mmsa_imports_to_the_same(tmp_path: Path) -> None:
    content = sample()
    export_mmsa(write(tmp_path / "store", content), tmp_path / "out.pkl")
    import_data([tmp_path / "out.pkl"], tmp_path / "again", task=Regression())
    again = {u.id: u for u in Store(tmp_path / "again")}
    assert len(again) == len(content)
    for expected in content:
        actual = again[expected.id]
        assert (actual.split, actual.text, actual.video) == (expected.split, expected.text, expected.video)
        assert actual.label == pytest.approx(expected.label, abs=1e-6)
        for modality, rows in expected.streams.items():
            np.testing.assert_array_equal(actual.streams[modality], rows)


def test_text_bert_comes_from_the_tokenizer(tmp_path: Path) -> None:
    def tokenize(texts: list[str]) -> np.ndarray:
        return np.tile(np.array([len(text) for text in texts])[:, None, None], (1, 3, 4))

    content = sample()
    export_mmsa(write(tmp_path / "store", content), tmp_path / "out.pkl", tokenize=tokenize)
    made = pickle.loads((tmp_path / "out.pkl").read_bytes())
    texts = [u.text or "" for u in content if u.split == "test"]
    assert made["test"]["text_bert"].shape == (4, 3, 4)
    assert made["test"]["text_bert"][:, 0, 0].tolist() == [len(text) for text in texts]


@pytest.mark.parametrize("to", ["mmsa", "npz"])
def test_longer_utterances_are_cut_and_counted(to: str, tmp_path: Path) -> None:
    content = sample()
    store = write(tmp_path / "store", content)
    export = {"mmsa": export_mmsa, "npz": export_npz}[to]
    report = export(store, tmp_path / "out", max_length=3)
    for modality in ("audio", "vision"):
        assert report.truncated[modality] == (store.lengths(modality) > 3).sum() > 0


def test_mmsa_takes_scores_only(tmp_path: Path) -> None:
    store = write(tmp_path / "s", [Utterance("a", label="joy")], specs={}, task=Classes(("joy",)))
    with pytest.raises(DataError, match="classes"):
        export_mmsa(store, tmp_path / "out.pkl")


def test_several_labels_get_a_column_each(tmp_path: Path) -> None:
    task = Labels(("joy", "anger"))
    store = write(tmp_path / "s", [Utterance("a", label={"joy": 1.0, "anger": 0.0})], specs={}, task=task)
    export_csv(store, tmp_path / "out")
    assert read_table(tmp_path / "out" / "label.csv") == [
        {"id": "a", "video_id": "", "mode": "", "joy": "1.0", "anger": "0.0"}
    ]


@pytest.mark.parametrize("export", [export_csv, export_npz, export_mmsa])
def test_a_place_that_is_taken_is_refused_and_a_failure_leaves_nothing(
    export: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write(tmp_path / "store", sample())
    with pytest.raises(DataError, match="exists already"):
        export(store, tmp_path / "store", overwrite=True)  # a store is no export
    export(store, tmp_path / "out")
    with pytest.raises(DataError, match="exists already"):
        export(store, tmp_path / "out")
    export(store, tmp_path / "out", overwrite=True)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.savez", full)
    monkeypatch.setattr("csv.writer", full)
    monkeypatch.setattr("pickle.dump", full)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match="No space left"):
        export(store, tmp_path / "out", overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_feature_names_become_columns(tmp_path: Path) -> None:
    specs = {"audio": FeatureSpec(3, names=("pitch", "=loudness", "rate"))}
    content = [replace(u, streams={"audio": u.streams["audio"]}, intervals={}) for u in sample(2)]
    export_csv(write(tmp_path / "store", content, specs=specs), tmp_path / "out")
    assert list(read_table(tmp_path / "out" / "audio.csv")[0]) == ["id", "pitch", "'=loudness", "rate"]
