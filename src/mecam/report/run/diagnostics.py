"""The report's sections about the model: how it was trained, what it weighs and filters, how it was made.

A section reads the record of a run and returns HTML, or "" to be left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from mecam.evaluation.detection import ALL_KINDS
from mecam.evaluation.metrics import metrics_for
from mecam.evaluation.sums import Array
from mecam.report import figures, planes
from mecam.report.markup import definitions, details, escape, figure, percent, plain, table, titled
from mecam.report.run.results import LEADING
from mecam.runs.predictions import mean_predictions
from mecam.runs.run import Run

__all__ = ["conflict_score", "embeddings", "filter_score", "made", "shares", "started_from", "training"]


def training(run: Run) -> str:
    """Loss terms and validation metrics over epochs."""
    if not run.history:
        return ""
    columns = [key for key in run.history[0] if any(row.get(key) is not None for row in run.history)]
    known = metrics_for(run.task)
    valid = {name: {name: f"valid_{name}"} for name in LEADING if name in known and f"valid_{name}" in columns}
    losses = _by_modality([key for key in columns if key.startswith("loss_")])

    def grid(groups: Mapping[str, Mapping[str, str]]) -> str:
        cells = [
            figure(figures.curves(run.history, group, name), f"<b>{escape(name)}</b>", label=f"{name} over epochs")
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


def shares(run: Run) -> str:
    """Each modality's part in the predictions."""
    split, seeds = next(iter(run.predictions.items()))
    given = mean_predictions(seeds)
    if not given.shares:
        return ""
    means = ", ".join(f"{escape(name)} {100 * share.mean():.0f} %" for name, share in given.shares.items())
    caption = f"Share of each modality in the predictions on {split}: mean {means}. Boxes hold the middle half."
    return titled(
        "What each modality contributes",
        figure(
            figures.shares({m: share.astype(np.float64) for m, share in given.shares.items()}),
            caption,
            label=f"Shares of the modalities on {split}",
        ),
    )


def filter_score(run: Run) -> str:
    """Filter AUROC per modality and kind of negative information."""
    found: Mapping[str, Mapping[str, Any]] = run.metrics.get("filter", {})
    if not found:
        return ""
    kinds = [ALL_KINDS, *dict.fromkeys(kind for row in found.values() for kind in row if kind != ALL_KINDS)]
    rows = [[escape(kind), *(_shaded(row.get(kind)) for row in found.values())] for kind in kinds]
    note = (
        '<p class="note">Negative information was put into this data at known places. The figure is the chance that a '
        "place with it was kept less than a place without (AUROC): 0.5 is guessing, 1 is perfect. Mean ± standard "
        "deviation over seeds; below it the 95 % interval over other recordings or speakers (bootstrap).</p>"
    )
    head = ["kind", *map(escape, found)]
    return titled("Does the filter find what was put in?", note, table(head, rows, css="shades"))


def conflict_score(run: Run) -> str:
    """Conflict AUROC per modality, and of any."""
    found: Mapping[str, Any] = run.metrics.get("conflict", {})
    if not found:
        return ""
    note = (
        '<p class="note">In some utterances of this data a modality was made to contradict the others. The figure is '
        "the chance that such an utterance is doubted more in this modality than another utterance (AUROC): 0.5 is "
        "guessing, 1 is perfect; <b>any</b> asks whether something contradicts at all. Mean ± standard deviation over "
        "seeds; below it the 95 % interval over other recordings or speakers (bootstrap).</p>"
    )
    rows = [["contradicting", *(_shaded(entry) for entry in found.values())]]
    return titled("Is it noticed who contradicts?", note, table(["", *map(escape, found)], rows, css="shades"))


def embeddings(run: Run, projection: Literal["pca", "tsne"] = "pca") -> str:
    """The utterances before and after the filter, in two dimensions."""
    stored, truth = run.embeddings, run.embeddings.get("truth")
    names = [key.removeprefix("before_") for key in stored if key.startswith("before_")]
    if truth is None:
        return ""
    panels: dict[str, tuple[Array, Array]] = {}
    truths: dict[str, Array] = {}
    told = []
    for name in names:
        if f"after_{name}" not in stored or (present := stored[f"before_{name}"].any(axis=1)).sum() < MIN_DOTS:
            continue  # an absent modality is all zeros
        sides = [stored[f"{when}_{name}"][present].astype(np.float64) for when in ("before", "after")]
        truths[name] = truth[present].astype(np.float64)
        direction = truths[name] if truth.ndim == 1 else truths[name].sum(axis=1)
        before, after = (planes.project(side, direction, projection) for side in sides)
        panels[name] = (before, after)
        told += _agreement(name, sides, truths[name], run)
    if not panels:
        return ""
    spec = planes.before_and_after(panels, truths, run.task)
    drawn = figures.thinning(max(len(one) for one in truths.values()))
    caption = f"<b>The utterances before and after the filter</b>, {AXES[projection]}; first seed.{drawn}"
    picture = figure(spec, caption, label="Embeddings before and after the filter")
    return titled("Before and after the filter", picture, _agreements(told, run))


