"""What the options of `mecam extract`, and of `mecam.extract`, ask for: the recipe, and what works by it."""

from collections.abc import Sequence

from mecam.features.corruption import parse_corruption
from mecam.features.extraction_processes import Processes, Workers
from mecam.features.extractor import DEFAULT, chosen
from mecam.features.recording import Recipe
from mecam.features.segmentation import Lengths
from mecam.features.text.asr import speech_model

__all__ = ["recipe_of", "workers_of"]


def recipe_of(
    *,
    extractor: Sequence[str] = (),
    asr: bool = False,
    asr_model: str | None = None,
    language: str | None = None,
    min_seconds: float = 1.0,
    max_seconds: float = 15.0,
    align_words: bool = False,
    corrupt: Sequence[str] = (),
    corrupt_extent: float = 1.0,
    corrupt_seed: int = 0,
    device: str = "",
) -> Recipe:
    """The recipe that the options describe; `mecam extract --help` explains each.

    Raises: ConfigError if an extractor or a corruption is unknown, or the lengths are none.
    """
    names = tuple(extractor) or DEFAULT
    return Recipe(
        extractors=names,
        asr=speech_model(asr, asr_model, language),
        language=language,
        lengths=Lengths(min_seconds, max_seconds),
        aligned=tuple(chosen(names)) if align_words else (),
        corruptions=tuple(parse_corruption(text, extent=corrupt_extent, seed=corrupt_seed) for text in corrupt),
        device=device,
    )


def workers_of(ray: str | None, jobs: int | None) -> Workers:
    """Processes of this machine, or of a Ray cluster where its address is given."""
    if ray is None:
        return Processes(jobs)
    from mecam.features.ray_extraction import RayProcesses

    return RayProcesses(ray, jobs)
