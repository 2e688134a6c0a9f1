"""`mecam.compare`: finished runs side by side, with intervals and paired tests."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mecam.api.arguments import AnyPath, AnyStore, checked
from mecam.api.trained_run import AnyRun, Run, StepProgress, encoders_allowed
from mecam.data.store import Store
from mecam.data_table import DataTable, drawn
from mecam.errors import missing_extras
from mecam.files import as_path
from mecam.notebook import notebook_html

if TYPE_CHECKING:
    from mecam.evaluation.comparison import ComparisonTable
    from mecam.report.table import Table

__all__ = ["Comparison", "compare"]

READ_AS = (
    "Mean ± standard deviation over seeds (95 % interval). ≈ marks what a paired permutation test, adjusted by Holm, "
    "cannot tell from the best of the column."
)


class Comparison(DataTable):
    """Runs compared: a table with a row per run and metric, with the columns of `comparison.csv`.

    `mean` and `std` over the seeds; `low` and `high` of the 95 % interval; `best`, and `tied` with the best; for the
    difference from the best run and from the baseline, each with its interval: `p` of the paired permutation test and
    `p_holm`, adjusted by Holm's method; then what the run costs, and its average rank.

    Args:
        details: the comparison.
        files: that it was written to.

    Attributes:
        details: everything that was computed, ranks and agreement of errors too.
        files: that it was written to: tables and a page; empty without `out`.
    """

    def __init__(self, details: "ComparisonTable", files: Sequence[Path] = ()) -> None:
        from mecam.report.comparison import comparison_rows, title_of

        texts = ("run", "model", "metric", "rank_groups", "budget")
        kinds = {**dict.fromkeys(texts, "text"), "seeds": "integer", "best": "flag", "tied": "flag"}
        rows = comparison_rows(details)
        numbers = dict.fromkeys(rows[0], "number")
        super().__init__(rows, kinds={**numbers, **kinds}, title=title_of(details))  # type: ignore[dict-item]
        self.details, self.files = details, tuple(files)

    @property
    def page(self) -> Path | None:
        """The page that was written; None without `out`."""
        return self.files[-1] if self.files else None

    def __repr__(self) -> str:
        return "\n".join(drawn(replace(table, note="").terminal()) for table in self._shown()).rstrip()

    def _repr_html_(self) -> str:
        """As a notebook shows it: the leading metrics, and the tests against the baseline."""
        missing = [f"{name} is missing: {why}" for name, why in self.details.missing.items()]
        remarks, parts = [READ_AS, *self.details.notes, *missing], []
        for table in self._shown():
            rows = [[f"{cell.text} ({cell.under})" if cell.under else cell.text for cell in row] for row in table.cells]
            parts.append(notebook_html(table.title, [head.text for head in table.heads], rows, remarks=remarks))
            remarks = [table.note]
        return "\n".join(parts)

    def _shown(self) -> "list[Table]":
        from mecam.report.comparison import terminal_tables

        return terminal_tables(self.details)[:-1]  # costs are in the columns


@checked
def compare(
    runs: AnyRun | Sequence[AnyRun] | Mapping[str, AnyRun],
    *,
    baseline: str | None = None,
    out: AnyPath | None = None,
    on: AnyStore | None = None,
    split: str | None = None,
    allow_encoder: bool = False,
    progress: StepProgress | None = None,
) -> Comparison:
    """Compare finished runs, as `mecam compare`: metrics with intervals, and paired tests with Holm's correction.

    Args:
        runs: run folders, folders that contain run folders, or a mapping from names to run folders.
        baseline: the name of a run that every other is also tested against.
        out: a folder for a page with figures, LaTeX, Markdown, CSV and JSON.
        on: a labelled store that the runs predict; by default what each predicted when it was trained.
        split: to compare on; test by default, or valid where a run has no labelled test split.
        allow_encoder: let checkpoints fetch their text encoder, or load it from another folder.
        progress: called with (steps done, all, what is being done).

    Returns: the comparison, a table.
    Raises: TrainingError if a folder holds no finished run; DataError if the runs answered different utterances, or no
        run has the baseline's name; ConfigError if a run is given twice.
    """
    with missing_extras():
        from mecam.evaluation.comparison.compare_folders import compare_folders, find_runs
        from mecam.report.comparison_page import write_comparison

    pairs = list(runs.items()) if isinstance(runs, Mapping) else [("", run) for run in _several(runs)]
    found = find_runs([(_place(run, "mecam.compare: runs"), name) for name, run in pairs])
    store = None if on is None else on.path if isinstance(on, Store) else as_path(on, "mecam.compare: on")
    folder = None if out is None else as_path(out, "mecam.compare: out")
    with missing_extras(), encoders_allowed(allow_encoder):
        details = compare_folders(found, on=store, split=split, baseline=baseline, progress=progress)
        return Comparison(details, [] if folder is None else write_comparison(details, folder))


def _several(runs: AnyRun | Sequence[AnyRun]) -> Sequence[AnyRun]:
    return [runs] if isinstance(runs, Run | str | Path) else runs


def _place(run: AnyRun, what: str) -> Path:
    return run.path if isinstance(run, Run) else as_path(run, what)
