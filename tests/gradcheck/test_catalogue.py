"""Every function of the catalogue, with one seed; the command of catalogue.py tries fifty."""

import pytest

from backlit.gradcheck import RELATIONS
from gradcheck import catalogue


def names(entries):
    return [entry.name for entry in entries]


@pytest.mark.parametrize("entry", catalogue.WRONG, ids=names(catalogue.WRONG))
def test_names_what_is_wrong_and_nothing_else(entry):
    report = entry.check(seed=3)
    assert report.problems or report.remarks
    assert entry.verdict(report) == ""


@pytest.mark.parametrize("entry", catalogue.RIGHT, ids=names(catalogue.RIGHT))
def test_gives_no_false_alarm(entry):
    report = entry.check(seed=4)
    assert report.ok, str(report)
    assert report.findings


def test_the_catalogue_is_as_large_as_it_says():
    assert len(catalogue.WRONG) >= 60
    assert len(catalogue.RIGHT) >= 60
    named = set()
    for entry in catalogue.WRONG:
        for expected in entry.problems.values():
            relation = expected[0] if isinstance(expected, tuple) else expected
            named |= set(relation.split("+"))
    by_repair = {"square", "order", "step", "path", "overwritten", "last step", "stride", "output"}
    elsewhere = {"correct", "clipped", "ties", "repeated", "logits"}
    assert named >= set(RELATIONS) - elsewhere - by_repair


def test_verdict_notices_a_diagnosis_that_differs():
    entry = next(e for e in catalogue.WRONG if e.name == "dense: dA/m")
    report = entry.check(seed=0)
    other = catalogue.Entry("x", entry.maker, {"A_prev": ("scale", "m")})
    assert "expected factor m" in other.verdict(report)
    other = catalogue.Entry("x", entry.maker, {"W": "scale"})
    assert "W: expected scale" in other.verdict(report)
    assert "A_prev: not expected" in other.verdict(report)
