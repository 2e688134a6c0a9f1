"""One file per layout in circulation; `open_source` tells which one a file has, by its content."""

from mecam.data.importing.sources.base import Piece, Row, Source, Timeline
from mecam.data.importing.sources.sniff import foreign_kind, open_source, strange_file

__all__ = ["Piece", "Row", "Source", "Timeline", "foreign_kind", "open_source", "strange_file"]
