"""A file or a notebook as pieces of plain Python."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from backlit.errors import SettingError
from backlit.gradcheck.sources.magics import cell_magic, plain_python

#: what `ast.parse` raises: the others for null bytes, and for text that is nested too deeply
UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


@dataclass(frozen=True)
class Cell:
    """A piece of source: the file's text, or one code cell of a notebook."""

    label: str
    text: str
    magic: str | None = None  # IPython's cell magic, where the body is not run as Python
    python2: bool = False  # whether it was written for Python 2


def notebook_cells(text: str, path: Path) -> list[Cell]:
    """Return a notebook's code cells as Python, without IPython's own commands.

    Raises
    ------
    SettingError
        Where the file is no notebook.
    """
    try:
        notebook = json.loads(text)
        found = notebook.get("cells")
        if found is None:  # format 3
            found = [cell for sheet in notebook["worksheets"] for cell in sheet["cells"]]
        sources = [
            cell.get("source", cell.get("input", ""))
            for cell in found
            if cell.get("cell_type") == "code"
        ]
        texts = [source if isinstance(source, str) else "".join(source) for source in sources]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SettingError(f"{path} is no notebook: {error}") from error
    cells = []
    for number, joined in enumerate(texts, 1):
        label, magic = f"{path.name}, code cell {number}", cell_magic(joined)
        cells.append(Cell(label, joined if magic else plain_python(joined), magic))
    return cells
