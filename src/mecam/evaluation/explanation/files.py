"""Explanations as one JSON document whose keys do not change; docs/explain.md describes them.

Version 1 held `change`, the answer without something less the answer with it; version 2 holds its negative, `adds`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mecam.evaluation.explanation.explanation import MARKED, Explanation
from mecam.files import write_whole

__all__ = ["REMOVAL", "explanation_document", "result_document", "write_document"]

FORMAT, VERSION = "mecam-explanation", 2

REMOVAL = {
    "words": "replaced by the unknown token",
    "rows": "masked: not observed",
    "modalities": "absent",
    "marked": f"kept less than {MARKED:g} by the filter",
}
"""What leaving something out means."""


def explanation_document(
    explained: Sequence[Explanation],
    *,
    about: Mapping[str, Any],
    times: Sequence[tuple[float, float]] | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Utterances explained.

    Args:
        explained: the utterances.
        about: `run`, `model` and `data`, by name.
        times: of each utterance in its recording, in seconds.
        notes: what must be said beside the results of this model.
    """
    spans: Sequence[tuple[float | None, float | None]] = times or [(None, None)] * len(explained)
    utterances = [
        {**one.to_json(), "start": start, "stop": stop} for one, (start, stop) in zip(explained, spans, strict=True)
    ]
    return {**result_document("explanation", about), "notes": list(notes), "utterances": utterances}


def result_document(kind: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """What every document of this package begins with.

    Args:
        kind: `explanation`, `agreement` or `deletion`.
        about: run, model, data, split.
    """
    return {"format": FORMAT, "version": VERSION, "kind": kind, **about, "removal": dict(REMOVAL)}


def write_document(path: Path, document: Mapping[str, Any]) -> Path:
    """Write JSON, whole or not at all; return its path.

    Raises: DataError if it cannot be written.
    """
    return write_whole(path, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
