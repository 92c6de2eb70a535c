"""Nets, layer classes and recurrent nets of the catalogue: a slice of them, with one seed.

The command ``python benchmarks/checker_campaign.py`` tries all of them, over many seeds.
"""

import numpy as np
import pytest

from backlit.gradcheck import check_backward
from gradcheck import catalogue, kinds

SLICE = [*kinds.WRONG[::23], *kinds.RIGHT[::9]]


@pytest.mark.parametrize("kind", SLICE, ids=[k.name for k in SLICE])
def test_one_of_every_kind(kind):
    assert kind.verdict(kind.check(2)) == ""


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("net softplus rows binary 3: None", 35),
        ("net softplus rows binary 3: half", 22),
        ("net softplus columns binary 3: sign", 3),
    ],
)
def test_costs_that_saturate(name, seed):
    (kind,) = [k for k in (*kinds.WRONG, *kinds.RIGHT) if k.name == name]
    assert kind.verdict(kind.check(seed)) == ""


def test_the_catalogue_is_as_large_as_it_says():
    assert len(catalogue.WRONG) + len(kinds.WRONG) >= 300
    assert len(catalogue.RIGHT) + len(kinds.RIGHT) >= 120
    assert len({k.name for k in [*kinds.WRONG, *kinds.RIGHT]}) == len(kinds.WRONG) + len(
        kinds.RIGHT
    )


def test_a_verdict_notices_what_differs():
    kind = kinds.net("tanh", "rows", "squares", 2, "bias twice")
    report = kind.check(0)
    other = kinds.Kind("x", kind.check, {"W1": "scale"})
    assert "b1: not expected" in other.verdict(report)
    assert "W1: expected" in other.verdict(report)
    assert "expected factor 3" in kinds.Kind("x", kind.check, {"b1": ("scale", "3")}).verdict(
        report
    )


def test_both_readings_of_a_mean_are_shown():
    def backward(d, cache):
        x, w = cache
        return d @ w.T, x.T @ d, d.mean(axis=0)

    rng = np.random.default_rng(0)
    inputs = {"x": rng.normal(size=(6, 4)), "w": rng.normal(size=(4, 3)), "b": rng.normal(size=3)}
    report = check_backward(lambda x, w, b: (x @ w + b, (x, w)), backward, inputs, repair=False)
    assert [(f.gradient, f.factor_name) for f in report.problems] == [("b", "1/m")]
    (note,) = [n for n in report.notes if n.startswith("Two readings")]
    assert "dw is exactly m times the right value" in note


def test_on_a_tie_rows_are_summed_and_the_first_repair_is_of_the_wrong_line():
    def backward(d, cache):
        x, gamma = cache
        dgamma = (d * x).mean(axis=0)
        dbeta = d.sum(axis=0)
        return d * gamma, dgamma, dbeta

    rng = np.random.default_rng(0)
    inputs = {"x": rng.normal(size=(5, 4)), "gamma": rng.normal(size=4), "beta": rng.normal(size=4)}
    report = check_backward(lambda x, gamma, beta: (gamma * x + beta, (x, gamma)), backward, inputs)
    assert [(f.gradient, f.factor_name) for f in report.problems] == [("gamma", "1/m")]
    assert report.repairs[0].after.strip() == "dgamma = (d * x).sum(axis=0)"
