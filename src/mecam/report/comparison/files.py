"""Standings as files: Markdown, LaTeX (booktabs), CSV, CSV of every pair, JSON, and one HTML page."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mecam.data.cells import safe_cell
from mecam.evaluation.comparison.standings import Difference, Score, Standings
from mecam.evaluation.metrics import Metric
from mecam.files import write_whole, writing
from mecam.report.comparison.page import comparison_page
from mecam.report.comparison.words import (
    COSTS,
    EXPLANATION,
    FACTS,
    alike,
    costs,
    delta,
    explained_delta,
    explained_ranks,
    marked,
    ranked,
)
from mecam.report.markup import UNDEFINED, interval, spread, value

__all__ = [
    "as_csv",
    "as_latex",
    "as_markdown",
    "latex",
    "markdown",
    "markdown_table",
    "pairs_as_csv",
    "write_comparison",
    "write_files",
]


def write_comparison(standings: Standings, folder: Path) -> list[Path]:
    """Write `comparison.md`, `.tex`, `.csv`, `.json`, `.html` and `comparison_pairs.csv`, each whole or not at all.

    Returns: their paths, the page last.
    Raises: DataError if the folder cannot be written to.
    """
    writers: dict[str, Callable[[Standings], str]] = {
        ".md": as_markdown,
        ".tex": as_latex,
        ".csv": as_csv,
        "_pairs.csv": pairs_as_csv,
        ".json": lambda given: json.dumps(given.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        ".html": comparison_page,
    }
    return write_files(folder, {f"comparison{suffix}": write(standings) for suffix, write in writers.items()})


def write_files(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write texts under their names into a folder that is made where it is missing, each whole or not at all.

    Returns: their paths, in the order given.
    Raises: DataError if the folder cannot be written to.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return [write_whole(folder / name, text) for name, text in texts.items()]


def as_markdown(standings: Standings) -> str:
    """A table of all metrics, one of the differences from the baseline where there is one, and what they mean."""
    metrics = list(standings.metrics.values())
    head = [
        "",
        *(f"{markdown(m.name)} {'↑' if m.higher_is_better else '↓'}" for m in metrics),
        *(["rank ↓"] if standings.ranks is not None else []),
        "budget",
        *(f.title for f in costs(standings)),
    ]
    rows = []
    for row in standings.rows:
        cells = [_markdown_cell(row.scores[m.name], m) for m in metrics]
        cells += [" ".join(ranked(standings.ranks, row.name))] if standings.ranks is not None else []
        rows.append([markdown(row.name), *cells, row.budget, *(fact.shown(row) for fact in costs(standings))])
    parts = [f"# {markdown(_title(standings))}\n", markdown_table(head, rows), f"{EXPLANATION}\n", f"{COSTS}\n"]
    parts += [f"{explained_ranks(standings.ranks)}\n"] if standings.ranks is not None else []
    parts += [f"{markdown(said)}\n"] if standings.overlap is not None and (said := alike(standings.overlap)) else []
    if standings.baseline is not None:
        others = [row for row in standings.rows if any(s.against_baseline for s in row.scores.values())]
        lines = [
            [markdown(row.name), *(delta(row.scores[m.name].against_baseline, m) for m in metrics)] for row in others
        ]
        parts += [
            f"## Against {markdown(standings.baseline)}\n",
            markdown_table(["", *head[1 : len(metrics) + 1]], lines),
            f"{explained_delta(standings.baseline)}\n",
        ]
    parts += [f"- {markdown(row.name)}: {markdown(row.note)}" for row in standings.rows if row.note]
    parts += [f"- {markdown(name)} is missing: {markdown(reason)}" for name, reason in standings.missing.items()]
    parts += [f"- {markdown(note)}" for note in standings.notes]
    return "\n".join(parts).rstrip() + "\n"


def as_latex(standings: Standings) -> str:
    r"""Two `table*` for `\usepackage{booktabs}`, metrics and costs; cut the columns that a paper does not need."""
    metrics, ranks = list(standings.metrics.values()), standings.ranks
    arrows = [latex(m.name) + (r" $\uparrow$" if m.higher_is_better else r" $\downarrow$") for m in metrics]
    rows = []
    for row in standings.rows:
        ends = [rf"{{\scriptsize {latex(interval(row.scores[m.name].ci95, m))}}}" for m in metrics]
        mean, letters = ("", "") if ranks is None else ranked(ranks, row.name)
        place = [] if ranks is None else [rf"{mean}$^{{\mathrm{{{letters}}}}}$" if mean else ""]
        rows.append([latex(row.name), *(_latex_cell(row.scores[m.name], m) for m in metrics), *place])
        rows.append(["", *ends, *("" for _ in place)])
    head = ["", *arrows, *([] if ranks is None else [r"rank $\downarrow$"])]
    about = f"{_title(standings)}. {EXPLANATION}".replace("**bold**", "bold")
    about += "" if ranks is None else f" {explained_ranks(ranks)}"
    spent = [
        [latex(row.name), latex(row.budget), *(latex(f.shown(row)) for f in costs(standings))] for row in standings.rows
    ]
    titles = ["", "budget", *(latex(fact.title) for fact in costs(standings))]
    return _latex_table(head, rows, about) + "\n" + _latex_table(titles, spent, f"Costs. {COSTS}")


def _latex_table(head: Sequence[str], rows: Sequence[Sequence[str]], about: str) -> str:
    lines = [r"\begin{table*}", r"\centering\small", rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}", r"\toprule"]
    lines += [" & ".join(head) + r" \\", r"\midrule"]
    lines += [" & ".join(row) + r" \\" for row in rows]
    lines += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{latex(about)}}}", r"\end{table*}"]
    return "\n".join(lines) + "\n"


def as_csv(standings: Standings) -> str:
    """One line per run and metric, in full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    tests = [f"{what}_{against}" for against in ("best", "baseline") for what in ("difference", "low", "high", "p")]
    tests = [*tests[:4], "p_holm_best", *tests[4:], "p_holm_baseline"]
    facts = [fact.key for fact in FACTS]
    head = ["run", "model", "metric", "mean", "std", "low", "high", "seeds", "best", "tied", *tests, *facts]
    writer.writerow([*head, "rank", "rank_groups", "budget"])
    ranks = standings.ranks
    for row in standings.rows:
        for name, score in row.scores.items():
            writer.writerow(
                [safe_cell(row.name), row.model, name, score.mean, score.std, *(score.ci95 or (None, None)), row.seeds]
                + [int(score.best), int(score.tied), *_numbers(score.against_best), *_numbers(score.against_baseline)]
                + [row.facts.get(key) for key in facts]
                + ([None, None] if ranks is None else [ranks.of(row.name), ranks.letters(row.name)])
                + [safe_cell(row.budget)]
            )
    return text.getvalue()


