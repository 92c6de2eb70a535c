import json

import numpy as np
import pytest
import sklearn

import bad_data
from bad_data import cells, outcome

EXPECTED = json.loads(bad_data.EXPECTED.read_text())

#: scikit-learn looks at frames before backlit does, and its metrics make the scores. Before 1.9 it
#: let columns of one name through (1.9: an error of Narwhals), compared labels of any two types,
#: and worded the rest as Python does.
BEFORE_1_9 = {
    ("X", "pandas, names twice"): dict.fromkeys(
        [
            "MLPClassifier.fit",
            "MLPClassifier.fit, lbfgs",
            "MLPClassifier.partial_fit",
            "MLPClassifier.predict",
            "MLPClassifier.predict_proba",
            "MLPClassifier.score",
            "MLPRegressor.fit",
            "MLPRegressor.partial_fit",
            "MLPRegressor.predict",
            "MLPRegressor.score",
        ],
        "same",
    ),
    ("y", "strings"): {"MLPClassifier.score": "answer"},
    ("y", "mixed types"): {"MLPClassifier.score": "answer"},
    ("y", "dates"): {"MLPClassifier.score": "refused: TypeError"},
    ("y", "masked"): {"MLPClassifier.score": "answer"},
}
if tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9):
    for (_table, _name), _row in BEFORE_1_9.items():
        EXPECTED[_table][_name] |= _row


def test_the_table_has_every_pair():
    listed = [(t, n, e) for t, rows in EXPECTED.items() for n, row in rows.items() for e in row]
    assert sorted(listed) == sorted(cells())


@pytest.mark.parametrize(("table", "name"), [(t, n) for t in EXPECTED for n in EXPECTED[t]])
def test_what_comes_of_bad_data(table, name):
    found = {entry: bad_data.outcome_of(table, name, entry) for entry in EXPECTED[table][name]}
    assert found == EXPECTED[table][name]


def test_the_table_sees_what_it_is_for():
    """A changed input, a warning, a wrong number, infinity and a strange error are no outcomes."""

    def change(array):
        array[0] = 7

    with pytest.raises(AssertionError, match="was changed"):
        outcome(change, np.zeros(2), None)
    with pytest.raises(RuntimeWarning):
        outcome(lambda array: np.zeros(2) / array, np.zeros(2), None)
    with pytest.raises(AssertionError):
        outcome(lambda array: array * 2, np.ones(2), np.ones(2) * 3)
    with pytest.raises(AssertionError, match="not finite"):
        outcome(lambda array: [np.inf, 1], np.ones(2), None)
    with pytest.raises(AttributeError):
        outcome(lambda array: array.nothing, np.ones(2), None)

    def refuse(array):
        raise ValueError("no")

    with pytest.raises(AssertionError, match="no message"):
        outcome(refuse, np.ones(2), None)
