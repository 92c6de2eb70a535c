"""``backlit grade``."""

import sys
from pathlib import Path
from typing import Annotated, TextIO

import typer


def grade(
    submissions: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SUBMISSION]...", help="A .py file or an .ipynb notebook."),
    ] = None,
    rubric: Annotated[
        str | None,
        typer.Option("--rubric", help="Points and seeds, a TOML file; - for standard input."),
    ] = None,
    new: Annotated[
        Path | None, typer.Option("--new", help="Write a rubric for this solution instead.")
    ] = None,
    form: Annotated[
        str,
        typer.Option("--format", "-f", help="table, json, gradescope, otter or junit."),
    ] = "table",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the result to this file.")
    ] = None,
    user: Annotated[
        str | None,
        typer.Option("--user", help="Run submissions as this user (needs root)."),
    ] = None,
    time_limit: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="How long one call may take.")
    ] = 60.0,
    memory_limit: Annotated[
        float, typer.Option(min=1, metavar="MB", help="How much memory a submission may take.")
    ] = 4096.0,
) -> None:
    """Give points to backward passes, by a rubric that their teacher keeps.

    A right gradient earns its points, a wrong one with a single fault that has a name a share of
    them, any other none. Exit code 0: all points; 1: some are missing; 2: wrong usage.
    """
    from backlit import _terminal as terminal
    from backlit._text import json_text, printable_lines
    from backlit.errors import SettingError
    from backlit.gradcheck.sources import grading
    from backlit.gradcheck.sources.grading import FORMATS, as_junit
    from backlit.gradcheck.sources.isolation import Limits

    limits = Limits(time_limit, memory_limit)
    stderr = terminal.errors()
    if form not in FORMATS:
        raise SettingError(f"--format is {form!r}, expected one of {', '.join(FORMATS)}.")
    if new is not None:
        path = output or new.with_name("rubric.toml")
        if path.exists():
            raise SettingError(f"{path} is already there; name another file with --output.")
        text = grading.new_rubric(new, limits, lambda line: _line(stderr, printable_lines(line)))
        path.write_text(text, encoding="utf-8")
        _line(stderr, f"{path} is written; keep it from those whose work it grades.")
        return
    if rubric is None or not submissions:
        raise SettingError("name submissions and --rubric, or --new with a solution.")
    if form in ("gradescope", "otter") and len(submissions) > 1:
        raise SettingError(f"--format {form} takes one submission, got {len(submissions)}.")
    plan = grading.read_rubric(*_rubric_text(rubric))
    grades = []
    for submission in submissions:
        made, printed = grading.grade(submission, plan, limits, user)
        stderr.write(printable_lines(printed))
        grades.append(made)
    if form == "table":
        text = "\n".join(_table(one) for one in grades)
    elif form == "junit":
        text = as_junit(grades)
    else:
        make = {"gradescope": "for_gradescope", "otter": "for_otter"}.get(form, "as_dict")
        found = [getattr(one, make)() for one in grades]
        text = json_text(found[0] if len(found) == 1 else found, indent=2) + "\n"
    if output is not None:
        output.write_text(text, encoding="utf-8")
    else:
        terminal.require_output()
        (terminal.output() if form == "table" else terminal.data_output()).write(text)
    if not all(one.right for one in grades):
        raise typer.Exit(1)


def _rubric_text(rubric: str) -> tuple[str, Path]:
    from backlit.errors import SettingError

    try:
        if rubric == "-":
            return sys.stdin.read(), Path.cwd()
        return Path(rubric).read_text(encoding="utf-8"), Path(rubric).resolve().parent
    except FileNotFoundError as error:
        raise SettingError(f"{rubric}: no such file, expected a rubric (--rubric).") from error
    except OSError as error:
        raise SettingError(f"the rubric {rubric} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SettingError(f"the rubric {rubric} is no text in UTF-8.") from error


def _line(stream: TextIO, text: str) -> None:
    stream.write(text + "\n")


def _table(grade: object) -> str:
    from backlit._text import printable_lines
    from backlit.gradcheck.sources.grading import Grade

    assert isinstance(grade, Grade)
    lines = [f"{grade.submission}: {grade.points:g} of {grade.most:g} points"]
    width = max((len(item.name) for item in grade.items), default=0)
    for item in grade.items:
        mark = "✓" if item.right else "✗" if item.points == 0 else "~"
        lines.append(f" {mark} {item.name:{width}}  {item.points:g}/{item.most:g}  {item.reason}")
    return printable_lines("\n".join(lines)) + "\n"
