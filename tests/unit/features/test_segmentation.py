"""Cutting: nothing is lost, nothing overlaps, and lengths are kept."""

import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mecam.errors import ConfigError
from mecam.features import segmentation
from mecam.features.audio.acoustics import RATE_HZ
from mecam.features.media import Media
from mecam.features.segmentation import Lengths, cut, cut_words, has_silero, silero_spans, voice_activity
from mecam.features.text import Segment, Transcript
from mecam.types import Word
from voices import buzz, write_wav

LENGTHS = Lengths(1.0, 6.0)


def words_of(gaps: list[tuple[float, float, str]]) -> list[Word]:
    result, at = [], 0.0
    for pause, duration, text in gaps:
        result.append(Word(text, at + pause, at + pause + duration))
        at += pause + duration
    return result


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 3), st.floats(0.05, 1.5), st.sampled_from(["a", "b", "end.", "why?", "c,"])), max_size=40
    )
)
@example([(0.0, 0.5, "end."), *5 * [(0.0, 1.0, "a")], (0.0, 1.5, "a")])  # cut once, it is still too long
def test_every_word_is_in_one_utterance_and_none_is_too_long(gaps: list[tuple[float, float, str]]) -> None:
    words = words_of(gaps)
    pieces = cut_words(words, LENGTHS)
    assert [w for piece in pieces for w in piece.words] == words
    assert all(piece.text == " ".join(w.text for w in piece.words) for piece in pieces)
    for piece in pieces:
        assert piece.stop - piece.start <= LENGTHS.longest + 1e-9
    for before, after in pairwise(pieces):
        assert before.stop <= after.start + 1e-9


def test_sentences_and_pauses_cut() -> None:
    words = words_of([(0, 1, "One."), (0, 1, "Two"), (0, 1, "more."), (0.1, 1.2, "three"), (2, 1, "four")])
    assert [p.text for p in cut_words(words, LENGTHS)] == ["One.", "Two more.", "three", "four"]


def test_without_a_sentence_the_longest_pause_cuts() -> None:
    words = words_of([(0.5 if i == 5 else 0.1, 0.8, f"w{i}") for i in range(9)])
    assert [len(p.words) for p in cut_words(words, LENGTHS)] == [5, 4]


def levels(spans: list[tuple[float, float]], total: float, *, loud: float = -20, floor: float = -65) -> Any:
    times = np.arange(int(total * 50)) / 50
    result = np.full(len(times), float(floor))
    for start, stop in spans:
        result[(times >= start) & (times < stop)] = loud
    return result + np.random.default_rng(0).normal(0, 1, len(times))


def test_voice_is_found_where_it_is() -> None:
    spans = [(1.0, 3.0), (5.0, 8.0), (10.0, 11.5)]
    for floor in (-90, -65, -42):
        found = voice_activity(levels(spans, 14, floor=floor), LENGTHS)
        assert len(found) == 3, floor
        for (a, b), (start, stop) in zip(spans, found, strict=True):
            assert start == pytest.approx(a, abs=0.25)
            assert stop == pytest.approx(b, abs=0.25)


def test_a_long_voice_is_cut_where_it_is_quietest() -> None:
    loudness = levels([(0, 10)], 10)
    loudness[int(4.4 * 50) : int(4.6 * 50)] = -33
    first, second = voice_activity(loudness, LENGTHS)
    assert first[1] == pytest.approx(4.5, abs=0.15)
    assert second[0] == first[1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-100, 0), max_size=600))
def test_any_levels_give_spans_in_order(rows: list[float]) -> None:
    spans = voice_activity(np.repeat(np.array(rows), 5), LENGTHS)
    for start, stop in spans:
        assert 0 <= start < stop <= len(rows) / 10 + 1e-9
        assert stop - start <= LENGTHS.longest + 0.5
    assert all(a[0] < b[0] for a, b in pairwise(spans))


