"""The recipes of the images: what they copy and name exists, and nothing runs as root."""

import fnmatch
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
FILES = ["Dockerfile", "docker/train.Dockerfile"]


def stages(name: str) -> list[list[tuple[str, str]]]:
    """Instructions and what follows them, by stage; what stands before the first one is dropped."""
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ").splitlines()
    found: list[list[tuple[str, str]]] = []
    for instruction, _, rest in (line.strip().partition(" ") for line in lines if line.strip()):
        if instruction == "FROM":
            found.append([])
        if found:
            found[-1].append((instruction, rest.strip()))
    return found


def of(stage: list[tuple[str, str]], instruction: str) -> list[str]:
    return [rest for name, rest in stage if name == instruction]


def sent(path: str) -> bool:
    """Whether .dockerignore lets a file or folder through; it names them one by one, the last that fits decides."""
    through = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#") and fnmatch.fnmatch(path, line.removeprefix("!")):
            through = line.startswith("!")
    return through


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_exists_and_is_sent(name: str) -> None:
    copied = [shlex.split(rest)[:-1] for stage in stages(name) for rest in of(stage, "COPY") if "--from" not in rest]
    sources = {source for sources in copied for source in sources}
    assert {"src", "pyproject.toml"} <= {source.strip("./") for source in sources}
    assert [source for source in sources if not (ROOT / source).exists() or not sent(source)] == []


@pytest.mark.parametrize("name", FILES)
def test_the_image_runs_without_root_and_writes_in_its_volume(name: str) -> None:
    last = stages(name)[-1]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", of(last, "USER")[-1])
    after = [instruction for instruction, _ in last][[instruction for instruction, _ in last].index("USER") :]
    assert "RUN" not in after
    (volume,) = of(last, "VOLUME")
    assert of(last, "WORKDIR") == [volume]
    assert f"HOME={volume}" in of(last, "ENV")[0].split()
    assert any("install --directory --owner mecam --group mecam" in run and volume in run for run in of(last, "RUN"))
    assert of(last, "ENTRYPOINT")[0].startswith('["mecam"')


@pytest.mark.parametrize("name", FILES)
def test_extras_and_python_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    named = re.findall(r"\$\{wheel\}\[([a-z,]+)\]", text) + re.findall(r"^ARG EXTRAS=(\S+)", text, re.M)
    assert named
    extras = [extra for names in named for extra in names.split(",")]
    assert [extra for extra in extras if not re.search(rf"^{extra} = \[", PROJECT, re.M)] == []
    (python,) = re.findall(r"^ARG PYTHON=(\S+)", text, re.M)
    assert f'"Programming Language :: Python :: {python}"' in PROJECT
    assert all("python:${PYTHON}-slim" in of(stage, "FROM")[0] for stage in stages(name))


def test_the_image_to_train_takes_pytorch_for_cpus_unless_told_otherwise() -> None:
    build = stages("docker/train.Dockerfile")[0]
    assert any(rest.startswith("TORCH_INDEX=") and rest.endswith("/cpu") for rest in of(build, "ARG"))
    (torch, rest) = of(build, "RUN")
    assert '--index-url "${TORCH_INDEX}" --constraint constraints.txt torch' in torch
    assert "--constraint constraints.txt" in rest
    assert all("--mount=type=cache,target=/root/.cache/pip" in run for run in (torch, rest))


def test_the_page_about_installing_names_both_images() -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    for name in FILES:
        (ours,) = re.findall(
            r"^#   (docker build (?:-f \S+ )?-t \S+ \.)$", (ROOT / name).read_text(encoding="utf-8"), re.M
        )
        assert ours in page


def test_the_page_about_installing_names_every_extra() -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    section = PROJECT.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    extras = re.findall(r"^([a-z]+) = \[", section, re.M)
    assert len(extras) > 10
    assert [extra for extra in extras if f"| `{extra}` |" not in page] == []
