"""The timeline of a recording: sentiment with its interval, gates and faces over the same seconds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mecam.prediction.moments import row_times
from mecam.prediction.rows import tells_more
from mecam.report.format import signed
from mecam.report.panel_strips import KEYS, emotion_group, face_group, removed_boxes, voice_group
from mecam.report.predictions import says, text_first
from mecam.report.strips import (
    FULL_RANGE,
    WIDTH,
    Legend,
    Strip,
    StripBox,
    StripGroup,
    across,
    gate_boxes,
    step_boxes,
    stretches,
    time_axis,
)
from mecam.task import Task
from mecam.types import TEXT, VISION, Modality

if TYPE_CHECKING:
    from mecam.prediction.result import RecordingPrediction

__all__ = ["timeline"]

BINS = 200
"""Pieces of a strip of gates."""

UNCALIBRATED = (
    "The score has no interval: the model was not calibrated, which happens if the validation split has fewer than "
    "9 labelled utterances."
)
ONE_UTTERANCE = (
    "The recording is one utterance, so it has one score and the line is flat. Give --max-seconds 3, or a transcript "
    "with times, for several shorter utterances with a score each."
)

GATE = "Gate: how much of the input the filter lets through to the model, from 0 (nothing) to 1 (all)."


def timeline(recording: "RecordingPrediction", task: Task) -> dict[str, Any] | None:
    """Sentiment with its interval, the gates of each modality, and where a face is, over the same seconds.

    Where voice, emotions and faces are told, each has a group of strips of its own between the sentiment and the gates.
    """
    scored = any(part.score is not None for part in recording.parts)
    more = tells_more(recording)
    groups = [_sentiment_group(recording, task, more=more)] if scored else []
    gated = sorted({m for part in recording.parts for m in part.kept}, key=text_first)
    gates = [_gates(recording, modality) for modality in gated]
    gates += [_seen(recording)] if any(VISION in u.streams for u in recording.utterances) else []
    gate_notes = [GATE] if gated else []
    if more:
        told = (emotion_group(recording), voice_group(recording), face_group(recording))
        groups += [group for group in told if group is not None]
        groups += [StripGroup("Filter", gates, gate_notes)] if gates else []
    elif groups or gates:
        flat = [strip for group in groups for strip in group.strips]
        notes = [note for group in groups for note in group.notes]
        notes += [ONE_UTTERANCE] if len(recording.parts) == 1 else []
        groups = [StripGroup("", [*flat, *gates], [*notes, *gate_notes])]
    if not groups:
        return None
    legend = Legend(FULL_RANGE, missing=True) if gated else None
    return {"groups": groups, "axis": time_axis(0.0, recording.duration), "legend": legend}


def _sentiment_group(recording: "RecordingPrediction", task: Task, *, more: bool) -> StripGroup:
    """The score over time; words that the filter removed are marked where more than the score is told."""
    band = any(part.low is not None for part in recording.parts)
    what = "; the line is the score, the band its 90 % interval" if band else ""
    notes = [f"Sentiment runs from {_level(task.low)} to {_level(task.high)}{what}.", *([] if band else [UNCALIBRATED])]
    notes += [ONE_UTTERANCE] if more and len(recording.parts) == 1 else []
    removed = removed_boxes(recording, TEXT) if more else []
    keys = KEYS if removed else ()
    return StripGroup("Sentiment" if more else "", [_sentiment(recording, task, removed)], notes, keys)


def _sentiment(recording: "RecordingPrediction", task: Task, removed: Sequence[StripBox]) -> Strip:
    middle = (task.low + task.high) / 2
    size = (task.high - task.low) or 1.0

    def y(score: float) -> float:
        return 100 * (1 - (min(max(score, task.low), task.high) - task.low) / size)

    boxes = [StripBox(0.0, WIDTH, "line", y=49.7, height=0.6)]
    for part in recording.parts:
        if part.score is None:
            continue
        stop = part.stop or recording.duration
        span = across(part.start or 0.0, recording.duration), across(stop, recording.duration)
        boxes += step_boxes(span, part.score, (part.low, part.high), y, says(part))
    levels = [(0.0, _level(task.high)), (50.0, _level(middle)), (100.0, _level(task.low))]
    return Strip("sentiment", [*boxes, *removed], "sentiment over time", "tall", levels=levels)


def _level(number: float) -> str:
    """A number on the axis of scores."""
    return "0" if number == 0 else signed(number, 0 if number == round(number) else 1)


def _gates(recording: "RecordingPrediction", modality: Modality) -> Strip:
    """The mean gate in each piece of the strip."""
    total, count = np.zeros(BINS), np.zeros(BINS)
    for part, utterance in zip(recording.parts, recording.utterances, strict=True):
        kept = np.array(part.kept.get(modality, []), np.float64)
        for (start, stop), value in zip(row_times(part, utterance, modality, len(kept)), kept, strict=False):
            first = int(BINS * start / recording.duration)
            last = max(first + 1, int(np.ceil(BINS * min(stop, recording.duration) / recording.duration)))
            if np.isnan(value):
                continue
            total[first:last] += value
            count[first:last] += 1
    gates = np.divide(total, count, out=np.full(BINS, np.nan), where=count > 0)
    boxes = gate_boxes(gates, FULL_RANGE, np.linspace(0, WIDTH, BINS + 1).tolist())
    return Strip(f"{modality} gate", boxes, f"{modality} gate over time")


def _seen(recording: "RecordingPrediction") -> Strip:
    boxes = []
    for utterance in recording.utterances:
        frames, times = utterance.streams.get(VISION), utterance.intervals.get(VISION)
        if frames is None or times is None:
            continue
        for first, last in stretches(np.asarray(~np.isnan(frames).all(axis=1))):
            left, right = (across(time, recording.duration) for time in (times[first, 0], times[last - 1, 1]))
            boxes.append(StripBox(left, right - left, "face"))
    return Strip("face seen", boxes, "where a face is seen, over time")
