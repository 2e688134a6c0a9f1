"""Times as captions and tables write them."""

import math
import re
from collections.abc import Iterable

__all__ = ["ARROW", "CLOCK", "frame_seconds", "parse_clock", "seconds_of"]

CLOCK = r"-?\d{1,9}(?:\s?:\s?-?\d{1,9}){0,2}(?:\s?[:;.,]\s?-?\d+)?"
"""`00:01:02,345` and what others make of it: without hours, with a blank, with frames, with any number of decimals."""
ARROW = r"\s*(?:-{1,3}\s?(?:>|&gt;)|[–—]>|→)\s*"
_PARTS = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+)(?:[.,](\d+)|[:;](\d+))?")
_RATES = (25, 30, 50, 60)


def parse_clock(text: str) -> tuple[float, str | None]:
    """Read a time.

    Returns: seconds, negative where any part is; and the frames after them (`00:00:01:12`), for `frame_seconds`.
    Raises: ValueError if it is none.
    """
    bare = re.sub(r"[\s-]", "", text)
    match = _PARTS.fullmatch(bare)
    if match is None:
        raise ValueError(f"{text!r:.40} is no time")
    hours, minutes, seconds, decimals, frames = match.groups()
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds)
    value = whole + (float(f"0.{decimals}") if decimals else 0.0)
    return (-value if "-" in text else value), frames


def frame_seconds(frames: Iterable[str]) -> tuple[float, str]:
    """Seconds of one unit of the last field of times such as `00:00:01:12`, and a sentence about it.

    Rule: three digits are milliseconds. Else they are frames, at the lowest of 25, 30, 50 and 60 a second that has so
    many, or hundredths of a second, if there are 60 or more.
    """
    given = list(frames)
    if all(len(each) == 3 for each in given):
        return 0.001, ""
    most = max(map(int, given))
    rate = next((rate for rate in _RATES if most < rate), 100)
    unit = "hundredths of a second" if rate == 100 else f"frames, {rate} a second"
    return 1 / rate, f"the last part of the times is read as {unit}"


def seconds_of(value: object) -> float:
    """A time in a table or a JSON file in its own unit; NaN where there is none.

    Numbers, `1.3`, `1.300s`, `00:01:02,345`, `PT1.3S`, and `{"seconds": 1, "nanos": 300000000}`.

    Raises: ValueError if it is no time.
    """
    if value is None or value == "":
        return math.nan
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is no time")
    if isinstance(value, dict) and value.keys() <= {"seconds", "nanos"}:
        return seconds_of(value.get("seconds", 0)) + seconds_of(value.get("nanos", 0)) * 1e-9
    if isinstance(value, str):
        value = value.strip()
        if match := re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?", value):
            hours, minutes, seconds = (float(part or 0) for part in match.groups())
            return hours * 3600 + minutes * 60 + seconds
        if match := re.fullmatch(r"(-?\d+(?:\.\d+)?)s", value):
            value = match[1]
        elif ":" in value:
            seconds, frames = parse_clock(value)
            if frames is not None:
                raise ValueError(f"{value!r:.40} is no time that is understood: are these frames?")
            return seconds
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, OverflowError, ValueError):
        raise ValueError(f"{value!r:.40} is no time") from None
    if math.isinf(seconds):
        raise ValueError(f"{value!r:.40} is no time")
    return seconds
