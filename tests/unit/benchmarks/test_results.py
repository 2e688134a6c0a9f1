"""Recipes of the documentation's tables: steps run once, what fails stops nothing else, pages say what outcomes say."""

import sys
from pathlib import Path

import pytest

from benchmarks.results import steps
from benchmarks.results.__main__ import make, old_ones, state, write_docs
from benchmarks.results.charts import charts, mark_of
from benchmarks.results.outcome import OUTCOMES, read_outcomes
from benchmarks.results.pages import BLOCK, pages, rendered
from benchmarks.results.recipe import CONFIGS, RECIPES, ROOT, Recipe, Step, chosen, read_recipe, read_recipes
from benchmarks.results.steps import StepError, Workshop
from mecam.errors import ConfigError

FAKE = """
import json, pathlib, sys
place = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
with open("calls.txt", "a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
if pathlib.Path("broken").exists() and "train" in sys.argv:
    place.mkdir(parents=True, exist_ok=True)
    sys.exit("out of luck")
(place / "failed.json").unlink(missing_ok=True)
said = place / "said.txt"
if said.exists() and said.read_text() != " ".join(sys.argv):
    sys.exit("this folder holds another run")
place.mkdir(parents=True, exist_ok=True)
said.write_text(" ".join(sys.argv))
if pathlib.Path("partly").exists() and "train" in sys.argv:
    (place / "failed.json").write_text("{}")
(place / "manifest.json").write_text(json.dumps({"manifest_sha256": "5a5a"}))
(place / "environment.json").write_text(json.dumps({"seeds": [1111, 1112]}))
row = lambda name, mae: {"name": name, "scores": {"mae": {
    "mean": mae, "std": 0.01, "ci95": [mae - 0.1, mae + 0.1], "tied": False, "against_baseline": {"p_holm": 0.0004}}}}
(place / "comparison.json").write_text(json.dumps({"rows": [row("a", 0.5), row("b", 0.61234)]}))
"""
"""Stands for `mecam`: notes its call, refuses to continue what another command made, writes what is read later."""

