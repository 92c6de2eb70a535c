"""A file or a notebook as pieces of plain Python 3.

IPython's own commands are taken out by its rules. Python 2 is translated: the statements that
Python 3 cannot read, and the names that it lacks. Every line stays where it is, so that messages
and repairs name the lines of the file.
"""

from __future__ import annotations

import ast
import builtins
import functools
import io
import json
import re
import textwrap
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backlit.errors import SettingError

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


_STATEMENTS = (
    re.compile(r"^[ \t]*print[ \t]+[^(=\s.,]", re.M),
    re.compile(r"^[ \t]*print[ \t]*\([^\n]*\)[ \t]*%", re.M),
    re.compile(r"^[ \t]*except\b[^\n:]*\w\)?[ \t]*,[ \t]*\w+[ \t]*:", re.M),
    re.compile(r"^[ \t]*raise[ \t]+\w+[ \t]*,", re.M),
    re.compile(r"^[ \t]*exec[ \t]+[^(\s]", re.M),
    re.compile(r"\b\d+[lL]\b|<>|\blambda[ \t]*\([^)\n]*\)[ \t]*:|`\w+`"),
)
_METHODS = {
    "iteritems": "items",
    "itervalues": "values",
    "iterkeys": "keys",
    "has_key": "__contains__",
}
_COMPOUND = ("if", "elif", "else", "for", "while", "try", "except", "finally", "with")


def looks_like_python2(text: str) -> bool:
    """Say whether a text that is no Python 3 has a statement of Python 2."""
    return any(pattern.search(text) for pattern in _STATEMENTS)


def as_python3(cell: Cell, notes: list[str]) -> Cell:
    """Return a cell of Python 2 as Python 3, with a note; any other cell as it is."""
    if cell.magic is not None:
        return cell
    try:
        tree: ast.AST = ast.parse(cell.text)
    except UNPARSABLE as error:
        made = translated(cell.text)
        if made is None:
            return cell
        line = error.lineno if isinstance(error, SyntaxError) else None
        tree = ast.parse(made)
        where = f" (line {line})" if line else ""
        if not looks_like_python2(cell.text):
            notes.append(f"{cell.label} is indented by tabs and spaces{where}: spaces were taken.")
            return replace(cell, text=made)
        notes.append(
            f"{cell.label} is Python 2{where}: it is read as 2to3 would convert it; nothing is "
            f"written.{_of_divisions(tree)}"
        )
        return replace(cell, text=made, python2=True)
    used = sorted(_lacking(tree))
    if not used:
        return cell
    notes.append(
        f"{cell.label} uses {', '.join(used)} of Python 2, which Python 3 lacks: it was checked "
        f"with what replaces it.{_of_divisions(tree)}"
    )
    return replace(cell, python2=True)


def translated(text: str) -> str | None:
    """Return Python 2 source as Python 3 with the same lines; None where it is neither."""
    spaced = _with_spaces(text, 8)
    for source in (text, spaced, _with_numbers(spaced), _with_spaces(text, 4)):
        try:
            edits = list(_edits(source))
        except (tokenize.TokenError, SyntaxError):
            continue
        made = _edited(source, edits)
        try:
            ast.parse(made)
        except UNPARSABLE:
            continue
        return made
    return None


def builtins_of_python2() -> dict[str, Any]:
    """Return Python's own functions, with those of Python 2 beside or instead of them."""
    return {**vars(builtins), **_INSTEAD, **_LACKING}


def _list_of(function: Any, *given: Any) -> list[Any]:
    return list(function(*given))


_LACKING: dict[str, Any] = {
    "xrange": range,
    "raw_input": input,
    "unicode": str,
    "long": int,
    "basestring": str,
    "unichr": chr,
    "reduce": functools.reduce,
    "cmp": lambda a, b: (a > b) - (a < b),
}
_INSTEAD: dict[str, Any] = {
    name: functools.partial(_list_of, getattr(builtins, name))
    for name in ("zip", "map", "filter", "range")
}


def _lacking(tree: ast.AST) -> set[str]:
    """Return the names of Python 2 that a file reads and binds nowhere."""
    names = [n for n in ast.walk(tree) if isinstance(n, ast.Name)]
    read = {n.id for n in names if isinstance(n.ctx, ast.Load)} & set(_LACKING)
    bound = {n.id for n in names if not isinstance(n.ctx, ast.Load)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).partition(".")[0])
            if node.name == "*":
                return set()
    return read - bound


def _of_divisions(tree: ast.AST) -> str:
    """Say where Python 2 divides whole numbers and rounds down."""
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    future = [alias.name for n in imports if n.module == "__future__" for alias in n.names]
    if "division" in future:
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            left = node.left
            if isinstance(left, ast.Constant) and type(left.value) is int:
                return (
                    f" In Python 2 `{ast.unparse(node)}` (line {node.lineno}) rounds down where "
                    "both are whole numbers; here it does not."
                )
    return ""


