"""Write what the cards measured into docs/built_in.md.

python pretraining/write_docs.py
"""

import re
from pathlib import Path

from mecam.report.cards import quality_table

PAGE = Path(__file__).parent.parent / "docs" / "built_in.md"


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    block = f"<!-- quality -->\n{quality_table()}<!-- /quality -->"
    PAGE.write_text(
        re.sub(r"<!-- quality -->.*<!-- /quality -->", lambda _: block, text, flags=re.DOTALL), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
