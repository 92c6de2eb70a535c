"""`backlit check TARGET`: find the functions of a file, notebook or module, and check them.

From a .py or .ipynb file only what the checked functions need is run: their definitions, the
imports and the plain constants they refer to. Statements that train, plot, download or install are
never run. The functions themselves are the user's own code, and run.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import linecache
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from backlit import _terminal as terminal
from backlit._text import json_text, printable_lines
from backlit.errors import BacklitError, SettingError
from backlit.gradcheck.reporting.report import Finding, Report, Unchecked, from_data
from backlit.gradcheck.sources.candidates import Candidate, Defined, find_candidates
from backlit.gradcheck.sources.cells import Cell, as_python3, notebook_cells
from backlit.gradcheck.sources.course import ORDER
from backlit.gradcheck.sources.extraction import ANY_PAIR, extract, line_of_python
from backlit.gradcheck.sources.feeds import SECONDS
from backlit.gradcheck.sources.isolation import Child, Ended, Ending, Limits, kill_all
from backlit.gradcheck.sources.namespaces import serve_modules
from backlit.gradcheck.sources.survey import check_all

_MOST_ENDINGS = 6  # of one target, after which the rest of it is not checked


@dataclass(frozen=True)
class Apart:
    """What came of a target: a report, or why there is none; and what its code printed."""

    report: Report | None
    problem: str = ""
    printed: str = ""


def check_apart(target: str, limits: Limits, seconds: float = SECONDS) -> Apart:
    """Check a target in a child process.

    Parameters
    ----------
    target : str
        What `load_target` takes.
    limits : Limits
        What the child may take; a function that takes more, or ends the child, is a finding.
    seconds : float
        The budget of one function's check: what was not searched in it is said.

    Returns
    -------
    Apart
    """
    begun = time.perf_counter()
    found: list[Finding] = []
    left: list[Unchecked] = []
    without: list[str] = []
    printed = ""
    while True:
        with Child(limits) as child:
            answer, (name, python), ending = _one_run(child, target, without, seconds)
        printed += child.printed()
        if ending is None:
            break
        note_ending(ending, name, python, found, left)
        if name is None or name in without or len(without) >= _MOST_ENDINGS:
            break
        without.append(name)
    if "error" in answer and not found and not left:
        return Apart(None, str(answer["error"]), printed)
    report = answer.get("report", Report((), title=target))
    if ending is not None and name is not None:
        left.append(Unchecked("the rest of it", "too much of it ends the program", python))
    report = replace(
        report,
        findings=(*report.findings, *found),
        unchecked=(*report.unchecked, *left),
        seconds=time.perf_counter() - begun,
    )
    return Apart(report, "", printed)


def _one_run(
    child: Child, target: str, without: Sequence[str], seconds: float
) -> tuple[dict[str, Any], tuple[str | None, str], Ending | None]:
    """Return the answer, which function was being checked, and how the child ended if it did."""
    name: str | None = None
    python = ANY_PAIR
    answer: dict[str, Any] = {}
    child.ask(
        {
            "target": target,
            "without": list(without),
            "seconds": child.limits.seconds,
            "budget": seconds,
        }
    )
    try:
        for one in child.answers():
            if "begin" in one:
                name, python = str(one["begin"]), str(one["python"])
            else:
                answer = one
        if "report" in answer:
            answer = {"report": from_data(answer["report"])}
            if not isinstance(answer["report"], Report):
                raise ValueError("no report")
        elif "error" not in answer:
            raise ValueError("no answer")
    except ValueError:
        return {}, (name, python), Ending("answers with what is no complete answer")
    except Ended as error:
        return {}, (name, python), error.ending
    return answer, (name, python), None


def note_ending(
    ending: Ending, name: str | None, python: str, found: list[Finding], left: list[Unchecked]
) -> None:
    """Add a finding where the user's code ended the child; what was not checked elsewhere."""
    if ending.line is None and "still running" in ending.what:
        reason = "the check itself took longer than it may"
        left.append(Unchecked(name or "the file", reason, python))
        return
    function = name
    if ending.line is None or ending.file is None:
        message = f"{name or 'the file, while it was read,'} {ending.what}."
        found.append(Finding(None, "raises", message, function=function))
        return
    source = linecache.getline(ending.file, ending.line).strip() or None
    message = f"{name or 'the file'}: line {ending.line} {ending.what}."
    found.append(
        Finding(
            None,
            "raises",
            message,
            function=function,
            line=ending.line,
            source=source,
            file=ending.file,
        )
    )


USAGE = 2


