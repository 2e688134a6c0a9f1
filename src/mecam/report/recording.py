"""A recording's predictions as one HTML page: player, timeline, words, modalities, faces.

A page loads nothing from anywhere but the recording, which it holds itself or links to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mecam.files import write_whole
from mecam.prediction.preview import PreviewChoice
from mecam.prediction.rows import tells_more
from mecam.report.format import UNDEFINED, capital, clock, percent, plain, plural, signed
from mecam.report.page import Section, page, render, section
from mecam.report.panel_strips import people_of
from mecam.report.people import people_table, voice_table
from mecam.report.player import player
from mecam.report.predictions import (
    absence,
    absences,
    beside_score,
    faces_seen,
    kicker,
    no_score,
    odds,
    remarks,
    says,
    text_first,
)
from mecam.report.recording_table import NAMES, REMOVED, span_of
from mecam.report.strips import ShadedWord
from mecam.report.table import Cell, Table
from mecam.report.timeline import timeline
from mecam.task import Task
from mecam.types import TEXT, VISION, Modality

if TYPE_CHECKING:
    from mecam.prediction.result import Prediction, RecordingPrediction

__all__ = ["STYLES", "recording_fragment", "write_recording"]

STYLES: Mapping[str, Any] = {"styles": ("recording.css",), "scripts": ("player.js",), "media": True}
"""What `page` adds to a page about a recording or an utterance."""


def write_recording(
    path: Path,
    recording: "RecordingPrediction",
    task: Task,
    about: Mapping[str, Any],
    *,
    preview: PreviewChoice = "auto",
    sent: bool = False,
) -> Path:
    """Write the page of a recording, whole or not at all.

    Args:
        path: of the page.
        recording: with the contributions of words, where they are to be shown.
        task: of the model.
        about: `run`, `model` and, where known, `learned_from`, by name.
        preview: whether the page gets a copy of the recording that browsers play.
        sent: the page is for another machine, where the recording has its name and no place that is known.

    Raises: DataError if it cannot be written.
    """
    shown = player(path, recording.path, preview, name=recording.name if sent else None)
    made = page(
        recording.name,
        kicker=kicker("mecam predict", about),
        sections=[
            Section("player", "", "player.j2", {"player": shown}),
            *_sections(recording, task),
        ],
        badges=recording.notes,
        top=_score(recording),
        attributes={"duration": _duration(recording)},
        **STYLES,
    )
    return write_whole(path, made)


def recording_fragment(recording: "RecordingPrediction", task: Task, about: Mapping[str, Any]) -> str:
    """The same as HTML to be put into another page, which has the player, `STYLES` and the colours.

    Args:
        recording: with the contributions of words, where they are to be shown.
        task: of the model.
        about: `run`, `model` and, where known, `learned_from`, by name.
    """
    shown = [each for each in _sections(recording, task) if each.content is not None]
    top = _score(recording)
    return render(
        "fragment.j2",
        name=recording.name,
        kicker=kicker("mecam serve", about),
        badges=recording.notes,
        absent=absences(recording),
        top=render(top.template, **(top.content or {})),
        duration=_duration(recording),
        sections=[(each, render(each.template, **(each.content or {}))) for each in shown],
    )


def _sections(recording: "RecordingPrediction", task: Task) -> list[Section]:
    """What is said below the player."""
    return [
        Section("timeline", "Timeline", "timeline.j2", timeline(recording, task)),
        section("people", "People", tables=[people_table(recording)]),
        section("voice", "Voice", tables=[voice_table(recording)]),
        section("probabilities", "Probabilities", tables=[_probabilities(recording)]),
        Section("utterances", "Utterances", "utterances.j2", _utterances(recording)),
        _modalities(recording),
        _faces(recording),
        section("remarks", "Remarks", texts=remarks(recording), text_only=True),
    ]


def _score(recording: "RecordingPrediction") -> Section:
    """The whole recording in a line, and what is told beside it."""
    length = f"{recording.duration:.1f} s, {plural(len(recording.parts), 'utterance')}"
    small = [told for told in (odds(recording.overall), beside_score(recording.overall), length) if told]
    headline = says(recording.overall) or no_score(recording)
    return Section("", "", "score.j2", {"text": headline, "small": " · ".join(small)})


def _duration(recording: "RecordingPrediction") -> str:
    """Seconds, for the script of the player; never 0."""
    return f"{max(recording.duration, 1e-3):.3f}"


def _probabilities(recording: "RecordingPrediction") -> Table | None:
    """Of classes or labels: the probability of each, in every utterance."""
    names = list(recording.overall.probabilities)
    if not names:
        return None
    told = [(span_of(p), p) for p in recording.parts]
    rows = []
    for time, part in [*told, ("whole", recording.overall)] if len(told) > 1 else told:
        best = max(part.probabilities.values())
        given = [part.probabilities[name] for name in names]
        rows.append([time, *(Cell(percent(p, 0), tone="best" if p == best else "") for p in given)])
    return Table(("utterance", *names), rows)


def _utterances(recording: "RecordingPrediction") -> dict[str, Any]:
    largest = max((abs(c) for row in recording.contributions for c in row), default=0.0)
    scored = recording.overall.score is not None
    faded = tells_more(recording)
    parts: list[dict[str, Any]] = []
    for i, part in enumerate(recording.parts):
        given = recording.contributions[i] if i < len(recording.contributions) else ()
        parts.append(
            {
                "start": part.start or 0.0,
                "stop": part.stop or 0.0,
                "time": span_of(part),
                "says": says(part),
                "beside": _beside(recording, part),
                "words": _words(part, given if largest > 0 else (), largest, scored, faded=faded),
                "warnings": _oddities(part),
            }
        )
    signs = ("raises the score", "lowers it") if scored else ("raises it", "lowers it")
    unit = "" if scored else ", in points of its probability"
    note = f"The number under a word is its contribution to the prediction{unit}, measured by removing the word."
    removed = any("faded" in word.css for part in parts for word in part["words"])
    return {"parts": parts, "signs": signs if largest > 0 else None, "note": note, "removed": removed}


def _beside(recording: "RecordingPrediction", part: "Prediction") -> list[str]:
    """What is told beside the score, a line for each who is seen."""
    mine = beside_score(part)
    several = len(people_of(recording)) > 1
    lines = [f"person {part.person}: {mine}" if several and part.person is not None else mine]
    others = [one for one in recording.listeners if (one.id, one.start) == (part.id, part.start)]
    return [line for line in [*lines, *(f"person {one.person}: {beside_score(one)}" for one in others)] if line]


def _words(
    part: "Prediction", given: Sequence[float], largest: float, scored: bool, *, faded: bool
) -> list[ShadedWord]:
    """The words in the shades of their contributions.

    Args:
        part: the utterance.
        given: the contributions.
        largest: the one with the full shade.
        scored: they are parts of a score.
        faded: words that the filter removed are dim and struck.
    """
    words = [ShadedWord(word) for word in (part.text or "").split()]
    shaded = [
        ShadedWord(
            word.text,
            "up" if adds > 0 else "down",
            abs(adds) / largest,
            signed(adds) if scored else signed(100 * adds, 0),
        )
        for word, adds in zip(words, given, strict=False)
    ]
    gates = dict(enumerate(part.kept.get(TEXT, []) if faded else []))
    removed = {place for place, gate in gates.items() if gate is not None and gate < REMOVED}
    shown = [*shaded, *words[len(shaded) :]]
    return [replace(w, css=f"{w.css} faded".strip()) if place in removed else w for place, w in enumerate(shown)]


def _oddities(part: "Prediction") -> list[str]:
    """Which modality contradicts the others by the model's estimate, and which modality alone predicts the opposite."""
    lines = []
    for modality in part.contradicts:
        if modality in part.doubts:
            likely = percent(part.doubts[modality], 0)
            lines.append(f"{capital(modality)} contradicts the others: {likely} probable.")
        else:
            lines.append(f"The {NAMES.get(modality, modality)} contradicts the words.")
    for modality in part.disagrees:
        alone = part.alone[modality]
        opposite = f"the opposite: {signed(alone)}" if isinstance(alone, float) else f"something else: {alone}"
        lines.append(f"{capital(modality)} alone would say {opposite}.")
    return lines


