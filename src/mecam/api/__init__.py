"""What `import mecam` offers: the commands as functions, with the same names of options, for notebooks and programs.

    store = mecam.import_data("data/mosi", "stores/mosi")
    run = mecam.train(store, "runs/mosi", seeds=3)
    run.metrics().to_pandas()
    mecam.compare(["runs/mosi", "runs/text"])

What a function does is what the command does: both call the same code below. See `docs/python.md`.
"""

from mecam.api.compared_runs import Comparison, compare
from mecam.api.made_stores import extract, import_data, synth
from mecam.api.trained_run import Run, train

__all__ = ["Comparison", "Run", "compare", "extract", "import_data", "synth", "train"]
