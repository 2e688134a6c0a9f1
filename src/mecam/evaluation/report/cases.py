"""The report's sections about single utterances: the hardest ones, and what the filter kept."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mecam.evaluation.report.markup import escape, plain, titled
from mecam.evaluation.report.record import Answers, RunRecord
from mecam.evaluation.sums import Array

__all__ = ["filter_maps", "hard"]

SHOWN = 10
"""Utterances per list."""

CELLS = 200
"""A strip has at most this many cells; longer streams are averaged."""


def hard(run: RunRecord) -> str:
    """The utterances with the largest errors, and those the model is least sure of."""
    if run.labelled is None or run.task.kind == "multilabel":
        return ""
    split, given = run.labelled
    error, doubt = _error(given, run), _doubt(given)
    worst = "Largest errors" if run.task.kind == "regression" else "Least probability for the true class"
    parts = [f"<h3>{worst}</h3>", _cases(given, run, error)]
    if doubt is not None:
        parts += ["<h3>Least certain</h3>", _cases(given, run, doubt)]
    legend = "Predictions are means over seeds."
    if run.task.kind == "regression":
        legend += " ◇ truth, ● prediction, ─ interval."
    return titled(f"Hard utterances of {split}", f'<p class="note">{legend}</p>', *parts)


def filter_maps(run: RunRecord) -> str:
    """What the filter kept of a few utterances: words shaded, frames as strips."""
    maps = [_map(one, run) for one in run.filter_maps if one.get("modalities")]
    if not maps:
        return ""
    legend = (
        '<div class="legend"><span>removed <span class="ramp" style="background:'
        'linear-gradient(90deg, transparent, rgb(var(--accent-rgb) / .6))"></span> kept</span>'
        '<span><span class="word injected" style="--kept:0">dashed</span>: negative information was put in here'
        "</span></div>"
    )
    return titled("What the filter kept", legend, *maps)


def _error(given: Answers, run: RunRecord) -> Array:
    assert given.truth is not None
    if run.task.kind == "regression":
        return np.asarray(np.abs(given.prediction - given.truth))
    place = {name: index for index, name in enumerate(run.task.names)}
    columns = [place[name] for name in given.truth]
    return np.asarray(1 - given.scores.mean(axis=0)[np.arange(len(columns)), columns])


def _doubt(given: Answers) -> Array | None:
    """Width of the interval or entropy of the probabilities; None where it is the same for all."""
    if given.scores.ndim == 3:
        mean = given.scores.mean(axis=0)
        return np.asarray(-(mean * np.log(np.maximum(mean, 1e-12))).sum(axis=1))
    if given.low is None or given.high is None:
        return None
    width = given.high - given.low
    return width if np.ptp(width) > 1e-6 * np.max(width, initial=0) else None


def _cases(given: Answers, run: RunRecord, rank_by: Array) -> str:
    order = np.argsort(-rank_by, kind="stable")[:SHOWN]
    return f'<ol class="cases">{"".join(_case(given, run, int(index)) for index in order)}</ol>\n'


def _case(given: Answers, run: RunRecord, index: int) -> str:
    assert given.truth is not None
    text = given.texts[index]
    words = f"<p>{escape(text)}</p>" if text else ""
    left = f'<div>{words}<p class="muted"><code>{escape(given.ids[index])}</code></p></div>'
    if run.task.kind != "regression":
        chance = given.scores.mean(axis=0)[index].max()
        right = (
            f"<p>true <b>{escape(given.truth[index])}</b>, predicted <b>{escape(given.prediction[index])}</b> "
            f'<span class="muted">({100 * chance:.0f} %)</span></p>'
        )
        return f"<li>{left}<div>{right}</div></li>"
    truth, prediction = float(given.truth[index]), float(given.prediction[index])
    ends = None if given.low is None or given.high is None else (float(given.low[index]), float(given.high[index]))
    numbers = f"true <b>{plain(truth, 2)}</b>, predicted <b>{plain(prediction, 2)}</b>"
    right = f'<p class="nowrap">{numbers}</p>{_scale(run, truth, prediction, ends)}'
    return f"<li>{left}<div>{right}</div></li>"


def _scale(run: RunRecord, truth: float, prediction: float, ends: tuple[float, float] | None) -> str:
    """A number line over the task's range, in SVG."""
    low, high = run.task.low, run.task.high

    def x(number: float) -> str:
        share = (min(max(number, low), high) - low) / ((high - low) or 1.0)
        return f"{2 + 96 * share:.1f}%"

    line = '<line x1="{}" x2="{}" y1="11" y2="11" stroke="var(--{})" stroke-width="{}"/>'
    middle = f'<line x1="{x((low + high) / 2)}" x2="{x((low + high) / 2)}" y1="6" y2="16" stroke="var(--line)"/>'
    span = line.format(x(ends[0]), x(ends[1]), "accent", 3).replace("/>", ' opacity=".45"/>') if ends else ""
    diamond = (
        f'<svg x="{x(truth)}" y="11" overflow="visible">'
        '<path d="M0-6 6 0 0 6-6 0Z" fill="var(--paper)" stroke="var(--ink)" stroke-width="1.5"/></svg>'
    )
    dot = f'<circle cx="{x(prediction)}" cy="11" r="5" fill="var(--accent)"/>'
    label = f"true {truth:.2f}, predicted {prediction:.2f}, on a scale from {low:g} to {high:g}"
    content = line.format("2%", "98%", "line", 1) + middle + span + diamond + dot
    return f'<svg class="scale" role="img" aria-label="{label}">{content}</svg>'


