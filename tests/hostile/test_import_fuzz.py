"""Damaged files of every layout: one clear error or a whole store, in 1.5 GB and a minute."""

import os

import pytest

from bounded import ROOM, run_bounded
from import_seeds import seeds

IMPORTERS = (
    "MMSA", "MMSA-FET", "MMSA of tensors", "MMSA by torch.save", "MMSA by torch.save, old", "MMSA by joblib",
    "MMSA, old protocol", "MulT and table", "MulT, MOSEI", "MISA", "MMIM cache", "MAG-BERT", "LMF",
    "label table", "label table, Excel", "MELD table", "word table", "feature table, pandas", "feature table",
    "NPZ by id", "NPZ by split", "CSD labels", "CSD words", "CSD features",
)  # fmt: skip


def check(result: dict, cases: int) -> None:
    assert result["problems"] == []
    assert sum(result["counts"].values()) == cases
    assert result["counts"]["refused"] > 0
    assert result["counts"]["imported"] > 0  # some damage is harmless: a value in a feature
    assert result["peak"] < ROOM


def test_every_layout_has_a_seed(tmp_path):
    assert set(seeds(tmp_path)) == set(IMPORTERS)


def test_damage_ends_in_an_error_or_a_whole_store(tmp_path):
    check(run_bounded("import_fuzz", str(tmp_path), "8", "0", seconds=600), 8 * len(IMPORTERS))


@pytest.mark.slow
@pytest.mark.parametrize("importer", IMPORTERS)
def test_much_damage_ends_in_an_error_or_a_whole_store(tmp_path, importer):
    cases = int(os.environ.get("MECAM_FUZZ_CASES", "1000"))
    check(run_bounded("import_fuzz", str(tmp_path), str(cases), "1", importer, seconds=3600), cases)
