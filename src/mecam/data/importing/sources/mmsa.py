"""MMSA pickles: `{"train", "valid", "test"}` → one dict of arrays per split.

Source: Yu et al., CH-SIMS (ACL 2020), and the MMSA toolbox's files for MOSI, MOSEI, SIMS and SIMS v2.
Text comes as `raw_text`; the numeric `text` (768 BERT values a token) and `text_bert` are kept only
where a file has no `raw_text`.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mecam.data.importing.sources.base import (
    PickleLayout,
    Row,
    Source,
    column_of,
    count_of,
    make_id,
    number_of,
    split_ids,
    splits_of,
    text_of,
)
from mecam.data.importing.sources.padding import Padded
from mecam.errors import DataError
from mecam.types import AUDIO, TEXT, VISION, FeatureSpec, Modality

__all__ = ["LAYOUTS", "read_mmsa"]

_MARKS = {"raw_text", "text_bert", "regression_labels", "classification_labels"}
_POLARITY = ("negative", "neutral", "positive")


def read_mmsa(content: object, file: str) -> list[Source] | None:
    """One source per split, or None when the content has another layout.

    Raises: DataError if it has this layout and contradicts itself.
    """
    parts = splits_of(content)
    if not parts or not all(_MARKS & set(part) for part in parts.values()):
        return None
    polarities = all(_has_polarities(part.get("classification_labels")) for part in parts.values())
    return [_source(name, part, file, polarities) for name, part in parts.items()]


def _has_polarities(classes: object) -> bool:
    """True where no class is another one than 0, 1 and 2, which are negative, neutral and positive."""
    entries = classes if isinstance(classes, list | tuple) or (isinstance(classes, np.ndarray) and classes.ndim) else ()
    return all(number in (0, 1, 2) for entry in entries if (number := number_of(entry)) == number)


def _source(split: str, part: Mapping[str, Any], file: str, polarities: bool) -> Source:
    if "id" not in part:
        raise DataError("the utterances have no id", where=f"{file} → {split}")
    try:
        count = count_of(part["id"], "id")
        names = [TEXT, AUDIO, VISION] if "raw_text" not in part else [AUDIO, VISION]
        arrays = {m: part[m] for m in names if part.get(m) is not None}
        lengths = {m: part[f"{m}_lengths"] for m in arrays if part.get(f"{m}_lengths") is not None}
        padded = Padded.of(arrays, lengths, count)
        rows = list(_rows(split, part, count, polarities))
    except DataError as error:
        raise DataError(error.what, where=f"{file} → {split}", fix=error.fix) from None
    specs = {m: FeatureSpec(width) for m, width in padded.widths.items()}
    return Source("MMSA", file, rows, specs, padded.pieces)


def _rows(split: str, part: Mapping[str, Any], count: int, polarities: bool) -> Iterator[Row]:
    ids = [text_of(identifier) for identifier in column_of(part["id"], count, "id")]
    columns = {
        key: column_of(part[key], count, key)
        for key in ("raw_text", "regression_labels", "classification_labels", "annotations")
        if part.get(key) is not None
    }
    unimodal: dict[Modality, list[Any]] = {
        modality: column_of(part[key], count, key)
        for modality in (TEXT, AUDIO, VISION)
        if part.get(key := f"regression_labels_{modality[0].upper()}") is not None
    }
    for index, identifier in enumerate(ids):
        row = {key: column[index] for key, column in columns.items()}
        yield Row(
            id=make_id(identifier),
            split=split,
            video=split_ids(identifier)[0],
            text=text_of(row["raw_text"]) if "raw_text" in row else None,
            labels=_labels(row, polarities),
            scored=True,
            unimodal={modality: number_of(column[index]) for modality, column in unimodal.items()},
        )


def _labels(row: Mapping[str, Any], polarities: bool) -> dict[str, float | str]:
    """Score and class; classes are the polarities where there are three of them, else their own numbers."""
    labels: dict[str, float | str] = {}
    if "regression_labels" in row:
        labels["score"] = number_of(row["regression_labels"])
    if "annotations" in row:
        labels["polarity"] = text_of(row["annotations"]).lower()
    elif "classification_labels" in row:
        number = number_of(row["classification_labels"])
        if polarities and number == number:
            labels["polarity"] = _POLARITY[int(number)]
        elif math.isfinite(number):
            labels["label"] = f"{number:g}"
    return labels


LAYOUTS = (PickleLayout(read_mmsa, order=1),)
