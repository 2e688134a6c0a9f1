import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mecam.data.importing.official_folds import PUBLISHED_COUNTS, official_folds, recognise
from mecam.data.operations.check import CheckReport, Problem, check
from mecam.data.operations.describe import describe
from mecam.data.store import Store
from mecam.task import Classes, Labels, Regression
from mecam.types import FeatureSpec, Utterance, Word
from store_samples import WIDTHS, sample, write

DATA = Path(__file__).parents[3].parent / "shared" / "data"


def problem(report: CheckReport, kind: str) -> Problem | None:
    return next((p for p in report.problems if p.kind == kind), None)


def checked(path: Path, content: list[Utterance], **options: Any) -> CheckReport:
    return check(write(path / "store", content, overwrite=True, **options))


def with_rows(utterance: Utterance, **streams: Any) -> Utterance:
    arrays = {m: np.asarray(rows, np.float32) for m, rows in streams.items()}
    return replace(utterance, streams={**utterance.streams, **arrays}, intervals={})


def test_clean_data_has_no_problem(tmp_path: Path) -> None:
    report = checked(tmp_path, sample(48, speakers=12))
    assert report.problems == ()
    assert not report.failed
    assert report.to_json()["description"]["splits"]["train"]["utterances"] == 32


def change(place: int, **fields: Any) -> Any:
    def changed(content: list[Utterance]) -> list[Utterance]:
        content[place] = replace(content[place], **fields)
        return content

    return changed


def every(function: Any) -> Any:
    return lambda content: [function(u) for u in content]


def bare(split: str) -> Any:
    return every(lambda u: replace(u, streams={}, intervals={}) if u.split == split else u)


def first_audio(rows: Any) -> Any:
    return lambda content: [with_rows(content[0], audio=rows), *content[1:]]


def said_differently(utterance: Utterance) -> Utterance:
    said = "i like this very much" if utterance.split == "train" else "I  like THIS very much"
    return replace(utterance, text=said)


def only_video_overlap(content: list[Utterance]) -> list[Utterance]:
    return [replace(u, split="test") if u.id == "video0_12" else u for u in content]


CASES: list[tuple[str, str, int, Any]] = [
    ("video-overlap", "error", 1, only_video_overlap),
    ("speaker-overlap", "warning", 1, change(0, speaker="speaker4")),
    ("duplicate-text", "warning", 1, every(said_differently)),
    ("duplicate-short-text", "note", 1, every(lambda u: replace(u, text="Yes"))),
    ("empty-text", "warning", 1, change(3, text=" ")),
    ("unlabelled", "warning", 1, change(3, label=None)),
    ("label-range", "error", 2, lambda content: change(3, label=3.5)(change(4, label=-3.1)(content))),
    ("label-constant", "warning", 3, every(lambda u: replace(u, label=1.0))),
    ("no-split", "warning", 1, change(3, split="")),
    ("no-test-split", "warning", 1, lambda content: [u for u in content if u.split != "test"]),
    ("no-train-split", "warning", 1, lambda content: [u for u in content if u.split != "train"]),
    ("empty-utterance", "warning", 1, change(3, text=None, words=(), streams={}, intervals={})),
    ("missing-modality", "note", 1, change(3, streams={"audio": np.ones((2, 3), np.float32)}, intervals={})),
    ("modality-not-in-split", "warning", 1, bare("test")),
    ("modality-not-in-train", "error", 1, bare("train")),
    ("missing-values", "note", 2, first_audio([[1, np.nan, 3], [np.nan, 0, 1]])),
    ("missing-values", "warning", 23, every(lambda u: with_rows(u, physio=[[1 if u.id == "video0_0" else np.nan]]))),
    ("dead-columns", "warning", 2, every(lambda u: with_rows(u, audio=u.streams["audio"] * [0, 1, np.nan]))),
    ("constant-columns", "warning", 1, every(lambda u: with_rows(u, physio=[[7.0]]))),
    ("scale-outliers", "warning", 1, first_audio([[1, 1e6, 1]])),
    ("mixed-scales", "note", 3, every(lambda u: with_rows(u, audio=u.streams["audio"] * [1, 1e-8, 1]))),
    ("padding", "warning", 24, every(lambda u: with_rows(u, audio=[*u.streams["audio"], [0, 0, 0]]))),
    ("bad-word-times", "warning", 1, change(3, words=(Word("late", 2.0, 1.0),))),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "level", "count", "damage"), CASES, ids=[case[0] for case in CASES])
def test_each_problem_is_found_counted_and_graded(
    kind: str, level: str, count: int, damage: Any, tmp_path: Path
) -> None:
    clean = sample(24, speakers=12)
    assert problem(checked(tmp_path, clean), kind) is None
    found = problem(checked(tmp_path, damage(clean)), kind)
    assert found is not None
    assert (found.level, found.count) == (level, count)
    report = checked(tmp_path, damage(clean))
    assert report.failed == any(p.level == "error" for p in report.problems)
    levels = [p.level for p in report.problems]
    assert levels == sorted(levels, key=["error", "warning", "note"].index)


def test_padding_is_told_from_zeros_inside(tmp_path: Path) -> None:
    left = [with_rows(u, audio=[[0, 0, 0], *u.streams["audio"]]) for u in sample()]
    inside = [with_rows(u, audio=[u.streams["audio"][0], [0, 0, 0], u.streams["audio"][1]]) for u in sample()]
    found = problem(checked(tmp_path, left), "padding")
    assert found is not None
    assert "start in rows of zeros" in found.message
    assert problem(checked(tmp_path, inside), "padding") is None


