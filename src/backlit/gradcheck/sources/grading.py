"""`backlit grade`: points for a submission's functions, by a rubric that its teacher keeps.

Truths, seeds and points stay in this process. The submission runs in a child, which is sent arrays
and answers with arrays; the solution runs in another one, and the derivative of its forward is the
truth.
"""

from __future__ import annotations

import re
import secrets
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from backlit.errors import BacklitError, SettingError
from backlit.gradcheck.check import make_subject
from backlit.gradcheck.diagnosis.running import check_subject
from backlit.gradcheck.probing.calls import quiet
from backlit.gradcheck.reporting.report import Finding, Report
from backlit.gradcheck.sources.isolation import Child, Ended, Limits
from backlit.gradcheck.sources.remote import Remote, RemoteError, drawn, pair_of

FORMATS = ("table", "json", "gradescope", "otter", "junit")


@dataclass(frozen=True)
class Item:
    """What one part of one function earned.

    Attributes
    ----------
    function : str
        The function.
    part : str
        "output", or the input whose gradient it is.
    points, most : float
        What it earned, and what a right one earns.
    reason : str
        Why, in a sentence.
    """

    function: str
    part: str
    points: float
    most: float
    reason: str

    @property
    def name(self) -> str:
        """The function and the part: "affine_backward, dW"."""
        return f"{self.function}, {self.part if self.part == 'output' else 'd' + self.part}"

    @property
    def right(self) -> bool:
        """Whether it earned all there was."""
        return self.points >= self.most


@dataclass(frozen=True)
class Grade:
    """What a submission earned."""

    submission: str
    items: tuple[Item, ...]

    @property
    def points(self) -> float:
        """All points together."""
        return sum(item.points for item in self.items)

    @property
    def most(self) -> float:
        """What a right submission earns."""
        return sum(item.most for item in self.items)

    @property
    def right(self) -> bool:
        """Whether every point was earned."""
        return all(item.right for item in self.items)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "submission": self.submission,
            "points": self.points,
            "most": self.most,
            "items": [{**vars(item), "name": item.name} for item in self.items],
        }

    def for_gradescope(self) -> dict[str, Any]:
        """Return what Gradescope reads as results.json."""
        tests = [
            {
                "name": item.name,
                "score": item.points,
                "max_score": item.most,
                "status": "passed" if item.right else "failed",
                "output": item.reason,
                "output_format": "text",
            }
            for item in self.items
        ]
        return {"score": self.points, "stdout_visibility": "hidden", "tests": tests}

    def for_otter(self) -> dict[str, Any]:
        """Return the results of test files, one a function, in otter-grader's own JSON.

        Its tests pass or fail: a part that earned some points is one test that passes with them and
        one that fails with the rest.
        """
        files = []
        for function in dict.fromkeys(item.function for item in self.items):
            cases: list[dict[str, Any]] = []
            for item in (i for i in self.items if i.function == function):
                pieces = [(item.name, item.most, item.right)]
                if 0 < item.points < item.most:
                    rest = item.most - item.points
                    pieces = [(f"{item.name}: named", item.points, True), (item.name, rest, False)]
                cases += [_otter_case(name, p, ok, item.reason) for name, p, ok in pieces]
            points = [case["test_case"]["points"] for case in cases]
            files.append({"filename": function, "points": points, "test_case_results": cases})
        return {"test_file_results": files}


def _otter_case(name: str, points: float, passed: bool, reason: str) -> dict[str, Any]:
    case = {
        "name": name,
        "code": "",
        "points": points,
        "hidden": False,
        "success_message": None,
        "failure_message": reason,
    }
    return {"passed": passed, "error": None if passed else reason, "test_case": case}


