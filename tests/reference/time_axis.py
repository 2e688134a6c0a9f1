"""Rows divided evenly over steps, one row at a time."""

import math
from collections.abc import Sequence

Row = Sequence[float]


def on_steps(rows: Sequence[Row | None], places: Sequence[int], extent: int, steps: int) -> list[list[float] | None]:
    """Mean of the rows whose place lies in [⌊nL/N⌋, ⌈(n+1)L/N⌉) for each n < N; None where there is none.

    Args:
        rows: None is missing.
        places: where each row stands, from 0 to L − 1; −1 is nowhere.
        extent: L.
        steps: N.
    """
    result: list[list[float] | None] = []
    for n in range(steps):
        start, stop = math.floor(n * extent / steps), math.ceil((n + 1) * extent / steps)
        inside = [row for row, place in zip(rows, places, strict=True) if row is not None and start <= place < stop]
        result.append([sum(column) / len(inside) for column in zip(*inside, strict=True)] if inside else None)
    return result
