"""The Python that IPython makes of a cell: magics, shell commands, help and prompts.

IPython rewrites a cell before Python reads it. The same rules are applied here to the whole cell,
by logical lines: what stands in a string, in a comment or behind an open bracket is no command.
What IPython turns into a call of its own is left out, and every line keeps its number.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

#: cell magics whose body runs as Python in the notebook's own namespace
_PYTHON_CELLS = ("time", "timeit", "capture", "prun", "debug", "memit", "mprun", "notify")

_BLANKS = re.compile(r"[ \t\f]*")
_CELL_MAGIC = re.compile(r"%%(\w[\w.]*)(?!\?)")
_CLASSIC = re.compile(r"^\s*>>>[ \t]?")
_CLASSIC_NEXT = re.compile(r"^\s*\.\.\.[ \t]?")
_PROMPT = re.compile(r"^(((\[(nav|ins)\])? )?In \[\d+\]: ?|\s*\.{3,}: ?)")
_HELP = re.compile(r"%{0,2}(?!\d)[\w*]+(\.(?!\d)[\w*]+|\[-?[0-9]+\])*\?\??$", re.MULTILINE)
_ASSIGNED = re.compile(r"=[ \t]*(%[ \t]*[^\W\d]|!(?!=))")
_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
    | (?P<string>(?P<three>\"{3}|'{3})(?:[^\\]|\\.)*?(?P=three)
        | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*')
    | (?P<open_string>\"{3}|'{3})
    | (?P<continued>\\\r?\n)
    | (?P<newline>\n)
    | (?P<opening>[(\[{]) | (?P<closing>[)\]}])
    | (?P<operator>[<>!=:]=|->|\*\*=|//=|<<=|>>=|[-+*/%&|^@]=)
    | (?P<assign>=)
    | (?P<blank>[ \t\f\r]+)
    | (?P<other>\w+|.)""",
    re.VERBOSE | re.DOTALL,
)


def plain_python(text: str) -> str:
    """Return a cell as the Python that IPython runs, without IPython's own commands.

    Parameters
    ----------
    text : str
        The cell as it was typed.

    Returns
    -------
    str
        Python with as many lines. A command becomes ``pass``, a command whose answer is assigned
        (``files = !ls``) the assignment of a call, ``get_ipython()``; a cell of a magic that does
        not run Python in the notebook (``%%bash``, ``%%writefile``) is empty.
    """
    text = _without_prompts(text if text.endswith("\n") else text + "\n")
    body = _CELL_MAGIC.match(text.lstrip())
    if body is not None:
        if body.group(1) not in _PYTHON_CELLS:
            return ""
        blank = text[: len(text) - len(text.lstrip())].count("\n") + 1
        return "\n" * blank + plain_python(text.lstrip().partition("\n")[2])
    made = []
    place = 0
    while place < len(text):
        end, python = _logical_line(text, place)
        made.append(python)
        place = end
    return "".join(made)


def cell_magic(text: str) -> str | None:
    """Return the magic of a cell whose body is not run as Python in the notebook; None elsewhere.

    Parameters
    ----------
    text : str
        The cell as it was typed.
    """
    found = _CELL_MAGIC.match(text.lstrip())
    return None if found is None or found.group(1) in _PYTHON_CELLS else f"%%{found.group(1)}"


def _without_prompts(text: str) -> str:
    """Take the prompts of Python and IPython off pasted lines, and indentation common to all."""
    lines = text.splitlines(keepends=True)
    filled = [line for line in lines if not line.isspace()][:2]
    if any(_PROMPT.match(line) for line in filled):
        lines = [_PROMPT.sub("", line, count=1) for line in lines]
    elif ">>>" in text and any(t.startswith(">>>") for t in _line_starts(text)):
        lines = [
            _CLASSIC.sub("", line) if _CLASSIC.match(line) else _CLASSIC_NEXT.sub("", line)
            for line in lines
        ]
    text = "".join(lines)
    first = next((line for line in lines if not line.isspace()), "")
    return textwrap.dedent(text) if first[:1] in (" ", "\t") else text


def _line_starts(text: str) -> list[str]:
    """Return what each logical line begins with."""
    found, place = [], 0
    while place < len(text):
        start = _start(text, place)
        found.append(text[start : start + 3])
        place = text.find("\n", place) + 1 if found[-1] == ">>>" else _scan(text, start).end
    return found


def _start(text: str, place: int) -> int:
    blanks = _BLANKS.match(text, place)
    return place if blanks is None else blanks.end()


def _logical_line(text: str, place: int) -> tuple[int, str]:
    """Return where the logical line that begins at `place` ends, and the Python that it is."""
    start = _start(text, place)
    indent = text[place:start]
    if text[start] in "!%?,;/":
        end = _end_of_command(text, start)
        command = text[start:end]
        return end, indent + _call(command) + "\n" * command.count("\n")
    line = _scan(text, start)
    if line.assigned is not None:
        end = _end_of_command(text, line.assigned)
        rest = text[line.assigned : end]
        return end, text[place : line.assigned] + " get_ipython()" + "\n" * rest.count("\n")
    if line.asks and _HELP.search(text[start : line.end].rstrip()):
        return line.end, indent + "pass" + "\n" * text[start : line.end].count("\n")
    return line.end, text[place : line.end]


def _end_of_command(text: str, place: int) -> int:
    """Return where a command ends: at the first line that no backslash continues."""
    while True:
        end = text.find("\n", place) + 1
        if end == 0:
            return len(text)
        if not text[:end].endswith("\\\n") or end == len(text):
            return end
        place = end


def _call(command: str) -> str:
    """Return the call that a command at the beginning of a line stands for."""
    line = " ".join(part.rstrip("\n") for part in command.split("\\\n")).strip()
    if line[0] in "!%?" or _HELP.search(line):
        return "pass"
    name, _, given = line[1:].partition(" ")
    if line[0] == ";":
        return f'{name}("{given}")'
    if line[0] == ",":
        return '{}("{}")'.format(name, '", "'.join(given.split()))
    return "{}({})".format(name, ", ".join(given.split()))


@dataclass
class _Scanned:
    end: int
    assigned: int | None  # where the command behind a "=" begins
    asks: bool  # its last token is a question mark


def _scan(text: str, place: int) -> _Scanned:
    """Read one logical line."""
    depth, last, first_assignment = 0, "", True
    here = place
    while here < len(text):
        token = _TOKEN.match(text, here)
        if token is None or token.lastgroup == "open_string":
            return _Scanned(len(text), None, asks=False)
        kind = token.lastgroup
        if kind == "assign" and depth == 0 and first_assignment:
            first_assignment = False
            begins_line = not text[text.rfind("\n", 0, here) + 1 : here].strip()
            if _ASSIGNED.match(text, here) and not begins_line:
                return _Scanned(len(text), token.end(), asks=False)
        depth += kind == "opening"
        depth = max(0, depth - (kind == "closing"))
        here = token.end()
        if kind == "newline" and depth == 0:
            return _Scanned(here, None, asks=last == "?")
        if kind not in ("blank", "newline", "continued"):
            last = token.group()
    return _Scanned(here, None, asks=last == "?")
