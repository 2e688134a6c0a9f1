"""What corruptions that change the number of words promise, and those of whole streams."""

from dataclasses import replace
from difflib import SequenceMatcher

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mecam.data.corruption import Corruption, CorruptionContext, Sounds, corrupt_utterance, noise_severity
from mecam.data.corruption import streams as stream_operators
from mecam.data.corruption.phonetics import FILLERS, common_sounds, phones
from mecam.data.corruption.words import WINDOW, deleted, jumbled, misheard, truncated
from mecam.errors import ConfigError, DataError
from mecam.types import Span, Utterance, Word

TEXT = "the night was cold but we had great food and a really bad film with no story at all"
SENTENCE = TEXT.split()
EDITS = ("deleted", "truncated", "misheard")

seeds = st.integers(0, 2**32)
extents = st.floats(0.01, 1)


def ids_of(word: str) -> tuple[int, ...]:
    return tuple(map(ord, word))


def make(count: int = len(SENTENCE), **changes) -> Utterance:
    words = SENTENCE[:count]
    made = Utterance(
        id="u",
        text=" ".join(words),
        words=tuple(Word(word, float(i), i + 0.5) for i, word in enumerate(words)),
        tokens=tuple(map(ids_of, words)),
        streams={"audio": np.ones((5, 2), np.float32)},
        label=1.0,
    )
    return replace(made, **changes)


def corrupt(kind: str, utterance: Utterance, seed: int = 0, extent: float = 0.3, **known) -> Utterance:
    context = CorruptionContext(np.random.default_rng(seed), ids_of=ids_of, unk=0, **known)
    return corrupt_utterance(utterance, [Corruption(kind, 1.0, extent, modality="text")], context)


def without_help(utterance: Utterance, modality: str, kind: str, **known) -> Utterance:
    context = CorruptionContext(np.random.default_rng(0), **known)
    return corrupt_utterance(utterance, [Corruption(kind, modality=modality)], context)


def word_errors(before: list[str], after: list[str]) -> int:
    """Levenshtein's distance over words, by hand."""
    row = list(range(len(after) + 1))
    for i, old in enumerate(before, 1):
        above, row = row, [i]
        for j, new in enumerate(after, 1):
            row.append(min(above[j - 1] + (old != new), above[j] + 1, row[-1] + 1))
    return row[-1]


@pytest.mark.parametrize("kind", EDITS)
@given(seed=seeds, count=st.integers(1, len(SENTENCE)), extent=extents)
@settings(max_examples=80, deadline=None)
def test_an_edited_text_its_words_its_tokens_and_its_record_agree(kind, seed, count, extent):
    clean = make(count)
    after = corrupt(kind, clean, seed, extent)
    old, new = clean.text.split(), after.text.split()
    assert len(after.tokens) == len(after.words) == len(new)
    assert after.tokens == tuple(map(ids_of, new))
    assert [word.text for word in after.words] == new
    times = [(word.start, word.stop) for word in after.words]
    assert times == sorted(times)
    assert np.isfinite(times).all()
    if not new:
        assert after.injected == ()
        return
    # Outside of the recorded words, the text is the old one with words taken out only at the recorded gaps.
    touched = {place for span in after.injected for place in range(span.start, span.stop)}
    gaps = {span.start for span in after.injected if span.start == span.stop}
    assert all(0 <= span.start <= span.stop <= len(new) for span in after.injected)
    matcher = SequenceMatcher(None, old, [word if i not in touched else None for i, word in enumerate(new)], False)
    for tag, _, _, low, high in matcher.get_opcodes():
        assert tag != "insert" or set(range(low, high)) <= touched
        assert tag != "replace" or set(range(low, high)) <= touched
        assert tag != "delete" or low in gaps
    assert (after.injected == ()) == (old == new)
    assert after.streams is clean.streams or after.streams == clean.streams


