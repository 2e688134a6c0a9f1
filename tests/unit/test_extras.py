"""What is not installed is named, with the extra that brings it."""

import pickle
import re
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from mecam.errors import EXTRAS, MissingExtraError, missing_extras, require

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
FOR_DEVELOPERS = ("dev", "docs")
"""Extras that no part of the package imports."""


def names(requirements: list[str]) -> set[str]:
    """The packages of requirements, mecam itself left out."""
    return {re.split(r"[\[<>=]", each)[0].lower() for each in requirements if not each.startswith("mecam[")}


def test_the_table_names_what_the_extras_bring() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    extras = {name: names(given) for name, given in optional.items() if name not in FOR_DEVELOPERS}
    core = names(project["dependencies"])
    installed = packages_distributions()
    for module, (_, extra) in EXTRAS.items():
        brought = {name.lower().replace("_", "-") for name in installed.get(module, [])}
        assert not brought or brought & extras[extra], module
        assert not brought & core, module
    for extra, brought in extras.items():
        assert len(brought) == sum(one == extra for _, one in EXTRAS.values()), extra


def test_a_missing_module_is_an_error_with_its_extra() -> None:
    with pytest.raises(MissingExtraError) as caught, missing_extras():
        raise ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")
    assert str(caught.value) == 'this needs PyTorch, which is not installed (pip install "mecam[train]")'
    sent = pickle.loads(pickle.dumps(caught.value))
    assert (type(sent), str(sent)) == (MissingExtraError, str(caught.value))


def test_other_missing_modules_stay_what_they_are() -> None:
    with pytest.raises(ModuleNotFoundError, match="nowhere"), missing_extras():
        raise ModuleNotFoundError("nowhere", name="nowhere")


def test_what_is_installed_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    require("torch")
    monkeypatch.setattr("mecam.errors.find_spec", lambda module: None)
    with pytest.raises(MissingExtraError, match=r"mecam\[tune\]"):
        require("optuna")
