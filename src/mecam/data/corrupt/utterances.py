"""Negative information put into utterances, its place recorded as spans.

`OPERATORS` is the one dictionary of corruptions: a kind, as spans and configurations call it, and the
function that puts it into one modality of an utterance. A further kind is a further entry.
Everything is a pure function of its arguments; `generator_for` gives each utterance its own generator, so
that what happens to it depends neither on the other utterances nor on their order.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mecam.data.corrupt import streams, words
from mecam.data.corrupt.streams import Dose, StreamOperator
from mecam.data.corrupt.words import MISSING_WORD, WordOperator, apply_choice
from mecam.errors import ConfigError, DataError
from mecam.types import TEXT, Modality, Span, Utterance, Word

__all__ = [
    "OPERATORS",
    "Corruption",
    "corrupt_utterance",
    "generator_for",
]


@dataclass(frozen=True)
class Means:
    """What an operator may need besides the utterance.

    Attributes:
        rng: where its randomness comes from.
        dose: how much.
        partner: the utterance that a contradiction is taken from.
        unk: id of the tokenizer's unknown token, which stands for a missing word.
    """

    rng: np.random.Generator
    dose: Dose
    partner: Utterance | None = None
    unk: int | None = None


Operator: TypeAlias = Callable[[Utterance, Modality, Means], Utterance]


@dataclass(frozen=True)
class Corruption:
    """One step of a plan: put `kind`, a key of `OPERATORS`, into `modality`."""

    modality: Modality
    kind: str
    dose: Dose = field(default_factory=Dose)


def on_stream(kind: str, corrupt: StreamOperator) -> Operator:
    """Make a stream operator act on utterances."""

    def operator(utterance: Utterance, modality: Modality, means: Means) -> Utterance:
        if modality == TEXT and modality not in utterance.streams:
            raise ConfigError(
                f"{kind!r} corrupts feature streams, not text", fix="use missing, shuffled, contradiction or absent"
            )
        values, touched = corrupt(utterance.streams[modality], means.rng, means.dose)
        return with_rows(utterance, modality, values, kind, touched)

    return operator


def on_words(kind: str, corrupt: WordOperator) -> Operator:
    """Make a word operator act on utterances."""

    def operator(utterance: Utterance, modality: Modality, means: Means) -> Utterance:
        if modality != TEXT or modality in utterance.streams:
            raise ConfigError(
                f"{kind!r} corrupts text, not the stream {modality!r}", fix="use one of the kinds for feature streams"
            )
        choice = corrupt(word_count(utterance), means.rng, means.dose.extent)
        return with_choice(utterance, kind, choice, means.unk)

    return operator


def contradict(utterance: Utterance, modality: Modality, means: Means) -> Utterance:
    """Put the partner's whole modality in the place of this one; the label stays.

    Spans recorded in what was replaced go with it.

    Raises: DataError if there is no partner, or it lacks the modality.
    """
    partner = means.partner
    if partner is None or modality not in present(partner):
        raise DataError(f"a contradiction in {modality!r} needs a partner that has it", where=utterance.id)
    changes: dict[str, Any]
    if modality in partner.streams:
        changes = {"streams": {**utterance.streams, modality: partner.streams[modality]}}
        changes["intervals"] = {k: v for k, v in utterance.intervals.items() if k != modality}
        if modality in partner.intervals:
            changes["intervals"][modality] = partner.intervals[modality]
        count = len(partner.streams[modality])
    else:
        changes = {"text": partner.text, "words": partner.words, "tokens": partner.tokens}
        count = word_count(partner)
    kept = tuple(span for span in utterance.injected if span.modality != modality)
    return replace(utterance, injected=(*kept, Span(modality, "contradiction", 0, count)), **changes)


def take_away(utterance: Utterance, modality: Modality, means: Means) -> Utterance:
    """Make the whole modality absent. No row is left to mark, so no span is recorded."""
    kept = tuple(span for span in utterance.injected if span.modality != modality)
    if modality in utterance.streams:
        remaining = {key: rows for key, rows in utterance.streams.items() if key != modality}
        times = {key: rows for key, rows in utterance.intervals.items() if key != modality}
        return replace(utterance, streams=remaining, intervals=times, injected=kept)
    return replace(utterance, text=None, words=(), tokens=None, injected=kept)


OPERATORS: dict[str, Operator] = {
    "burst": on_stream("burst", streams.burst),
    "frozen": on_stream("frozen", streams.frozen),
    "dropped": on_stream("dropped", streams.dropped),
    "scattered": on_stream("scattered", streams.scattered),
    "impulse": on_stream("impulse", streams.impulse),
    "shift": on_stream("shift", streams.shift),
    "missing": on_words("missing", words.missing),
    "shuffled": on_words("shuffled", words.shuffled),
    "contradiction": contradict,
    "absent": take_away,
}
"""Kind → the function that puts it into one modality of an utterance."""


def corrupt_utterance(
    utterance: Utterance,
    rng: np.random.Generator,
    *,
    plan: Sequence[Corruption],
    partner: Utterance | None = None,
    unk: int | None = None,
) -> Utterance:
    """Carry out a plan of corruptions and append their places to `injected`.

    Args:
        utterance: left as it is; a copy is returned.
        rng: consumed in the order of the plan.
        plan: steps; a step on a modality that the utterance lacks is skipped.
        partner: where contradictions come from, an utterance of opposite sentiment.
        unk: id of the unknown token; needed where `tokens` are set and words go missing.

    Raises: ConfigError for an unknown kind or one that does not fit its modality; DataError for a
        contradiction without a partner that has the modality, or missing words without `unk`.
    """
    for step in plan:
        if step.kind not in OPERATORS:
            raise ConfigError(f"no corruption is called {step.kind!r}", fix=f"use one of {', '.join(OPERATORS)}")
        if step.modality in present(utterance):
            utterance = OPERATORS[step.kind](utterance, step.modality, Means(rng, step.dose, partner, unk))
    return utterance


def generator_for(seed: int, *names: str) -> np.random.Generator:
    """Make the generator of one utterance: the same on every machine for the same seed and names."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    return np.random.Generator(np.random.PCG64([seed, *np.frombuffer(digest, "<u4").tolist()]))


