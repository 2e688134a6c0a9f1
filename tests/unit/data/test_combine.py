from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mecam.data.operations.combine import join, merge
from mecam.data.store import Store
from mecam.errors import DataError
from mecam.task import Classes, Regression, Task
from mecam.types import FeatureSpec, Utterance
from store_samples import WIDTHS, assert_same, sample, write


def only(utterance: Utterance, *modalities: str) -> Utterance:
    return replace(
        utterance,
        streams={m: v for m, v in utterance.streams.items() if m in modalities},
        intervals={m: v for m, v in utterance.intervals.items() if m in modalities},
    )


def test_what_was_taken_apart_joins_to_the_same(tmp_path: Path) -> None:
    content = sample()
    base = write(tmp_path / "base", [only(u, "audio") for u in content])
    other = write(tmp_path / "other", [only(u, "vision") for u in reversed(content)])
    report = join(base, [other], tmp_path / "all")
    joined = Store(tmp_path / "all", verify=True)
    for actual, expected in zip(joined, content, strict=True):
        assert_same(actual, expected)
    assert joined.specs == base.specs | other.specs
    key = str(other.path)
    assert (report.added[key], report.matched[key], report.without[key], report.ignored[key]) == (("vision",), 24, 0, 0)


def test_the_base_decides_and_gaps_are_filled(tmp_path: Path) -> None:
    mine = [Utterance("a", "train", label=1.0, text="mine"), Utterance("b"), Utterance("only-mine", label=0.0)]
    theirs = [
        Utterance("b", "valid", "v", "s", text="theirs", label=2.0, streams={"audio": np.ones((1, 3), np.float32)}),
        Utterance("a", "test", "v", "s", text="theirs", label=-2.0, unimodal={"text": 0.5}),
        Utterance("only-theirs", label=0.0),
    ]
    base, other = write(tmp_path / "base", mine, specs={}), write(tmp_path / "other", theirs)
    report = join(base, [other], tmp_path / "all")
    a, b, c = Store(tmp_path / "all")
    assert (a.split, a.text, a.label, a.video, dict(a.unimodal)) == ("train", "mine", 1.0, "v", {"text": 0.5})
    assert (b.split, b.text, b.label, len(b.streams["audio"])) == ("valid", "theirs", 2.0, 1)
    assert c.id == "only-mine"
    key = str(other.path)
    assert (report.matched[key], report.without[key], report.ignored[key]) == (2, 1, 1)


def test_a_label_of_another_task_is_not_taken(tmp_path: Path) -> None:
    base = write(tmp_path / "base", [Utterance("a")], specs={})
    other = write(tmp_path / "other", [Utterance("a", label="joy")], specs={}, task=Classes(("joy",)))
    join(base, [other], tmp_path / "all")
    assert Store(tmp_path / "all")[0].label is None


def test_stores_that_do_not_fit_are_not_joined(tmp_path: Path) -> None:
    base = write(tmp_path / "base", sample())
    with pytest.raises(DataError, match="more than one"):
        join(base, [write(tmp_path / "same", sample())], tmp_path / "all")
    with pytest.raises(DataError, match="no id is in both"):
        join(base, [write(tmp_path / "stranger", [Utterance("x")], specs={})], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_merging_keeps_every_utterance(tmp_path: Path) -> None:
    content = sample()
    parts = [write(tmp_path / "a", content[:10], name="a"), write(tmp_path / "b", content[10:], name="b")]
    seen: list[tuple[int, int]] = []
    merge(parts, tmp_path / "all", progress=lambda *at: seen.append(at))
    merged = Store(tmp_path / "all", verify=True)
    for actual, expected in zip(merged, content, strict=True):
        assert_same(actual, expected)
    assert merged.name == "a+b"
    assert seen[-1] == (24, 24)
    assert [origin["name"] for origin in merged.manifest["provenance"]["made_from"]] == ["a", "b"]


def test_clashing_ids_are_refused_or_prefixed(tmp_path: Path) -> None:
    stores = [write(tmp_path / name, sample(6), name=name) for name in ("a", "b")]
    with pytest.raises(DataError, match="6 ids are in more than one store"):
        merge(stores, tmp_path / "all")
    merge(stores, tmp_path / "all", prefix=True, name="both")
    merged = Store(tmp_path / "all")
    assert merged.name == "both"
    assert merged.column("id")[::6] == ["a-video0_0", "b-video0_0"]
    assert {u.video for u in merged} == {f"{name}-video{i}" for name in "ab" for i in range(6)}
    assert merged[6].speaker.startswith("b-")


def test_different_streams_are_all_kept(tmp_path: Path) -> None:
    audio = write(tmp_path / "a", [only(u, "audio") for u in sample(3)], name="a")
    vision = write(tmp_path / "b", [only(u, "vision") for u in sample(3)], name="b")
    merge([audio, vision], tmp_path / "all", prefix=True)
    merged = Store(tmp_path / "all")
    assert merged.lengths("audio")[3:].tolist() == [0, 0, 0]
    assert (merged.lengths("vision")[3:] > 0).all()


@pytest.mark.parametrize(
    ("task", "spec", "message"),
    [
        (Regression(-1.0, 1.0), FeatureSpec(3), "tasks differ"),
        (Classes(("joy", "fear")), FeatureSpec(3), "tasks differ"),
        (Regression(), FeatureSpec(4), "'audio' differs"),
        (Regression(), FeatureSpec(3, extractor="covarep"), "'audio' differs"),
        (Regression(), FeatureSpec(3, aligned=True), "aligned"),
    ],
)
def test_what_does_not_belong_together_is_not_merged(
    task: Task, spec: FeatureSpec, message: str, tmp_path: Path
) -> None:
    one = Utterance("a", streams={"audio": np.zeros((1, 3), np.float32)})
    other = Utterance("b", streams={"audio": np.zeros((1, spec.width), np.float32)})
    first = write(tmp_path / "a", [one], specs={"audio": FeatureSpec(WIDTHS["audio"])})
    second = write(tmp_path / "b", [other], specs={"audio": spec}, task=task)
    with pytest.raises(DataError, match=message):
        merge([first, second], tmp_path / "all")
    assert not (tmp_path / "all").exists()
