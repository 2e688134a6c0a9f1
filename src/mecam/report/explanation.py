"""Explanations as one HTML page that loads nothing from anywhere; of a recording with its player and timeline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mecam.evaluation.explanation.explanation import ALL, Explanation, ModalityExplanation, in_short
from mecam.evaluation.explanation.perturbation import Effect
from mecam.evaluation.predict import contradicting, known_only
from mecam.evaluation.sums import Array
from mecam.files import write_whole
from mecam.prediction.preview import PreviewChoice
from mecam.prediction.result import RecordingPrediction
from mecam.report import strips as drawn
from mecam.report.explanation_tables import agreement_table, completeness, minus, modality_table, strongest_table
from mecam.report.format import capital, percent, plural, signed
from mecam.report.page import Section, page
from mecam.report.player import player
from mecam.report.predictions import absences, ends_of, kicker
from mecam.report.recording import STYLES
from mecam.report.recording_table import span_of
from mecam.report.timeline import timeline
from mecam.task import Task
from mecam.types import Modality

__all__ = ["write_explained", "write_explained_recording"]

PAGE_PARTS = 10
"""Parts in the table of those that count most."""

Measures = dict[str, tuple[dict[Modality, Array], float]]


def write_explained(
    path: Path, explained: Sequence[Explanation], about: Mapping[str, Any], notes: Sequence[str] = ()
) -> Path:
    """Write a page about utterances.

    Args:
        path: of the page.
        explained: the utterances.
        about: `run`, `model`, `data` and, where known, `learned_from`, by name.
        notes: notes that belong to every result of this model.

    Raises: DataError if it cannot be written.
    """
    several = len(explained) > 1
    made = page(
        plural(len(explained), "utterance") if several else explained[0].id,
        kicker=kicker("mecam explain", about),
        sections=[
            Section(
                f"utterance{i}", one.id if several else "", "explained.j2", _utterance(one, one.id if several else "")
            )
            for i, one in enumerate(explained, 1)
        ],
        badges=notes,
        lede=f"From the data set {about['data']}.",
        top=Section("", "", "reading.j2"),
        **STYLES,
    )
    return write_whole(path, made)


def write_explained_recording(
    path: Path,
    explained: Sequence[Explanation],
    recording: RecordingPrediction,
    about: Mapping[str, Any],
    task: Task,
    *,
    preview: PreviewChoice = "auto",
) -> Path:
    """Write a page about a recording: its player, its timeline, and every utterance explained.

    Args:
        path: of the page.
        explained: its utterances.
        recording: the recording.
        about: `run`, `model` and, where known, `learned_from`, by name.
        task: of the model.
        preview: as in `write_recording`.

    Raises: DataError if it cannot be written.
    """
    sections = [
        Section("player", "", "player.j2", {"player": player(path, recording.path, preview)}),
        Section("timeline", "Timeline", "timeline.j2", timeline(recording, task)),
    ]
    for i, (part, one) in enumerate(zip(recording.parts, explained, strict=True), 1):
        place = {"start": part.start or 0.0, "stop": part.stop or recording.duration, "time": span_of(part)}
        sections.append(
            Section(f"utterance{i}", span_of(part), "explained.j2", {**_utterance(one, ""), "place": place})
        )
    made = page(
        recording.name,
        kicker=kicker("mecam explain", about),
        sections=sections,
        badges=recording.notes,
        notes=absences(recording),
        top=Section("", "", "reading.j2"),
        attributes={"duration": f"{max(recording.duration, 1e-3):.3f}"},
        **STYLES,
    )
    return write_whole(path, made)


def _utterance(one: Explanation, name: str) -> dict[str, Any]:
    """Everything about one utterance, as `explained.j2` shows it."""
    doubted = [
        f"{capital(m)} contradicts the others: {percent(one.doubts[m], 0)} probable." for m in contradicting(one.doubts)
    ]
    scored = one.target.column is None
    number = f"{signed(one.score)}{ends_of(one.low, one.high)}" if scored else f"({percent(one.score, 0)})"
    small = [] if one.truth is None else [f"true {in_short(one.truth)}"]
    small += [] if scored else [f"explained: {one.target.name}"]
    return {
        "name": name,
        "place": None,
        "answer": f"{one.label} {number}",
        "small": "; ".join(small),
        "warnings": doubted,
        **_course(one),
        **_alternatives(one),
        "table": modality_table(one, effects=False),
        "folded": [strongest_table(one, PAGE_PARTS), agreement_table(one)],
        "completeness": completeness(one),
    }


def _course(one: Explanation) -> dict[str, Any]:
    """Words and streams over time: their gates, and what leaving out and gradients say."""
    streams = {m: _stream(of_modality) for m, of_modality in one.modalities.items()}
    filtered = {m: stream for m, stream in streams.items() if one.modalities[m].kept is not None}
    shades = drawn.shades_of(stream["kept"] for stream in filtered.values()) if filtered else drawn.FULL_RANGE
    span, measures = drawn.time_span(streams), _measures(one)
    timed = [m for m, stream in streams.items() if drawn.edges_of(stream) is not None]
    strips: list[drawn.Strip | drawn.Axis] = []
    for m, of_modality in one.modalities.items():
        edges = drawn.edges_of(streams[m])
        if len(of_modality.observed) < 2 or (of_modality.words and edges is None):
            continue
        frames = (0.0, float(len(of_modality.observed)))
        across, scale = (edges, span) if edges is not None and span else (np.arange(frames[1] + 1), frames)
        if m in filtered:
            strips.append(drawn.gate_strip(f"{m} gate", streams[m], shades, across, scale))
        strips += [
            _lane(m, name if m in filtered else f"{m} {name}", of_modality, values[m] / largest, across, scale)
            for name, (values, largest) in measures.items()
        ]
        if scale is frames:
            strips.append(drawn.frame_axis(len(of_modality.observed)))
        elif m == timed[-1] and span:
            strips.append(drawn.time_axis(*span))
    legend = drawn.Legend(
        shades,
        missing=any(None in stream["kept"] for stream in filtered.values()),
        injected=any(any(stream["injected"] or []) for stream in streams.values()),
    )
    lines = [
        line
        for m, of_modality in one.modalities.items()
        if of_modality.words
        for line in _sentence(one, m, streams[m], shades)
    ]
    return {"legend": legend if filtered else None, "lines": lines, "strips": strips}


def _stream(of_modality: ModalityExplanation) -> dict[str, Any]:
    """A of_modality as filter maps are written; what was not observed is None."""
    times = [part.part.seconds for part in of_modality.parts]
    frames = len(of_modality.observed)
    seconds = stop = None
    if all(times) and times:
        known = [t for t in times if t is not None]
        stop = known[-1][1]
        if of_modality.words:
            seconds = [t[0] for t in known]
        else:  # frames are evenly spaced within a window
            marks = [p.part.start for p in of_modality.parts] + [frames]
            seconds = np.interp(np.arange(frames), marks, [t[0] for t in known] + [stop]).tolist()
    return {
        "kept": [None] * frames if of_modality.kept is None else known_only(of_modality.kept),
        "labels": [part.part.label or "" for part in of_modality.parts] if of_modality.words else None,
        "seconds": seconds,
        "stop": stop,
        "injected": None if of_modality.injected is None else of_modality.injected.tolist(),
        "kinds": list(of_modality.kinds),
    }


def _sentence(
    one: Explanation, modality: Modality, stream: Mapping[str, Any], shades: drawn.Range
) -> list[tuple[str, list[drawn.ShadedWord]]]:
    """The words as the filter sees them, and as the answer depends on them."""
    of_modality = one.modalities[modality]
    values, largest = _measures(one)["left out"]
    words = [
        drawn.ShadedWord(
            part.part.label or "",
            f"{'up' if adds > 0 else 'down'}{' gone' if gone else ''}",
            abs(adds) / largest,
            minus(one.target.difference(adds)),
        )
        for part, adds, gone in zip(of_modality.parts, values[modality].tolist(), of_modality.removed, strict=True)
    ]
    kinds = ", ".join(of_modality.kinds)
    gates = (
        [(f"gate{' · ' if kinds else ''}{kinds}", drawn.gate_words(stream, shades))]
        if of_modality.kept is not None
        else []
    )
    return [*gates, (f"adds{one.target.unit}", words)]


def _lane(
    modality: Modality, name: str, of_modality: ModalityExplanation, values: Array, edges: Array, span: drawn.Range
) -> drawn.Strip:
    """Signed values of the parts, −1 to 1, from left to right."""
    at = ((edges - span[0]) / ((span[1] - span[0]) or 1.0) * drawn.WIDTH).tolist()
    boxes = [
        drawn.StripBox(at[p.start], at[p.stop] - at[p.start], "up" if v > 0 else "down", round(abs(v), 2), p.name)
        for p, v in zip([each.part for each in of_modality.parts], values.tolist(), strict=True)
    ]
    return drawn.Strip(name, boxes, f"{modality}: {name}", "lane")


def _measures(one: Explanation) -> Measures:
    """What each part adds by being there: measure → values per modality, and the largest of all."""
    found = {"left out": {m: np.array([p.without.adds for p in s.parts]) for m, s in one.modalities.items()}}
    if one.gradients is not None:
        found["gradients"] = {m: np.array([p.gradient or 0.0 for p in s.parts]) for m, s in one.modalities.items()}
    return {
        name: (values, max((float(np.abs(v).max(initial=0.0)) for v in values.values()), default=0.0) or 1.0)
        for name, values in found.items()
    }


def _alternatives(one: Explanation) -> dict[str, Any]:
    """The answer without each modality and without what the filter marks, as moves on one scale."""
    moves: list[tuple[str, Effect]] = [(f"without {m}", effect) for m, effect in one.without_modality.items()]
    for m, effect in one.without_removed.items():
        if effect.count and not (m == ALL and sum(bool(e.count) for e in one.without_removed.values()) < 3):
            what = "all marked parts" if m == ALL else f"marked {m} ({effect.count})"
            moves.append((f"without {what}", effect))
    everything = [one.score, *(effect.score for _, effect in moves)]
    low, high = min(everything), max(everything)
    margin = 0.08 * ((high - low) or 1.0)

    def x(score: float) -> float:
        return drawn.WIDTH * (score - low + margin) / (high - low + 2 * margin)

    told = one.target
    rows = [
        {
            "name": name,
            "box": drawn.StripBox(
                min(x(one.score), x(effect.score)), abs(x(one.score) - x(effect.score)), _direction(effect)
            ),
            "label": f"from {minus(told.told(one.score))} to {minus(told.told(effect.score))}",
            "answer": minus(told.told(effect.score)),
            "adds": minus(told.difference(effect.adds)),
        }
        for name, effect in moves
    ]
    nothing = bool(one.without_removed) and not one.without_removed[ALL].count
    return {
        "moves": rows,
        "whole": x(one.score),
        "begins": minus(told.told(one.score)),
        "unit": told.unit,
        "nothing": nothing,
    }


def _direction(effect: Effect) -> str:
    return "up" if effect.adds > 0 else "down"
