import numpy as np
import pytest

from backlit.app.plane.datasets import DATASETS, dataset
from backlit.app.plane.table import read_table
from backlit.errors import SettingError, UnknownNameError


def read(text):
    return read_table(text.encode() if isinstance(text, str) else text)


def points(found):
    """What was in the file."""
    mean, scale = (np.array(found["scaling"][name])[:, None] for name in ("mean", "scale"))
    return (np.array(found["X"]) * scale + mean).round(9).tolist()


@pytest.mark.parametrize(
    "text",
    [
        "1,2,a\n3,4,b\n5,9,a\n",
        "x,y,label\n1,2,a\n3,4,b\n5,9,a",
        "\ufeffX,Y,Label\r\n1,2,a\r\n3,4,b\r\n\r\n5,9,a\r\n",
        "label;y;x\na;2;1\nb;4;3\na;9;5\n",
        "x\ty\tlabel\n1\t2\ta\n3\t4\tb\n5\t9\ta\n",
        "id,x,y,label\n7,1,2,a\n8,3,4,b\n9,5,9,a\n",
        "1,0;2,0;a\n3,0;4,0;b\n5,0;9,0;a\n",
        'width, height, kind\n1, 2, "a"\n3, 4, "b"\n5, 9, "a"\n',
    ],
    ids=["bare", "head", "windows", "order", "tabs", "more columns", "decimal comma", "names"],
)
def test_the_usual_ways_to_write_three_columns(text):
    found = read(text)
    assert points(found) == [[1, 3, 5], [2, 4, 9]]
    assert found["Y"] == [0, 1, 0]
    assert found["classes"] == ["a", "b"]
    np.testing.assert_allclose(np.mean(found["X"], axis=1), 0, atol=1e-15)
    np.testing.assert_allclose(np.std(found["X"], axis=1), 1, rtol=1e-14)


def test_labels_that_are_numbers_are_sorted_as_numbers():
    found = read("0,0,10\n1,1,9\n1,2,9.0\n")
    assert found["classes"] == ["9", "10"]
    assert found["Y"] == [1, 0, 0]


def test_a_coordinate_that_is_always_the_same():
    found = read("5,1,a\n5,2,b\n")
    assert found["X"][0] == [0, 0]
    assert found["scaling"]["scale"][0] == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "The file is empty"),
        ("\n \n", "The file is empty"),
        ("x,y,label\n", "no rows"),
        ("1,2\n3,4\n", "row 1: 2 columns, expected x, y and label; row 2: 2 columns"),
        ("1,2,a\n3,four,b\n", "row 2: y is 'four', expected a number"),
        ("1,2,a\nnan,4,b\n", "row 2: x is 'nan', expected a finite number"),
        ("1,2,a\n1e999,4,b\n", "row 2: x is '1e999', expected a finite number"),
        ("1,2,a\n3,4,\n", "row 2: the label is missing"),
        ("1,2,a\n3,4,b,5\n", "row 2: 4 columns, expected x, y and label"),
        ("1,2,a\n3,4,a\n", "The labels are 'a': 1 kind, expected two"),
        ("1,2,a\n3,4,b\n5,6,c\n", "The labels are 'a', 'b', 'c': 3 kinds, expected two"),
        ("1,x,a\n" + "1,q,b\n" * 9, "row 1: y is 'x', .*; and 7 more"),
        ("1,2,a\n" * 1001, "1,001 rows, at most 1,000"),
        ("1e308,1,a\n-1e308,2,b\n1e308,3,a\n1e308,3,a\n", "too large"),
        (b"\xff\xfe1\x00", "no UTF-8 text"),
        (b"\x89PNG\r\n\x1a\n", "no UTF-8 text"),
        (b"1,2,a\n\x00,4,b\n", "zero bytes"),
        ("1,2," + "a" * 200 + "\n3,4,b\n", "longer than 60"),
        ('1,2,"a\n' + "x" * 200_000, "field larger than field limit"),
    ],
)
def test_what_is_wrong_is_said_with_its_row(text, reason):
    with pytest.raises(SettingError, match=reason):
        read(text)


@pytest.mark.parametrize("name", DATASETS)
def test_ready_made_points(name):
    found = dataset(name, 200, 0.05, 4)
    X, Y = np.array(found["X"]), np.array(found["Y"])
    assert X.shape == (2, 200)
    assert Y.sum() == 100
    assert np.abs(X).max() < 1.5
    assert found == dataset(name, 200, 0.05, 4)
    assert found != dataset(name, 200, 0.05, 5)


@pytest.mark.parametrize("name", ["circles", "moons", "spiral", "xor"])
def test_a_line_does_not_separate_them_and_neighbours_do(name):
    """What makes these sets worth looking at: without noise the nearest point knows the class."""
    found = dataset(name, 400, 0.0, 1)
    X, Y = np.array(found["X"]), np.array(found["Y"])
    distance = np.hypot(*(X[:, :, None] - X[:, None, :])) + 9 * np.eye(400)
    assert (Y[distance.argmin(axis=1)] == Y).mean() > 0.97
    design = np.vstack([X, np.ones(400)]).T
    line = design @ np.linalg.lstsq(design, 2 * Y - 1, rcond=None)[0]
    assert ((line > 0) == Y).mean() < 0.9


def test_no_such_set():
    with pytest.raises(UnknownNameError, match="expected one of blobs, circles"):
        dataset("rings", 10, 0, 0)
