"""The workflows, CITATION.cff and compose.yaml are valid, and name what there is."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import mecam

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PYTHONS = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PROJECT)

PUBLISHING = {("docs", "publish"): {"pages", "id-token"}, ("release", "publish"): {"id-token"}}
"""What jobs may write beyond reading the repository; `id-token` proves to the index or to the pages who asks."""


def read(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def jobs() -> list[tuple[str, str, dict[str, Any]]]:
    return [(path.stem, name, job) for path in WORKFLOWS for name, job in read(path)["jobs"].items()]


def steps() -> list[dict[str, Any]]:
    return [step for _, _, job in jobs() for step in job["steps"]]


def test_there_are_workflows_for_tests_docs_and_releases() -> None:
    assert [path.stem for path in WORKFLOWS] == ["docs", "release", "tests"]


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", [".github/workflows/docs.yml", ".github/workflows/release.yml"]),
        ("vendor.github-workflows", [".github/workflows/tests.yml"]),
        ("vendor.citation-file-format", ["CITATION.cff"]),
        ("vendor.compose-spec", ["compose.yaml"]),
    ],
)
def test_files_of_other_programs_are_as_their_schemas_say(schema: str, files: list[str]) -> None:
    """The schemas come with check-jsonschema; nothing is fetched."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_citation_is_of_this_version() -> None:
    citation = read(ROOT / "CITATION.cff")
    assert (citation["version"], citation["license"]) == (mecam.__version__, "Apache-2.0")


def test_jobs_may_do_no_more_than_they_must() -> None:
    for path in WORKFLOWS:
        assert read(path)["permissions"] == {"contents": "read"}, path
    for workflow, name, job in jobs():
        allowed = job.get("permissions", {})
        assert set(allowed) == PUBLISHING.get((workflow, name), set())
        assert "secrets." not in str(job)
        assert job["timeout-minutes"] <= 120


def test_actions_have_a_version() -> None:
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used
    assert [use for use in used if not re.search(r"@(v\d+(\.\d+)*|release/v\d+|[0-9a-f]{40})$", use)] == []


@pytest.mark.posix  # Windows knows no files that may be executed
def test_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    lines = [line.strip() for step in steps() for line in str(step.get("run", "")).splitlines()]
    called = [word for line in lines if line.startswith("make ") for word in line.split()[1:] if "=" not in word]
    assert {"test", "platforms", "packages", "docs"} == set(called)
    assert set(called) <= targets
    assert ".ci/run" in lines
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100
    extras = {extra for line in lines for found in re.findall(r"\.\[([a-z,]+)\]", line) for extra in found.split(",")}
    assert extras
    assert [extra for extra in extras if not re.search(rf"^{extra} = \[", PROJECT, re.M)] == []
    folders = [word for line in lines for word in line.split() if word.startswith("tests/")]
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []


def test_the_tests_run_on_every_python_that_is_promised() -> None:
    matrices = {name: job["strategy"]["matrix"] for workflow, name, job in jobs() if "strategy" in job}
    assert matrices["tests"]["python"] == PYTHONS == [f"3.{minor}" for minor in range(10, 15)]
    assert set(matrices["others"]["python"]) <= set(PYTHONS)
    assert {system.partition("-")[0] for system in matrices["others"]["system"]} == {"macos", "windows"}
    assert f'requires-python = ">={PYTHONS[0]}"' in PROJECT
