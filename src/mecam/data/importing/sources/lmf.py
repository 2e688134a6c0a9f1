"""LMF pickles: split → `covarep` (N × 74), `facet` (N × 47), `glove` (N × L × 300), `label`; Python 2.

Source: Liu et al., LMF (ACL 2018), its `mosi.pkl`. The file has no ids, so nothing can be joined to it,
and every utterance counts as its own recording.
"""

from collections.abc import Mapping
from typing import Any

from mecam.data.importing.sources.base import Row, Source, column_of, count_of, scores_of, split_named, text_of
from mecam.data.importing.sources.padding import Padded
from mecam.errors import DataError
from mecam.types import AUDIO, TEXT, VISION, FeatureSpec

__all__ = ["read_lmf"]

_KEYS = {TEXT: "glove", AUDIO: "covarep", VISION: "facet"}


def read_lmf(content: object, file: str) -> list[Source] | None:
    """One source per split, or None when the content has another layout.

    Raises: DataError if it has this layout and contradicts itself.
    """
    if not isinstance(content, dict) or not content or not all(split_named(key) for key in content):
        return None
    parts = {}
    for name, part in content.items():
        if not isinstance(part, dict):
            return None
        parts[split_named(name)] = {text_of(key): value for key, value in part.items()}
    if not all({"covarep", "facet", "glove", "label"} <= part.keys() for part in parts.values()):
        return None
    return [_source(split, part, file) for split, part in parts.items()]


def _source(split: str, part: Mapping[str, Any], file: str) -> Source:
    try:
        count = count_of(part["label"], "label")
        labels = column_of(part["label"], count, "label")
        padded = Padded.of({modality: part[key] for modality, key in _KEYS.items()}, {}, count)
    except DataError as error:
        raise DataError(error.what, where=f"{file} → {split}", fix=error.fix) from None
    rows = [Row(f"{split}_{index:06d}", split, labels=scores_of(label)) for index, label in enumerate(labels)]
    specs = {m: FeatureSpec(width, _KEYS[m]) for m, width in padded.widths.items()}
    return Source("LMF", file, rows, specs, padded.pieces)
