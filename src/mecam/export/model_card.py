"""The model card of a run, as the hub shows it: Markdown below YAML metadata, with its measured values in both."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

from mecam.evaluation.groups import MIN_GROUPS
from mecam.evaluation.metrics import Metric, metrics_for
from mecam.features.extractor import extractor_names
from mecam.models.checkpoint import Checkpoint
from mecam.models.registry import summary
from mecam.pretrained.cards import cards
from mecam.runs.run import RunFolder
from mecam.types import TEXT
from mecam.version import __version__

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["Shared", "model_card"]

NOT_SAID = "not stated by whoever shared this model"

KINDS = {"regression": "multimodal-regression", "classes": "multimodal-classification"}
"""Kind of task → what the metadata calls it; others are classifications of several labels."""


@dataclass(frozen=True)
class Shared:
    """What a card says beside what the run says.

    Attributes:
        address: of the model on the hub, with a revision.
        files: of the repository, name → (bytes, what it is).
        seed: whose weights they are; None where that is not known.
        reads: the modalities that the model is given.
        licence: identifier of the licence of the weights; empty where none is given.
        data_licence: licence and terms of the training data, in words.
        exported: the address of the exported model; empty without one.
    """

    address: str
    files: Mapping[str, tuple[int, str]]
    seed: int | None
    reads: tuple[str, ...]
    licence: str = ""
    data_licence: str = ""
    exported: str = ""


def model_card(run: RunFolder, checkpoint: Checkpoint, shared: Shared) -> str:
    """The card: what the model is, how well it does and on what, what it learned from, its limits, how to load it.

    Args:
        run: what was trained.
        checkpoint: of the weights that are shared.
        shared: what the run does not say.
    """
    metrics = metrics_for(run.task)
    repository = shared.address.removeprefix("hf:").partition("@")[0]
    title = f"{run.model} on {_plain(checkpoint.data_name or 'data')}"
    data = {"name": _plain(checkpoint.data_name or "data"), **{k: v for k, v in run.data.items() if k == "splits"}}
    metadata: dict[str, Any] = {"library_name": "mecam", "tags": _tags(run, shared)}
    if shared.licence:
        metadata["license"] = shared.licence
    metadata["model-index"] = [{"name": repository, "results": list(_results(run, data["name"], shared, metrics))}]
    content = {
        "metadata": yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True),
        "title": title,
        "about": _about(run, shared),
        "address": shared.address,
        "exported": shared.exported,
        "measured": [_measured(run, split, shared, metrics) for split in run.splits],
        "seeds": _count(len(run.seeds) or 1, "seed"),
        "data": data,
        "chosen": _chosen(run, shared),
        "learned_from": list(_learned_from(run, checkpoint, shared)),
        "limits": list(_limits(run, checkpoint, shared, metrics)),
        "licence": f"The weights: `{shared.licence}`." if shared.licence else f"Of the weights: {NOT_SAID}.",
        "files": [(name, size, what) for name, (size, what) in shared.files.items()],
        "version": __version__,
    }
    return _template().render(content)


@cache
def _template() -> "Template":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # No escapes: a card is Markdown. What comes from files goes through `_plain`.
    made = Environment(
        loader=PackageLoader("mecam.export"),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return made.get_template("model_card.j2")


def _plain(text: object) -> str:
    """A name from a file, on one line and without markup."""
    return re.sub(r"[|<>`\[\]\\*_#\s]+", " ", str(text)).strip()


def _slug(text: object) -> str:
    """A name as metadata has them."""
    return re.sub(r"[^a-z0-9]+", "-", str(text).lower()).strip("-") or "data"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _tags(run: RunFolder, shared: Shared) -> list[str]:
    kind = "sentiment-analysis" if run.task.is_score else "emotion-recognition"
    return ["mecam", "multimodal", kind, *(_slug(modality) for modality in shared.reads)]


def _about(run: RunFolder, shared: Shared) -> str:
    """What it is, in three sentences."""
    reads = ", ".join(map(_plain, shared.reads)) or "nothing: it always says the same"
    made = f"Trained with [mecam](https://pypi.org/project/mecam/) {_plain(run.environment.get('mecam', ''))}"
    return f"The model `{run.model}`: {summary(run.model)} It predicts {_answers(run)} from {reads}. {made}."


def _answers(run: RunFolder) -> str:
    """What it predicts."""
    if run.task.is_score:
        return f"a score from {run.task.low:g} to {run.task.high:g}"
    return f"{run.task.answers} ({', '.join(map(_plain, run.task.names))})"


def _results(run: RunFolder, data: str, shared: Shared, metrics: Mapping[str, Metric]) -> Iterator[dict[str, Any]]:
    """The results of `model-index`: values of these very weights, with mean, deviation and interval as arguments."""
    for split in run.splits:
        values = []
        for name, entry in run.metrics[split].items():
            own = _own(run, entry, shared)
            if own is None:
                continue
            told = {key: entry.get(key) for key in ("mean", "std", "ci95") if entry.get(key) is not None}
            told = {"seed": shared.seed, "seeds": list(run.seeds), **told}
            title = metrics[name].title if name in metrics else name
            values.append({"type": name, "name": title, "value": own, "args": told})
        kind = KINDS.get(run.task.kind, "multimodal-multilabel-classification")
        yield {
            "task": {"type": kind, "name": _answers(run)},
            "dataset": {"type": _slug(data), "name": data, "split": split},
            "metrics": values,
        }


def _own(run: RunFolder, entry: Mapping[str, Any], shared: Shared) -> float | None:
    """A metric of the weights that are shared; the mean over seeds where it is not known which they are."""
    per_seed: Sequence[float | None] = entry.get("per_seed") or ()
    if shared.seed in run.seeds and len(per_seed) == len(run.seeds):
        return per_seed[run.seeds.index(shared.seed)]
    mean: float | None = entry.get("mean")
    return mean


def _measured(run: RunFolder, split: str, shared: Shared, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """A table of all metrics of a split."""
    constant = run.metrics.get("constant", {}).get(split, {})
    drawn = run.metrics.get("resampled", {}).get(split, {})
    rows = []
    for name, entry in run.metrics[split].items():
        metric = metrics.get(name)
        better = "" if metric is None else " ↑" if metric.higher_is_better else " ↓"
        spread = "" if entry.get("std") is None else f" ± {_number(entry['std'], metric).removesuffix(' %')}"
        ends = " to ".join(_number(end, metric) for end in entry["ci95"]) if entry.get("ci95") else "—"
        rows.append(
            [
                f"{metric.title if metric else name} (`{name}`){better}",
                _number(_own(run, entry, shared), metric),
                _number(entry.get("mean"), metric) + spread,
                ends,
                _number(constant.get(name, {}).get("mean"), metric),
            ]
        )
    unit, count = _plain(drawn.get("unit", "recordings")), int(drawn.get("count", 0))
    few = f"; at least {MIN_GROUPS} are needed" if 0 < count < MIN_GROUPS else ""
    note = f"The interval is over other {unit}, of which there are {count} (bootstrap){few}."
    count_of = run.data.get("splits", {}).get(split, "?")
    return {"name": split, "count": _plain(count_of), "rows": rows, "note": note}


def _number(number: float | None, metric: Metric | None) -> str:
    if number is None:
        return "—"
    return f"{100 * number:.1f} %" if metric is not None and metric.fraction else f"{number:.3f}"


def _chosen(run: RunFolder, shared: Shared) -> str:
    """Which seed the weights are of, and which epoch."""
    keep = run.options.get("training", {}).get("keep", "best")
    epoch = "of the last epoch" if keep == "last" else "of the epoch that is best on validation"
    if len(run.seeds) > 1 and shared.seed is not None:
        return f"The weights are those of seed {shared.seed}, the best of {len(run.seeds)} on validation, {epoch}."
    return f"The weights are those {epoch}" + (f", seed {shared.seed}." if shared.seed is not None else ".")


def _learned_from(run: RunFolder, checkpoint: Checkpoint, shared: Shared) -> Iterator[str]:
    """What it learned from, with licence and terms."""
    splits = run.data.get("splits", {})
    counts = ", ".join(f"{_plain(count)} {_plain(split)}" for split, count in splits.items() if count)
    made = "; made by mecam, which puts no terms on it" if checkpoint.synthetic else ""
    yield f"{_plain(checkpoint.data_name or 'data')}, utterances: {counts}{made}"
    for other in run.environment.get("mixed_with", ()):
        yield f"{_plain(other.get('name', 'data'))}: {_plain(other.get('train', '?'))} utterances of its train split"
    if run.options.get("init"):
        yield "training started from the weights of another run, and so from what that run learned from"
    if not checkpoint.synthetic or shared.data_licence:
        yield f"licence and terms: {_plain(shared.data_licence) or NOT_SAID}"
    encoder = run.options.get("model", {}).get("encoder")
    if encoder and TEXT in shared.reads:
        name = re.split(r"[/\\]", str(encoder))[-1] if re.match(r"[/~.]|[A-Za-z]:", str(encoder)) else str(encoder)
        yield f"the text encoder `{_plain(name)}`, whose own licence holds for its part of the weights"


def _limits(run: RunFolder, checkpoint: Checkpoint, shared: Shared, metrics: Mapping[str, Metric]) -> Iterator[str]:
    """What its run says against it, and what it must not be used for."""
    if run.data.get("synthetic"):
        yield "Learned from a corpus that mecam makes: its figures say nothing about real data."
    if len(run.seeds) < 2:
        yield "One seed was trained: how much another would differ is not known."
    if run.splits and "test" not in run.splits:
        yield "Measured on the split that it was chosen on: the figures are too good."
    if run.splits:
        split = run.splits[0]
        constant = run.metrics.get("constant", {}).get(split, {})
        lost = [name for name, m in metrics.items() if _no_better(run, split, name, m, constant, shared)]
        if lost:
            names = ", ".join(f"`{name}`" for name in lost)
            yield f"On {split} it is no better than a constant prediction in {names}."
    known = run.metrics.get("calibration", {})
    for split, rate in (known.get("coverage") or {}).items():
        if rate is not None and split == (run.splits or [""])[0]:
            yield f"Its {100 * known['level']:.0f} % intervals hold {100 * rate:.1f} % of the true scores on {split}."
    yield from _needs(checkpoint, shared)
    yield "Other recordings, other people and other languages than those of its training data were not measured."
    yield f"Not for: {cards()['words-sentiment'].not_for[0].lower()}{cards()['words-sentiment'].not_for[1:]}"


def _no_better(
    run: RunFolder, split: str, name: str, metric: Metric, constant: Mapping[str, Any], shared: Shared
) -> bool:
    ours = _own(run, run.metrics[split].get(name, {}), shared)
    theirs = constant.get(name, {}).get("mean")
    if ours is None or theirs is None:
        return False
    return bool(ours <= theirs) if metric.higher_is_better else bool(ours >= theirs)


def _needs(checkpoint: Checkpoint, shared: Shared) -> Iterator[str]:
    """Which features it needs."""
    ours = {name.partition(":")[0] for name in extractor_names()}
    specs = {m: spec for m, spec in checkpoint.inputs.features.items() if m in shared.reads and m != TEXT}
    for modality, spec in specs.items():
        version = f" {_plain(spec.version)}" if spec.version else ""
        made = "" if spec.extractor.partition(":")[0] in ours else "; mecam does not make them: it predicts stores only"
        yield f"Its {_plain(modality)} input is features of `{_plain(spec.extractor)}`{version}{made}."
    if checkpoint.inputs.raw_text and TEXT in shared.reads:
        yield f"Of one text, {checkpoint.data.max_tokens} sub-words are read at most."
