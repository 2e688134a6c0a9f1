"""Corruptions of recordings by name, what their severities mean, and five of each from slight to hardly usable."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from mecam.data.corruption import Corruption
from mecam.errors import ConfigError
from mecam.features.corruption import pictures, sounds

__all__ = ["ANY", "HELD_KINDS", "KINDS", "LEVELS", "Kind", "Medium", "check_corruption", "drawn", "parse_corruption"]

Medium: TypeAlias = Literal["sound", "picture"]


@dataclass(frozen=True)
class Kind:
    """A kind of corruption.

    Attributes:
        medium: what is corrupted.
        corrupt: the function; None where whole frames are blanked, held or lost.
        unit: of the severity, in words.
        low: least severity that is allowed.
        high: greatest.
        levels: the severities of level 1 to 5.
    """

    medium: Medium
    corrupt: Callable[..., Any] | None
    unit: str
    low: float
    high: float
    levels: tuple[float, float, float, float, float]


_SNR = ("dB signal to noise", -30.0, 60.0)
_SHARE = (0.1, 0.25, 0.5, 0.75, 1.0)
_NOISE = (20.0, 15.0, 10.0, 5.0, 0.0)

KINDS: dict[str, Kind] = {
    "white": Kind("sound", sounds.white, *_SNR, _NOISE),
    "pink": Kind("sound", sounds.pink, *_SNR, _NOISE),
    "babble": Kind("sound", sounds.babble, *_SNR, _NOISE),
    "music": Kind("sound", sounds.music, *_SNR, _NOISE),
    "burst": Kind("sound", sounds.burst, *_SNR, (10.0, 5.0, 0.0, -5.0, -10.0)),
    "reverb": Kind("sound", sounds.reverb, "seconds to fall by 60 dB", 0.05, 10.0, (0.2, 0.4, 0.7, 1.0, 1.5)),
    "clipping": Kind("sound", sounds.clipping, "share cut off", 0.001, 1.0, (0.01, 0.05, 0.1, 0.2, 0.4)),
    "lowpass": Kind("sound", sounds.low_pass, "Hz left", 50.0, 24_000.0, (4000.0, 3000.0, 2000.0, 1000.0, 500.0)),
    "packets": Kind("sound", sounds.packet_loss, "share of packets lost", 0.001, 1.0, (0.05, 0.1, 0.2, 0.3, 0.5)),
    "mute": Kind("sound", sounds.mute, "share silenced", 0.001, 1.0, _SHARE),
    "blur": Kind("picture", pictures.blur, "of the shorter side", 0.0005, 0.5, (0.005, 0.01, 0.015, 0.025, 0.04)),
    "dark": Kind("picture", pictures.low_light, "of the light left", 0.001, 1.0, (0.5, 0.3, 0.15, 0.08, 0.04)),
    "occlusion": Kind("picture", pictures.occlusion, "of the face covered", 0.01, 1.0, (0.2, 0.35, 0.5, 0.7, 1.0)),
    "pixels": Kind("picture", pictures.low_resolution, "lines left", 4.0, 4320.0, (240.0, 160.0, 120.0, 80.0, 48.0)),
    "compression": Kind("picture", pictures.compression, "quantiser", 2.0, 60.0, (10.0, 20.0, 31.0, 45.0, 60.0)),
    "blank": Kind("picture", None, "share black", 0.001, 1.0, _SHARE),
    "frozen": Kind("picture", None, "share held", 0.001, 1.0, _SHARE),
    "drops": Kind("picture", None, "share of frames lost", 0.001, 1.0, (0.1, 0.25, 0.5, 0.75, 0.9)),
}
"""Name → kind, for sound and for pictures."""

ANY = "any"
"""Instead of a kind: each recording gets a kind of its own for its sound and one for its picture."""
HELD_KINDS = ("frozen", "drops")
"""Kinds of which the picture before is seen."""
LEVELS = (1, 2, 3, 4, 5)
"""How severe a corruption is, from slight to hardly usable; each kind has a severity in its own unit for each."""


def check_corruption(corruption: Corruption) -> None:
    """Make sure that a corruption is one of recordings; the severity of `any` is a level, or 0 for one that is drawn.

    Raises: ConfigError that says what would be right.
    """
    kind, severity = corruption.kind, corruption.severity
    if kind == ANY:
        if severity not in (0, *LEVELS):
            raise ConfigError(f"the severity must be 1, 2, 3, 4 or 5, got {severity:g}")
        return
    if kind not in KINDS:
        raise ConfigError(f"there is no corruption {kind!r}", fix=f"use one of {', '.join(KINDS)}, {ANY}")
    known = KINDS[kind]
    if not known.low <= severity <= known.high:
        raise ConfigError(
            f"{kind} goes from {known.low:g} to {known.high:g} ({known.unit}), got {severity:g}",
            fix=f"severities 1 to 5 are {', '.join(f'{level:g}' for level in known.levels)}",
        )


def drawn(corruptions: Sequence[Corruption], rng: np.random.Generator) -> tuple[Corruption, ...]:
    """The corruptions with each `any` replaced by a kind for sound and a kind for pictures."""
    result: list[Corruption] = []
    for corruption in corruptions:
        if corruption.kind != ANY:
            result.append(corruption)
            continue
        for medium in ("sound", "picture"):
            names = [name for name, kind in KINDS.items() if kind.medium == medium]
            name = names[int(rng.integers(len(names)))]
            level = int(corruption.severity) or int(rng.integers(1, 1 + len(LEVELS)))
            result.append(replace(corruption, kind=name, severity=KINDS[name].levels[level - 1]))
    return tuple(result)


def parse_corruption(text: str, *, extent: float = 1.0, seed: int = 0) -> Corruption:
    """Read `babble:3` (severity 1 to 5), `babble=5` (the kind's own unit: 5 dB), `any` or `any:3`.

    Raises: ConfigError that says what would be right.
    """
    name, mark, value = text.replace("=", ":", 1).partition(":")
    name = name.strip()
    if name == ANY and not mark:
        return Corruption(ANY, 0.0, extent, seed)
    try:
        number = float(value) if mark else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(
            f"{text!r} is not a corruption",
            fix="write KIND:SEVERITY, as in babble:3, or KIND=LEVEL, as in babble=5 (dB)",
        )
    if name != ANY and "=" not in text.partition(":")[0]:
        if name in KINDS and number not in LEVELS:
            raise ConfigError(
                f"the severity must be 1, 2, 3, 4 or 5, got {value}",
                fix=f"for {KINDS[name].unit}, write {name}={value}",
            )
        number = KINDS[name].levels[int(number) - 1] if name in KINDS else 0.0
    corruption = Corruption(name, number, extent, seed)
    check_corruption(corruption)
    return corruption