@pytest.mark.parametrize("kind", ["deleted", "truncated"])
def test_lost_words_leave_an_empty_span_at_each_gap(kind):
    after = corrupt(kind, make(), 1, 0.3)
    new = after.text.split()
    if kind == "truncated":
        assert new == SENTENCE[: len(SENTENCE) - round(0.3 * len(SENTENCE))]
        assert after.injected == (Span("text", "truncated", len(new), len(new)),)
        return
    here = [SENTENCE.index(word) for word in new]  # all words of the sentence differ
    bounds = [-1, *here, len(SENTENCE)]
    gaps = [i for i in range(len(new) + 1) if bounds[i + 1] - bounds[i] > 1]
    assert gaps
    assert after.injected == tuple(Span("text", "deleted", gap, gap) for gap in gaps)


def test_earlier_spans_go_where_their_words_go_and_vanish_with_them():
    earlier = (Span("text", "missing", 2, 4), Span("text", "missing", 17, 18), Span("audio", "burst", 0, 5))
    clean = make(injected=earlier)
    after = corrupt("truncated", clean, 0, 0.3)
    assert [span for span in after.injected if span.kind != "truncated"] == [earlier[2], earlier[0]]
    for seed in range(40):
        after = corrupt("deleted", clean, seed, 0.4)
        found = [word for s in after.injected if s.kind == "missing" for word in after.text.split()[s.start : s.stop]]
        left = [word for word in after.text.split() if word in (SENTENCE[2], SENTENCE[3], SENTENCE[17])]
        assert found == left
        assert all(s.start < s.stop for s in after.injected if s.kind == "missing")


def test_rates_of_loss_and_of_local_shuffles_are_those_asked_for():
    rngs = [np.random.default_rng(seed) for seed in range(300)]
    lost = [1 - len(deleted(40, rng, 0.3)) / 40 for rng in rngs]
    assert np.mean(lost) == pytest.approx(0.3, abs=0.02)
    moved = [np.mean(np.array(jumbled(42, rng, 0.5)) != np.arange(42)) for rng in rngs]
    assert np.mean(moved) == pytest.approx(0.5, abs=0.03)


@given(seed=seeds, count=st.integers(0, 30), extent=extents)
@settings(max_examples=80, deadline=None)
def test_a_local_shuffle_moves_words_a_little_and_loses_none(seed, count, extent):
    choice = np.array(jumbled(count, np.random.default_rng(seed), extent), int)
    assert sorted(choice) == list(range(count))
    assert np.abs(choice - np.arange(count)).max(initial=0) < WINDOW
    assert (choice != np.arange(count)).any() or count < 2
    assert (np.array(jumbled(count, np.random.default_rng(seed), 1.0), int) != np.arange(count)).sum() >= count - 2


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6])
def test_misheard_words_make_the_word_error_rate_asked_for(rate):
    long = SENTENCE * 3
    found = []
    for seed in range(150):
        edit = misheard(long, np.random.default_rng(seed), rate, common_sounds())
        new = [long[source] if word is None else word for source, word in edit]
        found.append(word_errors(long, new) / len(long))
    # A lost word beside an inserted one is a single error to who aligns the texts.
    assert np.mean(found) == pytest.approx(rate, abs=0.01 + 0.08 * rate)


def test_more_errors_are_the_same_errors_and_more():
    few, many = (misheard(SENTENCE, np.random.default_rng(5), rate, common_sounds()) for rate in (0.2, 0.7))
    assert {item for item in few if item[1] is not None} <= set(many)
    assert {source for source, _ in many} <= {source for source, _ in few} | {-1}
    assert misheard(SENTENCE, np.random.default_rng(5), 0.0, common_sounds()) == [(i, None) for i in range(19)]


def test_a_misheard_word_sounds_alike_and_is_written_alike():
    sounds = Sounds(["Knight", "night,", "bright", "zebra"])
    assert sounds.neighbours("night")[0] == "knight"
    heard = {
        word for seed in range(60) for _, word in misheard(["NIGHT!"], np.random.default_rng(seed), 1.0, sounds) if word
    }
    fillers = {filler.upper() for filler in FILLERS}
    assert heard - fillers <= {"KNIGHT!", "BRIGHT!", "ZEBRA!"}
    assert "KNIGHT!" in heard
    assert heard & fillers
    mixed = {
        word
        for seed in range(60)
        for _, word in misheard(["Night", "is"], np.random.default_rng(seed), 1.0, sounds)
        if word
    }
    assert "Knight" in mixed
    assert mixed & set(FILLERS)


