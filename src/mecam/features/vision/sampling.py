"""Turned squares cut out of pictures: what a network for faces is given, made many times a second.

NumPy alone: every step runs over arrays that are kept, as to ask for new ones would take longer than to fill them.
"""

import threading

import numpy as np
from numpy.typing import NDArray

__all__ = ["sampled"]


class _Arrays:
    """What a square of one size is made in."""

    def __init__(self, side: int) -> None:
        shape = (side, side)
        self.x, self.y, self.left, self.top = np.empty((4, *shape), np.float32)
        self.column, self.row, self.bits = np.empty((3, *shape), np.int32)
        self.place = np.empty(shape, np.intp)
        self.found, self.levels = np.empty((4, *shape), np.int32), np.empty((4, *shape), np.float32)


class _Kept(threading.local):
    """A thread's own arrays, by the side of the square."""

    def __init__(self) -> None:
        self.arrays: dict[int, _Arrays] = {}


_kept = _Kept()


def sampled(
    pixels: NDArray[np.int32], middle: tuple[float, float], step: tuple[float, float], side: int
) -> NDArray[np.float32]:
    """The colours of a turned square, between the pixels in proportion, black outside the picture.

    Args:
        pixels: H × W, as `picture.packed` gives them.
        middle: of the square, x and y in pixels; the middle of the first pixel is at 0.5.
        step: from one colour to the next in a row, x and y in pixels.
        side: colours in a row, and rows.

    Returns: side × side × 3, from 0 to 255: what `torch.nn.functional.grid_sample` gives, but for rounding.
    """
    if (at := _kept.arrays.get(side)) is None:
        at = _kept.arrays[side] = _Arrays(side)
    steps = np.arange(side) - (side - 1) / 2
    across, aslant = (steps * step[0]).astype(np.float32), (steps * step[1]).astype(np.float32)
    np.subtract(across + np.float32(middle[0] - 0.5), aslant[:, None], out=at.x)
    np.add(aslant + np.float32(middle[1] - 0.5), across[:, None], out=at.y)
    _look_up(pixels, at)
    colours = np.empty((side, side, 3), np.float32)
    for colour in range(3):
        for found, levels in zip(at.found, at.levels, strict=True):
            bits = found if not colour else np.right_shift(found, 8 * colour, out=at.bits)
            np.copyto(levels, np.bitwise_and(bits, 255, out=at.bits), casting="unsafe")
        above, above_right, below, below_right = at.levels
        colours[..., colour] = _between(_between(above, above_right, at.x), _between(below, below_right, at.x), at.y)
    return colours


def _look_up(pixels: NDArray[np.int32], at: _Arrays) -> None:
    """The four pixels around each place; of x and y, what lies beyond the first of them is left."""
    height, width = pixels.shape
    padded = np.zeros((height + 4, width + 4), np.int32)  # there is black around
    padded[2:-2, 2:-2] = pixels
    for along, first, size, whole in ((at.x, at.left, width, at.column), (at.y, at.top, height, at.row)):
        np.floor(along, out=first)
        np.subtract(along, first, out=along)
        np.clip(first, -2, size, out=first)
        np.copyto(whole, first, casting="unsafe")
    np.multiply(at.row, width + 4, out=at.row)
    np.add(at.row, at.column, out=at.row)
    np.add(at.row, 2 * (width + 4) + 2, out=at.place)
    flat = padded.reshape(-1)
    for found, ahead in zip(at.found, (0, 1, width + 4, width + 5), strict=True):
        np.take(flat[ahead:], at.place, out=found, mode="wrap")  # all lie inside; "raise" would copy first


def _between(one: NDArray[np.float32], other: NDArray[np.float32], share: NDArray[np.float32]) -> NDArray[np.float32]:
    """From one to the other in proportion, written over the other."""
    np.subtract(other, one, out=other)
    np.multiply(other, share, out=other)
    return np.add(one, other, out=other)
