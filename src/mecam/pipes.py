"""The type of one end of a pipe between two processes, for annotations: the standard library names it by platform."""

import sys

__all__ = ["PipeEnd"]

if sys.platform == "win32":
    from multiprocessing.connection import PipeConnection as PipeEnd
else:
    from multiprocessing.connection import Connection as PipeEnd
