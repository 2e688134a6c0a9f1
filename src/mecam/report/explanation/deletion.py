"""The deletion test and the agreement over a split as HTML pages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mecam.evaluation.explanation.agreement import between
from mecam.evaluation.explanation.deletion import ARMS
from mecam.evaluation.statistics import ALPHA
from mecam.files import write_whole
from mecam.report.comparison.words import p_value
from mecam.report.figures import Figure, axis, compose, forest
from mecam.report.markup import details, escape, figure, percent, plain, table, titled
from mecam.report.page import document

__all__ = ["write_agreement", "write_deletion"]

NAMES = {"marked": "kept least", "random": "at random", "kept": "kept most"}
COLOURS = {"marked": "var(--accent)", "random": "var(--muted)", "kept": "var(--mark)"}
GROUPS = {"all": "all utterances", "injected": "utterances with something put in"}


def write_deletion(path: Path, found: Mapping[str, Any]) -> Path:
    """Write the page of a deletion test.

    Args:
        path: of the page.
        found: what `deletion_test` returns, with `run`, `model`, `data` and `split`.

    Raises: DataError if it cannot be written.
    """
    sections = [("result", "Result", titled("Does it come out in the right order?", _verdict(found), _tests(found)))]
    for modality, groups in found["modalities"].items():
        parts = [_curves(found, group, rows) for group, rows in groups.items()]
        sections.append((modality, modality.capitalize(), titled(modality.capitalize(), _pair(parts))))
    sections.append(("reading", "How to read this", titled("How to read this", _reading(found))))
    return write_whole(path, document(f"Deletion test: {found['run']}", _head("Deletion test", found), sections))


def write_agreement(path: Path, found: Mapping[str, Any]) -> Path:
    """Write the page of the agreement over a split.

    Args:
        path: of the page.
        found: what `survey` returns, with `run`, `model`, `data` and `split`.

    Raises: DataError if it cannot be written.
    """
    sections = [
        (name, title, titled(title, _forest(found, name), _agreements(found, name)))
        for name, title in (("spearman", "Rank correlation"), ("overlap", "Top quarter in common"))
    ]
    if found["completeness"] is not None:
        sections.append(("gradients", "Gradients", titled("Are the gradients complete?", _completeness(found))))
    return write_whole(path, document(f"Agreement: {found['run']}", _head("Agreement", found), sections))


def _head(what: str, found: Mapping[str, Any]) -> str:
    where = f"{found['model']} of {found['run']}, on {found['split']} of {found['data']}"
    badges = "".join(f'<p class="badge">{escape(note)}</p>' for note in found.get("notes", ()))
    return f'<p class="kicker">mecam explain</p><h1>{escape(what)}</h1>{badges}<p class="lede">{escape(where)}</p>'


def _verdict(found: Mapping[str, Any]) -> str:
    """A line for each modality and group: the order that came out, and how sure it is."""
    lines = []
    for modality, groups in found["modalities"].items():
        for group, rows in groups.items():
            costs = [rows["curves"][arm]["mean"]["cost"] for arm in ARMS]
            if None in costs:
                said = "undefined"
            else:
                ordered = sorted(zip(costs, ARMS, strict=True))
                said = " &lt; ".join(NAMES[arm] for _, arm in ordered)
                said += ": in order" if costs == sorted(costs) else ": not in order"
            sure = [NAMES[arm] for arm in ("marked", "kept") if (rows["tests"][arm]["p_holm"] or 0.0) < ALPHA]
            told = f"; {' and '.join(sure)} differs from random beyond chance" if sure and None not in costs else ""
            lines.append(f"<li><b>{escape(modality)}</b>, {GROUPS[group]}: {said}{told}</li>")
    return f"<p>From the least cost to the most:</p><ul>{''.join(lines)}</ul>"


def _tests(found: Mapping[str, Any]) -> str:
    rows = []
    for modality, groups in found["modalities"].items():
        for group, given in groups.items():
            costs = [_cost(given["curves"][arm]["mean"]["cost"]) for arm in ARMS]
            tests = [_test(given["tests"][arm]) for arm in ("marked", "kept")]
            rows.append([escape(modality), _group(group), str(given["utterances"]), *costs, *tests])
    head = ["modality", "utterances", "n", *(NAMES[arm] for arm in ARMS), "least − random", "most − random"]
    low, high = percent(min(found["shares"])), percent(max(found["shares"]))
    note = (
        f'<p class="note">Cost: how much worse {escape(found["metric"].upper())} gets, mean over removed shares of '
        f"{low} to {high}, {found['seeds']} seed{'s' if found['seeds'] > 1 else ''} and {found['draws']} random draws. "
        "Differences with 95 % interval over other recordings; p by paired permutation of recordings, also adjusted "
        "for all tests of the table (Holm).</p>"
    )
    return note + table(head, rows, numbers=6)


def _cost(cost: float | None) -> str:
    return "—" if cost is None else f"{cost:+.3f}".replace("-", "−")


def _group(name: str) -> str:
    return f'<span class="nowrap">{"all" if name == "all" else "something put in"}</span>'


def _test(test: Mapping[str, Any]) -> str:
    ends = "" if test["ci95"] is None else f" <small>{_cost(test['ci95'][0])} to {_cost(test['ci95'][1])}</small>"
    return f"{_cost(test['value'])}{ends} <small>{p_value(test['p_value'])}, adjusted {p_value(test['p_holm'])}</small>"


def _pair(parts: Sequence[str]) -> str:
    return f'<div class="pair">{"".join(parts)}</div>'


def _curves(found: Mapping[str, Any], group: str, rows: Mapping[str, Any]) -> str:
    spec = _cost_figure(rows, f"cost in {found['metric'].upper()}")
    score = rows["score"]
    caption = (
        f"<b>{GROUPS[group].capitalize()}</b>: {rows['utterances']} of {rows['videos']} recordings; "
        f"{escape(found['metric'].upper())} as things are {plain(score)}."
    )
    return figure(spec, caption, label=f"Cost over removed share, {GROUPS[group]}")


def _cost_figure(rows: Mapping[str, Any], title: str) -> Figure:
    """Cost over the share that was removed: a line per arm, its interval as a band."""
    across = [round(share, 4) for share in rows["removed"]]
    data: list[dict[str, Any]] = []
    for arm in ARMS:
        points = rows["curves"][arm]["shares"]
        if any(point["cost"] is None for point in points):
            continue
        ends = [point["ci95"] or (point["cost"], point["cost"]) for point in points]
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": across + across[::-1],
                "y": [high for _, high in ends] + [low for low, _ in ends][::-1],
                "fill": "toself",
                "fillcolor": COLOURS[arm],
                "opacity": 0.12,
                "line": {"color": COLOURS[arm], "width": 0},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    for arm in ARMS:
        points = rows["curves"][arm]["shares"]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": NAMES[arm],
                "x": across,
                "y": [point["cost"] for point in points],
                "line": {"color": COLOURS[arm], "width": 2},
                "marker": {"color": COLOURS[arm], "size": 6},
                "hovertemplate": f"{NAMES[arm]}, %{{x:.0%}} removed: %{{y:+.3f}}<extra></extra>",
            }
        )
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 11}}
    x = axis("share removed", tickformat=".0%", rangemode="tozero")
    y = axis(title, zeroline=True, zerolinecolor="var(--ink)")
    return compose(data, x, y, showlegend=True, legend=legend)


def _reading(found: Mapping[str, Any]) -> str:
    return (
        "<p>In every utterance the rows (for text: the words) of one modality are ranked by how much the filter kept "
        "of them. A share of them is left out: rows masked, words replaced by the unknown token. If the filter knows "
        "what is of no use to the model, leaving out what it kept least costs less than leaving out as much at random, "
        "and what it kept most costs more.</p>"
        "<p>Where negative information was put in, the rows kept least should be the spoilt ones, and leaving them "
        "out may even help. Where nothing was put in, nothing is spoilt: the test then asks whether the filter ranks "
        "rows by how much the model needs them, which it was not taught.</p>"
        "<p>The gate is already at work when nothing is left out: rows that it closed hardly reach the answer, so "
        "leaving them out changes little. The test says that the ranking is right, not that the filter helps: "
        "<code>mecam ablate</code> asks that.</p>"
    ) + details("Shares that were really removed", _removed(found))


def _removed(found: Mapping[str, Any]) -> str:
    """Rows are whole: a tenth of six words is one."""
    rows: list[list[str]] = [
        [escape(modality), _group(group), *(percent(share) for share in given["removed"])]
        for modality, groups in found["modalities"].items()
        for group, given in groups.items()
    ]
    return table(["modality", "utterances", *(percent(s) for s in found["shares"])], rows, numbers=len(found["shares"]))


def _forest(found: Mapping[str, Any], name: str) -> str:
    rows: list[tuple[str, float | None, Sequence[float] | None, Sequence[float | None]]] = [
        (f"{modality}: {between(pair)}", entry[name]["mean"], entry[name]["ci95"], [])
        for modality, pairs in found["modalities"].items()
        for pair, entry in pairs.items()
    ]
    title = "rank correlation" if name == "spearman" else "share of the top quarter in common"
    spec = forest(rows, title, line=0.0 if name == "spearman" else None, percent=name == "overlap")
    return figure(spec, f"{found['utterances']} utterances of {found['videos']} recordings.", label=title)


def _agreements(found: Mapping[str, Any], name: str) -> str:
    rows = []
    for modality, pairs in found["modalities"].items():
        for pair, entry in pairs.items():
            mean, ends = entry[name]["mean"], entry[name]["ci95"]
            form = percent if name == "overlap" else plain
            told = "—" if ends is None else f"{form(ends[0])} to {form(ends[1])}"
            chance = [percent(entry["chance"])] if name == "overlap" else []
            rows.append([escape(modality), between(pair), form(mean), told, *chance, str(entry["utterances"])])
    chance = ["by chance"] if name == "overlap" else []
    return table(["modality", "between", "mean", "95 % interval", *chance, "utterances"], rows, numbers=3 + len(chance))


def _completeness(found: Mapping[str, Any]) -> str:
    given = found["completeness"]
    return (
        f"<p>Attributions must sum to the answer less that of the empty utterance. In {given['steps']} steps they miss "
        f"it by {plain(given['median_error'], 4)} (median; largest {plain(given['largest_error'], 4)}), where they sum "
        f"to {plain(given['median_total'], 2)} (median size).</p>"
    )
