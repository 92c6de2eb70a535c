import re
from xml.etree import ElementTree

import pytest

from backlit.photos.calibration import ReliabilityBin
from backlit.report.charts import curves_chart, interval_bar, nice_ticks, reliability_chart


@pytest.mark.parametrize(
    ("low", "high", "whole", "expected"),
    [
        (0.0, 1.0, False, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.93, 1.0, False, [0.92, 0.94, 0.96, 0.98, 1.0]),
        (1, 15, True, [0, 5, 10, 15]),
        (1, 2, True, [1, 2]),
        (0.3, 0.3, False, None),
    ],
)
def test_ticks_are_round_and_cover_the_range(low, high, whole, expected):
    ticks = nice_ticks(low, high, whole=whole)
    if expected is not None:
        assert ticks == pytest.approx(expected)
    assert ticks[0] <= low + 1e-9
    assert ticks[-1] >= high - 1e-9
    assert 2 <= len(ticks) <= 7


def test_curves_lie_where_their_values_are():
    chart = curves_chart([[0.5, 0.75, 1.0], [0.5]], "<share>", share=True)
    tree = ElementTree.fromstring(chart)
    lines = [one.get("points").split() for one in tree.iter("polyline")]
    heights = [float(point.split(",")[1]) for point in lines[0]]
    assert heights[1] == pytest.approx((heights[0] + heights[2]) / 2)
    assert heights[2] < heights[0]
    assert [len(line) for line in lines] == [3, 1, 3]  # two members and their mean
    assert "&lt;share&gt;" in chart


def test_reliability_on_the_diagonal():
    rows = [ReliabilityBin(50, 0.6, 0.6), ReliabilityBin(200, 0.9, 0.9)]
    tree = ElementTree.fromstring(reliability_chart(rows, 2, 0.0))
    (ideal,) = [one for one in tree.iter("line") if one.get("class") == "ideal"]
    x1, y1, x2, y2 = (float(ideal.get(name)) for name in ("x1", "y1", "x2", "y2"))
    dots = list(tree.iter("circle"))
    for dot in dots:
        share = (float(dot.get("cx")) - x1) / (x2 - x1)
        assert float(dot.get("cy")) == pytest.approx(y1 + share * (y2 - y1), abs=0.2)
    assert float(dots[1].get("r")) > float(dots[0].get("r"))
    assert "right in 60 % of 50" in tree.get("aria-label")


def test_interval_bar():
    bar = interval_bar(0.75, (0.5, 1.0), 0.5)
    assert re.search(r'class="interval" x1="4.0" y1="7" x2="116.0"', bar)
    assert 'cx="60.0"' in bar
