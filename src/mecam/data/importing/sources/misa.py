"""MISA pickles: `train.pkl`, `dev.pkl`, `test.pkl`, each a list of word-aligned segments.

Source: Hazarika et al., MISA (ACM MM 2020), the files that its code makes of MOSI and MOSEI. A label is
(1, 1) or (1, 7). The split is in the file's name only.
"""

from mecam.data.importing.sources.base import Source, split_in_name
from mecam.data.importing.sources.segments import is_segment_list, read_segments

__all__ = ["read_misa"]


def read_misa(content: object, file: str) -> list[Source] | None:
    """The one source of the file, or None when the content has another layout.

    Raises: DataError if it has this layout and contradicts itself.
    """
    if not is_segment_list(content, 4) or not isinstance(content, list | tuple):
        return None
    split = split_in_name(file.rpartition(".")[0])
    return [read_segments(content, 3, layout="MISA", file=file, split=split, aligned=True, split_files=True)]
