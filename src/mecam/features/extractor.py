"""What an extractor is, what it gives back, and where extractors are found.

An extractor is one file: a module in `mecam.features.audio` or `mecam.features.vision` that declares `EXTRACTORS`, a
dictionary of name → `ExtractorEntry`. A package adds one through the entry point group `mecam.extractors`, whose value
names an `ExtractorEntry`:

    [project.entry-points."mecam.extractors"]
    my-voice = "my_package.my_voice:ENTRY"

It is a small frozen dataclass of options, so that it travels to worker processes; what is heavy (models, tables) is
loaded when first needed and kept by the process, never by the extractor.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mecam.data.operations.speakers import RELATIVE
from mecam.errors import ConfigError, ModelError
from mecam.features.media import Media
from mecam.plugins import load_plug_in, modules_of, plug_ins
from mecam.types import FeatureSpec, Modality

__all__ = ["DEFAULT", "GROUP", "Extractor", "ExtractorEntry", "Features", "chosen", "extractor", "extractor_names"]
__all__ += ["extractor_of", "prepare"]

DEFAULT = ("mecam-audio", "mecam-vision")
"""What runs when nothing else is asked for."""

GROUP = "mecam.extractors"
"""Entry point group of extractors in other packages."""


@dataclass(frozen=True)
class Features:
    """One modality of one recording.

    Attributes:
        values: T × F float32; NaN is a missing value, a row of NaN a moment without any (no face, no sound).
        intervals: T × 2 float64, start and stop of each row in seconds of the recording; increasing, start < stop.
        details: what a report may want to say (faces found, voiced share …); JSON-serialisable.
    """

    values: NDArray[np.float32]
    intervals: NDArray[np.float64]
    details: Mapping[str, Any] = field(default_factory=dict)

    def between(self, start: float, stop: float) -> "Features":
        """Return the rows whose middle lies in [start, stop) seconds; the times stay the recording's."""
        middle = self.intervals.mean(axis=1)
        chosen = (middle >= start) & (middle < stop)
        return Features(self.values[chosen], self.intervals[chosen], self.details)


@runtime_checkable
class Extractor(Protocol):
    """Makes the rows of one modality out of a recording."""

    @property
    def name(self) -> str:
        """Name in the registry and in the store's manifest, such as `mecam-vision`."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the same file would give other values."""
        ...

    @property
    def modality(self) -> Modality:
        """The stream that the rows belong to."""
        ...

    @property
    def spec(self) -> FeatureSpec:
        """Width, feature names, name and version, as the store keeps them; known without loading any model."""
        ...

    def __call__(self, media: Media, start: float = 0.0, stop: float | None = None) -> Features:
        """Extract the rows between `start` and `stop` seconds (None: to the end).

        Raises: MediaError if the recording has no stream of this kind; MecamError if a model is missing.
        """
        ...


class ExtractorEntry(NamedTuple):
    """An extractor under its name.

    Attributes:
        make: the extractor, from what follows a colon in its name (`speech:facebook/wav2vec2-base`).
        argument: what has to follow the colon, such as `MODEL`; empty where nothing does. What a checkpoint of a
            stranger names there is fetched only if the user allows it.
        prepare: fetches what it needs, before any of the work is begun.
    """

    make: Callable[[str], Extractor]
    argument: str = ""
    prepare: Callable[[], object] = lambda: None


@cache
def _built_in() -> dict[str, ExtractorEntry]:
    modules = modules_of("mecam.features.audio", "mecam.features.vision")
    return {name: entry for module in modules for name, entry in getattr(module, "EXTRACTORS", {}).items()}


def extractor_names() -> list[str]:
    """The names of all extractors, those of other packages last, as they are asked for (`speech:MODEL`)."""
    ours = [f"{name}:{entry.argument}" if entry.argument else name for name, entry in _built_in().items()]
    return [*ours, *plug_ins(GROUP, _built_in())]


def _entry(kind: str) -> ExtractorEntry | None:
    """The extractor of this name, without what follows a colon."""
    if (entry := _built_in().get(kind)) is not None:
        return entry
    point = plug_ins(GROUP, _built_in()).get(kind)
    return None if point is None else load_plug_in(point, ExtractorEntry)


def extractor(name: str) -> Extractor:
    """The extractor of this name.

    Raises: ConfigError if there is none.
    """
    kind, _, rest = name.partition(":")
    entry = _entry(kind)
    if entry is None or bool(entry.argument) != bool(rest):
        raise ConfigError(f"there is no extractor {name!r}", fix=f"known: {', '.join(extractor_names())}")
    return entry.make(rest)


def chosen(names: Sequence[str]) -> dict[Modality, Extractor]:
    """One extractor per modality.

    Raises: ConfigError if two make the same modality, or a name is unknown.
    """
    found: dict[Modality, Extractor] = {}
    for name in names:
        made = extractor(name)
        if made.modality in found:
            both = f"{found[made.modality].name} and {made.name}"
            raise ConfigError(f"{both} both make {made.modality}", fix="give one per modality")
        found[made.modality] = made
    return found


def extractor_of(
    modality: Modality, spec: FeatureSpec, *, allow_encoder: bool = False, baseline: bool = False
) -> Extractor:
    """The extractor that makes the features a model was trained on.

    Args:
        modality: of the features.
        spec: as the model's checkpoint records it.
        baseline: whether there is a baseline of the person, so that features relative to the speaker can be made of
            what this extractor makes.
        allow_encoder: let the checkpoint name a speech encoder, which is fetched or read from where it says.

    Raises: ModelError that says which features they are and what to do, if we cannot make them, or may not.
    """
    if spec.extractor.endswith(RELATIVE) and not baseline:
        raise ModelError(
            f"this model reads {modality} features that are normalised for each speaker",
            fix="give --baseline with a recording of the same person, or `auto`, which is this recording itself; or "
            "extract recordings of the same people, `mecam data normalise` the store and predict that; or train a "
            "model on the store as it was extracted",
        )
    spec = replace(spec, extractor=spec.extractor.removesuffix(RELATIVE))
    kind, _, named = spec.extractor.partition(":")
    entry = _entry(kind)
    if entry is None:
        raise ModelError(
            f"this model reads {modality} features that mecam cannot extract: {spec.extractor} of width {spec.width}",
            fix="extract them with their own tool, import them with `mecam data import` and predict the store; or "
            f"train a model on features that `mecam extract` makes ({', '.join(extractor_names())})",
        )
    if entry.argument and not allow_encoder:
        raise ModelError(
            f"this model reads {modality} through the encoder {named!r}, which its "
            "checkpoint does not hold: it would be downloaded, or loaded from another folder",
            fix="if you trust its source, add --allow-encoder (in Python: allow_encoder=True)",
        )
    made = extractor(spec.extractor)
    if (made.version, made.spec.width) != (spec.version, spec.width):
        raise ModelError(
            f"this model was trained on {spec.extractor} version {spec.version or '?'} of width {spec.width}; "
            f"this mecam makes version {made.version} of width {made.spec.width}",
            fix="extract the training data again and train, or use the mecam that it was trained with",
        )
    return made


def prepare(names: Sequence[str]) -> None:
    """Fetch what the extractors need, before any of the work is begun.

    Raises: DataError or MissingExtraError if it cannot be had.
    """
    for name in names:
        if (entry := _entry(name.partition(":")[0])) is not None:
            entry.prepare()
