"""Runs side by side: one table with intervals and paired tests, and the files it is written to."""

from mecam.evaluation.comparison.comparison_table import ComparisonRow, ComparisonTable, Difference, Score, compare
from mecam.evaluation.comparison.overlap import Overlap
from mecam.evaluation.comparison.ranks import Ranks
from mecam.evaluation.comparison.run_results import Predicts, RunResult, read_run_results

__all__ = [
    "ComparisonRow",
    "ComparisonTable",
    "Difference",
    "Overlap",
    "Predicts",
    "Ranks",
    "RunResult",
    "Score",
    "compare",
    "read_run_results",
]
