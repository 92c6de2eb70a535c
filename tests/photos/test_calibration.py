import numpy as np
import pytest

from backlit.photos.calibration import (
    expected_calibration_error,
    fit_temperature,
    log_probabilities,
    reliability,
)


def test_log_probabilities_are_finite_and_sum_to_one():
    Z = np.array([[1e4], [-1e4], [0.0]])
    found = log_probabilities(Z)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1)
    np.testing.assert_allclose(found[:, 1], [0, -1e4, np.log(0.5)])
    Z = np.array([[1e4, 0, -1e4], [1.0, 2.0, 3.0]])
    found = log_probabilities(Z)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1)
    np.testing.assert_allclose(found[1], Z[1] - np.log(np.exp(Z[1]).sum()))


@pytest.mark.parametrize("truth", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("outputs", [1, 3])
def test_the_temperature_that_made_the_labels_is_found(truth, outputs):
    generator = np.random.default_rng(0)
    Z = generator.normal(0, 3, (20_000, outputs))
    shares = np.exp(log_probabilities(Z / truth))
    labels = (generator.random((len(Z), 1)) > shares.cumsum(axis=1)[:, :-1]).sum(axis=1)
    assert fit_temperature(Z, labels) == pytest.approx(truth, rel=0.05)


def test_nothing_wrong_does_not_mean_certainty():
    Z = np.array([[8.0], [-9.0], [7.0]] * 10)
    labels = (Z[:, 0] > 0).astype(int)
    temperature = fit_temperature(Z, labels)
    assert 0.3 < temperature < 10


def test_reliability_of_probabilities_that_mean_what_they_say():
    generator = np.random.default_rng(0)
    p = generator.random(200_000)
    labels = (generator.random(len(p)) < p).astype(int)
    honest = np.column_stack([1 - p, p])
    assert expected_calibration_error(labels, honest) < 0.005
    for row in reliability(labels, honest):
        assert row.accuracy == pytest.approx(row.confidence, abs=0.02)
    assert sum(row.n for row in reliability(labels, honest)) == len(p)


def test_calibration_error_by_hand():
    labels = np.array([1, 1, 1, 0])
    probabilities = np.array([[0.1, 0.9]] * 3 + [[0.4, 0.6]])
    # Three at 0.9, all right; one at 0.6, wrong.
    expected = (3 * abs(1 - 0.9) + 1 * abs(0 - 0.6)) / 4
    assert expected_calibration_error(labels, probabilities) == pytest.approx(expected)
