"""The report as text, as HTML and as data."""

import json

import numpy as np
import pytest

import gradcheck.layers as make
from backlit.gradcheck import RELATIONS, Finding, Report, check_backward


@pytest.fixture(scope="module")
def report():
    forward, backward, inputs = make.dense(np.random.default_rng(0), fault="dA/m")
    return check_backward(forward, backward, inputs)


def test_text(report):
    text = str(report)
    assert "✗ backward pass: 1 problem." in text
    assert "scale × 1/m" in text
    assert "drop the factor here." in text
    assert "Convention found: the mean over the output's columns" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_right_report_says_so():
    forward, backward, inputs = make.dense(np.random.default_rng(0))
    right = check_backward(forward, backward, inputs)
    assert str(right).startswith("✓ backward pass: every gradient is right.")
    assert right.ok
    assert right.first is None


def test_html_is_escaped(report):
    page = report._repr_html_()
    assert "<table>" in page
    assert "dA_prev" in page
    bad = Report((Finding("W", "unknown", "<script>", line=1, source="a < b"),))
    assert "<script>" not in bad._repr_html_()
    assert "a &lt; b" in bad._repr_html_()


def test_json(report):
    data = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert data["ok"] is False
    assert data["first"] == data["problems"][0]
    assert data["problems"][0]["factor_name"] == "1/m"
    assert {f["relation"] for f in data["findings"]} <= set(RELATIONS)
    odd = Finding("W", "unknown", "x", residual=float("inf"), factor=float("nan"))
    json.dumps(odd.as_dict(), allow_nan=False)


def test_rich_prints_colour(report):
    from io import StringIO

    from rich.console import Console

    out = StringIO()
    Console(file=out, force_terminal=True, width=90, color_system="standard").print(report)
    assert "\x1b[" in out.getvalue()
    assert "exactly 1/m" in out.getvalue()
