"""Text that any reader only shows: what would steer a terminal or turn the direction of a line is escaped.

And what nobody is to read: passwords in URLs.
"""

import json
import re
from typing import Any

__all__ = ["CONTROL", "json_text", "safe", "without_passwords"]

CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # all but tab and newline: escape sequences begin with one of these
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they turn the direction of the text around them
    "\u2028\u2029\ufff9-\ufffb\U000e0000-\U000e007f"  # line ends that are none, and what no one can see
    "\ud800-\udfff]"  # halves of characters: bytes of a file name that are no text
)
"""Characters that are not to be seen and do something."""


def safe(text: str) -> str:
    r"""Text that a terminal only shows: whatever would steer it stands as `\x1b` or `\u202e`."""
    return CONTROL.sub(lambda found: _escaped(found[0]), text)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON that any terminal may show: the same value, with more escapes where needed."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return CONTROL.sub(lambda found: json.dumps(found[0])[1:-1], text)


_PASSWORD = re.compile(r"(?<=://)([^\s:/@]*):[^\s/]*@")


def without_passwords(text: str) -> str:
    """The text with `***` for the passwords of the URLs in it: it is going to be shown, or written down."""
    return _PASSWORD.sub(r"\1:***@", text)