def _modalities(recording: "RecordingPrediction") -> Section:
    """What each modality weighs, the prediction from it alone, and what is absent."""
    present = sorted({m for p in recording.parts for m in (*p.shares, *p.absent)}, key=text_first)
    rows = [
        [span_of(part) if m == present[0] else "", m, *_weight_and_alone(recording, part, m)]
        for part in recording.parts
        for m in present
    ]
    note = (
        "Modality weight: how much a modality contributes to the prediction; the weights of an utterance add up to "
        "100 %."
    )
    if any(part.alone for part in recording.parts):
        other = "the opposite of" if recording.overall.score is not None else "something else than"
        note += " Alone: the prediction from this modality only; in colour where it is "
        note += f"{other} the prediction from all modalities."
    table = Table(("utterance", "modality", "modality weight", "alone"), rows, note=note, words=frozenset({0, 1}))
    return section(
        "modalities",
        "Modalities",
        texts=absences(recording),
        tables=[table.compact() if any(p.shares or p.alone for p in recording.parts) else None],
        folded=[("Does a modality contradict the others?", _conflicts(recording))],
        text_only=True,
    )


def _weight_and_alone(recording: "RecordingPrediction", part: "Prediction", modality: Modality) -> list[Cell]:
    if modality in part.absent:
        return [Cell("absent", tone="muted"), Cell(absence(recording, modality), tone="muted")]
    alone = part.alone.get(modality)
    said = UNDEFINED if alone is None else signed(alone) if isinstance(alone, float) else alone
    weight = percent(part.shares[modality], 0) if modality in part.shares else UNDEFINED
    return [Cell(weight), Cell(said, tone="warning" if modality in part.disagrees else "")]


