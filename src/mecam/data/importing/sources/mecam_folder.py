"""The cache that MMIM and MECAM write: `train.pkl`, `dev.pkl`, `test.pkl`, lists of unaligned segments.

Source: Han et al., MMIM (EMNLP 2021), whose data code MECAM's authors took over. The files that their
users start from are MulT's pickle and a CSV with the text; those are read by `mult` and `tables` and
joined by id. (Their own code joins MOSEI by the position in the file.)
"""

from mecam.data.importing.sources.base import Source, split_in_name
from mecam.data.importing.sources.segments import is_segment_list, read_segments

__all__ = ["read_cache"]


def read_cache(content: object, file: str) -> list[Source] | None:
    """The one source of the file, or None when the content has another layout.

    Raises: DataError if it has this layout and contradicts itself.
    """
    if not is_segment_list(content, 6) or not isinstance(content, list | tuple):
        return None
    split = split_in_name(file.rpartition(".")[0])
    return [read_segments(content, 3, layout="MMIM cache", file=file, split=split, aligned=False, split_files=True)]
