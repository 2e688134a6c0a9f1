"""A prediction explained and the explanation checked: counterfactuals, integrated gradients, agreement, deletion."""