def test_misaligned_rows_are_found_only_where_alignment_is_claimed(tmp_path: Path) -> None:
    for aligned in (False, True):
        specs = {m: FeatureSpec(w, aligned=aligned) for m, w in WIDTHS.items()}
        content = [with_rows(u, audio=np.ones((3, 3)), vision=np.ones((4, 2))) for u in sample()]  # four words
        found = problem(checked(tmp_path, content, specs=specs), "misaligned")
        assert (found is not None) == aligned
        if found is not None:
            assert "audio" in found.message
            assert found.count == 24


def test_infinite_values_of_a_foreign_store_are_an_error(tmp_path: Path) -> None:
    write(tmp_path / "store", sample())
    file = tmp_path / "store" / "audio.safetensors"
    content = bytearray(file.read_bytes())
    content[4096:4100] = np.float32(np.inf).tobytes()
    file.write_bytes(content)
    manifest = json.loads((tmp_path / "store" / "manifest.json").read_text("utf-8"))
    manifest["sha256"][file.name] = hashlib.sha256(content).hexdigest()  # its writer knew no better
    del manifest["manifest_sha256"]
    (tmp_path / "store" / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    found = problem(check(Store(tmp_path / "store")), "infinite")
    assert found is not None
    assert (found.level, found.count) == ("error", 1)


def test_classes_that_train_never_sees_are_named(tmp_path: Path) -> None:
    task = Classes(("joy", "anger", "fear"))
    content = [replace(u, label="joy" if u.split == "train" else "anger") for u in sample()]
    found = problem(checked(tmp_path, content, task=task), "label-unseen")
    assert found is not None
    assert found.examples == ("anger", "fear")


def test_several_labels_are_checked_by_presence(tmp_path: Path) -> None:
    task = Labels(("joy", "anger"))
    content = [replace(u, label={"joy": 1.0, "anger": 0.0}) for u in sample()]
    found = problem(checked(tmp_path, content, task=task), "label-unseen")
    assert found is not None
    assert found.examples == ("anger",)


def test_histogram_bars_are_the_classes_of_acc7() -> None:
    scores = [-3.0, -2.6, -2.4, -0.4, 0.0, 0.6, 2.4, 2.6, None]
    assert list(Regression().histogram(scores).values()) == [2, 1, 0, 2, 1, 1, 1]
    assert Classes(("a", "b", "c")).histogram(["b", "b", "a"]) == {"a": 1, "b": 2, "c": 0}
    labels = [{"a": 1.0, "b": 0.0}, {"a": 2.0, "b": 0.3}]
    assert Labels(("a", "b")).histogram(labels) == {"a": 2, "b": 1}


def test_description_counts_what_is_there(tmp_path: Path) -> None:
    content = [*sample(12), Utterance("silent", split="extra", label=0.0)]
    description = describe(write(tmp_path / "store", content))
    assert list(description.splits) == ["train", "valid", "test", "extra"]
    assert [s.utterances for s in description.splits.values()] == [8, 2, 2, 1]
    assert description.splits["extra"].present == {"audio": 0, "vision": 0, "text": 0}
    assert description.splits["train"].videos == 8
    assert description.lengths["text"].present == 12
    assert description.lengths["audio"].total == sum(len(u.streams["audio"]) for u in content[:-1])
    assert description.timed_words == 12


def test_every_kind_of_problem_is_documented() -> None:
    document = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    kinds = {case[0] for case in CASES} | {"duplicate-id", "infinite", "label-kind", "label-unseen", "misaligned"}
    kinds |= {"official-folds", "not-official-folds", "not-official-counts"}
    assert [kind for kind in sorted(kinds) if f"`{kind}`" not in document] == []


def test_folds_are_whole_and_disjoint() -> None:
    """Sizes of the published folds; recordings are known by digest only."""
    from mecam.data.importing.official_folds import _folds

    sizes = {
        name: [list(folds.values()).count(s) for s in ("train", "valid", "test")] for name, folds in _folds().items()
    }
    assert sizes == {"mosi": [52, 10, 31], "mosei": [2244, 298, 678]}


def test_unknown_recordings_are_not_recognised() -> None:
    assert recognise(["a", "b"]) is None
    assert recognise([]) is None
    assert official_folds("mosi", ["a"]) == {}


@pytest.mark.skipif(not (DATA / "mosi" / "label.csv").exists(), reason="real MOSI labels are not here")
def test_real_mosi_has_the_official_folds(tmp_path: Path) -> None:
    import csv

    with (DATA / "mosi" / "label.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    content = [
        Utterance(f"{r['video_id']}_{r['clip_id']}", r["mode"], r["video_id"], text=r["text"], label=float(r["label"]))
        for r in rows
    ]
    assert {split: sum(u.split == split for u in content) for split in PUBLISHED_COUNTS["mosi"]} == PUBLISHED_COUNTS[
        "mosi"
    ]
    found = problem(checked(tmp_path, content, specs={}), "official-folds")
    assert found is not None
    assert found.count == 2199
    first = next(i for i, u in enumerate(content) if u.split == "test")
    content[first] = replace(content[first], split="train")
    report = checked(tmp_path, content, specs={})
    moved, counts = problem(report, "not-official-folds"), problem(report, "not-official-counts")
    assert moved is not None
    assert counts is not None
    assert moved.count == 1
    assert problem(report, "video-overlap") is not None