def as_junit(grades: Sequence[Grade]) -> str:
    """Return grades as JUnit's XML: a suite a submission, a test case an item."""
    root = ElementTree.Element("testsuites", name="backlit grade")
    for grade in grades:
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=_valid(grade.submission),
            tests=str(len(grade.items)),
            failures=str(sum(not item.right for item in grade.items)),
            errors="0",
            skipped="0",
        )
        for item in grade.items:
            case = ElementTree.SubElement(
                suite, "testcase", classname=_valid(item.function), name=_valid(item.name), time="0"
            )
            if not item.right:
                text = f"{item.points:g} of {item.most:g} points: {item.reason}"
                ElementTree.SubElement(case, "failure", message=_valid(text), type="points")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _valid(text: str) -> str:
    """Replace what XML cannot hold."""
    return re.sub("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


OUTPUT = "output"
_SPREADS = (0.5, 0.2, 0.05, 0.0)  # how far values are stretched, the first that gives numbers


@dataclass(frozen=True)
class Task:
    """A function of a rubric: the points of its output and of each gradient.

    Attributes
    ----------
    mean_over : str or None
        Where the examples are of whose cost the solution takes the mean; None for a sum.
    """

    function: str
    points: dict[str, float]
    mean_over: str | None = None


@dataclass(frozen=True)
class Rubric:
    """What a teacher keeps: the solution, seeds, and points.

    Attributes
    ----------
    named : float
        The share of a gradient's points for a wrong one whose single fault has a name.
    """

    solution: Path
    seeds: tuple[int, ...]
    named: float = 0.5
    tasks: tuple[Task, ...] = field(default=())


def read_rubric(text: str, folder: Path) -> Rubric:
    """Read a rubric.

    Parameters
    ----------
    text : str
        TOML, as `new_rubric` writes it.
    folder : Path
        Where the solution's path begins.

    Raises
    ------
    SettingError
        Where something is missing or of another kind.
    """
    try:
        data = tomllib.loads(text)
        tasks = tuple(_task(one) for one in data["function"])
        seeds = tuple(int(seed) for seed in data["seeds"])
        named = float(data.get("named", 0.5))
        solution = folder / str(data["solution"])
    except KeyError as error:
        raise SettingError(f"the rubric has no {error.args[0]!r}.") from error
    except (tomllib.TOMLDecodeError, TypeError, ValueError, AttributeError) as error:
        raise SettingError(f"the rubric cannot be read: {error}.") from error
    if not seeds or not tasks:
        raise SettingError("the rubric has no seeds or no functions: there is nothing to grade.")
    if not 0 <= named <= 1 or any(p < 0 for t in tasks for p in t.points.values()):
        raise SettingError("the rubric: named is expected between 0 and 1, points from 0 upwards.")
    if not solution.is_file():
        raise SettingError(f"the rubric's solution {solution} is not there.")
    return Rubric(solution, seeds, named, tasks)


def _task(data: dict[str, Any]) -> Task:
    points = {str(name): float(p) for name, p in data["points"].items()}
    mean_over = data.get("mean_over", "")
    if mean_over not in ("", "columns", "rows"):
        raise ValueError(f"mean_over is {mean_over!r}, expected 'columns', 'rows' or ''")
    return Task(str(data["name"]), points, mean_over or None)


def grade(
    submission: str, rubric: Rubric, limits: Limits, user: str | None = None
) -> tuple[Grade, str]:
    """Grade a submission.

    Parameters
    ----------
    submission : str
        A .py file or an .ipynb notebook.
    rubric : Rubric
        What is graded.
    limits : Limits
        What the submission may take.
    user : str, optional
        Run it as that user, which only root can.

    Returns
    -------
    (Grade, str)
        The points, and what the submission printed.

    Raises
    ------
    SettingError
        Where the solution cannot be called.
    """
    items: list[Item] = []
    printed: list[str] = []
    with Child(limits) as trusted:
        for task in rubric.tasks:
            solution = _solution(trusted, rubric, task)
            with Child(limits, user) as child:
                items += _graded(task, rubric, solution, child, submission)
            printed.append(child.printed())
    return Grade(submission, tuple(items)), "".join(printed)


def _solution(child: Child, rubric: Rubric, task: Task) -> Remote:
    try:
        return Remote.choose(child, str(rubric.solution), task.function)
    except (RemoteError, Ended) as error:
        raise SettingError(f"the solution's {task.function} cannot be called: {error}.") from error


def _graded(
    task: Task, rubric: Rubric, solution: Remote, child: Child, submission: str
) -> Iterator[Item]:
    """Yield the items of one function."""
    try:
        theirs = Remote.choose(child, submission, task.function, like=solution)
    except (RemoteError, Ended, BacklitError) as error:
        for part, most in task.points.items():
            yield Item(task.function, part, 0.0, most, f"Not graded: {error}.")
        return
    found: dict[str, tuple[float, str]] = {}
    for seed in rubric.seeds:
        for part, share, reason in _one_seed(task, rubric.named, solution, theirs, seed):
            if part not in found or share < found[part][0]:
                found[part] = (share, reason)
    for part, most in task.points.items():
        share, reason = found.get(part, (0.0, "Nothing came back for it."))
        if theirs.ending is not None:
            where = "" if theirs.ending.line is None else f"line {theirs.ending.line} "
            share, reason = 0.0, f"{task.function}: {where}{theirs.ending.what}."
        yield Item(task.function, part, share * most, most, reason)


def _one_seed(
    task: Task, named: float, solution: Remote, theirs: Remote, seed: int
) -> Iterator[tuple[str, float, str]]:
    """Yield (part, share of the points, reason) for inputs that a seed draws."""
    inputs = _inputs(solution, np.random.default_rng(seed))
    if OUTPUT in task.points:
        yield OUTPUT, *_output(solution, theirs, inputs)
    wrt = [name for name in solution.wrt if name in task.points]
    if not wrt:
        return
    try:
        forward, backward = pair_of(solution, theirs, wrt)
        subject = make_subject(forward, backward, inputs, wrt)
        subject.fixed_d_output = solution.own_cost
        with quiet():
            report = check_subject(subject, task.mean_over, seed % 2**32)
    except BacklitError as error:
        for name in wrt:
            yield name, 0.0, f"It could not be checked: {error}"
        return
    yield from _shares(report, wrt, named)


def _shares(report: Report, wrt: Sequence[str], named: float) -> Iterator[tuple[str, float, str]]:
    """Yield what each gradient's finding is worth."""
    whole = [f for f in report.problems if f.gradient is None]
    for name in wrt:
        own = [f for f in report.findings if f.gradient == name]
        if whole or not own:
            yield name, 0.0, whole[0].sentence if whole else "It was not returned."
        elif all(f.ok for f in own):
            yield name, 1.0, own[0].message
        else:
            wrong = next(f for f in own if not f.ok)
            share = named if _is_named(wrong) and len([f for f in own if not f.ok]) == 1 else 0.0
            yield name, share, wrong.sentence


def _is_named(finding: Finding) -> bool:
    """Say whether one fault explains a wrong gradient."""
    vague = {"unknown", "raises", "nonfinite", "shape"}
    return len(finding.relations) == 1 and finding.relation not in vague


def _inputs(solution: Remote, rng: np.random.Generator) -> dict[str, Any]:
    """Draw inputs for which the solution's output is finite."""
    made: dict[str, Any] = {}
    for spread in _SPREADS:
        made = drawn(solution, rng, spread)
        try:
            output, _ = solution.forward(**made)
        except RemoteError:
            continue
        parts = output if isinstance(output, tuple) else (output,)
        if all(np.all(np.isfinite(np.asarray(p, dtype=complex))) for p in parts):
            return made
    return made


def _output(solution: Remote, theirs: Remote, inputs: dict[str, Any]) -> tuple[float, str]:
    """Compare the outputs of one call."""
    right, _ = solution.forward(**inputs)
    try:
        came, _ = theirs.forward(**inputs)
    except (RemoteError, Ended) as error:
        return 0.0, f"{error}."
    pairs = [
        (np.asarray(a), np.asarray(b)) for a, b in zip(_parts(right), _parts(came), strict=False)
    ]
    if len(_parts(right)) != len(_parts(came)) or any(a.shape != b.shape for a, b in pairs):
        shapes = [", ".join(str(np.shape(p)) for p in _parts(o)) for o in (came, right)]
        return 0.0, f"The output has shape {shapes[0]}, expected {shapes[1]}."
    for a, b in pairs:
        if b.dtype.kind not in "fciub":
            return 0.0, f"The output holds {b.dtype}, expected numbers."
        # sums of some thousand products in single precision, whichever order they come in
        single = b.dtype.itemsize < 8 or a.dtype.itemsize < 8
        eps = np.finfo(np.float32 if single else np.float64).eps
        size = max(1.0, float(np.max(np.abs(a), initial=0.0)))
        if not np.allclose(a, b, rtol=0.0, atol=4096 * eps * size):
            return 0.0, "The output differs from the solution's."
    return 1.0, "agrees."


def _parts(output: Any) -> list[Any]:
    return list(output) if isinstance(output, (tuple, list)) else [output]


def new_rubric(
    solution: Path, limits: Limits, say: Callable[[str], None] = lambda text: None
) -> str:
    """Write a rubric for a solution: every function of it that is right, with its gradients.

    Parameters
    ----------
    solution : Path
        A .py file or an .ipynb notebook with right functions.
    limits : Limits
        What it may take.
    say : callable
        Is called with a sentence for each function that is left out.

    Returns
    -------
    str
        TOML.

    Raises
    ------
    SettingError
        Where none of its functions is right.
    """
    lines = [
        "# Keep this file: with the seeds, the inputs that are drawn can be computed beforehand.",
        f"solution = {_quoted(solution.name)}",
        f"seeds = [{', '.join(str(secrets.randbelow(2**40)) for _ in range(3))}]",
        "named = 0.5  # the share of a gradient's points where its single fault has a name",
    ]
    count = 0
    with Child(limits) as child:
        for name in _functions(child, str(solution), limits):
            try:
                remote = Remote.choose(child, str(solution), name)
                report = _own_report(remote)
            except (RemoteError, BacklitError) as error:
                say(f"{name} is left out: {error}")
                continue
            if not report.ok:
                wrong = report.problems[0].sentence
                say(f"{name} is left out: it is wrong in the solution: {wrong}")
                continue
            mean = (report.mean_over or "") if report.convention == "mean" else ""
            lines += ["", "[[function]]", f"name = {_quoted(name)}", f'mean_over = "{mean}"']
            lines += ["[function.points]", f"{OUTPUT} = 1.0"]
            lines += [f"{_quoted(one)} = 1.0" for one in remote.wrt]
            count += 1
    if not count:
        raise SettingError(f"{solution} has no backward pass that is right: see backlit check.")
    return "\n".join(lines) + "\n"


def _functions(child: Child, target: str, limits: Limits) -> list[str]:
    child.ask({"target": target, "seconds": limits.seconds, "do": "list"})
    told: dict[str, Any] = {}
    try:
        for answer in child.answers():
            told = answer
    except Ended as error:
        raise SettingError(f"{target} cannot be read: it {error}.") from error
    if "functions" not in told:
        raise SettingError(str(told.get("error", f"{target} cannot be read.")))
    return list(dict.fromkeys(str(name) for name in told["functions"]))


def _own_report(remote: Remote) -> Report:
    """Check a function of the solution as a submission's is checked."""
    forward, backward = pair_of(remote, remote, remote.wrt)
    subject = make_subject(forward, backward, remote.inputs, list(remote.wrt))
    subject.fixed_d_output = remote.own_cost
    with quiet():
        report = check_subject(subject, "auto", 0)
    if remote.ending is not None:
        raise RemoteError(f"it {remote.ending.what}")
    return report


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