def recording(path: Path, duration: float, spans: list[tuple[float, float]]) -> Media:
    sound = np.zeros(int(duration * RATE_HZ), np.int16)
    for start, stop in spans:
        sound[int(start * RATE_HZ) : int(stop * RATE_HZ)] = 3000
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(sound.tobytes())
    return Media(path)


def test_a_recording_is_cut_by_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "has_silero", lambda: False)  # it knows a buzz from a voice
    media = recording(tmp_path / "a.wav", 12, [(1, 3), (6, 8)])
    by_voice = cut(media, None, LENGTHS)
    assert [(s.start, s.stop) for s in by_voice] == [
        pytest.approx((0.85, 3.15), abs=0.05),
        pytest.approx((5.85, 8.15), abs=0.05),
    ]
    assert all(s.text is None for s in by_voice)
    said = Transcript(
        (
            Segment(1.0, 3.0, "Hi there.", (Word("Hi", 1.0, 2.0), Word("there.", 2.0, 3.0))),
            Segment(6.0, 8.0, "Yes", (Word("Yes", 6.0, 8.0),)),
        )
    )
    assert [s.text for s in cut(media, said, LENGTHS)] == ["Hi there.", "Yes"]
    untimed = Transcript((Segment(float("nan"), float("nan"), "Hi"),))
    assert [(s.start, s.stop, s.text) for s in cut(media, untimed, LENGTHS)] == [(0, 12, "Hi")]
    (whole,) = cut(recording(tmp_path / "b.wav", 5, []), said, LENGTHS)
    assert (whole.start, whole.stop, whole.text) == (0, 5, "Hi there. Yes")
    (silent,) = cut(recording(tmp_path / "c.wav", 12, []), None, LENGTHS)
    assert (silent.start, silent.stop) == (0, 12)


def test_impossible_lengths() -> None:
    with pytest.raises(ConfigError, match="cannot be"):
        Lengths(5.0, 2.0)


def test_a_voice_that_is_known_is_cut_as_one_that_is_loud() -> None:
    """Where a network says where the voice is, loudness only decides where long stretches are cut."""
    hum = levels([(1, 4), (6, 9)], 12.0)
    assert voice_activity(hum, LENGTHS, [(6.0, 9.0)]) == [(pytest.approx(5.85), pytest.approx(9.15))]
    assert voice_activity(hum, LENGTHS, []) == []
    (first, *rest) = voice_activity(hum, LENGTHS, [(0.0, 12.0)])
    assert rest
    assert first[1] - first[0] <= LENGTHS.longest


def test_with_the_extra_the_network_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    write_wav(path, buzz(8.0))
    monkeypatch.setattr(segmentation, "has_silero", lambda: True)
    monkeypatch.setattr(segmentation, "silero_spans", lambda media: [(2.0, 5.0)])
    assert [(round(s.start, 2), round(s.stop, 2)) for s in cut(Media(path), None, LENGTHS)] == [(1.85, 5.15)]


@pytest.mark.skipif(not has_silero(), reason="the extra `asr` is not installed")
def test_silero_hears_no_voice_in_a_tone(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    times = np.arange(RATE_HZ * 8) / RATE_HZ
    write_wav(path, (0.3 * np.sin(2 * np.pi * 440 * times)).astype(np.float32))
    assert silero_spans(Media(path)) == []


def test_sentences_of_a_short_recording(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "short.wav", buzz(4.0))
    words = tuple(Word(text, float(at), at + 0.9) for at, text in enumerate(("Fine.", "It", "was", "good.")))
    said = Transcript((Segment(0.0, 3.9, "Fine. It was good.", words),))
    media = Media(path)
    assert [one.text for one in cut(media, said, Lengths())] == ["Fine. It was good."]
    assert [one.text for one in cut(media, said, Lengths(0.5, sentences=True))] == ["Fine.", "It was good."]
    assert [one.text for one in cut(media, said, Lengths(1.0, sentences=True))] == ["Fine. It was good."]
    untimed = Transcript((Segment(float("nan"), float("nan"), "Fine. It was good."),))
    assert len(cut(media, untimed, Lengths(0.5, sentences=True))) == 1
