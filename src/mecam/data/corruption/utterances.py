"""Negative information put into utterances, its place recorded as spans.

`OPERATORS` is the one dictionary of corruptions: a kind, as spans and configurations call it, and the
function that puts it into one modality of an utterance. A further kind is a further entry.
Everything is a pure function of its arguments; `generator_for` gives each utterance its own generator, so
that what happens to it depends neither on the other utterances nor on their order.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mecam.data.corruption import streams, words
from mecam.data.corruption.corruption import Corruption, CorruptionContext, spans_of
from mecam.data.corruption.phonetics import common_sounds
from mecam.data.corruption.streams import StreamOperator
from mecam.data.corruption.words import EditOperator, WordOperator, with_choice, with_edit, word_count
from mecam.errors import ConfigError, DataError
from mecam.types import TEXT, Modality, Span, Utterance

__all__ = [
    "OPERATORS",
    "corrupt_utterance",
    "generator_for",
    "present",
    "with_rows",
    "without_modality",
]


Operator: TypeAlias = Callable[[Utterance, Corruption, CorruptionContext], Utterance]


def on_stream(kind: str, corrupt: StreamOperator) -> Operator:
    """Make a stream operator act on utterances."""

    def operator(utterance: Utterance, corruption: Corruption, context: CorruptionContext) -> Utterance:
        modality = corruption.modality
        if modality == TEXT and modality not in utterance.streams:
            raise ConfigError(
                f"{kind!r} corrupts feature streams, not text", fix=f"use one of {', '.join(kinds_for_text())}"
            )
        values, touched = corrupt(utterance.streams[modality], corruption, context)
        return with_rows(utterance, modality, values, kind, touched)

    return operator


def on_words(kind: str, corrupt: WordOperator) -> Operator:
    """Make a word operator act on utterances."""

    def operator(utterance: Utterance, corruption: Corruption, context: CorruptionContext) -> Utterance:
        _require_text(utterance, corruption)
        choice = corrupt(word_count(utterance), context.rng, corruption.extent)
        return with_choice(utterance, kind, choice, context.unk)

    return operator


def on_edit(kind: str, corrupt: EditOperator) -> Operator:
    """Make an operator that takes words out act on utterances."""

    def operator(utterance: Utterance, corruption: Corruption, context: CorruptionContext) -> Utterance:
        _require_text(utterance, corruption)
        edit = corrupt(word_count(utterance), context.rng, corruption.extent)
        return with_edit(utterance, kind, edit, context.ids_of)

    return operator


def mishear(utterance: Utterance, corruption: Corruption, context: CorruptionContext) -> Utterance:
    """Put a speech recogniser's errors into the text; the extent is the word error rate to expect.

    Raises: DataError if the utterance has tokens and no text.
    """
    _require_text(utterance, corruption)
    if utterance.text is None:
        raise DataError("what sounds alike is found by the words themselves, not by tokens", where=utterance.id)
    sounds = context.sounds or common_sounds()
    edit = words.misheard(utterance.text.split(), context.rng, corruption.extent, sounds)
    return with_edit(utterance, "misheard", edit, context.ids_of)


def from_partner(kind: str) -> Operator:
    """Make an operator that puts the partner's whole modality in the place of this one; the label stays.

    Spans recorded in what was replaced go with it. The operator raises DataError if there is no partner, or it lacks
    the modality.
    """

    def operator(utterance: Utterance, corruption: Corruption, context: CorruptionContext) -> Utterance:
        partner, modality = context.partner, corruption.modality
        if partner is None or modality not in present(partner):
            raise DataError(f"a {kind} {modality!r} needs a partner that has it", where=utterance.id)
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
        return replace(utterance, injected=(*kept, Span(modality, kind, 0, count)), **changes)

    return operator


def take_away(utterance: Utterance, corruption: Corruption, context: CorruptionContext) -> Utterance:
    """Make the whole modality absent. No row is left to mark, so no span is recorded."""
    return without_modality(utterance, corruption.modality)


def without_modality(utterance: Utterance, modality: Modality) -> Utterance:
    """The utterance without a whole modality; the same where it lacks it."""
    if modality not in present(utterance):
        return utterance
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
    "noise": on_stream("noise", streams.noise),
    "channels": on_stream("channels", streams.channels),
    "missing": on_words("missing", words.missing),
    "shuffled": on_words("shuffled", words.shuffled),
    "jumbled": on_words("jumbled", words.jumbled),
    "deleted": on_edit("deleted", words.deleted),
    "truncated": on_edit("truncated", words.truncated),
    "misheard": mishear,
    "contradiction": from_partner("contradiction"),
    "foreign": from_partner("foreign"),
    "absent": take_away,
}
"""Kind → the function that puts it into one modality of an utterance."""

TEXT_ONLY = ("missing", "shuffled", "jumbled", "deleted", "truncated", "misheard")
ANYWHERE = ("contradiction", "foreign", "absent")


def corrupt_utterance(utterance: Utterance, corruptions: Sequence[Corruption], context: CorruptionContext) -> Utterance:
    """Carry out corruptions one after the other and append their places to `injected`.

    Args:
        utterance: left as it is; a copy is returned.
        corruptions: one of a modality that the utterance lacks is skipped.
        context: its generator is consumed in the order of the corruptions.

    Raises: ConfigError for an unknown kind or one that does not fit its modality; DataError for a
        contradiction without a partner that has the modality, missing words of tokens without `unk`, or new words
        without `ids_of`.
    """
    for step in corruptions:
        if step.kind not in OPERATORS:
            raise ConfigError(f"no corruption is called {step.kind!r}", fix=f"use one of {', '.join(OPERATORS)}")
        if step.modality in present(utterance):
            utterance = OPERATORS[step.kind](utterance, step, context)
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


def with_rows(
    utterance: Utterance, modality: Modality, values: NDArray[np.float32], kind: str, touched: NDArray[np.bool_]
) -> Utterance:
    """Put rows into a stream and record those that were touched."""
    spans = utterance.injected + spans_of(modality, kind, touched)
    return replace(utterance, streams={**utterance.streams, modality: values}, injected=spans)


def kinds_for_text() -> tuple[str, ...]:
    """Kinds for a transcript."""
    return (*TEXT_ONLY, *ANYWHERE)


def kinds_for_streams() -> tuple[str, ...]:
    """Kinds for a feature stream."""
    return tuple(kind for kind in OPERATORS if kind not in TEXT_ONLY)


def _require_text(utterance: Utterance, corruption: Corruption) -> None:
    if corruption.modality != TEXT or TEXT in utterance.streams:
        raise ConfigError(
            f"{corruption.kind!r} corrupts text, not the stream {corruption.modality!r}",
            fix=f"use one of {', '.join(kinds_for_streams())}",
        )
