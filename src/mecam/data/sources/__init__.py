"""One file per layout in circulation; `open_source` tells which one a file has, by its content."""

from mecam.data.sources.base import Piece, Row, Source, Timeline
from mecam.data.sources.sniff import open_source

__all__ = ["Piece", "Row", "Source", "Timeline", "open_source"]
