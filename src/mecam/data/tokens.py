"""Words to sub-word ids, once per data set, keeping track of which word each id belongs to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from mecam.errors import ModelError
from mecam.hub import loading_options, refusal, resolve_text_encoder
from mecam.types import MISSING_WORD

__all__ = ["PretrainedTokenizer", "SpecialIds", "Tokenizer"]

MAX_KNOWN, LONGEST_KNOWN = 100_000, 50
"""Words that are remembered, and their letters: more than a data set has, and what a service can hold for ever."""

_BORROWED = Lock()
"""A fast tokenizer refuses a thread while another one is at work in it."""


@dataclass(frozen=True)
class SpecialIds:
    """Ids that stand for no part of a word.

    Attributes:
        start: before every text.
        end: after it.
        unk: of a missing word.
        pad: what fills up shorter texts.
    """

    start: tuple[int, ...]
    end: tuple[int, ...]
    unk: int
    pad: int


class Tokenizer:
    """Words → ids, by what a text encoder's tokenizer makes of one word.

    Texts are split at white space first, so that every id has a word. A text without any lower-case letter
    (MOSI's transcripts) is lower-cased: it is a convention of the transcriber, not emphasis.

    Args:
        encode: one word → its ids, without special ones.
        special: the other ids.
        size: number of pieces that it knows.
        max_tokens: most ids of one text, special ones included; the rest is cut at a word's end.

    Attributes:
        start: special ids before every text.
        end: special ids after it.
        pad: id that fills up shorter texts.
        unk: id of a missing word.
    """

    def __init__(self, encode: Callable[[str], Sequence[int]], special: SpecialIds, *, size: int, max_tokens: int):
        self._encode, self._size = encode, size
        self.special, self.max_tokens = special, max_tokens
        self.start, self.end, self.unk, self.pad = special.start, special.end, special.unk, special.pad
        self._ids: dict[str, tuple[int, ...]] = {}

    @classmethod
    def from_file(cls, path: Path, special: SpecialIds, *, max_tokens: int) -> "Tokenizer":
        """The tokenizer in a `tokenizer.json`, read without `transformers`.

        Raises: ModelError if it cannot be read.
        """
        import tokenizers

        try:
            fast = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception
            raise ModelError(f"the tokenizer cannot be read: {error}", where=str(path)) from error
        fast.no_truncation()
        fast.no_padding()
        size = fast.get_vocab_size()
        return cls(
            lambda word: fast.encode(word, add_special_tokens=False).ids, special, size=size, max_tokens=max_tokens
        )

    def __len__(self) -> int:
        """Number of pieces that it knows."""
        return self._size

    def __call__(self, texts: Sequence[str]) -> list[tuple[tuple[int, ...], ...]]:
        """Return one tuple of ids per word, per text."""
        words = [(text if any(c.islower() for c in text) else text.lower()).split() for text in texts]
        return [self._cut([self.ids_of(word) for word in text]) for text in words]

    def framed(self, words: Sequence[Sequence[int]]) -> list[int]:
        """One text as an encoder reads it: the ids of its words, between the special ones; none for no words."""
        return [*self.start, *(token for ids in words for token in ids), *self.end] if words else []

    def ids_of(self, word: str) -> tuple[int, ...]:
        """Return the ids of one word, at least one."""
        ids = self._ids.get(word)
        if ids is None:
            ids = self._word(word)
            if len(word) <= LONGEST_KNOWN:
                self._ids = self._ids if len(self._ids) < MAX_KNOWN else {}
                self._ids[word] = ids
        return ids

    def _word(self, word: str) -> tuple[int, ...]:
        if word.upper() == MISSING_WORD:
            return (self.unk,)
        # A leading space makes byte-level tokenizers read the word as they would inside a sentence.
        return tuple(self._encode(" " + word)) or (self.unk,)

    def _cut(self, words: list[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
        room = self.max_tokens - len(self.start) - len(self.end)
        kept: list[tuple[int, ...]] = []
        for ids in words:
            if len(ids) > room:
                # A first word that is too long by itself is read as far as it goes: better than no text at all.
                kept += [] if kept else [ids[:room]]
                break
            room -= len(ids)
            kept.append(ids)
        return tuple(kept)


class PretrainedTokenizer(Tokenizer):
    """The tokenizer that belongs to a text encoder of `transformers`.

    Args:
        name: see `resolve_text_encoder`.
        max_tokens: most ids of one text; the encoder's own limit holds where it is lower.

    Raises: ModelError if there is no such tokenizer.
    """

    def __init__(self, name: str, *, max_tokens: int) -> None:
        from transformers import AutoTokenizer

        source = resolve_text_encoder(name)
        try:
            tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True, **loading_options(source))
        except (OSError, ValueError) as error:
            raise ModelError(f"no tokenizer for {name!r} can be loaded: {refusal(source, error)}") from error
        probe = tokenizer("a", add_special_tokens=False)["input_ids"]
        whole = tokenizer("a")["input_ids"]
        at = next(i for i in range(len(whole)) if whole[i : i + len(probe)] == probe)
        special = SpecialIds(
            start=tuple(whole[:at]),
            end=tuple(whole[at + len(probe) :]),
            unk=tokenizer.unk_token_id if tokenizer.unk_token_id is not None else 0,
            pad=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0,
        )
        limit = min(max_tokens, tokenizer.model_max_length)
        super().__init__(self._ids_of, special, size=len(tokenizer), max_tokens=limit)
        self._tokenizer = tokenizer

    def _ids_of(self, word: str) -> Sequence[int]:
        with _BORROWED:
            ids: Sequence[int] = self._tokenizer(word, add_special_tokens=False)["input_ids"]
        return ids

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files into `folder`."""
        self._tokenizer.save_pretrained(folder)

    def write_json(self, path: Path) -> None:
        """Write all of it as one `tokenizer.json`, for `Tokenizer.from_file`.

        Raises: ModelError if `transformers` has no fast tokenizer for the encoder.
        """
        fast = getattr(self._tokenizer, "backend_tokenizer", None)
        if fast is None:
            raise ModelError("the text encoder has no fast tokenizer, which other libraries could read")
        fast.save(str(path))
