"""MAG-BERT pickles: `{"train", "dev", "test"}` → word-aligned segments.

Source: Rahman et al., MAG-BERT (ACL 2020), its `mosi.pkl` and `mosei.pkl`.
"""

from mecam.data.importing.sources.base import Source, split_named
from mecam.data.importing.sources.segments import is_segment_list, read_segments

__all__ = ["read_mag_bert"]


def read_mag_bert(content: object, file: str) -> list[Source] | None:
    """One source per split, or None when the content has another layout.

    Raises: DataError if it has this layout and contradicts itself.
    """
    if not isinstance(content, dict) or not content or not all(split_named(key) for key in content):
        return None
    if not all(is_segment_list(part, 3) for part in content.values()):
        return None
    return [
        read_segments(part, 0, layout="MAG-BERT", file=file, split=split_named(name), aligned=True, split_files=False)
        for name, part in content.items()
    ]
