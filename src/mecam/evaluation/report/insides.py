"""The report's sections about the model: how it was trained, what it weighs and filters, how it was made.

A section reads the record of a run and returns HTML, or "" to be left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mecam.evaluation.filter_score import ALL_KINDS
from mecam.evaluation.metrics import metrics_for
from mecam.evaluation.report import figures
from mecam.evaluation.report.markup import definitions, details, escape, figure, plain, table, titled
from mecam.evaluation.report.record import RunRecord
from mecam.evaluation.report.scores import LEADING
from mecam.evaluation.sums import Array

__all__ = ["embeddings", "filter_score", "made", "shares", "training"]


def training(run: RunRecord) -> str:
    """Loss terms and validation metrics over epochs."""
    if not run.history:
        return ""
    columns = [key for key in run.history[0] if any(row.get(key) is not None for row in run.history)]
    known = metrics_for(run.task)
    valid = {name: {name: f"valid_{name}"} for name in LEADING if name in known and f"valid_{name}" in columns}
    losses = _by_modality([key for key in columns if key.startswith("loss_")])

    def grid(groups: Mapping[str, Mapping[str, str]]) -> str:
        cells = [
            figure(figures.curves(run.history, group), f"<b>{escape(name)}</b>", label=f"{name} over epochs")
            for name, group in groups.items()
        ]
        return f'<div class="grid curves">{"".join(cells)}</div>'

    parts = ["<h3>Validation metrics</h3>", grid(dict(list(valid.items())[:3]))] if valid else []
    parts += ["<h3>Loss terms on train, unweighted</h3>", grid(losses)] if losses else []
    note = '<p class="note">One line per seed; the ring marks the epoch whose weights were kept.</p>'
    return titled("Training", note, *parts) if parts else ""


def _by_modality(columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Group `loss_<term>_<modality>` by term: term → label → column. What has no siblings stays by itself."""
    groups: dict[str, dict[str, str]] = {}
    for column in columns:
        term, _, last = column.removeprefix("loss_").rpartition("_")
        groups.setdefault(term, {})[last] = column
    return {
        name: labels
        for term, group in groups.items()
        for name, labels in (
            [(term, group)]
            if term and len(group) > 1
            else [(column.removeprefix("loss_"), {label: column}) for label, column in group.items()]
        )
    }


def shares(run: RunRecord) -> str:
    """Each modality's part in the predictions."""
    given = next(iter(run.answers.values()), None)
    if given is None or not given.shares:
        return ""
    split = next(iter(run.answers))
    means = ", ".join(f"{escape(name)} {100 * share.mean():.0f} %" for name, share in given.shares.items())
    caption = f"Share of each modality in the predictions on {split}: mean {means}. Boxes hold the middle half."
    return titled("What each modality contributes", figure(figures.shares(given.shares), caption, label=caption))


def filter_score(run: RunRecord) -> str:
    """Filter AUROC per modality and kind of negative information."""
    found: Mapping[str, Mapping[str, Any]] = run.metrics.get("filter", {})
    if not found:
        return ""
    kinds = [ALL_KINDS, *dict.fromkeys(kind for row in found.values() for kind in row if kind != ALL_KINDS)]
    rows = [[escape(kind), *(_shaded(row.get(kind)) for row in found.values())] for kind in kinds]
    note = (
        '<p class="note">Negative information was put into this data at known places. The figure is the chance that a '
        "place with it was kept less than a place without: 0.5 is guessing, 1 is perfect. Mean ± standard deviation "
        "over seeds.</p>"
    )
    head = ["kind", *map(escape, found)]
    return titled("Does the filter find what was put in?", note, table(head, rows, css="shades"))


