"""Extraction without processes: a function says what each recording gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mecam.features.clips import Clip
from mecam.features.extraction_cache import ExtractedRecording, Parts
from mecam.features.extraction_processes import Outcomes, extract_clip
from mecam.features.recording import Recipe

__all__ = ["InThisProcess"]


@dataclass(frozen=True)
class InThisProcess:
    """`Workers` of `extract` that start nothing; without a function they really extract."""

    reading: Callable[[Clip], ExtractedRecording | str] | None = None

    def __call__(self, todo: Mapping[str, Clip], recipe: Recipe, parts: Parts) -> Outcomes:
        for key, clip in todo.items():
            extracted = extract_clip(clip, recipe) if self.reading is None else self.reading(clip)
            if isinstance(extracted, str):
                yield clip, extracted
            else:
                parts.write(key, extracted)
                yield clip, None
