"""The deletion test and the agreement over a split: tables for terminal and page, curves, and their pages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mecam.evaluation.explanation.agreement import between
from mecam.evaluation.explanation.deletion import ARMS
from mecam.evaluation.metrics import Metric, metrics_for
from mecam.evaluation.statistics import ALPHA
from mecam.files import write_whole
from mecam.report.format import UNDEFINED, capital, difference, interval, named, p_value, percent, plain, plural, value
from mecam.report.page import Chart, Section, page, section
from mecam.report.predictions import kicker
from mecam.report.table import Cell, Table
from mecam.task import Task

__all__ = ["agreement_summary", "deletion_table", "write_agreement", "write_deletion"]

NAMES = {"marked": "lowest gates", "random": "at random", "kept": "highest gates"}
GROUPS = {"all": "all utterances", "injected": "utterances with inserted corruption"}
SHORT_GROUPS = {"all": "all", "injected": "inserted corruption"}
READING = (
    "In every utterance the frames (for text: the words) of one modality are ranked by their gates. A fraction of "
    "them is removed: frames are masked, words are replaced by the unknown token. If the filter recognises useless "
    "input, removing the frames with the lowest gates costs less than removing as many at random, and removing those "
    "with the highest gates costs more.",
    "With inserted corruption, the lowest gates should be those of the corrupted frames, and removing these may even "
    "help. Without it, the test shows whether the filter ranks frames by their use for the model, which it was not "
    "trained to do.",
    "The gate also works when nothing is removed: frames with a closed gate hardly influence the prediction, so "
    "removing them changes little. The test shows whether the ranking is right, not whether the filter helps; for "
    "that, use mecam ablate.",
)


def write_deletion(path: Path, found: Mapping[str, Any], task: Task) -> Path:
    """Write the page of a deletion test.

    Args:
        path: of the page.
        found: what `deletion_test` returns, with `run`, `model`, `data` and `split`.
        task: of the model.

    Raises: DataError if it cannot be written.
    """
    metric = metrics_for(task)[found["metric"]]
    table = deletion_table(found, task)
    sections = [
        section(
            "result",
            "Result",
            heading="Are the costs in the expected order?",
            texts=["From the lowest to the highest cost:", *_verdicts(found)],
            tables=[table],
        ),
        *(
            section(m, capital(m), charts=[_curves(found, metric, group, rows) for group, rows in groups.items()])
            for m, groups in found["modalities"].items()
        ),
        section(
            "reading",
            "How to read this",
            texts=READING,
            folded=[("Fractions actually removed", _removed(found))],
        ),
    ]
    return _write(path, "Deletion test", found, sections)


def write_agreement(path: Path, found: Mapping[str, Any]) -> Path:
    """Write the page of the agreement over a split.

    Args:
        path: of the page.
        found: what `survey` returns, with `run`, `model`, `data` and `split`.

    Raises: DataError if it cannot be written.
    """
    charts = [_forest(found, "spearman"), _forest(found, "overlap")]
    heading = "Do gate, occlusion and gradients agree?"
    given = found["completeness"]
    complete = () if given is None else (
        "The attributions should sum to the prediction minus the prediction for an empty utterance. In "
        f"{plural(given['steps'], 'step')} they miss it by {plain(given['median_error'], 4)} (median; largest "
        f"{plain(given['largest_error'], 4)}), where they sum to {plain(given['median_total'], 2)} (median size).",
    )  # fmt: skip
    sections = [
        section("agreement", "Agreement", heading=heading, charts=charts, tables=[agreement_summary(found)]),
        section("gradients", "Gradients", heading="Are the gradients complete?", texts=complete, text_only=True),
    ]
    return _write(path, "Agreement", found, sections)


def _write(path: Path, what: str, found: Mapping[str, Any], sections: Sequence[Section]) -> Path:
    made = page(
        f"{what}: {found['run']}",
        heading=what,
        kicker=kicker("mecam explain", found),
        sections=sections,
        badges=found.get("notes", ()),
        lede=f"{found['model']} of {found['run']}, on the {found['split']} split of {found['data']}.",
    )
    return write_whole(path, made)


def _verdicts(found: Mapping[str, Any]) -> list[str]:
    """A line for each modality and group: the order that came out, and how sure it is."""
    lines = []
    for modality, groups in found["modalities"].items():
        for group, rows in groups.items():
            costs = [rows["curves"][arm]["mean"]["cost"] for arm in ARMS]
            if None in costs:
                told = "undefined"
            else:
                ordered = sorted(zip(costs, ARMS, strict=True))
                told = " < ".join(NAMES[arm] for _, arm in ordered)
                told += ": in order" if costs == sorted(costs) else ": not in order"
                adjusted = {arm: rows["tests"][arm]["p_holm"] for arm in ("marked", "kept")}
                sure = [NAMES[arm] for arm, p in adjusted.items() if p is not None and p < ALPHA]
                differ = "differ" if len(sure) > 1 else "differs"
                told += f"; {' and '.join(sure)} {differ} significantly from random" if sure else ""
            lines.append(f"{capital(modality)}, {GROUPS[group]}: {told}.")
    return lines


def deletion_table(found: Mapping[str, Any], task: Task) -> Table:
    """What removals cost, mean over shares; per modality and group of utterances."""
    metric = metrics_for(task)[found["metric"]]
    rows: list[list[Cell | str]] = []
    for modality, groups in found["modalities"].items():
        for group, given in groups.items():
            costs = [difference(given["curves"][arm]["mean"]["cost"], metric) for arm in ARMS]
            tests = [cell for arm in ("marked", "kept") for cell in _test(given["tests"][arm], metric)]
            rows.append([modality, SHORT_GROUPS[group], str(given["utterances"]), *costs, *tests])
    p = Cell("p", "adjusted below")
    head = ["modality", "utterances", "n", *(NAMES[arm] for arm in ARMS), "lowest − random", p, "highest − random", p]
    low, high = (percent(end, 0) for end in (min(found["shares"]), max(found["shares"])))
    unit = ", in points" if metric.fraction else ""
    note = (
        f"Cost: how much worse the {named(metric)} gets{unit}; mean over removed fractions of {low} to {high}, "
        f"{plural(found['seeds'], 'seed')} and {plural(found['draws'], 'random draw')}. Differences with their 95 % "
        "interval over other recordings; p by paired permutation of recordings, below it adjusted for all tests of "
        "the table (Holm)."
    )
    return Table(head, rows, title="Cost of removal", note=note, words=frozenset({0, 1}))


def _test(test: Mapping[str, Any], metric: Metric) -> tuple[Cell, Cell]:
    """A difference with its interval, and its p-values."""
    if test["value"] is None:
        return Cell(UNDEFINED), Cell(UNDEFINED)
    ends = interval(test["ci95"], metric, points=True) if test["ci95"] else ""
    return Cell(difference(test["value"], metric), ends), Cell(_p(test["p_value"]), _p(test["p_holm"]))


def _p(value: float | None) -> str:
    return p_value(value).removeprefix("p ").removeprefix("= ")


def _curves(found: Mapping[str, Any], metric: Metric, group: str, rows: Mapping[str, Any]) -> Chart:
    """Cost over the share that was removed: a line per arm, its interval as a band."""
    import altair as alt

    from mecam.report.charts import interval_curves, spec

    factor = 100 if metric.fraction else 1
    points = [
        {"name": NAMES[arm], "x": share, "mean": factor * point["cost"]}
        | {key: None if point["ci95"] is None else factor * point["ci95"][i] for i, key in enumerate(("low", "high"))}
        for arm in ARMS
        for share, point in zip(rows["removed"], rows["curves"][arm]["shares"], strict=True)
        if point["cost"] is not None
    ]
    unit = ", points" if metric.fraction else ""
    chart = interval_curves(
        points,
        [NAMES[arm] for arm in ARMS],
        x=alt.X("x:Q", title="fraction removed", scale=alt.Scale(zero=True), axis=alt.Axis(format=".0%", tickCount=5)),
        y=alt.Y("mean:Q", title=f"cost in {metric.name}{unit}"),
        form="+.1f" if metric.fraction else "+.3f",
        reference=NAMES["random"],
    )
    caption = (
        f"{plural(rows['utterances'], 'utterance')} of {plural(rows['videos'], 'recording')}; {named(metric)} "
        f"without removal {value(rows['score'], metric)}."
    )
    label = f"cost by removed fraction, {GROUPS[group]}"
    return Chart(spec(chart, height=260), label, capital(GROUPS[group]), caption)


def _removed(found: Mapping[str, Any]) -> Table:
    """Frames are whole: a tenth of six words is one."""
    rows = [
        [modality, SHORT_GROUPS[group], *map(percent, given["removed"])]
        for modality, groups in found["modalities"].items()
        for group, given in groups.items()
    ]
    return Table(("modality", "utterances", *map(percent, found["shares"])), rows, words=frozenset({0, 1}))


def _forest(found: Mapping[str, Any], name: str) -> Chart:
    from mecam.report.charts import forest, spec

    rows: list[tuple[str, float | None, Sequence[float] | None, Sequence[float | None]]] = [
        (f"{modality}: {between(pair)}", entry[name]["mean"], entry[name]["ci95"], [])
        for modality, pairs in found["modalities"].items()
        for pair, entry in pairs.items()
    ]
    title = "rank correlation" if name == "spearman" else "overlap of the top quarter"
    drawn = forest(rows, title, line=0.0 if name == "spearman" else None, percent=name == "overlap")
    return Chart(spec(drawn, height=70 + 26 * len(rows)), title, capital(title))


def agreement_summary(found: Mapping[str, Any]) -> Table:
    """Agreement over a split."""
    rows = []
    for modality, pairs in found["modalities"].items():
        for pair, entry in pairs.items():
            cells = []
            for name, form in (("spearman", plain), ("overlap", percent)):
                mean, ends = entry[name]["mean"], entry[name]["ci95"]
                cells.append(Cell(form(mean), "" if ends is None else f"{form(ends[0])} to {form(ends[1])}"))
            rows.append([modality, between(pair), *cells, percent(entry["chance"]), str(entry["utterances"])])
    head = ("modality", "between", "rank correlation", f"top {percent(found['top'], 0)} in common", "by chance", "n")
    note = (
        f"Means over {plural(found['utterances'], 'utterance')} of {plural(found['videos'], 'recording')}; below them "
        "the 95 % interval over other recordings. By chance: the overlap of two unrelated rankings."
    )
    return Table(head, rows, title="Agreement", note=note, words=frozenset({0, 1}))