def _conflicts(recording: "RecordingPrediction") -> Table | None:
    """Conflict probabilities, folded away: small ones mean nothing."""
    names = sorted({m for p in recording.parts for m in p.doubts}, key=text_first)
    if not names:
        return None
    rows = [
        [
            span_of(part),
            *(Cell(percent(part.doubts.get(m), 0), tone="warning" if m in part.contradicts else "") for m in names),
        ]
        for part in recording.parts
    ]
    note = (
        "The probability, estimated from all modalities, that one of them contradicts the others. It is shown with "
        "the utterance if it is above 50 %; smaller values have no meaning. It may differ from the prediction of a "
        "modality alone, which is measured in another way."
    )
    return Table(("utterance", *names), rows, note=note)


def _faces(recording: "RecordingPrediction") -> Section:
    rows = [
        [
            f"{clock(face['start'])}–{clock(face['stop'])}",
            str(face["frames"]),
            str(face["chosen"]),
            f"{face['side']:.0f} px",
            plain(face["presence"], 2),
        ]
        for row in recording.details.get(VISION, ())
        for face in row.get("faces", ())
    ]
    note = (
        "Pictures: number of frames with this face. As speaker: number of these in which the face is taken for the "
        "speaker; the model uses only these. Size: width of the face. Certainty: confidence of the face detector, "
        "from 0 to 1."
    )
    table = Table(("seen", "pictures", "as speaker", "size", "certainty"), rows, note=note)
    seen = faces_seen(recording)
    return section("faces", "Faces", texts=[seen] if seen else [], tables=[table] if rows else [], text_only=True)
