"""The report's section about single utterances: the largest errors, and where the model is least sure."""

from collections.abc import Sequence

import numpy as np

from mecam.evaluation.sums import Array
from mecam.report.markup import escape, plain, titled
from mecam.runs.run import Run
from mecam.types import Predictions

__all__ = ["hard"]

SHOWN = 10
"""Utterances per list."""


class Given:
    """The seeds' predictions of a split: S seeds, N utterances.

    Attributes:
        ids: N utterance ids.
        texts: utterance id → transcript, where the run folder holds it.
        truth: N scores or class indices, N × C presences.
        scores: S × N scores or S × N × C probabilities.
        mean: of the seeds.
        ends: 2 × N ends of the intervals, mean over seeds; None where there are none.
    """

    def __init__(self, run: Run, split: str, seeds: Sequence[Predictions]) -> None:
        assert seeds[0].truth is not None
        self.ids, self.texts, self.truth = seeds[0].ids, run.texts, seeds[0].truth
        self.scores = np.stack([p.prediction for p in seeds])
        self.mean = self.scores.mean(axis=0)
        intervals = run.intervals(split)
        self.ends = None if intervals is None else np.stack(intervals).mean(axis=1)


def hard(run: Run) -> str:
    """The utterances with the largest errors, and those the model is least sure of."""
    if run.labelled is None:
        return ""
    split, seeds = run.labelled
    given = Given(run, split, seeds)
    doubt, reason = _doubt(given, run)
    parts = [f"<h3>{run.task.surprise_name}</h3>", _cases(given, run, run.task.surprise(given.mean, given.truth))]
    if doubt is not None:
        parts += [f'<h3>Least certain</h3><p class="note">{reason}</p>', _cases(given, run, doubt)]
    legend = "Predictions are means over seeds."
    if run.task.is_score:
        legend += " ◇ truth, ● prediction" + (", ─ interval." if given.ends is not None else ".")
    return titled(f"Hard utterances of {split}", f'<p class="note">{legend}</p>', *parts)


def _doubt(given: Given, run: Run) -> tuple[Array | None, str]:
    """How unsure each of N answers is, and what that is measured by; None where nothing tells."""
    entropy = run.task.uncertainty(given.mean)
    if entropy is not None:
        return entropy, "By the entropy of the probabilities."
    if given.ends is not None:
        width = given.ends[1] - given.ends[0]
        if np.ptp(width) > 1e-6 * np.max(width, initial=0):
            return width, "By the width of the interval."
    if len(given.scores) > 1:
        spread = given.scores.std(axis=0, ddof=1)
        return np.asarray(spread), "By how far the seeds disagree: the standard deviation of their scores."
    return None, ""


def _cases(given: Given, run: Run, rank_by: Array) -> str:
    order = np.argsort(-rank_by, kind="stable")[:SHOWN]
    return f'<ol class="cases">{"".join(_case(given, run, int(index)) for index in order)}</ol>\n'


def _case(given: Given, run: Run, index: int) -> str:
    text = given.texts.get(given.ids[index])
    words = f"<p>{escape(text)}</p>" if text else '<p class="muted">no text</p>'
    left = f'<div>{words}<p class="muted"><code>{escape(given.ids[index])}</code></p></div>'
    if not run.task.is_score and not run.task.several:
        true, predicted = (run.task.names[int(i)] for i in (given.truth[index], given.mean[index].argmax()))
        right = (
            f"<p>true <b>{escape(true)}</b>, predicted <b>{escape(predicted)}</b> "
            f'<span class="muted">({100 * given.mean[index].max():.0f} %)</span></p>'
        )
        return f"<li>{left}<div>{right}</div></li>"
    if run.task.several:
        return f"<li>{left}<div>{_named_labels(given, run, index)}</div></li>"
    truth, prediction = float(given.truth[index]), float(given.mean[index])
    ends = None if given.ends is None else (float(given.ends[0, index]), float(given.ends[1, index]))
    numbers = f"true <b>{plain(truth, 2)}</b>, predicted <b>{plain(prediction, 2)}</b>"
    if len(given.scores) > 1:
        numbers += f' <span class="muted">± {plain(float(given.scores[:, index].std(ddof=1)), 2)}</span>'
    right = f'<p class="nowrap">{numbers}</p>'
    return f"<li>{left}<div>{right}{_scale(run, truth, prediction, ends)}</div></li>"


def _named_labels(given: Given, run: Run, index: int) -> str:
    """The true labels, and every label that is true or given with its probability."""
    mean = given.mean[index]
    true = [name for name, present in zip(run.task.names, given.truth[index], strict=True) if present > 0]
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


def _scale(run: Run, truth: float, prediction: float, ends: tuple[float, float] | None) -> str:
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
