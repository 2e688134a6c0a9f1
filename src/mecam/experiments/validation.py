"""One training that is only ever validated: nothing is written, and the test split is not opened.

What a search of options and a comparison on folds are made of.
"""

from mecam.data.datasets import Dataset
from mecam.data.mixture import WeightedStore
from mecam.data.store import Store
from mecam.models.trained import Trained
from mecam.runs.config import RunConfig
from mecam.training.loop import Fit, Progress, fit
from mecam.training.preparation import Material, SplitData, make_fabric, prepare
from mecam.training.tensorboard import Record

__all__ = ["train_once", "validate_once"]


def validate_once(
    config: RunConfig, store: Store, *, seed: int, progress: Progress | None = None, record: Record | None = None
) -> Fit:
    """Train one seed and tell how it went on validation; arguments and errors as `train_once`."""
    return train_once(config, store, seed=seed, progress=progress, record=record)[1]


def train_once(
    config: RunConfig, store: Store, *, seed: int, progress: Progress | None = None, record: Record | None = None
) -> tuple[Trained, Fit]:
    """Train one seed.

    Args:
        config: what to train and how; trained as `mecam train` would, but for what is written.
        store: with a train and a valid split.
        seed: of weights, order and dropout.
        progress: called with (steps done, all steps, a line about the last epoch).
        record: called with the history's row of every epoch; what it raises ends the training.

    Returns: what was trained, with the weights that are best on validation, and how it went.
    Raises: MecamError for anything that a user can fix.
    """
    trained, splits, _ = prepare(config, Material.of(config, [WeightedStore(store)]), seed, held_out=("valid",))
    valid = splits["valid"]
    assert isinstance(valid, Dataset)
    fabric = make_fabric(config, trained.model)
    fabric.launch()
    views = trained.model.views
    data = SplitData(splits["train"], valid, trained.collator, config, views=views, fabric=fabric, seed=seed)
    fitted = fit(trained.model, data, config.training, fabric=fabric, seed=seed, progress=progress, record=record)
    return trained, fitted
