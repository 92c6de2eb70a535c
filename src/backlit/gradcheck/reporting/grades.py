"""Points for a submission, as a table, as JSON for graders, and as JUnit's XML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

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
