"""What is done with whole stores: split, align, combine, normalise by speaker, export, check, describe."""
