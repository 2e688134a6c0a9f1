"""Words to ids: what is remembered has an end."""

import pytest

from mecam.data import tokens
from mecam.data.tokens import SpecialIds, Tokenizer


def test_what_is_remembered_of_words_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_KNOWN", 10)
    tokenizer = Tokenizer(lambda word: [len(word)], SpecialIds((), (), 0, 0), size=9, max_tokens=500)
    texts = [f"word{i} {'long' * 50}{i}" for i in range(100)]
    expected = [((len(f" word{i}"),), (len(f" {'long' * 50}{i}"),)) for i in range(100)]
    assert tokenizer(texts) == tokenizer(texts) == expected
    assert 0 < len(tokenizer._ids) <= 10
    assert max(map(len, tokenizer._ids)) <= tokens.LONGEST_KNOWN