def present(utterance: Utterance) -> tuple[Modality, ...]:
    """Names of the modalities that hold anything, in alphabetical order."""
    names = {name for name, values in utterance.streams.items() if len(values)}
    if word_count(utterance):
        names.add(TEXT)
    return tuple(sorted(names))


def spans_of(modality: Modality, kind: str, touched: Sequence[bool] | NDArray[np.bool_]) -> tuple[Span, ...]:
    """Write a mask over rows or words as spans, one per run."""
    flags, spans, stop = bytes(np.asarray(touched, np.bool_)), [], 0
    while (start := flags.find(1, stop)) >= 0:
        stop = flags.find(0, start)
        stop = len(flags) if stop < 0 else stop
        spans.append(Span(modality, kind, start, stop))
    return tuple(spans)


def word_count(utterance: Utterance) -> int:
    """Words of the text, as tokens or as they are written."""
    if utterance.tokens is not None:
        return len(utterance.tokens)
    return len(utterance.text.split()) if utterance.text else 0


def with_rows(
    utterance: Utterance, modality: Modality, values: NDArray[np.float32], kind: str, touched: NDArray[np.bool_]
) -> Utterance:
    """Put rows into a stream and record those that were touched."""
    spans = utterance.injected + spans_of(modality, kind, touched)
    return replace(utterance, streams={**utterance.streams, modality: values}, injected=spans)


def with_choice(utterance: Utterance, kind: str, choice: Sequence[int], unk: int | None) -> Utterance:
    """Apply a choice of words to the text, its timed words and its tokens; times stay where they are."""
    changes: dict[str, Any] = {}
    before: Sequence[Any] = ()
    after: Sequence[Any] = ()
    if utterance.tokens is not None:
        if unk is None:
            raise no_unk(utterance)
        before, after = utterance.tokens, apply_choice(utterance.tokens, choice, (unk,))
        changes["tokens"] = tuple(after)
    if utterance.text is not None:
        before = utterance.text.split()
        if len(before) != len(choice):
            raise DataError(f"{len(before)} words, but tokens for {len(choice)}", where=utterance.id)
        after = apply_choice(before, choice, MISSING_WORD)
        changes["text"] = " ".join(after)
        if len(utterance.words) == len(choice):
            changes["words"] = tuple(
                word if old == new else Word(new, word.start, word.stop)
                for word, old, new in zip(utterance.words, before, after, strict=True)
            )
    touched = [old != new for old, new in zip(before, after, strict=True)]
    return replace(utterance, injected=utterance.injected + spans_of(TEXT, kind, touched), **changes)


def no_unk(utterance: Utterance) -> DataError:
    """What to raise where a token cannot go missing."""
    return DataError(
        "a missing word needs the id of the tokenizer's unknown token",
        where=utterance.id,
        fix="pass unk=tokenizer.unk_token_id",
    )
