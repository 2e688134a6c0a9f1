"""What the labels of a data set stand for: the task, and each utterance's label in its terms.

A label is never bent into a scale that it does not fit, and whole numbers that may be classes are a question to the
user: a wrong guess would train on wrong labels without a word.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np

from mecam.data.importing.joining import EXAMPLES, Findings
from mecam.data.importing.sources.base import Row, number_of
from mecam.errors import DataError
from mecam.task import EMOTIONS, Classes, Labels, Regression, Task
from mecam.types import Label

__all__ = ["infer_task", "label_of", "no_label", "other_labels", "other_targets", "target_name", "unimodal_of"]

POLARITIES = {"negative", "neutral", "positive"}
NAMES = ("emotion", "label", "polarity")
"""Labels of a row that are class names."""

OVERSHOOT = 0.07
"""Share of the scale by which a score may lie outside of it; CMU-MOSEI's old labels reach 3.33 on −3…3."""

MAX_CLASSES = 50
MAX_INTENSITY = 1e6
"""Intensity of an emotion; larger ones are damage, and overflow what is computed from them."""


def infer_task(rows: Sequence[Row]) -> Task:
    """The task that the labels of a data set stand for.

    A score makes it a regression, on the narrowest of the field's scales that fits: 1 to 5 or 1 to 7
    (MMMO, POM) where all are positive and beyond 3, −1 to 1 where modalities are labelled too or a
    hundred scores stay within it (SIMS), else −3 to 3. Otherwise class names make it a classification.

    Raises: DataError if there is no label, if some are numbers and others words, if the numbers fit no
        scale, or if they are whole and none is below 0, so that they may be classes.
    """
    scored = {
        row.id: score for row in rows if isinstance(score := row.labels.get("score"), float) and math.isfinite(score)
    }
    if scored:
        _check_words(rows)
        if not any(row.scored for row in rows):
            _ask_for_classes(list(scored.values()))
        return _scale_of(scored, any(row.unimodal for row in rows))
    for key in NAMES:
        names = {label for row in rows if isinstance(label := row.labels.get(key), str)}
        if names:
            return Classes(tuple(sorted(names)))
    raise DataError(
        "the files contain no labels",
        fix="also give the file with the labels (label.csv, a .csd of labels or the pickle)",
    )


def target_name(task: Task, rows: Sequence[Row]) -> str:
    """What the labels of the task are called among a store's targets: `sentiment`, `emotions`, `emotion` or `label`."""
    if task.is_score or {name.casefold() for name in task.names} <= POLARITIES:
        return "sentiment"
    if task.several:
        return "emotions"
    return "emotion" if any("emotion" in row.labels for row in rows) else "label"


def other_targets(rows: Sequence[Row], first: str, task: Task) -> dict[str, Task]:
    """What else the rows are labelled for, name → task.

    `sentiment`, a score or, where there is none, a polarity; `emotions`, MOSEI's six; `emotion`, one of several names;
    `text`, `audio` and `vision`, the scores of single modalities. A polarity beside a score is only its sign.

    Args:
        rows: of all utterances.
        first: the name of the target that is known already.
        task: its task.
    """
    found: dict[str, Task] = {}
    scores = {r.id: s for r in rows if isinstance(s := r.labels.get("score"), float) and math.isfinite(s)}
    scale: Task | None = task if task.is_score else None
    felt = any(EMOTIONS[0] in row.labels for row in rows)
    if scores and scale is None and (felt or any(row.scored for row in rows)):
        with suppress(DataError):  # numbers that fit no scale are no scores
            scale = found["sentiment"] = _scale_of(scores, any(row.unimodal for row in rows))
    polarities = {name for row in rows if isinstance(name := row.labels.get("polarity"), str)}
    if not scores and 1 < len(polarities) <= MAX_CLASSES:
        found["sentiment"] = Classes(tuple(sorted(polarities)))
    if felt:
        found["emotions"] = Labels(EMOTIONS)
    names = {name for row in rows if isinstance(name := row.labels.get("emotion"), str)}
    if 1 < len(names) <= MAX_CLASSES:
        found["emotion"] = Classes(tuple(sorted(names)))
    if scale is not None:
        found |= dict.fromkeys(sorted({modality for row in rows for modality in row.unimodal}), scale)
    return {name: other for name, other in found.items() if name != first}


def other_labels(row: Row, targets: Mapping[str, Task]) -> dict[str, Label]:
    """The labels of a row for all targets but the first; what is said of single modalities stands in `unimodal`."""
    labels = {}
    for name, task in targets.items():
        if name in row.unimodal:
            continue
        with suppress(DataError):  # one that does not fit is none; findings are about the first target
            if (label := label_of(row, task, Findings())) is not None:
                labels[name] = label
    return labels


def _check_words(rows: Sequence[Row]) -> None:
    """Refuse a column of labels in which some cells are numbers and others are not: those would be lost."""
    words = [row for row in rows if row.labels.get("label", "none") != "none" and "score" not in row.labels]
    if words:
        shown = ", ".join(f"{row.id}: {str(row.labels['label'])[:30]!r}" for row in words[:EXAMPLES])
        raise DataError(
            f"{len(words)} labels are no numbers and the others are: {shown}",
            fix="correct these cells, empty them if the label is unknown, or give the classes: --task classes:A,B,…",
        )


