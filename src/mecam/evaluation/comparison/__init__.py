"""Runs side by side: one table with intervals and paired tests, and the files it is written to."""

from mecam.evaluation.comparison.contenders import Contender, Predicts, read_contenders
from mecam.evaluation.comparison.overlap import Overlap
from mecam.evaluation.comparison.ranks import Ranks
from mecam.evaluation.comparison.standings import Difference, Score, Standing, Standings, compare

__all__ = [
    "Contender",
    "Difference",
    "Overlap",
    "Predicts",
    "Ranks",
    "Score",
    "Standing",
    "Standings",
    "compare",
    "read_contenders",
]