def check_targets(
    targets: Sequence[str],
    *,
    format: str = "table",
    strict: bool = False,
    seconds: float = SECONDS,
    limits: Limits | None = None,
    stdout: TextIO,
    stderr: TextIO,
) -> int:
    """Check one or several targets and print the reports.

    Parameters
    ----------
    targets : sequence of str
        .py files, .ipynb notebooks, folders of them, "package.module"; a file or a module with
        ":function", ":Class" or ":Class.method" behind it.
    format : {"table", "json"}
        What is printed on `stdout`.
    strict : bool
        Whether what is fragile or a matter of style counts as wrong.
    seconds : float
        The budget of one function's check. What was not searched in it is said.
    limits : Limits, optional
        Run each target in a child process, which may take so much; by default here.
    stdout, stderr : text files
        The report; what went wrong, and what the user's functions print.

    Returns
    -------
    int
        0: everything that was found is right. 1: something is wrong. 2: nothing was checked.
        3: what was checked is right, and some could not be checked.
    """
    if format not in ("table", "json"):
        stderr.write(f"error: --format is {format!r}, expected table or json.\n")
        return USAGE
    codes: list[int] = []
    checked: list[dict[str, Any]] = []
    every = [one for target in targets for one in expanded(target)]
    for target, (report, problem) in zip(
        every, _reports(every, seconds, limits, stderr), strict=True
    ):
        if report is None:
            stderr.write(f"error: {printable_lines(problem)}\n")
            codes.append(USAGE)
            continue
        if len(every) > 1 and not report.findings and not report.unchecked:
            continue  # a file of a folder with nothing like a backward pass in it
        codes.append(report.exit_code_for(strict=strict))
        if format == "json":
            checked.append({"target": target, **report.as_dict()})
            continue
        console = terminal.console(file=stdout, emoji=False, markup=False)
        if len(every) > 1:
            console.print(printable_lines(target), style="bold")
        console.print(report)
    if not codes:
        said = printable_lines(", ".join(targets))
        stderr.write(f"error: nothing in {said} looks like a backward pass.\n")
    code = together(codes)
    if format == "json" and (checked or not codes):
        data: Any = (
            checked[0] if len(every) == 1 and checked else {"exit_code": code, "targets": checked}
        )
        encoding = getattr(stdout, "encoding", None) or "utf-8"
        stdout.write(json_text(data, indent=2, encoding=encoding) + "\n")
    return code


def _reports(
    targets: Sequence[str], seconds: float, limits: Limits | None, stderr: TextIO
) -> Iterator[tuple[Report | None, str]]:
    """Yield the report of each target, or None and the reason."""
    if limits is None:
        for target in targets:
            try:
                with redirect_stdout(stderr):
                    yield check_loaded(load_target(target), seconds=seconds), ""
            except BacklitError as error:
                yield None, str(error)
        return
    workers = min(len(targets), os.cpu_count() or 1, 4)
    pool = ThreadPoolExecutor(max(1, workers))
    answers = [pool.submit(check_apart, target, limits, seconds) for target in targets]
    try:
        for answer in answers:
            found = answer.result()
            if found.printed:
                stderr.write(printable_lines(found.printed))
            yield found.report, found.problem
    finally:  # Ctrl-C does not wait for code that does not end
        pool.shutdown(wait=False, cancel_futures=True)
        kill_all()


def check_target(target: str, *, format: str = "table", stdout: TextIO, stderr: TextIO) -> int:
    """Check one target, as `check_targets` does."""
    return check_targets([target], format=format, stdout=stdout, stderr=stderr)


def together(codes: Sequence[int]) -> int:
    """Return the exit code of several: wrong wins, then what could not be checked."""
    if 1 in codes:
        return 1
    if not codes or set(codes) == {USAGE}:
        return USAGE
    return 3 if set(codes) & {USAGE, 3} else 0


def expanded(target: str) -> list[str]:
    """Return the files of a folder; a target that is none as it is."""
    folder = Path(target)
    if not folder.is_dir():
        return [target]
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".py", ".ipynb")
        and not any(part.startswith(".") or part in _LEFT_OUT for part in path.parts)
    ]
    return [str(path) for path in found]


_MOST_SEEN = 12  # names that are listed where none of them is a backward pass
_LEFT_OUT = {"site-packages", "node_modules", "__pycache__", "build", "dist", "venv"}


@dataclass
class Loaded:
    """The functions of a target, and which of them to check (all, if `only` is None)."""

    names: dict[str, Any]
    only: str | None = None
    notes: list[str] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    unread: list[Unchecked] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    path: str = ""


