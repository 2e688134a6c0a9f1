"""Models of other packages: found, used by every command, and never able to break one."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tiny
from conftest import ROOT
from mecam import plugins
from mecam import testing as contract
from mecam.cli import main
from mecam.data.store import Store
from mecam.errors import ModelError
from mecam.models import registry
from mecam.models.registry import BUILT_IN, GROUP, MODELS

EXAMPLES = ROOT / "examples"
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a package with these entry points beside the installed ones."""

    def installed(package: str, **points: str) -> None:
        folder = tmp_path / "site"
        info = folder / f"{package}-0.1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n", encoding="utf-8")
        lines = [f"[{GROUP}]", *(f"{name} = {value}" for name, value in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
        monkeypatch.syspath_prepend(folder)
        forget()

    def forget() -> None:
        plugins._points.cache_clear()
        registry._plug_ins.cache_clear()

    yield installed
    forget()


def test_built_in_models_need_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plug_ins", lambda: pytest.fail("looked for plug-ins"))
    assert "mecam" in MODELS
    assert MODELS["mecam"].model.__name__ == "Mecam"


def test_the_example_works_in_every_command(
    install: Install, store: Store, encoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    install("my-model", my_model="my_model:ENTRY")
    monkeypatch.syspath_prepend(EXAMPLES)
    assert list(MODELS)[-1] == "my_model"
    assert len(MODELS) == len(list(MODELS)) == len(BUILT_IN) + 1
    assert main(["models"]) == 0
    assert "My model" in capsys.readouterr().out
    assert main(["models", "my_model"]) == 0
    assert "model.width" in capsys.readouterr().out
    out = tmp_path / "run"
    options = ["--set", f"model.encoder={encoder}", "--set", "model.width=8", "--set", "training.epochs=1"]
    assert main(["train", "--data", str(store.path), "--model", "my_model", "--out", str(out), *options]) == 0
    assert main(["evaluate", str(out), "--data", str(store.path)]) == 0
    assert main(["predict", "a superb film", "--model", str(out)]) == 0


@pytest.mark.parametrize("tasks", [["regression"], pytest.param(list(tiny.TASKS), marks=pytest.mark.slow)])
def test_a_plug_in_is_checked_against_the_contract(
    tasks: list[str],
    install: Install,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The example keeps every promise; the same with a mean that forgets the mask does not, and is told where."""
    install("my-model", my_model="my_model:ENTRY", careless="careless:ENTRY")
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.syspath_prepend(tmp_path)
    text = (EXAMPLES / "my_model.py").read_text(encoding="utf-8")
    careless = text.replace("masked_mean(encoder(s.values, s.mask), s.mask)", "encoder(s.values, s.mask).mean(dim=1)")
    assert careless != text
    (tmp_path / "careless.py").write_text(careless, encoding="utf-8")
    monkeypatch.setattr(contract.small, "TASKS", {name: tiny.TASKS[name] for name in tasks})
    assert main(["models", "my_model", "--check"]) == 0
    promises = len(contract.EVERY_TASK) * len(tasks) + len(contract.SCORES_ONLY)
    assert f"meets all {promises} requirements" in capsys.readouterr().out
    monkeypatch.setattr(contract, "EVERY_TASK", contract.EVERY_TASK[:1])
    monkeypatch.setattr(contract, "SCORES_ONLY", ())
    assert main(["models", "careless", "--check"]) == 1
    told = capsys.readouterr()
    assert "✗" in told.out
    assert "a prediction changes with 1 more padded rows" in told.err
    assert f"careless fails {len(tasks)} of {len(tasks)} requirements" in told.err
    assert main(["models", "--check"]) == 1


def test_the_example_is_short_and_the_page_about_it_true() -> None:
    text = (EXAMPLES / "my_model.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    page = (ROOT / "docs" / "your_own_model.md").read_text(encoding="utf-8")
    project = (EXAMPLES / "pyproject.toml").read_text(encoding="utf-8")
    assert project.partition("[project]")[2] in page


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_module_at_all:ENTRY", "ModuleNotFoundError"),
        ("my_model:NOTHING", "AttributeError"),
        ("my_model:MyModel", r"no Entry\(model, config\)"),
        ("broken_module:ENTRY", "ZeroDivisionError"),
    ],
)
def test_a_broken_plug_in_says_so_and_breaks_nothing_else(
    install: Install, value: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], store: Store, encoder: str,
) -> None:  # fmt: skip
    (tmp_path / "broken_module.py").write_text("ENTRY = 1 / 0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    install("spoilt-package", spoilt=value)
    with pytest.raises(ModelError, match=reason) as caught:
        MODELS["spoilt"]
    assert "spoilt-package" in str(caught.value)
    assert main(["models"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in BUILT_IN)
    assert "cannot be loaded" in listed or "no Entry" in listed
    assert main(["train", "--data", str(store.path), "--model", "spoilt", "--out", str(tmp_path / "run")]) != 0
    assert "spoilt-package" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert tiny.build("text_only", store, encoder).model.reads == ("text",)


def test_a_plug_in_cannot_take_a_built_in_name(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install("greedy", mecam="my_model:ENTRY")
    with caplog.at_level(logging.WARNING):
        assert list(MODELS) == list(BUILT_IN)
    assert "my_model:ENTRY" in caplog.text
    assert MODELS["mecam"].model.__name__ == "Mecam"


def test_an_unknown_name_is_a_key_error() -> None:
    assert "no such model" not in MODELS
    with pytest.raises(KeyError):
        MODELS["no such model"]
