"""Words to sub-word ids, once per data set, keeping track of which word each id belongs to."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from mecam.data.corruption.words import MISSING_WORD
from mecam.errors import ModelError
from mecam.hub import loading_options, refusal, resolve_text_encoder

__all__ = ["Tokenizer"]

_BORROWED = Lock()
"""A fast tokenizer refuses a thread while another one is at work in it."""


class Tokenizer:
    """The tokenizer that belongs to a text encoder.

    Texts are split at white space first, so that every id has a word. A text without any lower-case letter
    (MOSI's transcripts) is lower-cased: it is a convention of the transcriber, not emphasis.

    Args:
        name: see `resolve_text_encoder`.
        max_tokens: most ids of one text, special ones included; the rest is cut at a word's end. The
            encoder's own limit holds where it is lower.

    Attributes:
        start: special ids before every text.
        end: special ids after it.
        pad: id that fills up shorter texts.
        unk: id of a missing word.

    Raises: ModelError if there is no such tokenizer.
    """

    def __init__(self, name: str, *, max_tokens: int) -> None:
        from transformers import AutoTokenizer

        source = resolve_text_encoder(name)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True, **loading_options(source))
        except (OSError, ValueError) as error:
            raise ModelError(f"no tokenizer for {name!r} can be loaded: {refusal(source, error)}") from error
        tokenizer = self._tokenizer
        probe = tokenizer("a", add_special_tokens=False)["input_ids"]
        whole = tokenizer("a")["input_ids"]
        at = next(i for i in range(len(whole)) if whole[i : i + len(probe)] == probe)
        self.start, self.end = tuple(whole[:at]), tuple(whole[at + len(probe) :])
        self.unk: int = tokenizer.unk_token_id if tokenizer.unk_token_id is not None else 0
        self.pad: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        self.max_tokens = min(max_tokens, tokenizer.model_max_length)
        self._ids: dict[str, tuple[int, ...]] = {}

    def __len__(self) -> int:
        """Number of pieces that it knows."""
        return len(self._tokenizer)

    def __call__(self, texts: Sequence[str]) -> list[tuple[tuple[int, ...], ...]]:
        """Return one tuple of ids per word, per text."""
        words = [(text if any(c.islower() for c in text) else text.lower()).split() for text in texts]
        return [self._cut([self.ids_of(word) for word in text]) for text in words]

    def ids_of(self, word: str) -> tuple[int, ...]:
        """Return the ids of one word, at least one."""
        if word not in self._ids:
            self._ids[word] = self._word(word)
        return self._ids[word]

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files into `folder`."""
        self._tokenizer.save_pretrained(folder)

    def _word(self, word: str) -> tuple[int, ...]:
        if word.upper() == MISSING_WORD:
            return (self.unk,)
        # A leading space makes byte-level tokenizers read the word as they would inside a sentence.
        with _BORROWED:
            ids = self._tokenizer(" " + word, add_special_tokens=False)["input_ids"]
        return tuple(ids) or (self.unk,)

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
