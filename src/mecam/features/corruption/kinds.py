"""Kinds of damage by name, what their levels mean, and five severities of each from slight to hardly usable."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from mecam.errors import ConfigError
from mecam.features.corruption import pictures, sounds

__all__ = ["ANY", "HELD_KINDS", "KINDS", "SEVERITIES", "Damage", "Kind", "Medium", "drawn", "parse_damage"]

Medium: TypeAlias = Literal["sound", "picture"]


@dataclass(frozen=True)
class Kind:
    """A kind of damage.

    Attributes:
        medium: what it befalls.
        damage: the function; None where whole frames are blanked, held or lost.
        unit: what a level is, in words.
        low: least level that is allowed.
        high: greatest.
        levels: of severity 1 to 5.
    """

    medium: Medium
    damage: Callable[..., Any] | None
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
SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Damage:
    """One damage to every recording.

    Attributes:
        kind: a key of `KINDS`, or `any`.
        level: in the unit of the kind; of `any`, the severity from 1 to 5, or 0 for one that is drawn too.
        extent: part of every ten seconds that is touched, one stretch of it at a random place, in (0, 1].
        seed: of its place and its noise.
    """

    kind: str
    level: float
    extent: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.extent <= 1:
            raise ConfigError(f"a damage's extent is in (0, 1], got {self.extent:g}")
        if self.kind == ANY:
            if self.level not in (0, *SEVERITIES):
                raise ConfigError(f"a severity is 1, 2, 3, 4 or 5, got {self.level:g}")
            return
        if self.kind not in KINDS:
            raise ConfigError(f"no damage is called {self.kind!r}", fix=f"use one of {', '.join(KINDS)}, {ANY}")
        kind = KINDS[self.kind]
        if not kind.low <= self.level <= kind.high:
            raise ConfigError(
                f"{self.kind} goes from {kind.low:g} to {kind.high:g} ({kind.unit}), got {self.level:g}",
                fix=f"severities 1 to 5 are {', '.join(f'{level:g}' for level in kind.levels)}",
            )

    @property
    def medium(self) -> Medium:
        """What it befalls."""
        return KINDS[self.kind].medium


def drawn(damages: Sequence[Damage], rng: np.random.Generator) -> tuple[Damage, ...]:
    """The damages with each `any` replaced by a kind for sound and a kind for pictures."""
    result: list[Damage] = []
    for damage in damages:
        if damage.kind != ANY:
            result.append(damage)
            continue
        for medium in ("sound", "picture"):
            names = [name for name, kind in KINDS.items() if kind.medium == medium]
            name = names[int(rng.integers(len(names)))]
            severity = int(damage.level) or int(rng.integers(1, 1 + len(SEVERITIES)))
            result.append(replace(damage, kind=name, level=KINDS[name].levels[severity - 1]))
    return tuple(result)


def parse_damage(text: str, *, extent: float = 1.0, seed: int = 0) -> Damage:
    """Read `babble:3` (severity 1 to 5), `babble=5` (the kind's own unit: 5 dB), `any` or `any:3`.

    Raises: ConfigError that says what would be right.
    """
    name, mark, value = text.replace("=", ":", 1).partition(":")
    name = name.strip()
    if name == ANY and not mark:
        return Damage(ANY, 0.0, extent, seed)
    try:
        number = float(value) if mark else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(
            f"{text!r} is no damage", fix="write KIND:SEVERITY, as in babble:3, or KIND=LEVEL, as in babble=5 (dB)"
        )
    if name == ANY:
        return Damage(ANY, number, extent, seed)
    if "=" not in text.partition(":")[0]:
        if name in KINDS and number not in SEVERITIES:
            raise ConfigError(
                f"a severity is 1, 2, 3, 4 or 5, got {value}", fix=f"for {KINDS[name].unit}, write {name}={value}"
            )
        number = KINDS[name].levels[int(number) - 1] if name in KINDS else 0.0
    return Damage(name, number, extent, seed)