RECIPE = """
title: A or B
question: Which is better?
minutes: 3
processor: a quiet one
estimated: true
data: [corpus]
steps:
  - mecam data import DATA/corpus --out stores/s
  - mecam train --data stores/s --config CONFIGS/mecam_mosi.yaml --out runs/r
  - run: mecam compare runs/r/a b=runs/r --out c
    makes: c
tables:
  test:
    title: The test
    corner: model
    file: c/comparison.json
    at: rows/{row}/scores/{column}
    show: [std, ci95, p]
    rows: {a: Model A, b: Model B}
    columns:
      mae: {title: MAE, better: lower}
      rank: {title: rank, at: "rows/{row}/scores/mae/mean", digits: 1, without: [b]}
  curve:
    title: A curve
    file: c/comparison.json
    at: rows/{row}/scores/mae
    chart: lines
    rows: {a: Model A}
    columns: {"0": 0 %, "0.5": 50 %}
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setattr(steps, "made_with", lambda: "mecam 1, commit 5a5a")
    (tmp_path / "data" / "corpus").mkdir(parents=True)
    (tmp_path / "data" / "corpus" / "label.csv").write_text("id\n1\n")
    (tmp_path / "fake.py").write_text(FAKE)
    return Workshop(tmp_path / "work", tmp_path / "data", (sys.executable, "-S", "-E", str(tmp_path / "fake.py")))


def written(folder: Path, text: str = RECIPE, name: str = "ab") -> Recipe:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(text)
    return read_recipe(folder / f"{name}.yaml")


def calls(shop: Workshop) -> list[str]:
    file = shop.work / "calls.txt"
    said = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    file.unlink(missing_ok=True)
    return [words[0] for words in said]


def test_a_step_runs_once_and_its_outcome_holds_the_figures(shop: Workshop, tmp_path: Path) -> None:
    recipe = written(tmp_path / "recipes")
    assert make([recipe], shop, tmp_path) == []
    assert calls(shop) == ["data", "train", "compare"]
    assert make([recipe], shop, tmp_path) == []
    assert calls(shop) == []
    outcome = read_outcomes(tmp_path)["ab"]
    cell = {"mean": 0.61234, "std": 0.01, "ci95": [0.51234, 0.71234], "p": 0.0004}
    rows = outcome["tables"]["test"]["rows"]
    assert rows["b"]["cells"] == {"mae": cell, "rank": None}
    assert rows["a"]["cells"]["rank"] == {"mean": 0.5}
    assert outcome["seeds"] == [1111, 1112]
    assert outcome["data"]["stores/s"] == "5a5a"
    assert outcome["commands"][0] == "mecam data import DATA/corpus --out stores/s"


def test_a_changed_command_runs_again_with_what_follows_and_its_outcome_is_old_until_then(
    shop: Workshop, tmp_path: Path
) -> None:
    recipe = written(tmp_path / "recipes")
    make([recipe], shop, tmp_path)
    calls(shop)
    changed = written(tmp_path / "recipes", RECIPE.replace("mecam train", "mecam train --seeds 3"))
    assert old_ones({"ab": changed}, read_outcomes(tmp_path)) == {"ab"}
    assert state(changed, shop, read_outcomes(tmp_path)) == "1 of 3 steps; the outcome is old"
    make([changed], shop, tmp_path)
    # The run of the old command cannot be continued: it is refused once, and made anew.
    assert calls(shop) == ["train", "train", "compare"]
    assert old_ones({"ab": changed}, read_outcomes(tmp_path)) == set()


def test_other_words_and_times_make_nothing_old(tmp_path: Path) -> None:
    recipe = written(tmp_path)
    assert written(tmp_path, RECIPE.replace("minutes: 3", "minutes: 4").replace("A or B", "B")).digest == recipe.digest
    assert written(tmp_path, RECIPE.replace("digits: 1", "digits: 2")).digest != recipe.digest


def test_changed_data_and_changed_code_run_again(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = written(tmp_path / "recipes")
    make([recipe], shop, tmp_path)
    (shop.data / "corpus" / "label.csv").write_text("id\n2\n")
    assert shop.finished(recipe) == []
    calls(shop)
    make([recipe], shop, tmp_path)
    assert calls(shop) == ["data", "train", "compare"]
    code = steps._code
    assert len({code("data"), code("train"), code("compare")}) == 3
    monkeypatch.setattr(steps, "_code", lambda command: "changed" if command == "train" else code(command))
    assert [step.makes for step in shop.finished(recipe)] == ["stores/s"]


def test_what_fails_is_continued_and_stops_no_other(
    shop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = written(tmp_path / "recipes")
    text = RECIPE.replace("mecam train", "mecam evaluate").replace("runs/r", "o")
    other = written(tmp_path / "recipes", text.replace("--out c\n    makes: c", "--out d").replace(" c/", " d/"), "o")
    shop.work.mkdir()
    (shop.work / "broken").touch()
    assert make([failing, other], shop, tmp_path) == ["ab"]
    assert set(read_outcomes(tmp_path)) == {"o"}
    assert "out of luck" in capsys.readouterr().out
    assert calls(shop) == ["data", "train", "evaluate", "compare"]  # the store is shared
    assert state(failing, shop, {}) == "1 of 3 steps; no outcome"
    (shop.work / "broken").unlink()
    assert make([failing], shop, tmp_path) == []
    assert calls(shop) == ["train", "compare"]


def test_several_runs_of_which_one_failed_are_not_finished(shop: Workshop, tmp_path: Path) -> None:
    recipe = written(tmp_path / "recipes")
    shop.work.mkdir()
    (shop.work / "partly").touch()
    assert make([recipe], shop, tmp_path) == ["ab"]
    (shop.work / "partly").unlink()
    assert calls(shop) == ["data", "train"]
    assert make([recipe], shop, tmp_path) == []
    assert calls(shop) == ["train", "compare"]


def test_the_time_of_all_attempts_counts(shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = written(tmp_path / "recipes")

    def started(shop: Workshop, step: Step, log: Path) -> tuple[bool, float, float]:
        log.write_text("ran")
        (shop.work / step.makes).mkdir(parents=True, exist_ok=True)
        return False, 60.0, 30.0

    monkeypatch.setattr(Workshop, "_started", started)
    for _ in range(2):
        with pytest.raises(StepError, match="ran"):
            shop.run(recipe)
    record = shop.record(recipe.parsed[0])
    assert (record["seconds"], record["core_seconds"], record["done"]) == (120.0, 60.0, False)


def test_a_recipe_without_its_data_is_left_out(
    shop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = written(tmp_path / "recipes", RECIPE.replace("data: [corpus]", "data: [corpus, elsewhere]"))
    assert make([recipe], shop, tmp_path) == []
    assert calls(shop) == []
    assert "elsewhere" in capsys.readouterr().out
    assert state(recipe, shop, {}) == "no data: elsewhere; no outcome"


def test_the_expected_time_is_told_before_the_first_step(
    shop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def run(*_: object) -> None:
        seen.append(capsys.readouterr().out)
        raise StepError("enough")

    monkeypatch.setattr(Workshop, "run", run)
    make([written(tmp_path / "recipes")], shop, tmp_path)
    assert "3 minutes of one core (estimated; a quiet one)" in seen[0]


def test_a_figure_that_is_not_there_is_named(shop: Workshop, tmp_path: Path) -> None:
    recipe = written(tmp_path / "recipes", RECIPE.replace("without: [b]", "without: [a]").replace("/mae/mean", "/f1"))
    assert make([recipe], shop, tmp_path) == ["ab"]
    assert read_outcomes(tmp_path) == {}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("minutes: 3", "minutes: 3\nhours: 1", "hours"),
        ("mecam train", "rm -r", "runs mecam"),
        ("--out runs/r", "", "what this makes"),
        ("--out runs/r", "--out ../r", "what this makes"),
        ("makes: c", "make: c", "run and makes"),
    ],
)
def test_a_wrong_recipe_is_refused(before: str, after: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        written(tmp_path, RECIPE.replace(before, after))


def test_two_commands_for_one_folder_are_refused(tmp_path: Path) -> None:
    written(tmp_path)
    written(tmp_path, RECIPE, "same")
    assert list(read_recipes(tmp_path)) == ["ab", "same"]
    written(tmp_path, RECIPE.replace("mecam train", "mecam train --seeds 3"), "other")
    with pytest.raises(ConfigError, match="two commands"):
        read_recipes(tmp_path)
    with pytest.raises(ConfigError, match="no recipe 'x'"):
        chosen({}, "x")


def site(shop: Workshop, tmp_path: Path, template: str) -> tuple[Path, dict[str, Recipe]]:
    """A small documentation with one block, and the recipes that fill it."""
    (tmp_path / "docs" / "results").mkdir(parents=True)
    for page in ("README.md", "docs/results.md"):
        (tmp_path / page).write_text("before\n<!-- results ab -->\nold\n<!-- /results -->\nafter\n")
    (tmp_path / "docs" / "results" / "ab.md.j2").write_text(template)
    recipe = written(tmp_path / "recipes")
    make([recipe], shop, tmp_path / "docs" / "results")
    return tmp_path / "docs" / "results", {"ab": recipe}


def test_pages_quote_outcomes(shop: Workshop, tmp_path: Path) -> None:
    template = "{{ ab.title }}: {{ ab.test.b.mae.spread }}, {{ ab.test.b.mae.p }}\n\n{{ ab.test }}\n\n{{ ab.curve }}\n"
    folder, recipes = site(shop, tmp_path, template)
    write_docs(recipes, tmp_path, folder)
    text = (tmp_path / "docs" / "results.md").read_text()
    assert text == (
        "before\n<!-- results ab -->\nA or B: 0.612 ± 0.010, p < .001\n\n"
        "| model | MAE ↓ | rank |\n| --- | ---: | ---: |\n"
        "| Model A | **0.500 ± 0.010**<br>0.400 to 0.600 (p < .001) | 0.5 |\n"
        "| Model B | 0.612 ± 0.010<br>0.512 to 0.712 (p < .001) | — |\n\n"
        "![A curve](results/ab-curve.svg)\n<!-- /results -->\nafter\n"
    )
    assert (tmp_path / "README.md").read_text() == text.replace("(results/ab", "(docs/results/ab")
    assert (folder / "ab-curve.svg").stat().st_size < 60_000
    assert write_docs(recipes, tmp_path, folder) == []


def test_what_belongs_to_an_older_recipe_says_so(shop: Workshop, tmp_path: Path) -> None:
    folder, _ = site(shop, tmp_path, "{{ ab.made }}")
    page = tmp_path / "README.md"
    assert "Older" not in rendered("ab", page, read_outcomes(folder), set(), folder)
    assert "Older" in rendered("ab", page, read_outcomes(folder), {"ab"}, folder)


def test_what_was_not_measured_yet_says_so_and_a_slip_is_an_error(shop: Workshop, tmp_path: Path) -> None:
    folder, _ = site(shop, tmp_path, "{{ ab.test.a.f1 }}")
    page, outcomes = tmp_path / "README.md", read_outcomes(folder)
    assert rendered("ab", page, {}, set(), folder) == "*Not measured yet: `make results ONLY=ab`.*"
    with pytest.raises(ConfigError, match="f1"):
        rendered("ab", page, outcomes, set(), folder)
    assert "Not measured yet" in rendered("ab", page, outcomes, {"ab"}, folder)
    (folder / "ab.md.j2").write_text("{% if ab is defined %}{{ ab.title }}{% else %}nothing{% endif %}")
    assert rendered("ab", page, {}, set(), folder) == "nothing"
    assert rendered("ab", page, outcomes, set(), folder) == "A or B"


def test_the_documentation_says_what_the_outcomes_say() -> None:
    outcomes = read_outcomes()
    differ = [
        str(page)
        for page, text in pages(outcomes, old_ones(read_recipes(), outcomes))
        if page.read_text(encoding="utf-8") != text
    ]
    assert differ == [], "make results-docs"


def test_the_charts_of_the_documentation_belong_to_the_outcomes() -> None:
    wanted = dict(charts(read_outcomes()))
    assert {path.name for path in OUTCOMES.glob("*.svg")} == set(wanted), "make results-docs"
    for name, table in wanted.items():
        assert (OUTCOMES / name).read_text(encoding="utf-8").rstrip().endswith(mark_of(table)), "make results-docs"


def test_every_template_is_on_a_page_and_every_block_has_one() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))]
    named = [name for text in texts for name in BLOCK.findall(text)]
    assert sorted(named) == sorted(path.name.removesuffix(".md.j2") for path in OUTCOMES.glob("*.md.j2"))
    assert sum(text.count("<!-- results") for text in texts) == len(named)


def test_every_outcome_has_a_recipe_that_is_quoted() -> None:
    recipes = read_recipes()
    assert set(read_outcomes()) <= set(recipes)
    templates = "\n".join(path.read_text(encoding="utf-8") for path in OUTCOMES.glob("*.md.j2"))
    assert [name for name in recipes if f"{{{{ {name}." not in templates] == []


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_a_recipe_makes_what_it_reads(name: str) -> None:
    recipe = read_recipe(RECIPES / f"{name}.yaml")
    made: list[str] = []
    for step in recipe.parsed:
        for word in step.words:
            for part in word.replace("[", "=").replace("]", "").replace(",", "=").split("="):
                if part.startswith(("stores/", "runs/")) and part != step.makes:
                    assert any(part == place or part.startswith(place + "/") for place in made), part
                if part.startswith("CONFIGS/"):
                    assert (CONFIGS / part.removeprefix("CONFIGS/")).exists()
                if part.startswith("DATA/"):
                    assert part.split("/")[1] in recipe.data
        made.append(step.makes)
    for table in recipe.tables.values():
        assert all((column.file or table.file) and (column.at or table.at) for column in table.shown.values())
