"""A prediction explained and the explanation checked: counterfactuals, integrated gradients, agreement, deletion."""

from mecam.evaluation.explanation.explanation import Effect, Explanation, PartEffect, Strand
from mecam.evaluation.explanation.occlusion import explain

__all__ = ["Effect", "Explanation", "PartEffect", "Strand", "explain"]
