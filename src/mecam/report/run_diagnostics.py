"""How a run was trained, what its model weighs and filters, and how it was made."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mecam.evaluation.metrics import leading_metrics
from mecam.evaluation.projections import Projection, neighbours_agree, project
from mecam.evaluation.sums import Array
from mecam.report.charts import spec, thinning
from mecam.report.format import capital, duration, grouped, memory, named, percent, plain
from mecam.report.page import Chart, Section, section
from mecam.report.run_charts import modality_weights, projections, training_curves
from mecam.report.strips import (
    Axis,
    Legend,
    Range,
    Strip,
    edges_of,
    frame_axis,
    gate_strip,
    gate_words,
    kinds_of,
    shades_of,
    time_axis,
    time_span,
)
from mecam.report.table import Table
from mecam.runs.predictions import mean_predictions
from mecam.runs.run import RunFolder

__all__ = [
    "embeddings_section",
    "filter_maps_section",
    "made_section",
    "started_from",
    "training_section",
    "weights_section",
]

CURVES = 3
"""Validation metrics whose curves are drawn."""

LOSSES: Mapping[str, str] = {
    "task": "error of the prediction",
    "unimodal": "error of a prediction from this modality alone",
    "contrast": "utterances with similar labels are pulled together, others are pushed apart",
    "adversary": "error in telling vectors of the text from those that stand in for it",
    "order": "error in telling real word order from shuffled words",
    "conflict": "error in telling modalities that belong together from modalities of different utterances",
    "view": "error of the prediction from a corrupted copy of the utterance",
    "gate": "error of the gate in telling corrupted frames from clean ones",
    "instance": "pulls the corrupted copy of an utterance to its clean original",
    "information": "negative shared information between modalities: lower means more shared information",
    "information_heads": "fit of the networks that measure shared information",
    "reconstruction": "error in rebuilding what was left out or split apart",
    "completeness": "error in estimating how complete the text is",
    "similarity": "distance between the shared parts of the modalities",
    "difference": "overlap of shared and private parts of the modalities",
    "likelihood": "fit of the bound on shared information",
    "prediction": "error in predicting a modality from the fused vector",
    "entropy": "spread of the vectors, part of the bound on shared information",
    "quantisation": "distance of frames from the nearest learned code",
}
"""Term → what it is, in words; models of plug-ins have terms of their own."""


def training_section(run: RunFolder) -> Section:
    """Loss terms and validation metrics over epochs."""
    columns = (
        [key for key in run.history[0] if any(row.get(key) is not None for row in run.history)] if run.history else []
    )
    valid = [metric for metric in leading_metrics(run.task) if f"valid_{metric.name}" in columns][:CURVES]
    curves = [
        _curve(run, {metric.name: f"valid_{metric.name}"}, metric.name, capital(named(metric)), percent=metric.fraction)
        for metric in valid
    ]
    losses = [
        _curve(run, group, name, capital(name.replace("_", " ")), LOSSES.get(name, ""))
        for name, group in _by_modality([key for key in columns if key.startswith("loss_")]).items()
    ]
    groups = [("Validation metrics", curves), ("Loss terms on train, without their weights", losses)]
    groups = [(heading, charts) for heading, charts in groups if charts]
    return Section("training", "Training", "run_training.j2", {"groups": groups} if groups else None)


def _curve(
    run: RunFolder, columns: Mapping[str, str], name: str, title: str, caption: str = "", *, percent: bool = False
) -> Chart:
    chart = training_curves(run.history, columns, name.replace("_", " "), percent=percent)
    return Chart(spec(chart, height=230), f"{name} over epochs", title, f"{caption}." if caption else "")


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


def weights_section(run: RunFolder) -> Section:
    """Each modality's part in the predictions."""
    key, name = "weights", "Modality weights"
    split, seeds = next(iter(run.predictions.items()))
    shares = {m: one.astype(np.float64) for m, one in mean_predictions(seeds).shares.items()}
    if not shares:
        return section(key, name)
    means = ", ".join(f"{modality} {percent(float(one.mean()), 0)}" for modality, one in shares.items())
    caption = f"On {split}; mean {means}. Boxes hold the middle half of the utterances, lines reach to the extremes."
    chart = spec(modality_weights(shares), height=70 + 50 * len(shares))
    label = f"Modality weights on {split}"
    return section(key, name, charts=[Chart(chart, label, "Weight of each modality in the predictions", caption)])


