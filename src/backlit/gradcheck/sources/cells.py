"""A file or a notebook as pieces of plain Python."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path

from backlit.errors import SettingError

#: what `ast.parse` raises: the others for null bytes, and for text that is nested too deeply
UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


@dataclass(frozen=True)
class Cell:
    """A piece of source: the file's text, or one code cell of a notebook."""

    label: str
    text: str


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
        cells.append(Cell(f"{path.name}, code cell {number}", plain_python(joined)))
    return cells


def plain_python(text: str) -> str:
    """Blank out IPython's magics and shell commands, keeping every line's number."""
    lines = text.splitlines()
    if lines and lines[0].lstrip().startswith("%%"):
        magic = lines[0].strip().split()[0]
        if magic not in ("%%time", "%%timeit", "%%capture", "%%prun"):
            return ""
        lines[0] = ""
    kept = []
    continued = False
    for line in lines:
        stripped = line.lstrip()
        command = stripped.startswith(("%", "!", "?")) or stripped.rstrip().endswith("?")
        assigned = any(f"= {mark}" in stripped for mark in ("!", "%")) and not _parses(stripped)
        if continued or ((command or assigned) and not _parses(stripped)):
            indent = line[: len(line) - len(stripped)]
            kept.append("" if continued else indent + "pass")
            continued = stripped.rstrip().endswith("\\")
        else:
            kept.append(line)
    return "\n".join(kept) + "\n"


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except UNPARSABLE:
        return False
    return True