def pairs_as_csv(standings: Standings) -> str:
    """One line per two runs: whether recordings tell them apart, and whether they err together."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ["both_err", "both_err_by_chance", "error_consistency", "residual_correlation"]
    writer.writerow(["run", "other", "rank_p_holm", *names])
    overlap, ranks = standings.overlap, standings.ranks
    for i, j in [] if overlap is None else overlap.pairs():
        assert overlap is not None
        one, other = overlap.names[i], overlap.names[j]
        p = None if ranks is None else ranks.p_holm[ranks.names.index(one)][ranks.names.index(other)]
        matrices = (overlap.both, overlap.expected, overlap.consistency, overlap.residuals)
        writer.writerow(
            [safe_cell(one), safe_cell(other), p, *(matrix[i][j] if matrix else None for matrix in matrices)]
        )
    return text.getvalue()


def _numbers(difference: Difference | None) -> list[float | None]:
    if difference is None:
        return [None] * 5
    return [difference.value, *(difference.ci95 or (None, None)), difference.p_value, difference.p_holm]


def _title(standings: Standings) -> str:
    return f"{standings.data}, {standings.split}: {standings.resampled.of(standings.utterances, standings.videos)}"


def _markdown_cell(score: Score, metric: Metric) -> str:
    text = marked(score, metric)
    text = f"**{text}**" if score.best else text
    return f"{text}<br>{interval(score.ci95, metric)}" if score.ci95 else text


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of ready cells, all columns but the first aligned right."""
    ruler = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ruler, *rows]) + "\n"


def _latex_cell(score: Score, metric: Metric) -> str:
    if score.mean is None:
        return "--"
    mean = latex(value(score.mean, metric))
    mean = rf"\textbf{{{mean}}}" if score.best else mean
    tie = r"$^{\approx}$" if score.tied else ""
    return f"{mean}{tie} {latex(spread(score.std, metric))}".rstrip()


def markdown(text: str) -> str:
    """Text as it is, wherever Markdown would see a sign in it."""
    for sign in "\\`*_[]<>|":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


def latex(text: str) -> str:
    """Text as it is, wherever LaTeX would see a sign in it."""
    signs = {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
        **{"−": "$-$", "±": r"$\pm$", "≈": r"$\approx$", "–": "--", UNDEFINED: "--", "<": "$<$", "≥": r"$\geq$"},
    }
    return "".join(signs.get(sign, sign) for sign in text)
