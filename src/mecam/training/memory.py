"""Memory that a process holds and does not use."""

import ctypes
import sys

__all__ = ["give_back_free_memory"]


def give_back_free_memory() -> None:
    """Let the C library return what it holds free to the system, where it is one that can (glibc).

    Batches of ever other lengths leave holes that the next ones do not fit, and a run grows from epoch to epoch.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
