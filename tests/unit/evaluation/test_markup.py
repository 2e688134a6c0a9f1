"""How numbers are written, wherever they are shown."""

import math

import pytest

from mecam.report.markup import percent, plain


@pytest.mark.parametrize(
    ("share", "written"), [(0.5, "50.0 %"), (-0.023, "−2.3 %"), (1.0, "100.0 %"), (None, "–"), (math.nan, "–")]
)
def test_shares(share: float | None, written: str) -> None:
    assert percent(share) == written.replace("–", plain(None))


def test_a_minus_is_a_minus() -> None:
    assert plain(-0.25) == "−0.250"
    assert plain(-0.25, 1) == "−0.2"
