"""Explanations for the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from mecam.evaluation.explanation.explanation import Explanation, Strand

__all__ = ["agreement_view", "deletion_view", "explanation_view"]

SHOWN = 6
"""Parts that change the answer most."""


def explanation_view(one: "Explanation", doubtful: Sequence[str]) -> Group:
    """One utterance: the answer, its words, what it would be without things, what counts most, who agrees.

    Args:
        one: the utterance.
        doubtful: modalities that contradict the others.
    """
    from mecam.evaluation.explanation.explanation import in_short

    ends = f" ({one.low:+.2f} to {one.high:+.2f})" if one.low is not None and one.high is not None else ""
    truth = "" if one.truth is None else f" · true {in_short(one.truth)}"
    what = (
        f"{one.label} {one.score:+.2f}"
        if one.quantity.column is None
        else f"{one.label} · {one.quantity.name} {one.quantity.told(one.score)}"
    )
    parts: list[Any] = [Text.assemble((one.id, "bold"), f" · {what}{ends}{truth}")]
    parts += [_words(strand) for strand in one.strands.values() if strand.words]
    if one.shares or one.without_modality or one.without_removed:
        parts.append(_alternatives(one, doubtful))
    parts.append(_strongest(one))
    if any(strand.agreement for strand in one.strands.values()):
        parts.append(_agreement(one))
    if one.gradients is not None:
        held = f"; {', '.join(one.gradients.held)} held still" if one.gradients.held else ""
        parts.append(
            Text(
                f"integrated gradients: {one.quantity.told(one.gradients.baseline, 3)} → "
                f"{one.quantity.told(one.gradients.score, 3)}, attributed "
                f"{one.quantity.difference(one.gradients.total, 3)}, completeness error "
                f"{one.quantity.difference(one.gradients.error, 4)}{held}"
            )
        )
    return Group(*parts, Text())


def _words(strand: "Strand") -> Text:
    """The words; dim where the filter removed them, coloured where leaving them out changes the answer."""
    largest = max((abs(p.without.adds) for p in strand.parts), default=0.0)
    line = Text()
    for part, gone in zip(strand.parts, strand.removed, strict=True):
        colour = ""
        if largest > 0 and abs(part.without.adds) >= 0.25 * largest:
            colour = "blue" if part.without.adds > 0 else "red"
        line.append(f"{part.part.label} ", style=f"{'dim ' if gone else ''}{colour}".strip())
    return line


def _alternatives(one: "Explanation", doubtful: Sequence[str]) -> Table:
    """The answer without each modality and without what the filter marks."""
    said, unit = one.quantity, one.quantity.unit
    title = "without it, the answer would be; what it adds raises (+) or lowers (−) the answer by being there"
    table = Table(title=title, title_justify="left")
    table.add_column("modality")
    adds = f"adds{unit}"
    columns = ["share", "kept", "without it", adds, "marked as removed", "without that", adds]
    for name in [*columns[:1], *(["contradicts"] if doubtful else []), *columns[1:]]:
        table.add_column(name, justify="right")
    for m, strand in one.strands.items():
        removed, absent = one.without_removed.get(m), one.without_modality.get(m)
        kept = None if strand.kept is None or not strand.observed.any() else float(strand.kept[strand.observed].mean())
        unit = "words" if strand.words else "rows"
        table.add_row(
            m,
            "–" if m not in one.shares else f"{one.shares[m]:.0%}",
            *([Text(f"{one.doubts[m]:.0%}" if m in doubtful else "", "yellow")] if doubtful else []),
            "–" if kept is None else f"{kept:.2f}",
            *(("–", "–") if absent is None else (said.told(absent.score), said.difference(absent.adds))),
            "–" if removed is None else f"{removed.count} of {int(strand.observed.sum())} {unit}",
            *(("–", "–") if removed is None else (said.told(removed.score), said.difference(removed.adds))),
        )
    whole = one.without_removed.get("all")
    if whole is not None and len(one.strands) > 1:
        numbers = said.told(whole.score), said.difference(whole.adds)
        table.add_row("all", *[""] * (5 if doubtful else 4), str(whole.count), *numbers)
    return table


def _strongest(one: "Explanation") -> Table:
    """The parts whose absence changes the answer most."""
    table = Table(title="what counts most", title_justify="left")
    for name in ("modality", "part"):
        table.add_column(name)
    unit = one.quantity.unit
    for name in ("kept", "without it", f"adds{unit}", f"gradients{unit}"):
        table.add_column(name, justify="right")
    rows = [(m, p) for m, strand in one.strands.items() for p in strand.parts]
    for m, p in sorted(rows, key=lambda row: -abs(row[1].without.adds))[:SHOWN]:
        when = "" if p.part.seconds is None else f" ({p.part.seconds[0]:.1f}–{p.part.seconds[1]:.1f} s)"
        table.add_row(
            m,
            Text(f"{p.part.name}{when}"),
            "–" if p.kept is None else f"{p.kept:.2f}",
            one.quantity.told(p.without.score),
            one.quantity.difference(p.without.adds, 3),
            one.quantity.difference(p.gradient, 3),
        )
    return table


def _agreement(one: "Explanation") -> Table:
    from mecam.evaluation.explanation.agreement import between

    table = Table(title="do they agree? (rank correlation; share of the top quarter in common)", title_justify="left")
    table.add_column("modality")
    pairs = list(dict.fromkeys(pair for strand in one.strands.values() for pair in strand.agreement))
    for pair in pairs:
        table.add_column(between(pair), justify="right")
    for m, strand in one.strands.items():
        cells = []
        for pair in pairs:
            found = strand.agreement.get(pair)
            rank = "–" if found is None or found.spearman is None else f"{found.spearman:+.2f}"
            cells.append(rank if found is None else f"{rank}, {found.overlap:.0%} (chance {found.chance:.0%})")
        table.add_row(m, *cells)
    return table


def agreement_view(found: dict[str, Any]) -> Table:
    """Agreement over a split."""
    from mecam.evaluation.explanation.agreement import between

    title = f"agreement over {found['utterances']} utterances of {found['videos']} recordings"
    table = Table(title=title, title_justify="left")
    for name in ("modality", "between"):
        table.add_column(name)
    for name in (
        "rank correlation",
        "95 % interval",
        f"top {found['top']:.0%} in common",
        "95 % interval",
        "chance",
        "n",
    ):
        table.add_column(name, justify="right")
    for modality, pairs in found["modalities"].items():
        for pair, entry in pairs.items():
            cells = []
            for name, form in (("spearman", "+.3f"), ("overlap", ".1%")):
                mean, ends = entry[name]["mean"], entry[name]["ci95"]
                cells.append("–" if mean is None else format(mean, form))
                cells.append("–" if ends is None else f"{format(ends[0], form)} to {format(ends[1], form)}")
            table.add_row(modality, between(pair), *cells, f"{entry['chance']:.1%}", str(entry["utterances"]))
    return table


def deletion_view(found: dict[str, Any]) -> Table:
    """What removals cost, mean over shares; per modality and group of utterances."""
    low, high = min(found["shares"]), max(found["shares"])
    title = f"cost in {found['metric'].upper()} of removing {low:.0%} to {high:.0%}, mean over shares"
    table = Table(title=title, title_justify="left")
    for name in ("modality", "utterances"):
        table.add_column(name)
    for name in ("kept least", "at random", "kept most", "least − random", "most − random"):
        table.add_column(name, justify="right")
    for modality, groups in found["modalities"].items():
        for group, rows in groups.items():
            costs = [rows["curves"][arm]["mean"]["cost"] for arm in ("marked", "random", "kept")]
            tests = [rows["tests"][arm] for arm in ("marked", "kept")]
            where = "all" if group == "all" else "something put in"
            table.add_row(
                modality,
                f"{where} ({rows['utterances']})",
                *("–" if cost is None else f"{cost:+.3f}" for cost in costs),
                *(_tested(test) for test in tests),
            )
    return table


def _tested(test: dict[str, Any]) -> str:
    if test["value"] is None:
        return "–"
    ends = "" if test["ci95"] is None else f" ({test['ci95'][0]:+.3f} to {test['ci95'][1]:+.3f})"
    return f"{test['value']:+.3f}{ends}\np {_small(test['p_value'])}, adjusted {_small(test['p_holm'])}"


def _small(p: float) -> str:
    return "< .001" if p < 0.001 else f"= {p:.3f}".replace("0.", ".")
