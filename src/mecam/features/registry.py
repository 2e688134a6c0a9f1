"""Extractors by name: as the command line, a store's manifest and a checkpoint name them."""

from collections.abc import Callable, Sequence

from mecam.data.operations.speakers import RELATIVE
from mecam.errors import ConfigError, ModelError
from mecam.features.protocol import Extractor
from mecam.types import FeatureSpec, Modality

__all__ = ["DEFAULT", "EXTRACTORS", "chosen", "extractor", "extractor_of", "prepare"]

DEFAULT = ("mecam-audio", "mecam-vision")
"""What runs when nothing else is asked for."""


def _acoustics(_: str) -> Extractor:
    from mecam.features.audio.extractors import Acoustics

    return Acoustics()


def _prosody(_: str) -> Extractor:
    from mecam.features.audio.prosody import Prosody

    return Prosody()


def _egemaps(_: str) -> Extractor:
    from mecam.features.audio.extractors import Egemaps

    return Egemaps()


def _speech(model: str) -> Extractor:
    from mecam.features.audio.extractors import SpeechEncoder

    return SpeechEncoder(model)


def _expressions(_: str) -> Extractor:
    from mecam.features.vision.extractors import Expressions

    return Expressions()


def _blendshapes(_: str) -> Extractor:
    from mecam.features.vision.extractors import Blendshapes

    return Blendshapes()


EXTRACTORS: dict[str, Callable[[str], Extractor]] = {
    "mecam-audio": _acoustics,
    "mecam-prosody": _prosody,
    "egemaps": _egemaps,
    "speech": _speech,
    "mecam-vision": _expressions,
    "mecam-blendshapes": _blendshapes,
}
"""Name → maker; what follows a colon in a name (`speech:facebook/wav2vec2-base`) is handed to it."""


def extractor(name: str) -> Extractor:
    """The extractor of this name.

    Raises: ConfigError if there is none.
    """
    kind, _, rest = name.partition(":")
    if kind not in EXTRACTORS or (kind == "speech") != bool(rest):
        raise ConfigError(
            f"no extractor is called {name!r}",
            fix=f"known: {', '.join(k if k != 'speech' else 'speech:MODEL' for k in EXTRACTORS)}",
        )
    return EXTRACTORS[kind](rest)


def chosen(names: Sequence[str]) -> dict[Modality, Extractor]:
    """One extractor per modality.

    Raises: ConfigError if two make the same modality, or a name is unknown.
    """
    found: dict[Modality, Extractor] = {}
    for name in names:
        made = extractor(name)
        if made.modality in found:
            both = f"{found[made.modality].name} and {made.name}"
            raise ConfigError(f"{both} both make {made.modality}", fix="name one per modality")
        found[made.modality] = made
    return found


def extractor_of(modality: Modality, spec: FeatureSpec, *, allow_encoder: bool = False) -> Extractor:
    """The extractor that makes the features a model was trained on.

    Args:
        modality: of the features.
        spec: as the model's checkpoint records it.
        allow_encoder: let the checkpoint name a speech encoder, which is fetched or read from where it says.

    Raises: ModelError that says which features they are and what to do, if we cannot make them, or may not.
    """
    if spec.extractor.endswith(RELATIVE):
        raise ModelError(
            f"this model reads {modality} features that were taken relative to each speaker's own mean",
            fix="extract recordings of the same people, `mecam data normalise` the store and predict that; or train a "
            "model on the store as it was extracted",
        )
    if spec.extractor.partition(":")[0] not in EXTRACTORS:
        raise ModelError(
            f"this model reads {modality} features that we cannot extract: {spec.extractor} of width {spec.width}",
            fix="extract them with their own tool, import them with `mecam data import` and predict the store; or "
            f"train a model on features that `mecam extract` makes ({', '.join(EXTRACTORS)})",
        )
    if spec.extractor.startswith("speech:") and not allow_encoder:
        raise ModelError(
            f"this model reads {modality} through the encoder {spec.extractor.partition(':')[2]!r}, which its "
            "checkpoint does not hold: that would be fetched, or read from elsewhere on this machine",
            fix="if you trust whoever made it, add --allow-encoder (in Python: allow_encoder=True)",
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
    if "mecam-vision" in names or "mecam-blendshapes" in names:
        from mecam.features.vision.assets import ASSETS, LANDMARKER, ensure

        # What cannot be fetched comes first: nothing is downloaded only to say that it is missing.
        for asset in (LANDMARKER, *ASSETS) if "mecam-blendshapes" in names else ASSETS:
            ensure(asset)
    if "egemaps" in names:
        from mecam.features.audio.extractors import load_smile

        load_smile()
