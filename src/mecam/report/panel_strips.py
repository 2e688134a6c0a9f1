"""Strips of what the built-in model says over time: the voice, the emotions of the words, the faces of each person."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mecam.prediction.in_words import NOTABLE
from mecam.prediction.moments import row_times
from mecam.prediction.rows import in_time, mean_of_known
from mecam.report.format import percent, plain
from mecam.report.recording_table import NAMES, REMOVED
from mecam.report.strips import CELLS, WIDTH, Strip, StripBox, StripGroup, across, step_boxes
from mecam.types import AUDIO, VISION, Modality

if TYPE_CHECKING:
    from mecam.prediction.result import Prediction, RecordingPrediction

__all__ = ["KEYS", "emotion_group", "face_group", "people_of", "person_css", "removed_boxes", "voice_group"]

MOST_LINES = 5
"""Emotions, expressions or movements that have a strip; those that are never strong have none."""
COLOURS = 8
"""Colours of people, in the order of their numbers."""

TOP = 7.0
"""Height of the line on top of a bar, in hundredths."""

KEYS = (("removed", "removed by the filter"),)
HALVES = [(0.0, "1"), (50.0, "0.5"), (100.0, "0")]
SIGNED = [(0.0, "+1"), (50.0, "0"), (100.0, "−1")]


def person_css(person: int | None) -> str:
    """The class of a person's colour: the same everywhere on a page."""
    return f"person{((person or 1) - 1) % COLOURS}"


def people_of(recording: "RecordingPrediction") -> list[int]:
    """The numbers of all who are told of."""
    told = (*in_time(recording), *recording.parts)
    return sorted({part.person for part in told if part.person is not None})


def voice_group(recording: "RecordingPrediction") -> StripGroup | None:
    """The activation with its interval; None where no voice is told of."""
    known = [(part, part.voice) for part in _told(recording) if part.voice is not None]
    boxes = []
    for cell in _cells(recording, [(p, v.activation, v.low, v.high) for p, v in known if v.activation is not None]):
        level, low, high = cell.values
        ends = "" if low is None or high is None else f" ({plain(low, 2)} to {plain(high, 2)})"
        boxes += step_boxes(cell.span, level or 0.0, (low, high), _unit, f"activation {plain(level, 2)}{ends}")
    if not boxes:
        return None
    removed = removed_boxes(recording, AUDIO)
    strip = Strip("activation", [*boxes, *removed], "activation of the voice over time", "mid", levels=HALVES)
    note = "From 0, calm, to 1, activated: how it is said, which is not an emotion; the band is the interval."
    return StripGroup("Voice", [strip], [note], KEYS if removed else ())


def emotion_group(recording: "RecordingPrediction") -> StripGroup | None:
    """The emotions of the words that are probable somewhere, the strongest first; None where none is known."""
    parts = [part for part in _told(recording) if part.emotions]
    strips = []
    for name in _strongest([part.emotions for part in parts]):
        cells = _cells(recording, [(part, part.emotions.get(name, 0.0)) for part in parts])
        bars = [_bar(one.span, one.values[0] or 0.0, "emotion", f"{name} {percent(one.values[0], 0)}") for one in cells]
        strips.append(Strip(name, bars, f"{name} over time"))
    return StripGroup("Emotions of the words", strips, ["The higher the bar, the more probable."]) if strips else None


def face_group(recording: "RecordingPrediction") -> StripGroup | None:
    """Expressions and movements of each person, in the colour of the person; None where no face is seen."""
    shown = [(part, part.face) for part in in_time(recording) if part.face is not None]
    if not shown:
        return None
    people = people_of(recording)
    strips = [_speakers(recording)] if len(people) > 1 else []
    removed = removed_boxes(recording, VISION)
    expressions = [(part, _without(face.expressions, "neutral")) for part, face in shown]
    movements = [(part, face.movements) for part, face in shown]
    for values, form in ((expressions, _probability), (movements, _amount)):
        sizes = [{name: abs(value) for name, value in given.items()} for _, given in values]
        strips += [_face_strip(recording, values, name, form, removed) for name in _strongest(sizes, always=("smile",))]
    note = "What a face shows, which is not what anybody feels: expressions as probabilities, movements by their size."
    colours = [(person_css(number), f"person {number}") for number in people] if len(people) > 1 else []
    return StripGroup("Faces", strips, [note], [*colours, *(KEYS if removed else ())])