def _ask_for_classes(scores: Sequence[float]) -> None:
    """Whole numbers from 0 on are the scores of some data sets and the classes of others; only the user knows."""
    values = sorted(set(scores))
    if len(values) < 2 or values[0] < 0 or any(value != int(value) for value in values) or values[-1] > MAX_INTENSITY:
        return
    low, high = int(values[0]), int(values[-1])
    listed = ",".join(str(int(value)) for value in values)
    scale = f"--task regression:{low}..{high} (or the scale's true ends) if they are scores"
    if len(values) > MAX_CLASSES:
        raise DataError(
            f"the labels are whole numbers from {low} to {high}, which is not a known scale", fix=f"add {scale}"
        )
    raise DataError(
        f"the labels are the whole numbers {listed.replace(',', ', ')}: they may be classes or scores",
        fix=f"say which: --task classes:{listed} if they are classes, {scale}",
    )


def _scale_of(scores: Mapping[str, float], unimodal: bool) -> Task:
    low, high = min(scores.values()), max(scores.values())
    if low >= 1 and high > 3:
        task = Regression(1.0, 5.0 if high <= 5 else 7.0)
    elif low >= -1 and high <= 1 and (len(scores) >= 100 or unimodal):
        task = Regression(-1.0, 1.0)
    else:
        task = Regression(-3.0, 3.0)
    outside = [name for name, score in scores.items() if not _near(score, task)]
    if outside:
        ends = f"{math.floor(low)}..{math.ceil(high)}" if max(abs(low), abs(high)) <= MAX_INTENSITY else "LOW..HIGH"
        raise DataError(
            f"the labels go from {low:g} to {high:g}, which is none of the known scales (−3…3, −1…1, 1…5, 1…7)",
            where=f"{len(outside)} labels, such as {outside[0]}: {scores[outside[0]]:g}",
            fix=f"correct wrong labels, or state the scale: --task regression:{ends}",
        )
    return task


def _near(score: float, task: Task) -> bool:
    """True for a score that is on the scale, or so little beyond that it means the end."""
    room = OVERSHOOT * (task.high - task.low)
    return task.low - room <= score <= task.high + room


def label_of(row: Row, task: Task, findings: Findings) -> Label | None:
    """The label of an utterance in the task's terms, or None when it has none.

    Raises: DataError if a score lies outside of the scale, or an intensity is no possible one.
    """
    if task.several:
        return _intensities(row, task, findings)
    if not task.is_score:
        return _class_of(row, task, findings)
    score = row.labels.get("score", math.nan)
    word = row.labels.get("label", "none")
    if isinstance(score, float) and math.isfinite(score):
        return _on_scale(score, task, row.id, findings)
    if word != "none" and not isinstance(score, float):
        raise DataError(
            f"the label {str(word)[:40]!r} is not a number", where=row.id, fix="correct the cell or leave it empty"
        )
    findings.add("missing labels", row.id)
    return None


def _on_scale(score: float, task: Task, place: str, findings: Findings) -> float:
    if task.low <= score <= task.high:
        return score
    if not _near(score, task):
        raise DataError(
            f"the label {score:g} lies outside of the scale {task.low:g} to {task.high:g}",
            where=place,
            fix="correct the label, or state the scale with --task regression:LOW..HIGH",
        )
    findings.add("labels out of range", f"{place}: {score:g}")
    return float(np.clip(score, task.low, task.high))


def _class_of(row: Row, task: Task, findings: Findings) -> str | None:
    """The class that a row names, in the task's spelling; `0`, `0.0` and 0 are the same class."""
    spelling = {name.casefold(): name for name in task.names}
    keys = ("polarity", *NAMES) if set(spelling) <= POLARITIES else NAMES
    names = [label for key in keys if isinstance(label := row.labels.get(key), str)]
    numbers = {number: name for name in task.names if (number := number_of(name)) == number}
    for name in names:
        if (known := spelling.get(name.casefold()) or numbers.get(number_of(name))) is not None:
            return known
    score = row.labels.get("score", math.nan)
    if isinstance(score, float) and score in numbers:
        return numbers[score]
    given = names[:1] or ([f"{score:g}"] if isinstance(score, float) and score == score else [])
    findings.add("unknown classes" if given else "missing labels", " ".join([row.id, *given]))
    return None


def _intensities(row: Row, task: Task, findings: Findings) -> Label | None:
    values = {name: row.labels.get(name, math.nan) for name in task.names}
    found = {name: value for name, value in values.items() if isinstance(value, float) and math.isfinite(value)}
    if any(abs(value) > MAX_INTENSITY for value in found.values()):
        raise DataError(f"{max(found.values(), key=abs):g} is not an intensity of an emotion", where=row.id)
    if len(found) == len(task.names):
        return found
    findings.add("missing labels", row.id)
    return None


def unimodal_of(row: Row, task: Task, findings: Findings) -> dict[str, float]:
    """The scores of single modalities, on the scale of the task where it has one.

    Raises: DataError if one lies outside of the scale.
    """
    known = {modality: score for modality, score in row.unimodal.items() if math.isfinite(score)}
    if not task.is_score:
        return {modality: score for modality, score in known.items() if abs(score) <= MAX_INTENSITY}
    return {m: _on_scale(score, task, f"{row.id}, {m}", findings) for m, score in known.items()}


def no_label(rows: Sequence[Row], task: Task) -> DataError:
    """The error for a data set in which nothing has a label of the task."""
    given = sorted({str(value) for row in rows for value in list(row.labels.values())[:1]})[: 2 * EXAMPLES]
    if not rows or not given:
        return DataError("no utterance has a label and a split", fix="also give the file with the labels")
    wanted = ", ".join(task.names) if task.names else f"scores from {task.low:g} to {task.high:g}"
    return DataError(f"no utterance has a label of the task ({wanted}); there are {', '.join(given)}")