def _map(one: Mapping[str, Any], run: RunRecord) -> str:
    streams = [
        _words(stream) if stream.get("labels") else _strip(name, stream) for name, stream in one["modalities"].items()
    ]
    has_words = any(stream.get("labels") for stream in one["modalities"].values())
    text = "" if has_words or not one.get("text") else f"<p>{escape(one['text'])}</p>"
    head = f'<p class="muted"><code>{escape(one["id"])}</code> {_answer(one, run)}</p>'
    return f'<div class="map">{head}{text}{"".join(streams)}</div>\n'


def _answer(one: Mapping[str, Any], run: RunRecord) -> str:
    truth, prediction = one.get("truth"), one.get("prediction")
    if prediction is None:
        return ""
    if run.task.kind == "regression":
        truth, prediction = None if truth is None else plain(float(truth), 2), plain(float(prediction), 2)
    known = "" if truth is None else f"true <b>{escape(truth)}</b>, "
    return f'· <span class="nowrap">{known}predicted <b>{escape(prediction)}</b></span>'


def _words(stream: Mapping[str, Any]) -> str:
    marked = stream.get("injected") or [False] * len(stream["labels"])
    words = [
        f'<span class="word{" injected" if touched else ""}" style="--kept:{kept:.2f}" title="kept {kept:.2f}">'
        f"{escape(label)}</span>"
        for label, kept, touched in zip(stream["labels"], stream["kept"], marked, strict=False)
    ]
    return f'<p class="words">{" ".join(words)} {_kinds(stream)}</p>'


def _strip(name: str, stream: Mapping[str, Any]) -> str:
    kept = np.asarray(stream["kept"], np.float64)
    if not kept.size:
        return ""
    parts = [
        f'<rect x="{start}" width="{stop - start}" height="1" style="--kept:{shade:.2f}"/>'
        for start, stop, shade in _cells(kept)
    ]
    parts += [
        f'<rect x="{start}" width="{stop - start}" height="1" class="injected" vector-effect="non-scaling-stroke"/>'
        for start, stop in _stretches(np.asarray(stream.get("injected") or [], np.bool_))
    ]
    label = f"{name}: {kept.mean():.2f} kept on average"
    seconds = stream.get("seconds")
    ends = (f"{seconds[0]:.1f} s", f"{seconds[-1]:.1f} s") if seconds else ("first row", f"row {len(kept)}")
    return (
        f'<div class="strip"><span>{escape(name)}</span><svg viewBox="0 0 {len(kept)} 1" preserveAspectRatio="none" '
        f'role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
        f'<span class="time"><span>{ends[0]}</span>{_kinds(stream)}<span>{ends[1]}</span></span></div>'
    )


def _cells(kept: Array) -> list[tuple[int, int, float]]:
    """First row, one past the last, and mean kept: at most `CELLS` stretches, neighbours of one shade joined."""
    edges = np.unique(np.linspace(0, len(kept), min(len(kept), CELLS) + 1).astype(np.int64))
    shades = np.round(np.add.reduceat(kept, edges[:-1]) / np.diff(edges), 2)
    new = np.r_[True, shades[1:] != shades[:-1]]
    starts = edges[:-1][new]
    stops = np.r_[starts[1:], len(kept)]
    return [(int(a), int(b), float(shade)) for a, b, shade in zip(starts, stops, shades[new], strict=True)]


def _kinds(stream: Mapping[str, Any]) -> str:
    kinds = ", ".join(dict.fromkeys(str(kind) for kind in stream.get("kinds") or []))
    return f'<small class="muted">{escape(kinds)}</small>' if kinds else ""


def _stretches(marked: NDArray[np.bool_]) -> Sequence[tuple[int, int]]:
    """First and one past the last of every run of True."""
    edges = np.flatnonzero(np.diff(np.r_[False, marked, False].astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