def check_loaded(
    loaded: Loaded,
    *,
    seconds: float = SECONDS,
    begin: Callable[[str, str], None] | None = None,
    without: Sequence[str] = (),
) -> Report:
    """Check what was loaded.

    Parameters
    ----------
    loaded : Loaded
        What `load_target` returned.
    seconds : float
        The budget of one function's check.
    begin : callable, optional
        Is called with each function's name, and the line of Python for it, before its check.
    without : sequence of str
        Names that are not checked.

    Raises
    ------
    SettingError
        Where there is no function of the name that was asked for.
    """
    if loaded.only is None:
        report = check_all(
            loaded.names,
            loaded.candidates,
            loaded.notes,
            loaded.unread,
            seconds=seconds,
            begin=begin,
            without=without,
        )
        if report.findings or report.unchecked or not loaded.seen:
            return report
        more = ", ..." if len(loaded.seen) > _MOST_SEEN else ""
        seen = f"Seen in it: {', '.join(loaded.seen[:_MOST_SEEN])}{more}."
        return replace(report, notes=(*report.notes, seen))
    wanted = loaded.only
    owner, _, method = wanted.partition(".")
    if owner not in loaded.names:
        raise SettingError(f"there is no function {wanted} in {loaded.path or 'it'}.")
    chosen = [
        c
        for c in loaded.candidates
        if wanted in (c.name, c.owner, c.backward, c.forward)
        and (not method or c.name == wanted or (c.owner == owner and c.forward == method))
    ]
    if method and not chosen and callable(getattr(loaded.names[owner], method, None)):
        found = [c for c in loaded.candidates if c.owner == owner]
        line = found[0].line if found else 0
        where = found[0].where if found else ""
        forward = found[0].forward if found else None
        python = f'backlit.check_layer({owner}(...), x, forward="{forward}", backward="{method}")'
        chosen = [Candidate(wanted, "class", method, forward, line, where, owner, python)]
    if not chosen:
        raise SettingError(
            f"{wanted} has no backward function beside it: {wanted}_backward is expected, or a "
            "class with forward and backward. From Python: backlit.check_backward(forward, "
            "backward, inputs)."
        )
    names = dict(loaded.names)
    covered = {c.name for c in chosen} | {c.forward for c in chosen}
    known = {*ORDER, *(n for n in names if n.endswith("_backward"))}
    names = {n: v for n, v in names.items() if n not in known or n in covered}
    return check_all(names, chosen, loaded.notes, seconds=seconds, begin=begin, without=without)


def load_target(target: str) -> Loaded:
    """Load the functions of a target.

    Raises
    ------
    SettingError
        Where there is no such file or module, or it cannot be read.
    """
    path, _, only = target.partition(":")
    if len(path) == 1 and only[:1] in ("\\", "/"):  # a drive letter
        path, _, only = (target[2:]).partition(":")
        path = target[:2] + path
    if path.endswith((".py", ".ipynb")):
        return _load_file(Path(path), only or None)
    if Path(path).exists():
        raise SettingError(f"{path} is neither a .py file nor an .ipynb notebook.")
    return _load_module(path, only or None)


def _load_module(name: str, only: str | None) -> Loaded:
    if not all(part.isidentifier() for part in name.split(".")):
        raise SettingError(
            f"{name!r} is no file here and no module's name; expected a .py or .ipynb file or "
            "package.module:function."
        )
    notes: list[str] = []
    serve_modules([Path.cwd()], notes)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise SettingError(f"there is no module {error.name!r}.") from error
    except (Exception, SystemExit) as error:
        raise SettingError(
            f"the module {name} stops when it is imported: {type(error).__name__}: {error}"
        ) from error
    if only is not None and getattr(module, only.partition(".")[0], None) is None:
        raise SettingError(f"the module {name} has no function {only}.")
    return Loaded(_attributes(module), only, notes, _candidates(module))


def _candidates(module: Any) -> list[Candidate]:
    """List what looks like a backward pass in a module's own source."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):
        return []
    file = inspect.getsourcefile(module) or module.__name__
    defined = [
        Defined(n, file) for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))
    ]
    table = {d.node.name: d for d in defined}
    return [replace(c, python=line_of_python(c, table)) for c in find_candidates(defined)]


def _attributes(module: Any) -> dict[str, Any]:
    """Return a module's names, also those that it loads when asked for."""
    names = {*vars(module), *dir(module)}
    wanted = [n for n in names if not n.startswith("_")]
    return {n: getattr(module, n) for n in wanted if hasattr(module, n)}


def _load_file(path: Path, only: str | None) -> Loaded:
    if not path.is_file():
        raise SettingError(f"{path}: no such file.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} cannot be read: {error}") from error
    cells = notebook_cells(text, path) if path.suffix == ".ipynb" else [Cell(str(path), text)]
    loaded = Loaded({}, only, path=str(path))
    cells = [as_python3(cell, loaded.notes) for cell in cells]
    try:
        wanted = None if only is None else only.partition(".")[0]
        extracted = extract(cells, loaded.notes, path.parent, wanted=wanted)
    except RecursionError as error:
        raise SettingError(f"{path} cannot be read: its expressions are nested too deeply.") from (
            error
        )
    loaded.names, loaded.candidates = extracted.names, extracted.candidates
    loaded.unread, loaded.seen = extracted.unread, extracted.seen
    if path.suffix == ".py" and loaded.unread:
        only_one = loaded.unread[0]
        where = f" (line {only_one.line})" if only_one.line else ""
        raise SettingError(f"{path} is left out: {only_one.reason}{where}.")
    return loaded
