"""The report's section about single utterances: the largest errors, and where the model is least sure."""

import numpy as np

from mecam.evaluation.sums import Array
from mecam.report.markup import escape, plain, titled
from mecam.runs.record import Answers, RunRecord

__all__ = ["hard"]

SHOWN = 10
"""Utterances per list."""


def hard(run: RunRecord) -> str:
    """The utterances with the largest errors, and those the model is least sure of."""
    if run.labelled is None:
        return ""
    split, given = run.labelled
    doubt, reason = _doubt(given, run)
    parts = [f"<h3>{run.task.surprise_name}</h3>", _cases(given, run, _surprise(given, run))]
    if doubt is not None:
        parts += [f'<h3>Least certain</h3><p class="note">{reason}</p>', _cases(given, run, doubt)]
    legend = "Predictions are means over seeds."
    if run.task.is_score:
        legend += " ◇ truth, ● prediction" + (", ─ interval." if given.low is not None else ".")
    return titled(f"Hard utterances of {split}", f'<p class="note">{legend}</p>', *parts)


def _surprise(given: Answers, run: RunRecord) -> Array:
    """How surprising the truth of each of N answers is."""
    assert given.truth is not None
    task = run.task
    truth = given.truth if task.is_score else task.encode([task.read_label(label) for label in given.truth])
    return task.surprise(given.scores.mean(axis=0), np.asarray(truth, np.float64))


def _doubt(given: Answers, run: RunRecord) -> tuple[Array | None, str]:
    """How unsure each of N answers is, and what that is measured by; None where nothing tells."""
    entropy = run.task.uncertainty(given.scores.mean(axis=0))
    if entropy is not None:
        return entropy, "By the entropy of the probabilities."
    if given.low is not None and given.high is not None:
        width = given.high - given.low
        if np.ptp(width) > 1e-6 * np.max(width, initial=0):
            return width, "By the width of the interval."
    if len(given.scores) > 1:
        spread = given.scores.std(axis=0, ddof=1)
        return np.asarray(spread), "By how far the seeds disagree: the standard deviation of their scores."
    return None, ""


def _cases(given: Answers, run: RunRecord, rank_by: Array) -> str:
    order = np.argsort(-rank_by, kind="stable")[:SHOWN]
    return f'<ol class="cases">{"".join(_case(given, run, int(index)) for index in order)}</ol>\n'


def _case(given: Answers, run: RunRecord, index: int) -> str:
    assert given.truth is not None
    text = given.texts[index]
    words = f"<p>{escape(text)}</p>" if text else '<p class="muted">no text</p>'
    left = f'<div>{words}<p class="muted"><code>{escape(given.ids[index])}</code></p></div>'
    if not run.task.is_score and not run.task.several:
        chance = given.scores.mean(axis=0)[index].max()
        right = (
            f"<p>true <b>{escape(given.truth[index])}</b>, predicted <b>{escape(given.prediction[index])}</b> "
            f'<span class="muted">({100 * chance:.0f} %)</span></p>'
        )
        return f"<li>{left}<div>{right}</div></li>"
    if run.task.several:
        return f"<li>{left}<div>{_named_labels(given, run, index)}</div></li>"
    truth, prediction = float(given.truth[index]), float(given.prediction[index])
    ends = None if given.low is None or given.high is None else (float(given.low[index]), float(given.high[index]))
    numbers = f"true <b>{plain(truth, 2)}</b>, predicted <b>{plain(prediction, 2)}</b>"
    if len(given.scores) > 1:
        numbers += f' <span class="muted">± {plain(float(given.scores[:, index].std(ddof=1)), 2)}</span>'
    right = f'<p class="nowrap">{numbers}</p>'
    return f"<li>{left}<div>{right}{_scale(run, truth, prediction, ends)}</div></li>"


def _named_labels(given: Answers, run: RunRecord, index: int) -> str:
    """The true labels, and every label that is true or given with its probability."""
    assert given.truth is not None
    mean = given.scores.mean(axis=0)[index]
    true = [name for name in str(given.truth[index]).split("|") if name]
    told = [
        f'<span class="nowrap"><b>{escape(name)}</b> <span class="muted">{100 * odds:.0f} %</span></span>'
        for name, odds in zip(run.task.names, mean.tolist(), strict=True)
        if odds >= 0.5
    ]
    missed = [
        f'<span class="nowrap">{escape(name)} <span class="muted">{100 * odds:.0f} %</span></span>'
        for name, odds in zip(run.task.names, mean.tolist(), strict=True)
        if odds < 0.5 and name in true
    ]
    parts = [f"true <b>{escape(', '.join(true) or 'none')}</b>", f"predicted {', '.join(told) or '<b>none</b>'}"]
    parts += [f"missed {', '.join(missed)}"] if missed else []
    return "".join(f"<p>{part}</p>" for part in parts)


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
