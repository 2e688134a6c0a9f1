"""What is shipped is what its cards say, and is small enough."""

import json
import re
from pathlib import Path

import pytest

from mecam.errors import ModelError
from mecam.pretrained import cards as module
from mecam.pretrained.cards import FOLDER, cards, damaged_files
from mecam.report.cards import quality_table

MAX_BYTES = 35_000_000
NETWORKS = FOLDER.parent / "features" / "vision" / "models"


def test_every_file_is_what_a_card_says() -> None:
    assert damaged_files() == []


def test_every_shipped_weight_belongs_to_a_card() -> None:
    known = {name for card in cards().values() for name in card.files}
    weights = {
        path.relative_to(FOLDER).as_posix()
        for path in FOLDER.rglob("*")
        if path.suffix in (".onnx", ".safetensors", ".data", ".json") and path.parent.name != "cards"
    }
    assert weights <= known


def test_all_weights_together_are_small() -> None:
    files = [path for folder in (FOLDER, NETWORKS) for path in folder.rglob("*") if path.is_file()]
    weights = [path for path in files if path.suffix not in (".py", ".pyc")]
    assert sum(path.stat().st_size for path in weights) <= MAX_BYTES


@pytest.mark.parametrize("name", cards())
def test_a_card_is_complete(name: str) -> None:
    card = cards()[name]
    assert card.name == name
    assert card.reads in ("text", "audio", "vision")
    for told in (card.learned_from, card.licence, card.limits, card.not_for, card.measured):
        assert told
    for one in card.measured:
        assert one.low is None or one.high is None or one.low <= one.value <= one.high


def test_a_changed_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cards").mkdir()
    values = json.loads((FOLDER / "cards" / "words-emotions.json").read_text())
    values["files"] = {"a": "0" * 64, "b": "0" * 64}
    (tmp_path / "cards" / "words-emotions.json").write_text(json.dumps(values))
    (tmp_path / "a").write_bytes(b"changed")
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    module.cards.cache_clear()
    try:
        assert damaged_files() == ["a", "b"]
        (tmp_path / "cards" / "words-emotions.json").write_text("{")
        module.cards.cache_clear()
        with pytest.raises(ModelError, match="words-emotions"):
            module.cards()
    finally:
        module.cards.cache_clear()


def test_the_docs_say_what_the_cards_measured() -> None:
    page = (FOLDER.parents[2] / "docs" / "built_in.md").read_text(encoding="utf-8")
    assert f"<!-- quality -->\n{quality_table()}<!-- /quality -->" in page


def test_nothing_that_ships_names_a_place_on_a_machine() -> None:
    for file in FOLDER.rglob("*.json"):
        assert not re.search(r'"(/\w|[A-Z]:\\\\)', file.read_text(encoding="utf-8")), file.name
