"""The report of a run written again, compared with other runs and with its figures for a paper, if that is wanted."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mecam.errors import ConfigError
from mecam.evaluation.comparison import compare, read_run_results
from mecam.files import claimed
from mecam.report.export import FORMATS, write_figures
from mecam.report.run_page import run_sections, write_sections

__all__ = ["rewrite_report"]


def rewrite_report(
    folder: Path,
    *,
    against: Sequence[Path] = (),
    tsne: bool = False,
    figures: Path | None = None,
    format: str = "svg",
    width: float = 3.4,
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[Path, list[Path]]:
    """Write the report of a finished run once more.

    Args:
        folder: of the run.
        against: other runs on the same utterances, each compared with this one.
        tsne: draw the embeddings with t-SNE instead of PCA.
        figures: a folder for the figures, each in a file.
        format: of the figures: svg, pdf or png.
        width: of the figures, in inches.
        progress: called with (steps done, all, what is being done).

    Returns: the page, and the figures.
    Raises: ConfigError for another format; TrainingError if there is no finished run; DataError if a folder cannot be
        written to.
    """
    if format not in FORMATS:
        raise ConfigError(f"unknown format {format!r}", where="--format", fix=f"choose one of {', '.join(FORMATS)}")
    told = progress or _silent
    comparison = _comparison([folder, *against], lambda done, all_: told(done, all_, "comparing")) if against else None
    told(0, 0, "writing the report")
    with claimed(folder):
        sections = run_sections(folder, comparison=comparison, projection="tsne" if tsne else "pca")
        page = write_sections(folder, sections)
    if figures is None:
        return page, []
    with claimed(figures):
        drawn = write_figures(
            sections,
            figures,
            format,  # type: ignore[arg-type]
            width=width,
            progress=lambda done, all_: told(done, all_, "drawing the figures"),
        )
    return page, drawn


def _comparison(runs: Sequence[Path], progress: Callable[[int, int], None]) -> dict[str, Any]:
    """The first run and the others, each tested against the first."""
    task, split, run_results = read_run_results(runs)
    return compare(run_results, task, split, baseline=run_results[0].name, progress=progress).to_json()


def _silent(done: int, total: int, now: str) -> None:
    """Tell nobody."""
