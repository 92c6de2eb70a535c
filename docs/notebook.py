"""Run ``docs/backward_pass.md`` and write ``notebooks/backward_pass.ipynb``, outputs included.

    python docs/notebook.py        # needs the extra [notebook]

The tests compare the cells of the two files.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE / "backward_pass.md"
NOTEBOOK = HERE.parent / "notebooks" / "backward_pass.ipynb"


def main() -> int:
    """Execute the notebook in a kernel of its own, and write it."""
    import jupytext
    import nbformat
    from nbclient import NotebookClient

    notebook = jupytext.read(SOURCE)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"  # drawn at random otherwise: each run would change the file
    NotebookClient(notebook, timeout=180, record_timing=False).execute()
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"]}
    NOTEBOOK.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, NOTEBOOK)
    print(f"{NOTEBOOK}: {NOTEBOOK.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
