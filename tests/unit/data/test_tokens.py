import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from mecam.data.tokens import PretrainedTokenizer
from mecam.errors import ModelError

PAD, UNK, CLS, SEP = 0, 1, 2, 3


@pytest.fixture(scope="module")
def tokenizer(encoder: str) -> PretrainedTokenizer:
    return PretrainedTokenizer(encoder, max_tokens=12)


def ids(*pieces: str) -> tuple[int, ...]:
    return tuple(tiny.VOCABULARY.index(piece) for piece in pieces)


def test_special_ids(tokenizer: PretrainedTokenizer) -> None:
    assert (tokenizer.pad, tokenizer.unk, tokenizer.start, tokenizer.end) == (PAD, UNK, (CLS,), (SEP,))


def test_one_tuple_per_word(tokenizer: PretrainedTokenizer) -> None:
    (words,) = tokenizer(["the film  was goodly zzz"])
    assert words == (ids("the"), ids("film"), ids("was"), ids("good", "##ly"), (UNK,))


def test_texts_without_lower_case_are_lower_cased(encoder: str, tmp_path: object) -> None:
    """MOSI's transcripts are in capitals, which a cased tokenizer would break into letters."""
    from pathlib import Path

    from transformers import BertTokenizerFast

    folder = Path(str(tmp_path)) / "cased"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join([*tiny.VOCABULARY, "GOOD", "I"]), encoding="utf-8")
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), do_lower_case=False).save_pretrained(folder)
    cased = PretrainedTokenizer(str(folder), max_tokens=12)
    assert cased(["THE FILM WAS GOOD"]) == cased(["the film was good"])
    assert cased(["the film was GOOD"])[0][3] == (len(tiny.VOCABULARY),)  # beside lower case it is emphasis


def test_a_missing_word_is_one_unknown_token(tokenizer: PretrainedTokenizer) -> None:
    for text in ("good [UNK] film", "GOOD [UNK] FILM"):
        assert tokenizer([text])[0] == (ids("good"), (UNK,), ids("film"))


def test_the_rest_is_cut_at_the_end_of_a_word(tokenizer: PretrainedTokenizer) -> None:
    room = 12 - 2
    assert len(tokenizer(["the " * 30])[0]) == room
    (words,) = tokenizer(["the " * 9 + "goodly the"])
    assert words == (ids("the"),) * 9  # the split word does not fit whole, and nothing after it is taken


def test_no_text_is_longer_than_the_encoder_can_read(encoder: str) -> None:
    long = PretrainedTokenizer(encoder, max_tokens=1000)
    assert sum(map(len, long(["the " * 200])[0])) + 2 == 64


@given(st.lists(st.text(max_size=40), max_size=5))
def test_words_are_those_of_split_and_never_empty(tokenizer: PretrainedTokenizer, texts: list[str]) -> None:
    for text, words in zip(texts, tokenizer(texts), strict=True):
        assert all(words)
        assert len(words) <= len(text.split())
        assert sum(map(len, words)) <= 10
        if sum(map(len, words)) < 7:  # far from the limit
            assert len(words) >= min(len(text.split()), 1)


def test_no_such_tokenizer(tmp_path: object) -> None:
    with pytest.raises(ModelError, match="no tokenizer"):
        PretrainedTokenizer(str(tmp_path), max_tokens=12)


def test_a_first_word_that_is_too_long_is_cut(encoder: str) -> None:
    tokenizer = PretrainedTokenizer(encoder, max_tokens=8)
    room = 8 - len(tokenizer.start) - len(tokenizer.end)
    (words,) = tokenizer(["0:0:0:0:0:0:0:0 good"])
    assert [len(ids) for ids in words] == [room]
