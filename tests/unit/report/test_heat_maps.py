"""Heat maps: numbers are readable on every shade, and a stronger colour always says more."""

import numpy as np
import pytest

from mecam.report.charts import heat_map
from mecam.report.page import PALETTES


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def luminance(colour: np.ndarray) -> float:
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("theme", list(PALETTES))
def test_numbers_are_readable_on_every_shade(theme: str) -> None:
    """Contrast of WCAG's level AA for small text; the distance from the paper grows with the value."""
    colours = {name: rgb(PALETTES[theme][name]) for name in ("paper", "full", "ink")}
    distances = []
    for share in np.linspace(0, 1, 21):
        cell = colours["paper"] * (1 - share) + colours["full"] * share
        low, high = sorted((luminance(cell), luminance(colours["ink"])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, share
        distances.append(abs(luminance(cell) - luminance(colours["paper"])))
    assert distances == sorted(distances)


def test_the_scale_begins_at_nothing_and_has_no_other_colours() -> None:
    cells = [{"x": "a", "y": "b", "shade": 0.1, "text": "1", "told": "b, a: 1"}]
    drawn = heat_map(cells, x=["a"], y=["b"], worst=0.4).to_dict()
    scale = drawn["layer"][0]["encoding"]["color"]["scale"]
    assert scale["domain"] == [0, 0.4]
    assert scale["range"] == ["var(--paper)", "var(--full)"]
    assert scale["interpolate"] == "rgb"  # others pass through colours that are no shade of the two
    assert (
        heat_map(cells, x=["a"], y=["b"], worst=0.0).to_dict()["layer"][0]["encoding"]["color"]["scale"]["domain"][1]
        > 0
    )