def removed_boxes(recording: "RecordingPrediction", modality: Modality) -> list[StripBox]:
    """Where the filter removed rows of a modality; neighbours are one box."""
    stretches: list[list[float]] = []
    for part, utterance in zip(recording.parts, recording.utterances, strict=True):
        kept = part.kept.get(modality, [])
        for gate, (start, stop) in zip(kept, row_times(part, utterance, modality, len(kept)), strict=False):
            if gate is None or gate >= REMOVED:
                continue
            if stretches and start <= stretches[-1][1] + 1e-3:
                stretches[-1][1] = max(stop, stretches[-1][1])
            else:
                stretches.append([start, stop])
    ends = [(across(start, recording.duration), across(stop, recording.duration)) for start, stop in stretches]
    title = f"{NAMES.get(modality, modality)} removed by the filter"
    return [StripBox(left, right - left, "removed", title=title) for left, right in ends]


def _probability(value: float) -> str:
    """A probability as it is printed."""
    return percent(value, 0)


def _amount(value: float) -> str:
    """An amount as it is printed."""
    return plain(value, 2)


def _face_strip(
    recording: "RecordingPrediction",
    values: Sequence[tuple["Prediction", Mapping[str, float]]],
    name: str,
    form: Callable[[float], str],
    removed: Sequence[StripBox],
) -> Strip:
    """One expression or movement: a bar with a line on its top, in the colour of each person."""
    known = [(part, given[name]) for part, given in values if name in given]
    signed = any(value < 0 for _, value in known)
    boxes = [StripBox(0.0, WIDTH, "line", y=49.0, height=2.0)] if signed else []
    people = sorted({part.person or 0 for part, _ in known})
    for person in people:
        css, who = person_css(person), f"person {person}: " if len(people_of(recording)) > 1 else ""
        for cell in _cells(recording, [(part, value) for part, value in known if (part.person or 0) == person]):
            value = cell.values[0] or 0.0
            bar = _bar(cell.span, (value + 1) / 2 if signed else value, css, f"{who}{_words(name)} {form(value)}")
            boxes += [bar, replace(bar, css=f"{css} top", height=min(bar.height, TOP))]
    return Strip(_words(name), [*boxes, *removed], f"{_words(name)} over time", levels=SIGNED if signed else ())


@dataclass(frozen=True)
class _Cell:
    """A stretch of a strip and the values there."""

    span: tuple[float, float]
    values: tuple[float | None, ...]


def _cells(recording: "RecordingPrediction", told: Sequence[tuple[Any, ...]]) -> list[_Cell]:
    """Predictions and values as stretches of a strip, at most `CELLS`: neighbours are averaged where there are more."""
    step = math.ceil(len(told) / CELLS) or 1
    cells = []
    for place in range(0, len(told), step):
        group = told[place : place + step]
        first, last = group[0][0], group[-1][0]
        ends = first.start or 0.0, recording.duration if last.stop is None else last.stop
        means = tuple(mean_of_known(column) for column in zip(*(values for _, *values in group), strict=True))
        cells.append(_Cell((across(ends[0], recording.duration), across(ends[1], recording.duration)), means))
    return cells


def _speakers(recording: "RecordingPrediction") -> Strip:
    """Who speaks, in their colours."""
    boxes = []
    for part in recording.parts:
        if part.speaking and part.person is not None:
            left, right = _cells(recording, [(part,)])[0].span
            boxes.append(StripBox(left, right - left, person_css(part.person), title=f"person {part.person} speaks"))
    return Strip("speaker", boxes, "who speaks over time", "lane")


def _bar(span: tuple[float, float], height: float, css: str, title: str) -> StripBox:
    """A bar from the bottom; one of nothing is a thin line."""
    part = round(100 * min(max(height, 0.04), 1.0), 1)
    return StripBox(span[0], span[1] - span[0], css, title=title, y=100 - part, height=part)


def _strongest(values: Sequence[Mapping[str, float]], always: Sequence[str] = ()) -> list[str]:
    """The names that reach `NOTABLE` somewhere, or always stand; the strongest first, at most `MOST_LINES`."""
    names = dict.fromkeys(name for given in values for name in given)
    most = {name: max(given.get(name, 0.0) for given in values) for name in names}
    order = sorted((name for name in names if most[name] >= NOTABLE or name in always), key=lambda name: -most[name])
    return order[:MOST_LINES]


def _without(values: Mapping[str, float], name: str) -> Mapping[str, float]:
    return {key: value for key, value in values.items() if key != name}


def _told(recording: "RecordingPrediction") -> Sequence["Prediction"]:
    """Moments, where they were asked for, or utterances."""
    return recording.moments or recording.parts


def _unit(value: float) -> float:
    """Hundredths from the top, of a value from 0 to 1."""
    return 100 * (1 - min(max(value, 0.0), 1.0))


def _words(name: str) -> str:
    return name.replace("_", " ")
