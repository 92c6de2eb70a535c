"""The notebook runs from top to bottom and says what its text says."""

import re
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

SOURCE = Path(__file__).parents[1] / "docs" / "backward_pass.md"


@pytest.fixture(scope="module")
def executed():
    """Run the notebook once, in a process of its own as a reader's Jupyter does."""
    notebook = jupytext.read(SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        # the kernel is this interpreter, wherever the notebook's kernelspec leads
        patch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
        NotebookClient(
            notebook, timeout=120, resources={"metadata": {"path": SOURCE.parent}}
        ).execute()
    return notebook


def printed(notebook):
    return "\n".join(
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output["output_type"] == "stream"
    )


def test_every_cell_ran_and_none_complained(executed):
    code = [cell for cell in executed.cells if cell["cell_type"] == "code"]
    assert len(code) > 12
    assert all(cell["execution_count"] for cell in code)
    for cell in code:
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr", output["text"]


@pytest.mark.parametrize(
    "said",
    [
        "the same numbers as backlit.linear_backward",
        "A (1 - A)        = 0.0",
        "relu ['dA_prev correct', 'dW correct', 'db correct']",
        "sigmoid ['dA_prev correct', 'dW correct', 'db correct']",
        "✓ 5 functions: every gradient is right.",
        "The first wrong place going backward: linear_backward, dA_prev.",
        "dA_prev is exactly 1/m of the right value",
        "✓ 5 functions: every gradient is right (1 remark).",
        "dZ = AL - Y at the output is not.",
    ],
)
def test_it_says_what_its_text_says(executed, said):
    assert said in printed(executed)


def test_it_shows_figures_and_the_checkers_table(executed):
    kinds = [
        kind
        for cell in executed.cells
        for output in cell.get("outputs", [])
        for kind in output.get("data", {})
    ]
    assert kinds.count("image/png") >= 5
    assert "text/html" in kinds


def test_it_learns_day_from_night(executed):
    right, of = re.search(r"right on (\d+) of (\d+) unseen scenes", printed(executed)).groups()
    assert int(right) >= 0.8 * int(of)


def test_every_step_is_checked_and_every_check_asserted():
    checks = asserts = 0
    for cell in jupytext.read(SOURCE).cells:
        if cell["cell_type"] == "code" and re.search(r"check_(backward|model)\(", cell["source"]):
            checks += 1
            asserts += "assert report.ok" in cell["source"] or "assert not report" in cell["source"]
    assert checks == asserts >= 5


def test_a_cell_that_fails_would_be_noticed():
    notebook = jupytext.reads("```{code-cell} ipython3\nassert 1 == 2\n```\n", fmt="md:myst")
    assert [cell["cell_type"] for cell in notebook.cells] == ["code"]
    with pytest.raises(CellExecutionError):
        NotebookClient(notebook, timeout=60, kernel_name="python3").execute()


def test_the_notebook_that_is_shipped_has_these_cells_and_ran():
    """``python docs/notebook.py`` writes it anew."""
    shipped = nbformat.read(SOURCE.parents[1] / "notebooks" / "backward_pass.ipynb", as_version=4)
    nbformat.validate(shipped)
    cells = [(cell["cell_type"], cell["source"]) for cell in shipped.cells]
    assert cells == [(cell["cell_type"], cell["source"]) for cell in jupytext.read(SOURCE).cells]
    for cell in shipped.cells:
        if cell["cell_type"] == "code":
            assert cell["execution_count"]
            assert all(output["output_type"] != "error" for output in cell["outputs"])