def embeddings(run: RunRecord) -> str:
    """The utterances before and after the filter, in two dimensions."""
    stored, truth = run.embeddings, run.embeddings.get("truth")
    names = [key.removeprefix("before_") for key in stored if key.startswith("before_")]
    names = [name for name in names if f"after_{name}" in stored]
    if not names or truth is None or truth.ndim != 1:
        return ""
    pairs = [_before_and_after(name, run) for name in names]
    note = (
        '<p class="note">Each dot is an utterance on the first two principal axes of its embedding, coloured by its '
        f"truth; first seed.{figures.thinning(len(truth))}</p>"
    )
    return titled("Before and after the filter", note, _legend(run), f'<div class="grid">{"".join(pairs)}</div>')


def _before_and_after(modality: str, run: RunRecord) -> str:
    """Two pictures of one modality, over the utterances that have it (an absent one is all zeros)."""
    present = run.embeddings[f"before_{modality}"].any(axis=1)
    if present.sum() < 3:
        return ""
    truth = run.embeddings["truth"][present].astype(np.float64)
    halves = []
    for when in ("before", "after"):
        points = figures.plane(run.embeddings[f"{when}_{modality}"][present].astype(np.float64), truth)
        caption = f"<b>{escape(modality)}</b>, {when} the filter{_explained(points, truth, run)}"
        spec = figures.embedding(points, truth, run.task)
        halves.append(figure(spec, caption, label=f"{modality} embeddings {when} the filter"))
    return f'<div class="halves">{"".join(halves)}</div>'


def made(run: RunRecord) -> str:
    """Everything needed to make the run again."""
    facts, data = dict(run.environment), run.data
    command = facts.pop("command", "")
    facts.pop("data", None)
    pairs = [(key, _fact(key, fact)) for key, fact in facts.items() if fact not in (None, "", [])]
    pairs += [("data", escape(f"{data.get('name')}: {data.get('count')} utterances, store {data.get('path_name')}"))]
    hashes = definitions([(name, f"<code>{escape(digest)}</code>") for name, digest in data.get("sha256", {}).items()])
    return titled(
        "How it was made",
        f"<pre>{escape(command)}</pre>" if command else "",
        definitions(pairs),
        details("Configuration (config.yaml)", f"<pre>{escape(run.config)}</pre>"),
        details("SHA-256 of the data", hashes) if data.get("sha256") else "",
    )


def _shaded(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return '<td class="muted" style="--shade:0"></td>'
    mean = entry["mean"]
    shade = 0.0 if mean is None else min(max(2 * mean - 1, 0.0), 1.0)
    spread = "" if entry.get("std") is None else f"± {plain(entry['std'], 2)}"
    return f'<td style="--shade:{shade:.2f}">{plain(mean, 2)}<small>{spread}</small></td>'


def _explained(points: Array, truth: Array, run: RunRecord) -> str:
    """How much of the score's variance the two axes explain by a straight fit."""
    if run.task.kind != "regression" or np.ptp(truth) == 0:
        return ""
    design = np.column_stack([np.ones(len(points)), points])
    residual = truth - design @ np.linalg.lstsq(design, truth, rcond=None)[0]
    return f": explains {100 * (1 - residual.var() / truth.var()):.0f} % of the score"


def _legend(run: RunRecord) -> str:
    if run.task.kind == "regression":
        ramp = "linear-gradient(90deg, var(--negative), var(--neutral), var(--positive))"
        text = f'{plain(run.task.low, 0)}<span class="ramp" style="background:{ramp}"></span>{plain(run.task.high, 0)}'
        return f'<div class="legend"><span>truth: {text}</span></div>'
    dots = ""
    for index, name in enumerate(run.task.names):
        colour = f"background:var(--class{index % figures.CLASS_COLOURS})"
        dots += f'<span><span class="dot" style="{colour}"></span>{escape(name)}</span>'
    return f'<div class="legend">{dots}</div>'


def _fact(key: str, fact: Any) -> str:
    if key == "seconds":
        minutes, seconds = divmod(round(float(fact)), 60)
        return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    if key == "parameters" and isinstance(fact, int):
        return f"{fact:,}".replace(",", "&#8239;")
    if isinstance(fact, list):
        return escape(", ".join(map(str, fact)))
    return escape(fact)
