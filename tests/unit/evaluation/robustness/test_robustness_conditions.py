"""Which masks are drawn: the same for every model, their own for every modality, utterance and seed."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import tiny
from mecam.data.corruption.utterances import present
from mecam.errors import ConfigError, DataError
from mecam.evaluation.robustness.conditions import (
    CLEAN,
    RATES,
    SEVERITIES,
    STREAM_KINDS,
    TEXT_KINDS,
    Condition,
    FeatureCorruption,
    RandomMissing,
    Remaining,
)
from mecam.evaluation.robustness.evaluation_split import OWN, EvaluationSplit, read_split
from mecam.evaluation.robustness.missing import HIGH_RATES, LOW_RATE, Blocks, Imbalanced, NoisyMissing
from mecam.evaluation.robustness.protocols import PROTOCOLS, plan, plans
from mecam.types import MISSING_WORD, Utterance

SCORES = tiny.TASKS["regression"]
ROWS = 12


def many(count: int = 120) -> list[Utterance]:
    """Utterances of one split with twelve words and twelve rows of everything; two speakers take turns."""
    rng = np.random.default_rng(0)
    return [
        Utterance(
            id=f"u{i}",
            split="test",
            video=f"v{i // 3}",
            speaker=f"s{i // 3 % 2}",
            text=" ".join(f"w{i}x{k}" for k in range(ROWS)),
            streams={
                m: rng.standard_normal((ROWS, tiny.WIDTHS[m])).astype(np.float32) + 5 for m in ("audio", "vision")
            },
            label=float(rng.uniform(-3, 3)),
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> EvaluationSplit:
    return EvaluationSplit(tiny.write_store(tmp_path_factory.mktemp("m") / "store", SCORES, many()), "test")


def every_corruption():
    for modality in ("text", "audio"):
        for kind in TEXT_KINDS if modality == "text" else STREAM_KINDS:
            yield modality, kind


def lost(material: EvaluationSplit, rate: float, seed: int) -> np.ndarray:
    """Modality × utterance × row: what is missing."""
    found = []
    for place in range(len(material)):
        spoilt = RandomMissing.at(rate).corrupt(material, place, seed)
        words = [word == MISSING_WORD for word in spoilt.text.split()]
        found.append([words, *((spoilt.streams[m] == 0).all(axis=1) for m in ("audio", "vision"))])
    return np.array(found, float).transpose(1, 0, 2)


def test_random_masks_keep_their_rate_and_are_independent_between_modalities_utterances_and_seeds(material):
    first, second = lost(material, 0.3, 1111), lost(material, 0.3, 1112)
    flat = first.reshape(3, -1)
    np.testing.assert_allclose(flat.mean(axis=1), 0.3, atol=0.04)
    assert np.abs(np.corrcoef(flat) - np.eye(3)).max() < 0.08
    for one, other in zip(flat, second.reshape(3, -1), strict=True):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.08
    neighbours = np.corrcoef(first[:, :-1].ravel(), first[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < 0.08


def test_a_higher_rate_takes_what_the_lower_one_took_and_more(material):
    masks = [lost(material, rate, 7) for rate in RATES]
    assert not masks[0].any()
    assert masks[-1].all()
    for less, more in pairwise(masks):
        assert (less <= more).all()
        assert less.sum() < more.sum()


def lost_to(material: EvaluationSplit, condition: Condition, seed: int) -> np.ndarray:
    """Modality × utterance × row: what is not as it was; of every modality twelve."""
    found = []
    for place in range(len(material)):
        clean, spoilt = material.utterances[place], condition.corrupt(material, place, seed)
        words = [a != b for a, b in zip(clean.text.split(), spoilt.text.split(), strict=True)]
        found.append([words, *((spoilt.streams[m] != clean.streams[m]).any(axis=1) for m in ("audio", "vision"))])
        marked = {m: np.zeros(ROWS, bool) for m in ("text", "audio", "vision")}
        for span in spoilt.injected:
            marked[span.modality][span.start : span.stop] = True
        np.testing.assert_array_equal(found[-1], list(marked.values()))
        assert spoilt.label == clean.label
    return np.array(found, float).transpose(1, 0, 2)


@pytest.mark.parametrize("make", [NoisyMissing.at, Blocks.at, lambda rate: Imbalanced.at("audio", rate)])
def test_a_higher_rate_of_any_kind_takes_what_the_lower_one_took_and_more(material, make):
    masks = [lost_to(material, make(rate), 7) for rate in (0.1, 0.3, 0.7, 0.9)]
    for less, more in pairwise(masks):
        assert (less <= more).all()
        assert less.sum() < more.sum()
    np.testing.assert_array_equal(masks[2], lost_to(material, make(0.7), 7))
    assert not np.array_equal(masks[2], lost_to(material, make(0.7), 8))


def test_noise_takes_the_place_of_what_is_lost_at_the_rate_and_of_the_columns_size(material):
    condition = NoisyMissing.at(0.4)
    np.testing.assert_allclose(lost_to(material, condition, 3).mean(axis=(1, 2)), 0.4, atol=0.04)
    spoilt = [condition.corrupt(material, place, 3) for place in range(len(material))]
    assert MISSING_WORD not in " ".join(u.text for u in spoilt)
    assert {word for u in spoilt for word in u.text.split()} <= set(material.spoken)
    rows, before = (np.concatenate([u.streams["audio"] for u in some]) for some in (spoilt, material.utterances))
    noise = rows[(rows != before).any(axis=1)]
    np.testing.assert_allclose(noise.mean(axis=0), material.centre["audio"], atol=0.15)
    np.testing.assert_allclose(noise.std(axis=0), material.scale["audio"], rtol=0.1)
    assert NoisyMissing.at(0.0).corrupt(material, 3, 0).injected == ()


def test_noise_leaves_missing_what_was_missing(tmp_path):
    content = many(6)
    content[0].streams["audio"][4] = np.nan
    content[0] = replace(content[0], text=f"{MISSING_WORD} a b c")
    data = EvaluationSplit(tiny.write_store(tmp_path / "store", SCORES, content), "test")
    spoilt = NoisyMissing.at(1.0).corrupt(data, 0, 1)
    assert np.isnan(spoilt.streams["audio"]).all(axis=1).tolist() == [row == 4 for row in range(ROWS)]
    first, *others = spoilt.text.split()
    assert first == MISSING_WORD
    assert others != ["a", "b", "c"]
    assert MISSING_WORD not in others


def test_one_modality_loses_more_than_the_others(material):
    shares = lost_to(material, Imbalanced.at("audio", 0.7), 5).mean(axis=(1, 2))
    np.testing.assert_allclose(shares, [LOW_RATE, 0.7, LOW_RATE], atol=0.04)
    both = [lost_to(material, Imbalanced.at(m, 0.7), 5) for m in ("audio", "vision")]
    np.testing.assert_array_equal(both[0][0], both[1][0])  # the text loses the same, whoever loses most
    planned = plan("imbalanced", material, material.modalities)
    assert len(planned.conditions) == 1 + 3 * len(HIGH_RATES)
    assert [summary.name for summary in planned.summaries] == ["mean", "text", "audio", "vision"]


def test_a_block_is_one_stretch_and_the_same_part_of_every_modality(material):
    for rate in (0.1, 0.5, 1.0):
        masks = lost_to(material, Blocks.at(rate), 2)
        np.testing.assert_array_equal(masks[0], masks[1])  # of as many rows as words
        np.testing.assert_allclose(masks.mean(), rate, atol=0.02)
        edges = np.abs(np.diff(np.pad(masks[0], ((0, 0), (1, 1))), axis=1)).sum(axis=1)
        assert set(edges) <= {0.0, 2.0}
    starts = lost_to(material, Blocks.at(0.5), 2)[0].argmax(axis=1)
    assert len(set(starts)) > 4


def test_what_happens_to_an_utterance_depends_on_no_other(material, tmp_path):
    """Another store with the same utterances in another order, and others left out, gives the same."""
    some = [u for i, u in enumerate(reversed(many())) if i % 2]
    other = EvaluationSplit(tiny.write_store(tmp_path / "store", SCORES, some), "test")
    here = {name: place for place, name in enumerate(material.ids)}
    alone = [
        c
        for m, k in every_corruption()
        if k not in ("foreign", "contradiction", "misheard", "noise", "burst", "impulse")
        for c in [FeatureCorruption.at(m, k, 3, words=m == "text")]
    ]
    for condition in [RandomMissing.at(0.4), Blocks.at(0.4), Imbalanced.at("audio", 0.7), *alone]:
        for place in range(0, len(other), 7):
            a = condition.corrupt(other, place, 5)
            b = condition.corrupt(material, here[other.ids[place]], 5)
            assert (a.text, a.injected) == (b.text, b.injected)
            for modality, rows in a.streams.items():
                np.testing.assert_array_equal(rows, b.streams[modality])


@pytest.mark.parametrize(("modality", "kind"), list(every_corruption()))
def test_a_corruption_touches_its_modality_only_and_records_it(material, modality, kind):
    hit = 0
    for severity in SEVERITIES:
        condition = FeatureCorruption.at(modality, kind, severity, words=modality == "text")
        for place in range(0, len(material), 6):
            clean, spoilt = material.utterances[place], condition.corrupt(material, place, 3)
            again = condition.corrupt(material, place, 3)
            assert spoilt.text == again.text
            others = {"text", "audio", "vision"} - {modality}
            assert {span.modality for span in spoilt.injected} <= {modality}
            assert {span.kind for span in spoilt.injected} <= {kind}
            for other in others - {"text"}:
                assert spoilt.streams[other] is clean.streams[other]
            assert modality == "text" or spoilt.text == clean.text
            differs = (
                spoilt.text != clean.text
                if modality == "text"
                else not np.array_equal(spoilt.streams[modality], clean.streams[modality])
            )
            assert differs == bool(spoilt.injected)
            assert spoilt.label == clean.label
            hit += differs
    assert hit > 10


@pytest.mark.parametrize(
    ("modality", "kind"),
    [
        ("text", "missing"),
        pytest.param("text", "misheard", marks=pytest.mark.slow),
        ("text", "jumbled"),
        ("audio", "scattered"),
        ("audio", "contradiction"),
        ("text", "foreign"),
    ],
)
def test_more_severe_is_never_less(material, modality, kind):
    touched = []
    for severity in SEVERITIES:
        condition = FeatureCorruption.at(modality, kind, severity, words=modality == "text")
        spoilt = [condition.corrupt(material, place, 3) for place in range(len(material))]
        touched.append(sum(span.stop - span.start + (span.start == span.stop) for u in spoilt for span in u.injected))
    assert touched == sorted(touched)
    assert touched[0] < touched[-1]


@pytest.mark.parametrize(
    "severity", [SEVERITIES[1], *(pytest.param(s, marks=pytest.mark.slow) for s in SEVERITIES if s != SEVERITIES[1])]
)
def test_the_share_of_utterances_befallen_is_the_severity(material, severity):
    share = TEXT_KINDS["foreign"][SEVERITIES.index(severity)]
    condition = FeatureCorruption.at("text", "foreign", severity, words=True)
    hit = [[bool(condition.corrupt(material, p, s).injected) for p in range(len(material))] for s in range(4)]
    assert np.mean(hit) == pytest.approx(share, abs=0.06)


def test_partners_feel_otherwise_or_are_somebody_else(material):
    by_text = {u.text: u for u in material.utterances}
    for place in range(len(material)):
        own = material.utterances[place]
        against = FeatureCorruption.at("text", "contradiction", 5, words=True).corrupt(material, place, 1)
        if against.injected:
            assert by_text[against.text].label * own.label < 0
        else:
            assert abs(own.label) < 0.3
        foreign = by_text[FeatureCorruption.at("text", "foreign", 5, words=True).corrupt(material, place, 1).text]
        assert foreign.speaker != own.speaker


def test_only_the_modalities_that_are_left_are_left(material):
    planned = plan("missing-modality", material, material.modalities)
    assert [c.key for c in planned.conditions] == [
        "clean",
        "present.text+audio",
        "present.text+vision",
        "present.audio+vision",
        "present.text",
        "present.audio",
        "present.vision",
    ]
    for condition in planned.conditions[1:]:
        assert isinstance(condition, Remaining)
        assert set(present(condition.corrupt(material, 0, 0))) == set(condition.left)
    assert CLEAN.corrupt(material, 3, 0) is material.utterances[3]
    assert RandomMissing.at(0.0).corrupt(material, 3, 0) is material.utterances[3]


def test_noise_lies_at_its_signal_to_noise_ratio(material):
    for severity, snr in zip(SEVERITIES, STREAM_KINDS["noise"], strict=True):
        condition = FeatureCorruption.at("audio", "noise", severity, words=False)
        added = np.concatenate(
            [
                condition.corrupt(material, p, 0).streams["audio"] - material.utterances[p].streams["audio"]
                for p in range(len(material))
            ]
        )
        found = 20 * np.log10(material.scale["audio"] / added.std(axis=0))
        np.testing.assert_allclose(found, snr, atol=0.5)


def test_summaries_by_hand(material):
    planned, *others = plans(["random-missing", "random-missing-noise", "blocks"], material, material.modalities)
    for other in others:
        for mine, theirs in zip(planned.summaries, other.summaries, strict=True):
            assert list(mine.weights.values()) == list(theirs.weights.values())
    by_name = {summary.name: summary for summary in planned.summaries}
    level = {condition.key: condition.level for condition in planned.conditions}

    def total(name: str, curve) -> float:
        return sum(weight * curve(level[key]) for key, weight in by_name[name].weights.items())

    assert total("mean", lambda r: 1 - r) == pytest.approx(0.55)
    assert len(by_name["mean"].weights) == 10
    assert total("auilc", lambda r: 1.0) == pytest.approx(1.0)
    assert total("auilc", lambda r: 1 - r) == pytest.approx(0.5)
    assert total("auilc", lambda r: r * r) == pytest.approx(0.335)  # trapezoids, above the true third
    assert total("effective", lambda r: 2.0) == pytest.approx(0.0)
    assert total("effective", lambda r: 1 - r) == pytest.approx(0.5)  # clean 1, area 0.5
    grid = plan("corruptions", material, ("text", "audio"))
    assert len(grid.conditions) == 1 + 5 * (len(TEXT_KINDS) + len(STREAM_KINDS))
    for summary in grid.summaries:
        assert sum(summary.weights.values()) == pytest.approx(1.0)
    named = {summary.name: set(summary.weights) for summary in grid.summaries}
    assert named["text.missing"] == {f"text.missing.{severity}" for severity in SEVERITIES}
    assert named["mean"] == named["text"] | named["audio"]


def test_patterns_choose_conditions_and_what_can_be_summed_up_of_them(material):
    grid = plan("corruptions", material, ("text", "audio"), only=["*.noise.*", "text.missing.3"])
    assert [c.key for c in grid.conditions] == ["clean", "text.missing.3", *(f"audio.noise.{s}" for s in SEVERITIES)]
    assert [summary.name for summary in grid.summaries] == ["mean", "text.missing", "text", "audio.noise", "audio"]
    told = {summary.name: summary for summary in grid.summaries}
    assert told["audio.noise"].title == "audio noise: mean over the severities"
    assert told["text.missing"].title.endswith("of those measured (1 of 5)")
    assert told["mean"].weights == {c.key: pytest.approx(1 / 6) for c in grid.conditions[1:]}
    rates = plan("random-missing", material, ("text", "audio"), only=["random-missing.0.[1-5]"])
    assert not rates.summaries
    several = plans(["random-missing", "blocks", "corruptions"], material, ("text",), only=["text.*", "blocks.0.5"])
    assert [each.protocol for each in several] == ["blocks", "corruptions"]
    with pytest.raises(ConfigError, match="sabotage"):
        plan("corruptions", material, ("text",), only=["text.sabotage.*"])
    with pytest.raises(ConfigError, match="nonsense"):
        plan("nonsense", material, ("text",))
    assert "random-missing" in PROTOCOLS


def test_what_the_data_brought_along_is_told_from_what_is_put_in(tmp_path):
    store = tiny.write_store(tmp_path / "store", SCORES, tiny.utterances(SCORES))
    own = EvaluationSplit(store, "test")
    assert any(u.injected for u in own.utterances)
    assert {span.kind for u in own.utterances for span in u.injected} == {OWN}
    spoilt = [FeatureCorruption.at("audio", "noise", 5, words=False).corrupt(own, p, 0) for p in range(len(own))]
    assert {span.kind for u in spoilt for span in u.injected if span.modality == "audio"} == {OWN, "noise"}
    with pytest.raises(DataError, match=r"train|valid"):
        read_split(store, "dev", raw_text=True)


def test_unlabelled_material_is_refused(tmp_path):
    blank = [replace(u, label=None) for u in many(6)]
    with pytest.raises(DataError, match="no label"):
        EvaluationSplit(tiny.write_store(tmp_path / "store", SCORES, blank), "test")
