"""Findings as files: Markdown, LaTeX (booktabs), CSV, JSON, and one HTML page."""

import csv
import io
import json
from pathlib import Path

from mecam.data.cells import safe_row
from mecam.evaluation.robustness.findings import Findings, condition_of
from mecam.report.comparison.files import latex, markdown, markdown_table, write_files
from mecam.report.robustness.page import robustness_page
from mecam.report.robustness.tables import Cell, Table, tables

__all__ = ["as_csv", "as_latex", "as_markdown", "write_findings"]


def write_findings(findings: Findings, folder: Path) -> list[Path]:
    """Write `robustness.md`, `.tex`, `.csv`, `.json` and `.html` into `folder`, each whole or not at all.

    Returns: their paths, the page last.
    Raises: DataError if the folder cannot be written to.
    """
    text = json.dumps(findings.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return write_files(
        folder,
        {
            "robustness.md": as_markdown(findings),
            "robustness.tex": as_latex(findings),
            "robustness.csv": as_csv(findings),
            "robustness.json": text,
            "robustness.html": robustness_page(findings),
        },
    )


def title_of(findings: Findings) -> str:
    """What was measured on what."""
    return (
        f"{findings.plan.protocol} on {findings.data}, {findings.split}: "
        f"{findings.resampled.of(findings.utterances, findings.videos)}"
    )


def as_markdown(findings: Findings) -> str:
    """All tables, each under its heading."""
    parts = [f"# {markdown(title_of(findings))}\n"]
    for table in tables(findings):
        rows = [[markdown(name), *map(_markdown_cell, cells)] for name, cells in table.rows]
        parts += [f"## {markdown(table.title)}\n", markdown_table([*map(markdown, table.head)], rows)]
        parts += [f"{table.note}\n"] if table.note else []
    parts += [f"- {markdown(note)}" for note in findings.notes]
    return "\n".join(parts).rstrip() + "\n"


def as_latex(findings: Findings) -> str:
    r"""One `table*` per table, for `\usepackage{booktabs}`."""
    return "\n".join(_latex_table(table) for table in tables(findings))


def as_csv(findings: Findings) -> str:
    """One line per run, condition or summary, and measure, in full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    place = ["run", "model", "protocol", "condition", "summary", "kind", "modality", "level"]
    writer.writerow([*place, "measure", "mean", "std", "low", "high", "seeds"])
    for row in findings.rows:
        start = safe_row([row.name, row.model, findings.plan.protocol])
        for measure, known in row.values.items():
            for key, value in known.items():
                condition = condition_of(findings.plan, key)
                where = safe_row([key, "", condition.kind, condition.modality, condition.level])
                writer.writerow([*start, *where, measure, *_numbers(value.to_json())])
        for name, found in row.summaries.items():
            for measure, value in found.items():
                writer.writerow([*start, "", name, "", "", "", measure, *_numbers(value.to_json())])
    return text.getvalue()


def _numbers(entry: dict[str, object]) -> list[object]:
    ends = entry["ci95"] if isinstance(entry["ci95"], list) else [None, None]
    seeds = entry["per_seed"]
    return [entry["mean"], entry["std"], *ends, len(seeds) if isinstance(seeds, list) else 0]


def _markdown_cell(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.best else cell.text
    return f"{text}<br>{cell.under}" if cell.under else text


def _latex_table(table: Table) -> str:
    lines = [
        r"\begin{table*}",
        r"\centering\small",
        rf"\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}",
        r"\toprule",
    ]
    lines += [" & ".join(latex(name) for name in table.head) + r" \\", r"\midrule"]
    for name, cells in table.rows:
        shown = [rf"\textbf{{{latex(cell.text)}}}" if cell.best else latex(cell.text) for cell in cells]
        lines.append(" & ".join([latex(name), *shown]) + r" \\")
        if any(cell.under for cell in cells):
            lines.append(" & ".join(["", *(rf"{{\scriptsize {latex(cell.under)}}}" for cell in cells)]) + r" \\")
    about = f"{table.title}. {table.note}".strip()
    lines += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{latex(about)}}}", r"\end{table*}", ""]
    return "\n".join(lines)
