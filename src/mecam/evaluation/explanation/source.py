"""Which utterances of a store are explained."""

import difflib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mecam.data.store import Store
from mecam.errors import DataError

__all__ = ["find_utterances", "some_of"]


def find_utterances(store: Store, ids: Sequence[str]) -> NDArray[np.int64]:
    """Positions of utterances by their ids.

    Raises: DataError naming the first that is not there, with what it may have been meant to be.
    """
    places = {name: i for i, name in enumerate(store.column("id"))}
    for name in ids:
        if name not in places:
            close = difflib.get_close_matches(name, places, n=3)
            hint = f"did you mean {', '.join(close)}?" if close else f"ids look like {next(iter(places))}"
            raise DataError(f"no utterance is called {name!r}", where=str(store.path), fix=hint)
    return np.array([places[name] for name in dict.fromkeys(ids)], np.int64)


def some_of(store: Store, split: str, limit: int | None) -> NDArray[np.int64]:
    """Positions of a split, or of `limit` utterances spread evenly over it.

    Raises: DataError if the split is empty.
    """
    places: NDArray[np.int64] = store.split(split)
    if not len(places):
        raise DataError(f"the store has no utterance in {split}", where=str(store.path))
    if limit is None or limit >= len(places):
        return places
    chosen: NDArray[np.int64] = places[np.linspace(0, len(places) - 1, limit).round().astype(np.int64)]
    return chosen