def _with_spaces(text: str, width: int) -> str:
    """Return a text whose indentation has spaces for tabs: 8, as Python 2 counts them, or fewer."""
    lines = []
    for line in text.splitlines(keepends=True):
        rest = line.lstrip(" \t")
        lines.append(line[: len(line) - len(rest)].expandtabs(width) + rest)
    return "".join(lines)


def _with_numbers(text: str) -> str:
    """Return a text with 10L and 0777 as Python 3 writes them, in lines without strings."""
    lines = []
    for line in text.splitlines(keepends=True):
        if not re.search(r"['\"]", line):
            line = re.sub(r"\b(\d+)[lL]\b", r"\1", line)
            line = re.sub(r"(?<![\w.])0(?=[0-7]+\b)(?![0-7]*\.)", "0o", line)
        lines.append(line)
    return "".join(lines)


@dataclass(frozen=True)
class _Edit:
    """New text between two places (line, column)."""

    begin: tuple[int, int]
    end: tuple[int, int]
    text: str


def _edited(text: str, edits: Sequence[_Edit]) -> str:
    lines = text.splitlines(keepends=True)
    for edit in sorted(edits, key=lambda e: (e.begin, e.end), reverse=True):
        if edit.begin[0] != edit.end[0]:
            continue
        row = lines[edit.begin[0] - 1]
        lines[edit.begin[0] - 1] = row[: edit.begin[1]] + edit.text + row[edit.end[1] :]
    return "".join(lines)


def _edits(text: str) -> Iterator[_Edit]:
    """Yield the changes that make Python 3 of a text."""
    tokens = [
        t
        for t in tokenize.generate_tokens(io.StringIO(text).readline)
        if t.type not in (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT)
        and not (t.type == tokenize.ERRORTOKEN and not t.string.strip())
    ]
    for before, token, behind in zip(
        [None, *tokens[:-1]], tokens, [*tokens[1:], None], strict=True
    ):
        if behind is None:
            continue
        if token.string == "<>":  # one token from Python 3.12 on
            yield _Edit(token.start, token.end, "!=")
        elif token.string == "<" and token.end == behind.start and behind.string == ">":
            yield _Edit(token.start, behind.end, "!=")
        elif before is not None and before.string == "." and token.string in _METHODS:
            yield _Edit(token.start, token.end, _METHODS[token.string])
    for statement in _simple_statements(tokens):
        yield from _of_statement(statement)


def _simple_statements(
    tokens: Sequence[tokenize.TokenInfo],
) -> Iterator[list[tokenize.TokenInfo]]:
    """Yield the tokens of each statement, the heads of compound ones apart from what follows."""
    current: list[tokenize.TokenInfo] = []
    depth = lambdas = 0
    for token in tokens:
        if token.type in (tokenize.NEWLINE, tokenize.ENDMARKER):
            if current:
                yield current
            current, depth, lambdas = [], 0, 0
            continue
        depth += token.string in "([{" if token.type == tokenize.OP else 0
        depth -= token.string in ")]}" if token.type == tokenize.OP else 0
        lambdas += token.string == "lambda"
        if depth == 0 and token.string == ";":
            if current:
                yield current
            current = []
            continue
        current.append(token)
        if depth == 0 and token.string == ":":
            if lambdas:
                lambdas -= 1
            elif current[0].string in _COMPOUND:
                yield current
                current = []


def _of_statement(tokens: Sequence[tokenize.TokenInfo]) -> Iterator[_Edit]:
    """Yield the changes of one statement."""
    first, last = tokens[0], tokens[-1]
    word = first.string
    if word in ("print", "exec"):
        if len(tokens) == 1:
            yield _Edit(first.start, first.end, f"{word}()")
            return
        second = tokens[1]
        if second.string in ("=", ".", ",", ")", ":") or _is_call(tokens):
            return
        begin = tokens[2].start if second.string == ">>" and len(tokens) > 2 else second.start
        yield _Edit(first.end, begin, "(")
        yield _Edit(last.end, last.end, ")")
    elif word == "raise":
        comma = _commas(tokens)
        if comma:
            yield _Edit(comma[0].start, comma[0].end, "(")
            yield _Edit(last.end, last.end, ")")
    elif word == "except":
        comma = _commas(tokens)
        if len(comma) == 1:
            yield _Edit(comma[0].start, comma[0].end, " as")


def _is_call(tokens: Sequence[tokenize.TokenInfo]) -> bool:
    """Say whether a statement is a name and one pair of brackets round all that is behind it."""
    if tokens[1].string != "(":
        return False
    depth = 0
    for place, token in enumerate(tokens[1:], 1):
        if token.type == tokenize.OP:
            depth += token.string in "([{"
            depth -= token.string in ")]}"
        if depth == 0:
            return place == len(tokens) - 1
    return False


def _commas(tokens: Sequence[tokenize.TokenInfo]) -> list[tokenize.TokenInfo]:
    """List the commas of a statement that are in no brackets."""
    found, depth = [], 0
    for token in tokens:
        if token.type == tokenize.OP:
            depth += token.string in "([{"
            depth -= token.string in ")]}"
        if depth == 0 and token.string == ",":
            found.append(token)
    return found
