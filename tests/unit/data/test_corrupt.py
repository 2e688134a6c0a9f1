"""What corruptions promise: they touch what they say, nothing else, and the same for the same seed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mecam.data.corruption import (
    OPERATORS,
    Corruption,
    CorruptionContext,
    corrupt_utterance,
    corrupted_view,
    generator_for,
    random_missing,
)
from mecam.data.corruption import streams as stream_operators
from mecam.data.corruption.utterances import TEXT_ONLY, present
from mecam.errors import ConfigError, DataError
from mecam.types import MISSING_WORD, Span, Utterance, Word

UNK = 100
STREAM_KINDS = ("burst", "frozen", "dropped", "scattered", "impulse", "shift", "noise", "channels")
PINNED = [689113439, 2671002029, 3629049523]
VOCABULARY = [f"word{i}" for i in range(30)]

seeds = st.integers(0, 2**32)
amounts = st.fixed_dictionaries({"extent": st.floats(0.01, 1), "severity": st.floats(0.5, 5)})
rows = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 40), st.integers(1, 6)),
    elements=st.one_of(st.floats(-8, 8, width=32), st.just(np.float32("nan"))),
)


def make(seed: int = 0, words: int = 12, length: int = 40, **changes) -> Utterance:
    rng = np.random.default_rng(seed)
    text = [VOCABULARY[i] for i in rng.permutation(30)[:words]]
    made = Utterance(
        id=f"u{seed}",
        text=" ".join(text),
        words=tuple(Word(word, float(i), i + 0.5) for i, word in enumerate(text)),
        tokens=tuple((1000 + VOCABULARY.index(word), 7) for word in text),
        streams={m: rng.standard_normal((length + k, 5)).astype(np.float32) for k, m in enumerate(("audio", "vision"))},
        intervals={"audio": np.arange(2.0 * length).reshape(length, 2)},
        label=1.0,
    )
    return replace(made, **changes)


def corruption(modality: str, kind: str, extent: float = 0.3) -> Corruption:
    return Corruption(kind, 3.0, extent, modality=modality)


def corrupt(before: Utterance, *corruptions: Corruption, seed: int = 0, **context) -> Utterance:
    return corrupt_utterance(before, corruptions, CorruptionContext(np.random.default_rng(seed), **context))


def applied(kind: str, values: np.ndarray, seed: int = 0, *, extent: float = 0.3, severity: float = 3.0, **context):
    """A stream operator on rows: the new rows, and those that it says it touched."""
    context = CorruptionContext(np.random.default_rng(seed), **context)
    return getattr(stream_operators, kind)(values, Corruption(kind, severity, extent), context)


def marked(spans, modality: str, count: int) -> np.ndarray:
    mask = np.zeros(count, bool)
    for span in spans:
        if span.modality == modality:
            assert 0 <= span.start < span.stop <= count
            assert type(span.start) is type(span.stop) is int
            mask[span.start : span.stop] = True
    return mask


def same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return ((a == b) | (np.isnan(a) & np.isnan(b))).all(axis=1)


@pytest.mark.parametrize("kind", STREAM_KINDS)
@given(values=rows, seed=seeds, amount=amounts)
@settings(max_examples=60, deadline=None)
def test_a_stream_operator_touches_exactly_the_rows_it_says(kind, values, seed, amount):
    before = values.copy()
    result, touched = applied(kind, values, seed, **amount)
    again, _ = applied(kind, values, seed, **amount)
    np.testing.assert_array_equal(values, before)
    np.testing.assert_array_equal(result, again)
    assert result.dtype == np.float32
    assert result.shape == values.shape
    assert touched.dtype == bool
    assert (same(values, result) | touched).all()  # a row that differs is always marked
    assert (result.view(np.uint32) != values.view(np.uint32)).any(axis=1)[touched].all()  # and only such rows


@pytest.mark.parametrize("kind", ["burst", "impulse", "noise", "channels"])
@given(values=rows, seed=seeds, amount=amounts)
@settings(max_examples=40, deadline=None)
def test_noise_leaves_a_missing_value_missing(kind, values, seed, amount):
    result, _ = applied(kind, values, seed, **amount)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(values))


@pytest.mark.parametrize("kind", STREAM_KINDS)
def test_every_stream_operator_does_something_and_takes_an_empty_stream(kind):
    values = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    _, touched = applied(kind, values, 1, extent=0.2)
    assert touched.any()
    result, touched = applied(kind, values[:0], 1)
    assert result.shape == (0, 4)
    assert touched.shape == (0,)


def test_the_extent_is_the_part_of_the_rows_touched():
    values = np.random.default_rng(0).standard_normal((100, 4)).astype(np.float32)
    for kind in ("burst", "dropped"):
        _, touched = applied(kind, values, 3)
        assert touched.sum() == 30
        assert len(np.flatnonzero(np.diff(touched.astype(int), prepend=0, append=0))) == 2  # one span
    lost = [applied("scattered", values, s)[1].mean() for s in range(40)]
    assert np.mean(lost) == pytest.approx(0.3, abs=0.03)


def test_burst_noise_has_the_strength_and_scale_asked_for():
    scale = np.array([1.0, 10.0, 0.1])
    values = np.zeros((4000, 3), np.float32)
    result, touched = applied("burst", values, extent=0.5, severity=3.0, scale=scale)
    np.testing.assert_allclose(result[touched].std(axis=0), 3 * scale, rtol=0.06)


def test_frozen_rows_repeat_the_row_before_them():
    values = np.arange(20, dtype=np.float32)[:, None]
    result, touched = applied("frozen", values, extent=0.4)
    first = int(np.flatnonzero(touched)[0])
    assert (result[touched] == values[first - 1]).all()


def test_dropped_rows_hold_the_fill():
    values = np.ones((10, 2), np.float32)
    result, touched = applied("dropped", values, fill=np.array([-1.0, 2.0]))
    np.testing.assert_array_equal(result[touched], np.tile([-1.0, 2.0], (int(touched.sum()), 1)))


def test_a_shifted_stream_is_the_stream_later_or_earlier():
    values = np.arange(10, dtype=np.float32)[:, None]
    seen = {tuple(applied("shift", values, s)[0][:, 0]) for s in range(20)}
    assert seen == {(0, 0, 0, 0, 1, 2, 3, 4, 5, 6), (3, 4, 5, 6, 7, 8, 9, 9, 9, 9)}


@given(seed=seeds, count=st.integers(1, 20), extent=st.floats(0.01, 1), kind=st.sampled_from(["missing", "shuffled"]))
@settings(max_examples=100, deadline=None)
def test_text_and_tokens_stay_in_step(seed, count, extent, kind):
    before = make(words=count)
    after = corrupt(before, corruption("text", kind, extent), seed=seed, unk=UNK)
    old, new = before.text.split(), after.text.split()
    assert len(new) == len(old) == len(after.tokens) == len(after.words)
    for word, token, timed in zip(new, after.tokens, after.words, strict=True):
        assert timed.text == word
        assert token == ((UNK,) if word == MISSING_WORD else (1000 + VOCABULARY.index(word), 7))
    assert [w.start for w in after.words] == [w.start for w in before.words]
    np.testing.assert_array_equal(
        marked(after.injected, "text", count), [a != b for a, b in zip(old, new, strict=True)]
    )
    if kind == "shuffled":
        assert sorted(new) == sorted(old)
        assert count == 1 or after.injected
    else:
        assert MISSING_WORD in new


@pytest.mark.parametrize("kind", ["missing", "shuffled"])
def test_either_text_or_tokens_alone_is_corrupted_alike(kind):
    step = corruption("text", kind)
    both = corrupt(make(), step, seed=5, unk=UNK)
    text = corrupt(make(tokens=None), step, seed=5)
    tokens = corrupt(replace(make(), text=None, words=()), step, seed=5, unk=UNK)
    assert text.text == both.text
    assert text.tokens is None
    assert tokens.tokens == both.tokens
    assert tokens.text is None
    assert both.injected == text.injected == tokens.injected


def test_a_global_shuffle_moves_every_word():
    after = corrupt(make(), corruption("text", "shuffled", 1.0), unk=UNK)
    assert after.injected == (Span("text", "shuffled", 0, 12),)


def test_a_contradiction_takes_the_partner_whole_and_marks_it():
    plan = [corruption("audio", "burst"), corruption("audio", "contradiction"), corruption("text", "contradiction")]
    partner = make(1, words=7, length=33, label=-2.0)
    after = corrupt(make(), *plan, partner=partner)
    np.testing.assert_array_equal(after.streams["audio"], partner.streams["audio"])
    np.testing.assert_array_equal(after.intervals["audio"], partner.intervals["audio"])
    assert (after.text, after.words, after.tokens) == (partner.text, partner.words, partner.tokens)
    assert after.injected == (Span("audio", "contradiction", 0, 33), Span("text", "contradiction", 0, 7))
    assert after.label == 1.0


def test_a_plan_appends_to_what_is_recorded_and_skips_absent_modalities():
    earlier = Span("vision", "frozen", 1, 3)
    plan = [corruption("audio", "dropped"), corruption("physio", "burst")]
    after = corrupt(make(injected=(earlier,)), *plan)
    assert after.injected[0] == earlier
    assert {span.modality for span in after.injected[1:]} == {"audio"}


def test_an_absent_modality_is_gone_with_its_times_and_spans():
    plan = [corruption("audio", "burst"), corruption("audio", "absent"), corruption("text", "absent")]
    after = corrupt(make(), *plan)
    assert present(after) == ("vision",)
    assert "audio" not in after.intervals
    assert after.injected == ()
    assert after.tokens is None


@pytest.mark.parametrize(
    ("step", "error", "says"),
    [
        (corruption("audio", "sabotage"), ConfigError, "sabotage"),
        (corruption("text", "burst"), ConfigError, "burst"),
        (corruption("audio", "missing"), ConfigError, "missing"),
        (corruption("audio", "contradiction"), DataError, "partner"),
        (corruption("text", "missing"), DataError, "unk"),
    ],
)
def test_what_cannot_be_done_is_said(step, error, says):
    with pytest.raises(error, match=says):
        corrupt(make(), step)


@pytest.mark.parametrize(
    "amount", [{"extent": 0.0}, {"extent": 1.5}, {"severity": float("inf")}, {"severity": float("nan")}]
)
def test_an_impossible_amount_is_refused(amount):
    with pytest.raises(ConfigError):
        Corruption("noise", **amount)


@given(seed=seeds, rate=st.floats(0, 1), with_partner=st.booleans(), words=st.integers(0, 15))
@settings(max_examples=150, deadline=None)
def test_a_view_records_what_it_changed_and_only_that(seed, rate, with_partner, words):
    clean = make(words=words, injected=(Span("audio", "burst", 0, 40), Span("text", "missing", 0, 1)))
    partner = make(1, words=9, length=31) if with_partner else None
    view = corrupted_view(clean, np.random.default_rng(seed), partner=partner, rate=rate, unk=UNK)
    assert (view.id, view.label) == (clean.id, clean.label)
    assert present(view)
    assert {span.modality for span in view.injected} <= set(present(view))
    for modality in set(present(view)) - {"text"}:
        taken = [s for s in view.injected if s.modality == modality and s.kind == "contradiction"]
        if taken:
            assert taken == [Span(modality, "contradiction", 0, len(partner.streams[modality]))]
            continue
        before, after = clean.streams[modality], view.streams[modality]
        np.testing.assert_array_equal(marked(view.injected, modality, len(after)), ~same(before, after))
    if view.text and not any(s.kind == "contradiction" and s.modality == "text" for s in view.injected):
        differs = [a != b for a, b in zip(clean.text.split(), view.text.split(), strict=True)]
        np.testing.assert_array_equal(marked(view.injected, "text", len(differs)), differs)


def test_views_use_every_kind_of_their_mix_and_obey_the_rate():
    clean, partner = make(), make(1)
    rng = np.random.default_rng(0)
    kinds, touched, gone = set(), 0, 0
    for _ in range(1000):
        view = corrupted_view(clean, rng, partner=partner, rate=0.4, unk=UNK)
        kinds |= {(span.modality, span.kind) for span in view.injected}
        touched += len({span.modality for span in view.injected}) + 3 - len(present(view))
        gone += 3 - len(present(view))
    both = {"burst", "frozen", "dropped", "scattered", "impulse", "contradiction"}
    expected = {(m, k) for m in ("audio", "vision") for k in both} | {
        ("text", k) for k in ("missing", "shuffled", "contradiction")
    }
    assert kinds == expected
    assert touched / 3000 == pytest.approx(0.4, abs=0.04)
    assert 0 < gone / 3000 < 0.05


def test_a_view_without_a_partner_never_contradicts_and_rate_zero_changes_nothing():
    clean = make()
    rng = np.random.default_rng(0)
    for _ in range(200):
        view = corrupted_view(clean, rng, partner=None, rate=1.0, unk=UNK)
        assert not any(span.kind == "contradiction" for span in view.injected)
    assert corrupted_view(clean, rng, partner=None, rate=0.0, unk=UNK).streams is clean.streams


def test_a_view_of_tokens_needs_the_unknown_token_whatever_is_drawn():
    with pytest.raises(DataError, match="unk"):
        corrupted_view(make(), np.random.default_rng(0), partner=None, rate=0.0, unk=None)


def test_dropped_rows_of_a_view_hold_the_fill_of_their_modality():
    fill = {"audio": np.full(5, 9.0), "vision": np.full(5, -9.0)}
    seen = set()
    for seed in range(60):
        view = corrupted_view(make(), np.random.default_rng(seed), partner=None, rate=1.0, unk=UNK, fill=fill)
        for span in view.injected:
            if span.kind in ("dropped", "scattered"):
                assert (view.streams[span.modality][span.start : span.stop] == fill[span.modality]).all()
                seen.add(span.modality)
    assert seen == {"audio", "vision"}


@given(seed=seeds, rate=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_random_missing_marks_what_it_takes(seed, rate):
    clean = make()
    lossy = random_missing(clean, np.random.default_rng(seed), rate, UNK)
    for modality, values in lossy.streams.items():
        mask = marked(lossy.injected, modality, len(values))
        assert (values[mask] == 0).all()
        np.testing.assert_array_equal(values[~mask], clean.streams[modality][~mask])
    words = marked(lossy.injected, "text", 12)
    assert [word == MISSING_WORD for word in lossy.text.split()] == words.tolist()
    assert [token == (UNK,) for token in lossy.tokens] == words.tolist()


def test_random_missing_keeps_to_its_rate_and_its_masks_are_independent():
    masks = []
    for seed in range(300):
        lossy = random_missing(make(length=12), np.random.default_rng(seed), 0.3, UNK)
        masks.append([marked(lossy.injected, m, 12 + (m == "vision"))[:12] for m in ("text", "audio", "vision")])
    taken = np.array(masks, float).transpose(1, 0, 2).reshape(3, -1)
    np.testing.assert_allclose(taken.mean(axis=1), 0.3, atol=0.03)
    assert np.abs(np.corrcoef(taken) - np.eye(3)).max() < 0.06


def test_random_missing_at_the_ends_of_its_range():
    assert random_missing(make(), np.random.default_rng(0), 0.0, UNK).injected == ()
    nothing = random_missing(make(), np.random.default_rng(0), 1.0, UNK)
    assert set(nothing.text.split()) == {MISSING_WORD}
    assert not any(values.any() for values in nothing.streams.values())
    with pytest.raises(ConfigError):
        random_missing(make(), np.random.default_rng(0), 1.1, UNK)


@given(seed=seeds, first=st.text(max_size=8), second=st.text(max_size=8))
@settings(max_examples=50, deadline=None)
def test_generators_are_repeatable_and_differ_by_name(seed, first, second):
    assume(first != second)
    draw = generator_for(seed, first).random()
    assert draw == generator_for(seed, first).random()
    assert draw != generator_for(seed, second).random()
    assert draw != generator_for(seed + 1, first).random()


def test_the_generator_draws_the_same_everywhere():
    assert generator_for(7, "a", "b").integers(0, 2**32, 3).tolist() == PINNED


def test_every_operator_is_pure():
    clean, partner = make(), make(1)
    before = repr(clean)
    for kind in OPERATORS:
        modality = "text" if kind in TEXT_ONLY else "audio"
        results = [
            repr(
                corrupt(
                    clean,
                    corruption(modality, kind),
                    seed=3,
                    partner=partner,
                    unk=UNK,
                    ids_of=lambda word: (len(word),),
                )
            )
            for _ in range(2)
        ]
        assert results[0] == results[1] != before
    assert repr(clean) == before
