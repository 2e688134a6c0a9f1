"""A run folder → `report.html`: one file that works from disk, offline, on paper and on a phone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mecam.evaluation.projections import Projection
from mecam.files import claimed, write_whole
from mecam.report.format import plural
from mecam.report.page import Section, page
from mecam.report.run_diagnostics import (
    embeddings_section,
    filter_maps_section,
    made_section,
    training_section,
    weights_section,
)
from mecam.report.run_predictions import calibration_section, hard_section, predictions_section
from mecam.report.run_results import (
    comparison_section,
    conflict_section,
    filter_section,
    results_section,
    summary,
    tiles,
)
from mecam.runs.run import RunFolder
from mecam.runs.tables import understood
from mecam.types import RENDERED

__all__ = ["run_sections", "write_missing_report", "write_report", "write_sections"]


def write_report(folder: Path, *, comparison: Mapping[str, Any] | None = None, projection: Projection = "pca") -> Path:
    """Write the report of a finished run into its folder; nothing outside the folder is read.

    Args:
        folder: the run's.
        comparison: this run compared with others, as `ComparisonTable.to_json` gives it; None takes `comparison.json`.
        projection: how embeddings are drawn: `pca`, or `tsne` as papers do (seconds for each thousand utterances).

    Returns: the path of `report.html`.
    Raises: TrainingError if a file is missing or damaged, DataError if the folder cannot be written to.
    """
    return write_sections(folder, run_sections(folder, comparison=comparison, projection=projection))


def write_missing_report(folder: Path) -> Path:
    """Write the report of a finished run where there is none, or the run was finished again since; its path."""
    run = RunFolder(folder)
    if not run.has_report:
        with claimed(folder):
            write_report(folder)
    return run.report


def write_sections(folder: Path, sections: Sequence[Section]) -> Path:
    """Write the report of a run whose sections are made already."""
    run = RunFolder.open(folder)
    with understood(folder):
        text = _page(run, sections)
    return write_whole(run.report, text)


def run_sections(
    folder: Path, *, comparison: Mapping[str, Any] | None = None, projection: Projection = "pca"
) -> list[Section]:
    """Every section of the report, with the arguments of `write_report`; those without data are empty."""
    run = RunFolder.open(folder)
    with understood(folder):
        return [
            results_section(run),
            comparison_section(run, run.comparison if comparison is None else comparison),
            training_section(run),
            predictions_section(run),
            calibration_section(run),
            weights_section(run),
            filter_section(run),
            conflict_section(run),
            filter_maps_section(run),
            embeddings_section(run, projection),
            hard_section(run),
            made_section(run),
        ]


def _page(run: RunFolder, sections: Sequence[Section]) -> str:
    """The whole page: what was trained on what, the badge of a synthetic corpus, the leading numbers, the sections."""
    data, facts = run.data, run.environment
    seeds = len(facts.get("seeds", [])) or 1
    counts = ", ".join(f"{count} {split}" for split, count in data.get("splits", {}).items() if count)
    corpus = "Rendered clips" if data.get("name") == RENDERED else "Synthetic corpus"
    return page(
        f"{run.model} on {data.get('name', 'data')}",
        kicker=f"mecam {facts.get('mecam', '')} · trained {str(facts.get('started', ''))[:10]}",
        sections=sections,
        badges=[f"{corpus}: not comparable with real data"] if data.get("synthetic") else (),
        lede=summary(run),
        notes=[f"{plural(seeds, 'seed')} · utterances: {counts} · the checkpoint was chosen on validation"],
        top=tiles(run),
    )