def embeddings_section(run: RunFolder, projection: Projection) -> Section:
    """The utterances before and after the filter, in two dimensions."""
    stored, truth = run.embeddings, run.embeddings.get("truth")
    names = [key.removeprefix("before_") for key in stored if key.startswith("before_")]
    panels: dict[str, tuple[Array, Array]] = {}
    truths: dict[str, Array] = {}
    agreement = []
    for name in names:
        if truth is None or f"after_{name}" not in stored:
            continue
        present = stored[f"before_{name}"].any(axis=1)  # an absent modality is all zeros
        if present.sum() < MIN_DOTS:
            continue
        sides = [stored[f"{when}_{name}"][present].astype(np.float64) for when in ("before", "after")]
        truths[name] = truth[present].astype(np.float64)
        direction = truths[name] if truth.ndim == 1 else truths[name].sum(axis=1)
        before, after = (project(side, direction, projection) for side in sides)
        panels[name] = (before, after)
        if truth.ndim == 1:
            agreement.append([name, *(_agreement(side, truths[name], run) for side in sides)])
    if not panels:
        return section("embeddings", "Embeddings")
    chart, height = projections(panels, truths, run.task)
    drawn = thinning(max(len(one) for one in truths.values()))
    caption = f"{capital(AXES[projection])}; first seed.{drawn}"
    label = "Embeddings before and after the filter"
    picture = Chart(spec(chart, height=height), label, "The utterances before and after the filter", caption)
    tables = [Table(("neighbours agree", "before", "after"), agreement, note=_agreements(run))] if agreement else []
    heading = "Before and after the filter"
    return section("embeddings", "Embeddings", heading=heading, charts=[picture], tables=tables)


MIN_DOTS = 3
"""Fewer utterances make no picture."""

AXES: Mapping[Projection, str] = {
    "pca": "each panel shows the first two principal axes of its embedding",
    "tsne": "each panel is placed by t-SNE, which keeps neighbours together; distances between clouds mean nothing",
}


def _agreement(side: Array, truth: Array, run: RunFolder) -> str:
    agree = neighbours_agree(side, truth, run.task)
    return plain(agree, 2) if run.task.is_score else percent(agree)


def _agreements(run: RunFolder) -> str:
    what = "the fraction of utterances whose ten nearest neighbours mostly belong to the same class"
    if run.task.is_score:
        what = "the correlation of each score with the mean score of the ten utterances nearest to it"
    return f"Measured in the full space, not in the figure: {what}."


# --- filter maps -------------------------------------------------------------------------------------------


def filter_maps_section(run: RunFolder) -> Section:
    """What the filter kept of a few utterances: words shaded, frames as strips."""
    maps = [one for one in run.filter_maps if one.get("modalities")]
    streams = [stream for one in maps for stream in one["modalities"].values()]
    if not maps:
        return Section("maps", "Filter maps", "run_filter_maps.j2", None)
    shades = shades_of(stream["kept"] for stream in streams)
    missing = any(None in stream["kept"] for stream in streams)
    legend = Legend(shades, missing, any(any(stream.get("injected") or []) for stream in streams))
    content = {"legend": legend, "maps": [_map(one, run, shades) for one in maps]}
    return Section("maps", "Filter maps", "run_filter_maps.j2", content)


def _map(one: Mapping[str, Any], run: RunFolder, shades: Range) -> dict[str, Any]:
    """What the template shows of an utterance."""
    streams: Mapping[str, Mapping[str, Any]] = one["modalities"]
    span = time_span(streams)
    timed: list[Strip] = []
    untimed: list[tuple[Strip, Axis]] = []
    for name, stream in streams.items():
        edges = edges_of(stream)
        if edges is not None and span is not None:
            timed.append(gate_strip(name, stream, shades, edges, span))
        elif len(stream["kept"]) > 1 and not stream.get("labels"):
            frames = len(stream["kept"])
            strip = gate_strip(name, stream, shades, np.arange(frames + 1.0), (0.0, float(frames)))
            untimed.append((strip, frame_axis(frames)))
    words = [(gate_words(stream, shades), kinds_of(stream)) for stream in streams.values() if stream.get("labels")]
    single = {name: s["kept"][0] for name, s in streams.items() if len(s["kept"]) == 1 and not s.get("labels")}
    return {
        "id": one["id"],
        "answer": _answer(one, run),
        "text": "" if words else one.get("text") or "",
        "words": words,
        "timed": timed,
        "axis": None if span is None else time_axis(*span),
        "untimed": untimed,
        "single": ", ".join(f"{name} {plain(kept, 2)}" for name, kept in single.items()),
    }


