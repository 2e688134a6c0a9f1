"""Processes that are started for a caller whose script they must not run again."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["without_main"]

_HIDING = threading.Lock()


@contextmanager
def without_main() -> Iterator[None]:
    """Start workers that do not import the caller's script again: they need nothing of it, and it would run anew.

    So a script needs no `if __name__ == "__main__":`, and one that is piped into Python works too.
    """
    main = vars(sys.modules["__main__"])
    with _HIDING:
        kept: dict[str, Any] = {name: main.pop(name) for name in ("__file__", "__spec__") if name in main}
        main["__spec__"] = None
        try:
            yield
        finally:
            del main["__spec__"]
            main.update(kept)
