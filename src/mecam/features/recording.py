"""One recording into utterances: transcript, cuts, features, all in the recording's own time.

The same for a store (`mecam extract`) and a prediction (`mecam predict`), so that a model sees what it learned from.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.data.corruption import Corruption
from mecam.data.corruption.corruption import spans_of
from mecam.data.operations.align import mean_per_interval
from mecam.errors import ConfigError, DataError, MediaError
from mecam.features.baseline import relative_to_baseline
from mecam.features.corruption import CorruptedMedia
from mecam.features.extractor import DEFAULT, Extractor, Features, chosen
from mecam.features.media import Media, Progress, nobody
from mecam.features.people import OfPerson, Person, Whose, of_person
from mecam.features.segmentation import Lengths, cut
from mecam.features.side_threads import side_by_side
from mecam.features.text import Segment, Transcript, join_words, read_beside, read_transcript
from mecam.types import TEXT, VISION, FeatureSpec, Modality, Span, Utterance

__all__ = ["NOTHING", "Recipe", "Recording", "aligned_to_words", "read_recording"]

NOTHING = {"audio": "the sound is silent", "vision": "no face is visible", TEXT: "it contains no words"}
"""Why a modality that a recording has may give nothing."""
_ALIKE, _COMPARED = 0.5, 2000
"""Likeness of two wordings of the same speech; below, one of them is of something else. How many letters are enough."""


@dataclass(frozen=True)
class Recipe:
    """How recordings become utterances.

    Attributes:
        extractors: names, at most one per modality.
        asr: the speech model that writes down what nobody did; None leaves text absent there.
        language: of the speech; None detects it.
        lengths: of utterances, where a recording is cut.
        aligned: streams that get one row per word, the mean of its rows.
        corruptions: put into sound and pictures before anything is made of them; their places are kept.
        relative: streams that are made relative to the person.
        baseline: for these: a recording of the person, or `auto`, this recording itself.
        people: tell everybody apart whose face is seen: `Recording.people`.
        person: whose face it is: that of the speaker, of the most visible one who does not speak at that moment, or of
            the person with this number. With `people`, or for anybody but the speaker, pictures are looked at once for
            the whole recording, so that numbers hold for all utterances.
        device: where PyTorch computes the face and speech networks for many recordings at once, such as `cuda`; empty:
            each process computes its own on the CPU. See `mecam.features.encoders`.
    """

    extractors: tuple[str, ...] = DEFAULT
    asr: str | None = None
    language: str | None = None
    lengths: Lengths = field(default_factory=Lengths)
    aligned: tuple[Modality, ...] = ()
    corruptions: tuple[Corruption, ...] = ()
    relative: tuple[Modality, ...] = ()
    baseline: str | Path | None = None
    people: bool = False
    person: Whose = "speaker"
    device: str = ""

    def __post_init__(self) -> None:
        if self.person not in ("speaker", "listener") and not (isinstance(self.person, int) and self.person >= 1):
            raise ConfigError(f"there is no person {self.person!r}", fix="give a number from 1, speaker or listener")

    def made(self) -> dict[Modality, Extractor]:
        """Modality → extractor."""
        return chosen(self.extractors)

    def specs(self) -> dict[Modality, FeatureSpec]:
        """Modality → what its rows are."""
        return {m: replace(e.spec, aligned=m in self.aligned) for m, e in self.made().items()}


@dataclass(frozen=True)
class Recording:
    """What a recording gives.

    Attributes:
        utterances: in time.
        spans: start and stop of each in seconds.
        duration: of the recording in seconds.
        absent: modality → why the recording does not have it.
        details: modality → per utterance, what its extractor reports (faces found, voiced share …).
        findings: what was odd in the file or the transcript, in sentences.
        language: of the transcript, where known.
        people: everybody whose face is seen, by number; empty where the recipe does not ask for people.
    """

    utterances: tuple[Utterance, ...]
    spans: tuple[tuple[float, float], ...]
    duration: float
    absent: Mapping[Modality, str] = field(default_factory=dict)
    details: Mapping[Modality, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    language: str = ""
    people: tuple[Person, ...] = ()


def read_recording(
    path: Path,
    recipe: Recipe,
    *,
    id: str,
    text: str | None = None,
    transcript: Path | None = None,
    beside: Sequence[Path] = (),
    span: tuple[float, float] | None = None,
    whole: bool = False,
    others: Sequence[Path] = (),
    progress: Progress = nobody,
) -> Recording:
    """Make utterances out of a recording.

    Args:
        path: the file.
        recipe: how.
        id: of the utterance; pieces of a recording get it with their number.
        text: what is said in all of it, where known; a transcript with times says it better.
        transcript: a file of what is said, and when.
        beside: files that may be that, where none is given; what is no transcript is left out and named in a finding.
        span: the seconds that matter; None takes all.
        whole: never cut.
        others: recordings that babble is made from, where the recipe asks for it.
        progress: told how far it is.

    Returns: a modality that the recording does not have is absent, with the reason.
    Raises: MecamError if the file gives nothing at all, or the transcript is not of this recording.
    """
    media = clean = Media(path)
    if recipe.corruptions:
        media = CorruptedMedia(path, recipe.corruptions, name=id, others=others)
    media.progress = progress
    absent: dict[Modality, str] = {}
    made = recipe.made()
    if recipe.people or recipe.person != "speaker":
        made = of_person(made, recipe.person)
    if recipe.asr is not None and transcript is None and not beside and text is None:
        _look_ahead(made, media)
    said, findings = _said(media, recipe, text, transcript, beside, absent)
    if span is not None or whole:
        start, stop = span or (0.0, media.duration)
        segments = [_all_of(said, start, min(stop, media.duration), path)]
    else:
        # Where it is cut does not follow the corruption, so that the same utterances can be compared.
        segments = cut(clean, said, recipe.lengths)
    if not _alike(text or "", join_words([s.text for s in segments if s.text])):
        findings += ("the words of the transcript differ from the label table; the transcript is used",)
    progress("words", 1.0)
    utterances: list[Utterance] = []
    details: dict[Modality, list[Mapping[str, Any]]] = {m: [] for m in made}
    for number, segment in enumerate(segments, 1):
        found = _features(made, media, segment, absent)
        known = {m: f for m, f in found.items() if len(f.values)}
        for modality in made:
            details[modality].append(known[modality].details if modality in known else {})
        name = id if len(segments) == 1 else f"{id}_{number:0{len(str(len(segments)))}}"
        utterance = Utterance(
            id=name,
            video=id,
            text=segment.text,
            words=segment.words,
            streams={m: f.values for m, f in known.items()},
            intervals={m: f.intervals for m, f in known.items()},
        )
        utterances.append(_marked(aligned_to_words(utterance, recipe.aligned), media))
        progress("voice", number / len(segments))
    progress("faces", 1.0)
    if recipe.relative and recipe.baseline is not None:
        utterances = relative_to_baseline(utterances, recipe.baseline, {m: recipe.made()[m] for m in recipe.relative})
    absent.update((m, NOTHING.get(m, "all time steps are missing")) for m in made if _all_missing(utterances, m))
    if made and all(not u.streams and u.text is None for u in utterances):
        reasons = "; ".join(f"{m}: {why}" for m, why in absent.items())
        raise DataError(f"the recording gives no features ({reasons or 'it is too short'})", where=str(path))
    people = next((e.people for e in made.values() if isinstance(e, OfPerson)), None)
    if people is not None:
        findings += people.findings
    return Recording(
        tuple(utterances),
        tuple((s.start, s.stop) for s in segments),
        media.duration,
        absent,
        {m: tuple(rows) for m, rows in details.items()},
        (*media.findings, *findings),
        said.language if said else "",
        people.persons if people is not None else (),
    )


def _look_ahead(made: Mapping[Modality, Extractor], media: Media) -> None:
    """Begin to look at the faces of the whole recording, while its words are written down."""
    for extractor in made.values():
        if isinstance(extractor, OfPerson) and not isinstance(media, CorruptedMedia):
            extractor.look_ahead(media)


def _all_missing(utterances: Sequence[Utterance], modality: Modality) -> bool:
    """True if a stream is there and holds no value, as of a silent sound."""
    streams = [u.streams[modality] for u in utterances if modality in u.streams]
    return bool(streams) and all(np.isnan(values).all() for values in streams)


def _said(
    media: Media,
    recipe: Recipe,
    text: str | None,
    transcript: Path | None,
    beside: Sequence[Path],
    absent: dict[Modality, str],
) -> tuple[Transcript | None, tuple[str, ...]]:
    """What is said, where it is known, and what was odd about it."""
    findings: tuple[str, ...] = ()
    said = read_transcript(transcript) if transcript is not None else None
    if said is None and beside:
        said, transcript, findings = read_beside(beside, language=recipe.language)
    if said is not None and said.segments:
        said = said.within(media.duration, where=str(transcript))
        return said, (*findings, *said.findings)
    if text is not None and text.strip():
        if said is not None:
            findings += (f"{transcript and transcript.name} has no words; the text of the label table is used",)
        return Transcript((Segment(math.nan, math.nan, text),)), findings
    if said is not None:
        absent[TEXT] = "the transcript is empty"
        return None, (*findings, *said.findings)
    if recipe.asr is not None:
        heard = _heard(media, recipe.asr, recipe.language, absent)
        return heard, (*findings, *(heard.findings if heard else ()))
    absent[TEXT] = "no transcript was given" if not findings else "there is no transcript next to the recording"
    return None, findings


def _alike(one: str, other: str) -> bool:
    """True if two texts may be of the same speech; without letters, a text says nothing about it."""
    letters, others = (re.sub(r"[\W_]+", "", text.casefold())[:_COMPARED] for text in (one, other))
    if not letters or not others:
        return True
    return SequenceMatcher(None, letters, others, autojunk=False).ratio() >= _ALIKE


def _heard(media: Media, model: str, language: str | None, absent: dict[Modality, str]) -> Transcript | None:
    if media.sound is None:
        absent[TEXT] = "there is no sound to transcribe"
        return None
    from mecam.features.text.asr import transcribe

    heard = transcribe(media, model=model, language=language)
    if heard is None:
        absent[TEXT] = "no speech was found"
        return None
    return heard.within(media.duration)


def _all_of(said: Transcript | None, start: float, stop: float, path: Path) -> Segment:
    """One segment from start to stop, with the words in it."""
    if stop <= start:
        raise DataError(f"{start:.1f} to {stop:.1f} s lies outside the recording", where=str(path))
    if said is None or not said.timed:
        return Segment(start, stop, said.text if said else None)
    words = tuple(w for w in said.words if start <= (w.start + w.stop) / 2 <= stop)
    return Segment(start, stop, join_words([w.text for w in words]) or None, words)


def _features(
    made: Mapping[Modality, Extractor], media: Media, segment: Segment, absent: dict[Modality, str]
) -> dict[Modality, Features]:
    """The rows of one segment; a recording without such a stream is no failure, and said in `absent`."""
    stop = None if segment.stop >= media.duration else segment.stop
    asked = {m: extractor for m, extractor in made.items() if m not in absent}

    def extracted(extractor: Extractor, media: Media) -> Features | MediaError:
        try:
            return extractor(media, segment.start, stop)
        except MediaError as error:
            return error

    if isinstance(media, CorruptedMedia):  # what it touches it notes in one place
        results = [extracted(extractor, media) for extractor in asked.values()]
    else:
        views = [media.apart() for _ in asked]
        results = side_by_side([partial(extracted, *pair) for pair in zip(asked.values(), views, strict=True)])
        for view in views:
            media.take_in(view)
    found = dict(zip(asked, results, strict=True))
    absent.update((m, result.what) for m, result in found.items() if isinstance(result, MediaError))
    return {m: result for m, result in found.items() if isinstance(result, Features)}


def aligned_to_words(utterance: Utterance, modalities: tuple[Modality, ...]) -> Utterance:
    """With one row per word in these streams; where words have no times, without them.

    A text without blanks, as Chinese is written, then gets them: its words are what rows belong to.
    """
    chosen = [m for m in modalities if m in utterance.streams]
    if not chosen:
        return utterance
    streams, intervals = dict(utterance.streams), dict(utterance.intervals)
    words = np.array([(word.start, word.stop) for word in utterance.words], np.float64).reshape(-1, 2)
    for modality in chosen:
        values, times = streams.pop(modality), intervals.pop(modality)
        if np.isfinite(words).all(axis=1).any():
            streams[modality] = mean_per_interval(values, times, words)
            intervals[modality] = words
    text = " ".join(word.text for word in utterance.words) or utterance.text
    return replace(utterance, streams=streams, intervals=intervals, text=text)


def _marked(utterance: Utterance, media: Media) -> Utterance:
    """With the rows recorded that lie in corrupted moments, of every stream that is made from what was corrupted."""
    if not isinstance(media, CorruptedMedia):
        return utterance
    spans: list[Span] = []
    for modality, times in utterance.intervals.items():
        for kind, touched in media.spans("picture" if modality == VISION else "sound").items():
            spans += spans_of(modality, kind, _meet(times, touched))
    return replace(utterance, injected=(*utterance.injected, *spans))


def _meet(rows: NDArray[np.float64], touched: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows share time with any of these intervals, both in order of time; a row without times shares none."""
    # The first interval that ends after the row begins.
    after = np.searchsorted(touched[:, 1], rows[:, 0] + 1e-6, side="right")
    known = np.isfinite(rows).all(axis=1) & (after < len(touched))
    met: NDArray[np.bool_] = known & (touched[np.minimum(after, len(touched) - 1), 0] < rows[:, 1] - 1e-6)
    return met
