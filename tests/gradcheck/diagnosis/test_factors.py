"""Names of constants."""

import pytest

from backlit.gradcheck.diagnosis.diagnose import Observation, name_factor, value_of


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((1 / 4, 1 / 7), "1/m"),
        ((1 / 4, 1 / 4), "1/4"),
        ((4.0, 5.0), "n_out"),
        ((-1.0, -1.0), "-1"),
        ((2.0, 2.0), "2"),
        ((1 / 16, 1 / 49), "1/m**2"),
        ((2.0, 7**0.5), "sqrt(m)"),
        ((1.0, 7 / 5), "m/n_out"),
        ((0.37, 0.37), "0.37"),
    ],
)
def test_a_second_size_decides(values, name):
    seen = [
        Observation(values[0], {"m": 4, "n_out": 4}),
        Observation(values[1], {"m": 7, "n_out": 5}),
    ]
    assert name_factor(seen, 1e-9).name == name


def test_one_place_takes_the_likeliest():
    assert name_factor([Observation(0.2, {"m": 5, "n_out": 5})], 1e-9).name == "1/m"
    assert name_factor([Observation(0.2, {"m": 4, "n_out": 5})], 1e-9).name == "1/n_out"


def test_d_output():
    seen = [Observation(2.5, {}, 0.4), Observation(-1.25, {}, -0.8)]
    assert name_factor(seen, 1e-9).name == "1/d_output"


def test_value_of():
    assert value_of("1/m", {"m": 8}) == 0.125
    assert value_of("0.37", {"m": 8}) is None
