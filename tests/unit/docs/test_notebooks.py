"""The notebooks are saved whole: run in order, without errors and nothing of the machine; and they still run."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools.docs.markdown_pages import links
from tools.docs.notebook_pages import notebook_page, with_download
from tools.notebooks import cleared, differences, executed, notebooks, of_the_machine, read

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
each = pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)


def test_there_are_three() -> None:
    assert {path.stem for path in notebooks()} == {
        "predict_a_video",
        "train_and_read_the_report",
        "a_model_of_your_own",
    }


@each
def test_a_notebook_is_saved_whole(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(cell.outputs for cell in code)
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert of_the_machine(notebook) == []


@each
def test_nothing_that_an_editor_adds_is_saved(path: Path) -> None:
    saved, clean = read(path), cleared(read(path))
    assert saved.metadata == clean.metadata
    assert [(cell.id, cell.metadata) for cell in saved.cells] == [(cell.id, cell.metadata) for cell in clean.cells]


@each
def test_a_notebook_says_that_its_data_is_synthetic(path: Path) -> None:
    assert "synthetic.**" in read(path).cells[0].source or "is synthetic**" in read(path).cells[0].source


@pytest.mark.slow
@each
def test_a_notebook_runs(path: Path) -> None:
    saved = read(path)
    now = executed(saved)
    assert differences(saved, now) == []
    assert of_the_machine(now) == []


def shown(html: str = "", **data: str) -> nbformat.NotebookNode:
    output = new_output("execute_result", {"text/plain": "x", **({"text/html": html} if html else {}), **data})
    return new_notebook(cells=[new_markdown_cell("# A\n\nText."), new_code_cell("x", outputs=[output])])


def test_another_kind_of_output_is_found() -> None:
    table = "<table><thead><tr><th>mae</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>"
    assert differences(shown(table), shown(table.replace("<td>1", "<td>2"))) == []
    assert differences(shown(table), shown(table.replace("mae", "corr"))) == [
        "cell 1: 1 rows of ['corr'] instead of 1 rows of ['mae']"
    ]
    assert differences(shown(), shown(table))[0] == "cell 1: text/html instead of text/plain"
    assert differences(shown(table), cleared(shown(table)))[0] == "cell 1: nothing instead of text/html"


@pytest.mark.parametrize("text", ["/home/me/run", "<x at 0x7f3a5c0d1e80>", r"C:\Users\me", "lib/site-packages/x.py"])
def test_what_belongs_to_the_machine_is_found(text: str) -> None:
    assert of_the_machine(shown(f"<b>{text}</b>"))
    assert not of_the_machine(shown("<b>runs/mecam/report.html</b>"))


def test_a_notebook_is_a_page_of_the_site(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    notebook = shown('<div class="m"><style>b{}</style><script>x()</script><b onclick="y()">1</b>\n\n<i>2</i></div>')
    notebook.cells[1].outputs += [
        new_output("display_data", {"image/png": PNG}),
        new_output("stream", name="stdout", text="said\n"),
    ]
    nbformat.write(notebook, path)
    text, pictures = notebook_page(path)
    assert '<div class="output"><div class="m"><b>1</b>2</div></div>' in text
    assert list(pictures) == ["n_1.png"]
    assert pictures["n_1.png"].startswith(b"\x89PNG")
    assert "```python\nx\n```" in text
    assert "```text\nsaid\n```" in text
    assert links(with_download(text, "n.ipynb")) == ["n.ipynb", "n_1.png"]
