"""Utterances and stores for tests: hypothesis strategies, and one small store with everything in it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mecam.data.store import Store, StoreWriter
from mecam.task import Regression, Task
from mecam.types import FeatureSpec, Span, Utterance, Word

WIDTHS = {"audio": 3, "vision": 2, "physio": 1}

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_seconds = st.floats(0, 1e6) | st.just(float("nan"))
_values = st.floats(width=32, allow_infinity=False)


@st.composite
def streams(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Rows of some modalities, with times for some of them."""
    values, times = {}, {}
    for modality, width in WIDTHS.items():
        rows = draw(st.integers(0, 4))
        if rows:
            values[modality] = draw(hnp.arrays(np.float32, (rows, width), elements=_values))
            if draw(st.booleans()):
                times[modality] = draw(hnp.arrays(np.float64, (rows, 2), elements=st.floats(0, 1e6)))
    return values, times


@st.composite
def fields(draw: st.DrawFn, task: Task) -> list[dict[str, Any]]:
    """The fields of some utterances of one task, everything that a store keeps.

    Plain values: beartype draws random numbers when it checks an Utterance, which a strategy must not do.
    """
    labels: Any = st.floats(-3, 3)
    if task.kind == "classes":
        labels = st.sampled_from(task.names)
    elif task.kind == "multilabel":
        labels = st.fixed_dictionaries({name: st.floats(0, 3) for name in task.names})
    kinds = st.sampled_from(["burst", "frozen"])
    spans = st.tuples(st.sampled_from(list(WIDTHS)), kinds, st.integers(0, 9), st.integers(0, 9))
    result = []
    for name in draw(st.lists(_texts.filter(bool), min_size=1, max_size=6, unique=True)):
        values, times = draw(streams())
        result.append(
            {
                "id": name,
                "split": draw(st.sampled_from(["train", "valid", "test", ""])),
                "video": draw(_texts),
                "speaker": draw(_texts),
                "text": draw(st.none() | _texts),
                "words": draw(st.lists(st.tuples(_texts, _seconds, _seconds), max_size=3)),
                "streams": values,
                "intervals": times,
                "label": draw(st.none() | labels),
                "unimodal": draw(st.dictionaries(st.sampled_from(["text", "audio"]), st.floats(-1, 1))),
                "injected": draw(st.lists(spans, max_size=2)),
            }
        )
    return result


def built(drawn: dict[str, Any]) -> Utterance:
    """The utterance of drawn fields."""
    words = tuple(Word(*word) for word in drawn["words"])
    return Utterance(**{**drawn, "words": words, "injected": tuple(Span(*span) for span in drawn["injected"])})


def write(
    path: Path, content: Iterable[Utterance], *, task: Task | None = None, specs: Any = None, **options: Any
) -> Store:
    """Write utterances and open the store."""
    specs = {m: FeatureSpec(w, extractor="test") for m, w in WIDTHS.items()} if specs is None else specs
    name = options.pop("name", "sample")
    with StoreWriter(path, name=name, task=task or Regression(), specs=specs, **options) as writer:
        for utterance in content:
            writer.add(utterance)
    return Store(path)


def sample(count: int = 24, *, seed: int = 0, videos: int = 12, speakers: int = 6) -> list[Utterance]:
    """Ordinary utterances: disjoint recordings per split, timed words, audio and vision with times."""
    random = np.random.default_rng(seed)
    result = []
    for i in range(count):
        video = i % videos
        words = tuple(Word(f"word{i}{w}", w / 2, w / 2 + 0.5) for w in range(4))
        rows = {"audio": int(random.integers(2, 9)), "vision": int(random.integers(2, 9))}
        result.append(
            Utterance(
                id=f"video{video}_{i}",
                split=("train", "train", "train", "train", "valid", "test")[video % 6],
                video=f"video{video}",
                speaker=f"speaker{video % speakers}",
                text=" ".join(word.text for word in words),
                words=words,
                streams={m: random.standard_normal((n, WIDTHS[m])).astype(np.float32) for m, n in rows.items()},
                intervals={m: np.linspace(0, 2, n + 1)[np.arange(n)[:, None] + [0, 1]] for m, n in rows.items()},
                label=round(float(random.uniform(-3, 3)), 3),
            )
        )
    return result


def assert_same(actual: Utterance, expected: Utterance) -> None:
    """Equal in every field, features to the last bit; an absent stream may be an empty one."""
    for field in ("id", "split", "video", "speaker", "text", "label", "injected"):
        assert getattr(actual, field) == getattr(expected, field), field
    assert dict(actual.unimodal) == dict(expected.unimodal)
    assert repr(actual.words) == repr(expected.words)  # repr: NaN times are equal
    for name in ("streams", "intervals"):
        found = {m: a for m, a in getattr(actual, name).items()}
        wanted = {m: a for m, a in getattr(expected, name).items() if len(a)}
        if name == "intervals":  # a store holds times for a whole modality; unknown ones are NaN
            found = {m: a for m, a in found.items() if m in wanted or not np.isnan(a).all()}
        assert found.keys() == wanted.keys(), name
        for modality, array in wanted.items():
            np.testing.assert_array_equal(found[modality], array)
