"""What the sentence grammar promises: wording says the sentiment, in many ways, or nothing at all."""

import re

import numpy as np
import pytest

from mecam.synthetic.lexicon import ADJECTIVES, AMBIGUOUS, CONTEXTS, OPENERS, TOPICS
from mecam.synthetic.sentences import ambiguous_sentence, clear_sentence


def drawn(count: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    topics = list(TOPICS)
    for _ in range(count):
        sentiment = float(rng.uniform(-3, 3))
        yield sentiment, clear_sentence(topics[int(rng.integers(len(topics)))], sentiment, rng)


@pytest.fixture(scope="module")
def clear():
    return list(drawn(1500))


def test_the_valence_is_near_what_was_asked_for(clear):
    error = np.array([reading.valence - sentiment for sentiment, reading in clear])
    assert np.abs(error).mean() < 0.2
    assert all(-3 <= reading.valence <= 3 for _, reading in clear)


def test_nearly_every_sentence_is_another(clear):
    assert len({reading.text for _, reading in clear}) > 0.9 * len(clear)


@pytest.mark.parametrize(
    ("pattern", "least"),
    [
        (r"\b(not|never|hardly|anything but)\b", 0.10),
        (r"\b(but|although|even though|and yet)\b", 0.05),
        (r"\b(slightly|a little|rather|fairly|quite|really|very|so|truly|absolutely|incredibly)\b", 0.2),
        (r"\b(guess|suppose|maybe|in a way)\b", 0.03),
    ],
)
def test_negation_contrast_degree_and_hedge_all_occur(clear, pattern, least):
    assert np.mean([bool(re.search(pattern, reading.text)) for _, reading in clear]) > least


def test_denied_praise_is_blame_and_denied_blame_is_praise(clear):
    plain = {"praise": [], "blame": []}
    for _, reading in clear:
        match = re.fullmatch(
            r"(?:[a-z ]+, )?(?:the|this|my|our|her) [a-z -]+ (?:is|was) not ([a-z]+)( at all)?", reading.text
        )
        if match and match.group(1) in ADJECTIVES:
            worth = ADJECTIVES[match.group(1)]
            plain["praise" if worth > 0 else "blame"].append(reading.valence)
    assert plain["praise"]
    assert plain["blame"]
    assert max(plain["praise"]) < 0 < min(plain["blame"])


def test_the_same_generator_gives_the_same_sentence():
    assert list(drawn(30, seed=4)) == list(drawn(30, seed=4))
    assert list(drawn(30, seed=4)) != list(drawn(30, seed=5))


def test_an_ambiguous_sentence_uses_no_word_of_praise_or_blame():
    polar = {word for word, worth in ADJECTIVES.items() if abs(worth) >= 0.3}
    polar |= {word for topic in TOPICS.values() for word in topic.adjectives}
    rng = np.random.default_rng(0)
    texts = [ambiguous_sentence(topic, rng) for topic in TOPICS for _ in range(60)]
    assert all(reading.valence == 0 for reading in texts)
    assert len({reading.text for reading in texts}) > 700
    for text in [reading.text for reading in texts] + list(AMBIGUOUS) + list(CONTEXTS):
        words = set(re.findall(r"[a-z]+", text)) - {w for opener in OPENERS for w in re.findall(r"[a-z]+", opener)}
        assert not words & polar, text


def test_sentences_are_clean_words():
    rng = np.random.default_rng(1)
    texts = [reading.text for _, reading in drawn(300, seed=2)]
    texts += [ambiguous_sentence(topic, rng).text for topic in TOPICS for _ in range(20)]
    for text in texts:
        assert re.fullmatch(r"(I|[a-z-]+)(,? (I|[a-z-]+))*", text), text
        assert 2 <= len(text.split()) <= 45
