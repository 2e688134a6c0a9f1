"""Explanations as tables, each made once for the terminal and the page; and how an explanation looks in a terminal."""

from typing import Any

from rich.console import Group
from rich.text import Text

from mecam.evaluation.explanation.agreement import between
from mecam.evaluation.explanation.explanation import ALL, Explanation, ModalityExplanation, PartEffect, in_short
from mecam.evaluation.explanation.perturbation import Effect
from mecam.evaluation.predict import contradicting
from mecam.report.format import UNDEFINED, clock, percent, plain, plural, signed
from mecam.report.predictions import ends_of
from mecam.report.table import Cell, Table
from mecam.types import Modality

TERMINAL_PARTS = 6
"""Parts that change the answer most."""


def explanation_view(one: Explanation) -> Group:
    """One utterance in a terminal: the answer, its words, the answer without things, what counts most, who agrees."""
    truth = "" if one.truth is None else f" · true {in_short(one.truth)}"
    scored = one.target.column is None
    what = f"{one.label} {signed(one.score)}{ends_of(one.low, one.high)}" if scored else f"{one.label} · {_asked(one)}"
    parts: list[Any] = [Text.assemble((one.id, "bold"), f" · {what}{truth}")]
    parts += [_words(of_modality) for of_modality in one.modalities.values() if of_modality.words]
    made = [modality_table(one, effects=True), strongest_table(one, TERMINAL_PARTS), agreement_table(one)]
    parts += [table.terminal() for table in made if table is not None]
    parts += [Text(completeness(one))] if one.gradients is not None else []
    return Group(*parts, Text())


def _asked(one: Explanation) -> str:
    return f"{one.target.name} {minus(one.target.told(one.score))}"


def minus(text: str) -> str:
    """A number with the sign that print has for minus."""
    return text.replace("-", "−")


def _words(of_modality: ModalityExplanation) -> Text:
    """The words; dim where the filter removed them, coloured where leaving them out changes the answer."""
    largest = max((abs(p.without.adds) for p in of_modality.parts), default=0.0)
    line = Text()
    for part, gone in zip(of_modality.parts, of_modality.removed, strict=True):
        colour = ""
        if largest > 0 and abs(part.without.adds) >= 0.25 * largest:
            colour = "blue" if part.without.adds > 0 else "red"
        line.append(f"{part.part.label} ", style=f"{'dim ' if gone else ''}{colour}".strip())
    return line


def modality_table(one: Explanation, *, effects: bool) -> Table | None:
    """What each modality weighs, what the filter did to it, and with `effects` the answer without it.

    Columns of which nothing is known are left out; None where nothing is.
    """
    adds = f"adds{one.target.unit}"
    head = ["modality", "modality weight", "conflict probability", "mean gate", "without it", adds]
    head += ["removed by the filter", "without those", adds]
    doubtful = contradicting(one.doubts)
    rows: list[list[Cell | str]] = []
    for m, of_modality in one.modalities.items():
        seen = of_modality.observed
        gate = None if of_modality.kept is None or not seen.any() else float(of_modality.kept[seen].mean())
        doubt = Cell(percent(one.doubts[m], 0), tone="warning") if m in doubtful else ""
        weight = percent(one.shares[m], 0) if m in one.shares else UNDEFINED
        removed = "" if of_modality.kept is None else _removed(of_modality)
        rows.append(
            [m, weight, doubt, "" if gate is None else plain(gate, 2), *_effect(one, one.without_modality.get(m))]
        )
        rows[-1] += [removed, *_effect(one, one.without_removed.get(m))]
    whole = one.without_removed.get(ALL)
    if effects and whole is not None and whole.count and len(one.modalities) > 1:
        rows.append([ALL, "", "", "", "", "", str(whole.count), *_effect(one, whole)])
    if not effects:
        hidden = {4, 5, 7, 8}
        head = [title for i, title in enumerate(head) if i not in hidden]
        rows = [[cell for i, cell in enumerate(row) if i not in hidden] for row in rows]
    note = (
        f"Contribution: the prediction with the input minus the prediction without it{_points(one)}." if effects else ""
    )
    title = "Modalities, and the prediction without them" if effects else "Modalities"
    table = Table(head, rows, title=title, note=note).compact()
    return table if len(table.head) > 1 else None


def _removed(of_modality: ModalityExplanation) -> str:
    """How many words or frames the filter marks as removed, of those that are there; the others are missing."""
    unit = "words" if of_modality.words else "frames"
    missing = int((~of_modality.observed).sum())
    told = f"{int(of_modality.removed.sum())} of {int(of_modality.observed.sum())} {unit}"
    return f"{told}, {missing} missing" if missing else told


def _points(one: Explanation) -> str:
    return ", in points of probability" if one.target.unit else ""


def _effect(one: Explanation, effect: Effect | None) -> tuple[str, str]:
    """The answer without something, and what that adds."""
    if effect is None or effect.count == 0:
        return "", ""
    return minus(one.target.told(effect.score)), minus(one.target.difference(effect.adds))


def strongest(one: Explanation, count: int) -> list[tuple[Modality, PartEffect]]:
    """The parts whose absence changes the answer most."""
    parts = [(m, p) for m, of_modality in one.modalities.items() for p in of_modality.parts if p.without.count]
    return sorted(parts, key=lambda pair: -abs(pair[1].without.adds))[:count]


def strongest_table(one: Explanation, count: int) -> Table | None:
    """The parts whose absence changes the answer most, as a table."""
    unit, said = one.target.unit, one.target
    rows = []
    for m, p in strongest(one, count):
        when = "" if p.part.seconds is None else "–".join(map(clock, p.part.seconds))
        gate = "missing" if p.kept is None and one.modalities[m].kept is not None else plain(p.kept, 2)
        told = (
            said.told(p.without.score),
            said.difference(p.without.adds, 3),
            UNDEFINED if p.gradient is None else said.difference(p.gradient, 3),
        )
        rows.append([p.part.name, m, when, gate, *map(minus, told)])
    head = ("part", "modality", "time", "gate", "without it", f"adds{unit}", f"gradients{unit}")
    return Table(head, rows, title="Largest contributions", words=frozenset({0, 1})).compact() if rows else None


def agreement_table(one: Explanation) -> Table | None:
    """Whether filter, leaving out and gradients agree."""
    rows = [
        [m, between(pair), signed(a.spearman), percent(a.overlap, 0), percent(a.chance, 0), str(a.parts)]
        for m, of_modality in one.modalities.items()
        for pair, a in of_modality.agreement.items()
    ]
    head = ("modality", "between", "rank correlation", "overlap of the top quarter", "by chance", "parts")
    title = "Do gate, occlusion and gradients agree?"
    return Table(head, rows, title=title, words=frozenset({0, 1})) if rows else None


def completeness(one: Explanation) -> str:
    """Whether the gradients add up to the answer, in a sentence; empty without gradients."""
    found, said = one.gradients, one.target
    if found is None:
        return ""
    held = (
        f" {', '.join(found.held)} was held constant: gradients cannot be computed for it in this model."
        if found.held
        else ""
    )
    unit = " points" if said.unit else ""
    return minus(
        f"Integrated gradients from {said.told(found.baseline, 3)} to {said.told(found.score, 3)} in "
        f"{plural(found.steps, 'step')} attribute {said.difference(found.total, 3)}{unit}; completeness error "
        f"{said.difference(found.error, 4)}{unit}.{held}"
    )