def _answer(one: Mapping[str, Any], run: RunFolder) -> list[tuple[str, str]]:
    """`true` and `predicted`, as far as they are known."""
    found = [("true", one.get("truth")), ("predicted", one.get("prediction"))]
    if found[1][1] is None:
        return []
    scored = run.task.is_score
    return [
        (what, plain(float(value), 2) if scored else str(value).replace("|", ", ") or "none")
        for what, value in found
        if value is not None
    ]


# --- how it was made ---------------------------------------------------------------------------------------

FACTS: Mapping[str, str] = {
    "model": "model",
    "mecam": "mecam version",
    "git": "commit of mecam",
    "started": "started (UTC)",
    "seconds": "time",
    "seeds": "seeds",
    "parameters": "parameters",
    "parameters_beside_text": "parameters without the text encoder",
    "peak_memory_mb": "peak memory",
    "gpu_memory_mb": "peak memory of the GPU",
    "utterances_per_second": "utterances predicted per second",
    "device": "device",
    "precision": "numbers",
    "cpu": "processor",
    "cores": "cores",
    "platform": "system",
    "python": "Python",
    "torch": "PyTorch",
    "transformers": "Transformers",
}
"""Key of `environment.json` → in words, in the order they are shown."""

PRECISIONS = {"bf16-mixed": "bfloat16 and 32-bit (mixed)", "16-mixed": "16-bit and 32-bit (mixed)", "32-true": "32-bit"}


def made_section(run: RunFolder) -> Section:
    """Everything needed to make the run again."""
    facts, data = dict(run.environment), run.data
    apart = ("command", "data", "init", "mixed_with", "files")
    keys = [*(key for key in FACTS if key in facts), *(key for key in facts if key not in FACTS and key not in apart)]
    pairs = [
        (FACTS.get(key, key.replace("_", " ")), _fact(key, facts[key]))
        for key in keys
        if facts[key] not in (None, "", [])
    ]
    pairs += [("data", f"{data.get('name')}: {data.get('count')} utterances, store {data.get('path_name')}")]
    pairs += [("weight", str(data["weight"]))] if "weight" in data else []
    mixed = facts.get("mixed_with", [])
    pairs += [("mixed with", f"{m['train']} of {m['name']}, weight {m['weight']:g}") for m in mixed]
    pairs += [(f"start of seed {seed}", started_from(loaded)) for seed, loaded in facts.get("init", {}).items()]
    hashes = {**data.get("sha256", {}), **facts.get("files", {})}
    content = {"command": facts.get("command", ""), "pairs": pairs, "config": run.config_text, "hashes": hashes}
    return Section("made", "Method and settings", "run_made.j2", content)


def started_from(loaded: Mapping[str, Any]) -> str:
    """One sentence on what a seed took over from another run, and what it did not.

    Args:
        loaded: an entry of `environment.json` → `init`.
    """
    there = f"{loaded['model']} on {loaded['data']}, {loaded['checkpoint']}, SHA-256 {loaded['sha256'][:12]}"
    taken = f"{loaded['parameters'] / 1e6:.2f} of {loaded['of'] / 1e6:.2f} M parameters"
    left_out = [f"{', '.join(parts)} ({why})" for why, parts in loaded["left_out"].items()]
    return (
        f"{taken} from {loaded['run']} ({there})"
        + (f"; newly initialised: {'; '.join(left_out)}" if left_out else "")
        + "."
    )


def _fact(key: str, fact: Any) -> str:
    if key == "seconds":
        return duration(float(fact))
    if key.endswith("memory_mb"):
        return memory(float(fact))
    if key == "precision":
        return PRECISIONS.get(str(fact), str(fact))
    if isinstance(fact, int) and not isinstance(fact, bool):
        return grouped(fact)
    if isinstance(fact, list):
        return ", ".join(map(str, fact))
    return json.dumps(fact) if isinstance(fact, dict) else str(fact)