def test_what_is_missing_is_not_misheard_and_a_lone_vocabulary_changes_nothing():
    edit = misheard(["[UNK]"] * 50, np.random.default_rng(0), 1.0, common_sounds())
    assert edit == [(i, None) for i in range(50)]
    lone = [misheard(["echo"], np.random.default_rng(s), 1.0, Sounds(["echo"])) for s in range(50)]
    assert {word for edit in lone for _, word in edit} <= {None, *FILLERS}


@pytest.mark.parametrize(
    ("one", "other"),
    [("knight", "night"), ("write", "right"), ("their", "there"), ("sea", "see"), ("phone", "fone"), ("ate", "aid")],
)
def test_homophones_are_spelled_nearly_the_same(one, other):
    def bare(word: str) -> str:
        return "".join("V" if sound in "AEIOUY" else "T" if sound == "D" else sound for sound in phones(word))

    assert bare(one).replace("V", "") == bare(other).replace("V", "")


def test_words_of_another_script_have_neighbours_in_their_spelling():
    sounds = Sounds(["电影", "电话", "zebra"])
    assert sounds.neighbours("电影")[0] == "电话"


def test_errors_say_what_is_lacking():
    with pytest.raises(DataError, match="sub-word ids"):
        without_help(make(), "text", "misheard")
    with pytest.raises(DataError, match="words themselves"):
        corrupt("misheard", make(text=None, words=()))
    with pytest.raises(ConfigError, match="misheard"):
        without_help(make(), "audio", "misheard")
    with pytest.raises(DataError, match="tokens for"):
        corrupt("deleted", make(tokens=((1,),)))


def test_another_utterances_text_or_stream_is_taken_whole():
    partner = make(4, streams={"audio": np.zeros((3, 2), np.float32)})
    after = corrupt("foreign", make(), partner=partner)
    assert (after.text, after.tokens, after.words) == (partner.text, partner.tokens, partner.words)
    assert after.injected == (Span("text", "foreign", 0, 4),)
    after = without_help(make(), "audio", "foreign", partner=partner)
    assert after.streams["audio"] is partner.streams["audio"]
    assert after.injected == (Span("audio", "foreign", 0, 3),)


def test_noise_has_the_signal_to_noise_ratio_asked_for():
    scale = np.array([1.0, 20.0])
    values = np.zeros((8000, 2), np.float32)
    context = CorruptionContext(np.random.default_rng(0), scale=scale)
    result, touched = stream_operators.noise(values, Corruption("noise", noise_severity(6.0)), context)
    assert touched.all()
    np.testing.assert_allclose(20 * np.log10(scale / result.std(axis=0)), 6.0, atol=0.2)
    same, touched = stream_operators.noise(values, Corruption("noise", 0.0), context)
    np.testing.assert_array_equal(same, values)
    assert not touched.any()


def test_lost_channels_are_the_same_in_every_row_and_nested():
    values = np.random.default_rng(0).standard_normal((6, 10)).astype(np.float32)
    lost = []
    for extent in (0.2, 0.5, 1.0):
        context = CorruptionContext(np.random.default_rng(3), fill=np.full(10, 7.0))
        result, _ = stream_operators.channels(values, Corruption("channels", extent=extent), context)
        gone = result == 7.0
        assert (gone == gone[0]).all()
        assert gone[0].sum() == round(10 * extent)
        np.testing.assert_array_equal(result[~gone], values[~gone])
        lost.append(set(np.flatnonzero(gone[0])))
    assert lost[0] < lost[1] < lost[2]


def test_truncation_leaves_a_word_and_a_single_word_stays():
    assert truncated(5, np.random.default_rng(0), 1.0) == [(0, None)]
    assert corrupt("truncated", make(1)).text == "the"
