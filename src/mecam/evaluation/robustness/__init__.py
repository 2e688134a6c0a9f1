"""Models under negative information: protocols, masks, incremental measurement, statistics, files and a page."""

from mecam.evaluation.robustness.assess import assess, assess_all
from mecam.evaluation.robustness.findings import RobustnessFindings
from mecam.evaluation.robustness.protocols import PROTOCOLS, SEEDS

__all__ = ["PROTOCOLS", "SEEDS", "RobustnessFindings", "assess", "assess_all"]