MIN_DOTS = 3
"""Fewer utterances make no picture."""

AXES = {
    "pca": "each on the first two principal axes of its embedding",
    "tsne": "each placed by t-SNE, which keeps neighbours together; distances between clouds mean nothing",
}


def _agreement(name: str, sides: Sequence[Array], truth: Array, run: Run) -> list[list[str]]:
    """The row of a modality in the table of neighbours; none for several labels."""
    if truth.ndim != 1:
        return []
    before, after = (planes.neighbours_agree(side, truth, run.task) for side in sides)
    if run.task.is_score:
        return [[escape(name), plain(before, 2), plain(after, 2)]]
    return [[escape(name), percent(before), percent(after)]]


def _agreements(rows: Sequence[Sequence[str]], run: Run) -> str:
    if not rows:
        return ""
    what = "the share of utterances whose ten nearest neighbours are mostly of their own class"
    if run.task.is_score:
        what = "the correlation of each score with the mean score of the ten utterances nearest to it"
    note = f'<p class="note">In the full space, not the picture: {what}.</p>'
    return f'<div class="narrow">{table(["neighbours agree", "before", "after"], rows, numbers=2)}</div>{note}'


def made(run: Run) -> str:
    """Everything needed to make the run again."""
    facts, data = dict(run.environment), run.data
    command = facts.pop("command", "")
    facts.pop("data", None)
    started, mixed = facts.pop("init", {}), facts.pop("mixed_with", [])
    pairs = [(key, _fact(key, fact)) for key, fact in facts.items() if fact not in (None, "", [])]
    pairs += [("data", escape(f"{data.get('name')}: {data.get('count')} utterances, store {data.get('path_name')}"))]
    pairs += [("weight", escape(data["weight"]))] if "weight" in data else []
    pairs += [("mixed with", escape(f"{m['train']} of {m['name']}, weight {m['weight']:g}")) for m in mixed]
    pairs += [(f"start of {seed}", escape(started_from(loaded))) for seed, loaded in started.items()]
    hashes = definitions([(name, f"<code>{escape(digest)}</code>") for name, digest in data.get("sha256", {}).items()])
    return titled(
        "How it was made",
        f"<pre>{escape(command)}</pre>" if command else "",
        definitions(pairs),
        details("Configuration (config.yaml)", f"<pre>{escape(run.config_text)}</pre>"),
        details("SHA-256 of the data", hashes) if data.get("sha256") else "",
    )


def started_from(loaded: Mapping[str, Any]) -> str:
    """One sentence on what a seed took over from another run, and what it did not.

    Args:
        loaded: an entry of `environment.json` → `init`.
    """
    there = f"{loaded['model']} on {loaded['data']}, {loaded['checkpoint']}, SHA-256 {loaded['sha256'][:12]}"
    taken = f"{loaded['parameters'] / 1e6:.2f} of {loaded['of'] / 1e6:.2f} M parameters"
    left_out = [f"{', '.join(parts)} ({why})" for why, parts in loaded["left_out"].items()]
    return f"{taken} from {loaded['run']} ({there})" + (f"; fresh: {'; '.join(left_out)}" if left_out else "") + "."


def _shaded(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return '<td class="muted" style="--shade:0"></td>'
    mean, ends = entry["mean"], entry.get("ci95")
    shade = 0.0 if mean is None else min(max(2 * mean - 1, 0.0), 1.0)
    spread = "" if entry.get("std") is None else f" <small>± {plain(entry['std'], 2)}</small>"
    below = f"<small>{plain(ends[0], 2)} to {plain(ends[1], 2)}</small>" if ends else ""
    return f'<td style="--shade:{shade:.2f}"><span class="nowrap">{plain(mean, 2)}{spread}</span>{below}</td>'


def _fact(key: str, fact: Any) -> str:
    if key == "seconds":
        minutes, seconds = divmod(round(float(fact)), 60)
        return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    if key == "parameters" and isinstance(fact, int):
        return f"{fact:,}".replace(",", "&#8239;")
    if isinstance(fact, list):
        return escape(", ".join(map(str, fact)))
    return escape(fact)
