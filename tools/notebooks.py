"""Runs the notebooks of docs/notebooks/ and saves what they show.

python -m tools.notebooks                  # every notebook, in an empty folder; saved with its outputs
python -m tools.notebooks predict_a_video  # this one
python -m tools.notebooks --check          # saves nothing; fails where a cell gives another kind of output than saved

A notebook is edited in Jupyter or any editor, and is the only source. What is saved does not depend on the machine or
the day: no times, no ids of Jupyter, no paths. Numbers may differ in their last digits between machines; `--check`
compares the kinds of outputs, and of tables the columns and the number of rows.
"""

import argparse
import copy
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from mecam.files import write_whole

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "notebooks"
LIMIT_S = 600
"""For one cell."""
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
MACHINE = re.compile(r"/(?:home|root|tmp|Users|usr|opt|private)/|[A-Z]:\\|site-packages|\b0x[0-9a-f]{8,}")
"""What belongs to the machine: paths, and addresses in memory."""


def notebooks(names: Sequence[str] = ()) -> list[Path]:
    """The notebooks of the documentation; those of these names, if there are any."""
    found = sorted(FOLDER.glob("*.ipynb"))
    return [path for path in found if not names or path.stem in names]


def read(path: Path) -> NotebookNode:
    """A notebook as it is saved."""
    return nbformat.read(path, as_version=4)


def executed(notebook: NotebookNode) -> NotebookNode:
    """A copy with the outputs of a run in an empty folder, on one core and without a network.

    Raises: nbclient.exceptions.CellExecutionError if a cell fails.
    """
    from nbclient import NotebookClient

    run = cleared(notebook)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch) / "work"
        work.mkdir()
        # The notebook takes this tree, not an installed one, and writes no history into the home folder.
        environment = {
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "IPYTHONDIR": str(Path(scratch) / "ipython"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONWARNINGS": "ignore:IProgress not found",  # of tqdm, without the widgets of Jupyter
        }
        client = NotebookClient(
            run,
            coalesce_streams=True,
            extra_arguments=["--log-level=ERROR"],
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": str(work)}},
            timeout=LIMIT_S,
        )
        client.execute(env=environment)
    run.metadata = nbformat.from_dict(METADATA)  # the kernel has added its version
    return run


def cleared(notebook: NotebookNode) -> NotebookNode:
    """A copy without outputs, and without what editors add."""
    clean = copy.deepcopy(notebook)
    clean.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(clean.cells):
        cell.id, cell.metadata = f"cell-{number}", NotebookNode()
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return clean


def kinds(cell: NotebookNode) -> list[str]:
    """What kinds of outputs a cell has; of a table, its columns and its number of rows too."""
    return [kind for output in cell.get("outputs", []) for kind in _kinds(output)]


def _kinds(output: NotebookNode) -> Iterator[str]:
    if output.output_type == "stream":
        yield output.name
    elif output.output_type == "error":
        yield f"error {output.ename}"
    else:
        yield from sorted(output.data)
        page: Any = output.data.get("text/html", "")
        for table in re.findall(r"<table.*?</table>", page, re.DOTALL):
            head, _, body = table.partition("</thead>")
            yield f"{body.count('<tr')} rows of {re.findall(r'<th(?: [^>]*)?>(.*?)</th>', head)}"


def differences(saved: NotebookNode, now: NotebookNode) -> list[str]:
    """Which cells give other kinds of outputs than are saved, in words."""
    found = []
    for number, (before, after) in enumerate(zip(saved.cells, now.cells, strict=True)):
        pairs = zip_longest(kinds(before), kinds(after), fillvalue="nothing")
        found += [f"cell {number}: {new} instead of {old}" for old, new in pairs if new != old]
    return found


def of_the_machine(notebook: NotebookNode) -> list[str]:
    """What outputs tell of the machine that they were made on."""
    found = []
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            texts = [output.get("text", ""), *(v for k, v in output.get("data", {}).items() if k.startswith("text/"))]
            found += [f"cell {number}: {match.group()}" for text in texts for match in MACHINE.finditer(text)]
    return found


def main() -> int:
    """Do what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.notebooks", description="The notebooks of the docs.")
    parser.add_argument("names", nargs="*", help="of notebooks, without .ipynb; all by default")
    parser.add_argument("--check", action="store_true", help="save nothing, and compare the kinds of outputs")
    given = parser.parse_args()
    if unknown := set(given.names) - {path.stem for path in notebooks()}:
        parser.error(f"there is no notebook {', '.join(sorted(unknown))}")
    problems = 0
    for path in notebooks(given.names):
        saved = read(path)
        now = executed(saved)
        found = of_the_machine(now) + (differences(saved, now) if given.check else [])
        if not found and not given.check:
            write_whole(path, nbformat.writes(now) + "\n")
        for problem in found:
            sys.stderr.write(f"{path.name}: {problem}\n")
        problems += len(found)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
