"""The compiled features against NumPy's."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backlit.photos.compiled import kernel
from backlit.photos.compiled.kernel import is_here, load
from backlit.photos.compiled.places import n_features
from backlit.photos.features import SIDE, extract_features, feature_names
from backlit.photos.rank_statistics import MEANS
from backlit.photos.reading import reduce_picture
from backlit.photos.scenes import render_scene
from photos.compiled.rounding import apart, assert_same_but_for_rounding, bounds_of

NAMES = feature_names()


@pytest.fixture(scope="module")
def extract():
    return load().features


def scenes(count, noise=0.0):
    generator = np.random.default_rng(3)
    squares = np.concatenate(
        [
            reduce_picture(render_scene(k % 2, np.random.default_rng(k), size=(125, 94)), SIDE)
            for k in range(count)
        ]
    )
    return np.clip(squares + generator.normal(0, noise, squares.shape), 0, 255).astype(np.uint8)


def gradients():
    """Steps of one code, few colours, many ties."""
    rows, columns = np.indices((SIDE, SIDE))
    first = np.stack([rows, columns, rows ^ columns], axis=-1) * 4
    second = np.stack([rows // 16, columns // 32, rows // 32], axis=-1)
    return np.stack([first, 255 - first, second, 255 - second]).astype(np.uint8)


COLOURS = [
    *((v, v, v) for v in (0, 1, 7, 128, 254, 255)),
    *((255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 255, 255), (255, 255, 0), (255, 0, 255)),
    *((10, 200, 30), (0, 0, 1), (1, 0, 0)),
]


def single_colours():
    return np.broadcast_to(
        np.array(COLOURS, np.uint8)[:, None, None, :], (len(COLOURS), SIDE, SIDE, 3)
    )


PICTURES = {
    "scenes": lambda: scenes(8),
    "noisy scenes": lambda: scenes(8, 6.0),
    "random": lambda: np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE, 3), np.uint8),
    "random and dark": lambda: np.random.default_rng(1).integers(
        0, 3, (6, SIDE, SIDE, 3), np.uint8
    ),
    "gradients": gradients,
    "single colours": single_colours,
}


@pytest.mark.parametrize("kind", PICTURES)
def test_the_same_numbers_but_for_rounding(extract, kind):
    """Both are in float32, and each may be off by its bound."""
    pictures = PICTURES[kind]()
    expected, found = extract_features(pictures), extract(pictures)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert_same_but_for_rounding(pictures, found, expected)


def test_the_bounds_see_a_wrong_feature(extract):
    """A hundredth of a feature that is not small is out of bounds, and so is one pixel's place."""
    picture = PICTURES["noisy scenes"]()[0]
    found = extract(picture[None])[0]
    errors, squared = bounds_of(picture)
    large = np.abs(found) > 0.1
    assert large.sum() > 300
    assert (apart(found * 1.01, found, squared)[large] > 2 * errors[large]).mean() > 0.99
    other = picture.copy()
    other[10, 20] = 255 - other[10, 20]
    moved = apart(extract(other[None])[0], found, squared)
    for part in (slice(0, 171), slice(171, 243), slice(243, 315), slice(315, None)):
        assert (moved[part] > 2 * errors[part]).any()


def test_ties_are_ranked_by_their_place(extract):
    """Half the pixels are equally bright; only their places tell which quarter they fall into."""
    picture = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    picture[0, ::2] = 200
    found = dict(zip(NAMES, extract(picture)[0].astype(float), strict=True))
    heights = np.repeat(np.linspace(0, 1, SIDE), SIDE).reshape(SIDE, SIDE)
    ranked = np.concatenate([heights[1::2].ravel(), heights[::2].ravel()])
    for low, high, name in (
        (0.1, 0.25, "10 to 25"),
        (0.5, 0.75, "50 to 75"),
        (0.99, 1, "99 to 100"),
    ):
        own = ranked[round(low * SIDE**2) : round(high * SIDE**2)]
        assert found[f"mean height, ranks {name} %"] == pytest.approx(own.mean(), abs=1e-6)


def test_a_row_does_not_depend_on_its_batch_or_on_what_was_before(extract):
    pictures = np.concatenate([maker()[:3] for maker in PICTURES.values()])
    whole = extract(pictures)
    for k in range(len(pictures) - 1, -1, -1):
        np.testing.assert_array_equal(extract(pictures[k : k + 1])[0], whole[k])
    assert extract(pictures[:0]).shape == (0, len(NAMES))
    np.testing.assert_array_equal(extract(pictures[::2]), whole[::2])


def test_threads_have_workspaces_of_their_own(extract):
    pictures = np.concatenate([scenes(4), scenes(4, 20.0)])
    expected = extract(pictures)
    wrong = []

    def work():
        for _ in range(40):
            wrong.extend(np.flatnonzero((extract(pictures) != expected).any(axis=1)))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_names_and_that_it_is_here(extract):
    assert n_features() == len(NAMES)
    assert len(MEANS) == 11
    assert is_here()


def test_another_process_computes_the_same_without_numba(extract):
    program = (
        "import sys, numpy as np\n"
        "from backlit.photos.compiled.kernel import load\nextract = load().features\n"
        "assert 'numba' not in sys.modules\n"
        "sys.stdout.buffer.write(extract(np.full((1, 64, 64, 3), 7, np.uint8)).tobytes())"
    )
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout
    expected = extract(np.full((1, SIDE, SIDE, 3), 7, np.uint8))
    np.testing.assert_array_equal(np.frombuffer(found, np.float32), expected[0])


SIZES = [
    *((SIDE, SIDE), (SIDE, 200), (200, SIDE), (1, 1), (1, 300), (300, 1), (3, 5), (94, 125)),
    *((125, 94), (2 * SIDE, 2 * SIDE), (191, 127), (193, 128), (63, 65), (1000, 70), (70, 1000)),
]


@pytest.mark.parametrize("size", SIZES)
def test_reduced_as_by_pillow_bit_by_bit(extract, size):
    picture = np.random.default_rng(size).integers(0, 256, (*size, 3), np.uint8)
    np.testing.assert_array_equal(load().square(picture), reduce_picture(picture, SIDE)[0])
    np.testing.assert_array_equal(
        load().square(picture[::-1]), reduce_picture(picture[::-1], SIDE)[0]
    )


@settings(max_examples=150, deadline=None)
@given(rows=st.integers(1, 400), columns=st.integers(1, 400), seed=st.integers(0, 2**32 - 1))
def test_reduced_as_by_pillow_whatever_the_size(extract, rows, columns, seed):
    picture = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), np.uint8)
    np.testing.assert_array_equal(load().square(picture), reduce_picture(picture, SIDE)[0])


def test_a_pillow_that_averages_otherwise_is_left_to_do_so(monkeypatch):
    """Where neither order gives the example's bits, there is no square, and Pillow makes it."""
    kernel._order.cache_clear()
    monkeypatch.setattr(kernel.Compiled, "_reduced", lambda *_: np.zeros((SIDE, SIDE, 3), np.uint8))
    try:
        assert load().square(np.full((90, 80, 3), 5, np.uint8)) is None
    finally:
        kernel._order.cache_clear()


@pytest.mark.parametrize("tall", [False, True])
def test_the_order_is_that_of_the_pillow_that_is_installed(monkeypatch, tall):
    """Both orders are known: what Pillow gives by the other one is recognised, too."""
    kernel._order.cache_clear()
    real = kernel.Compiled._reduced
    monkeypatch.setattr(
        kernel.Compiled, "_reduced", lambda self, picture, first: real(self, picture, not first)
    )
    try:
        own = kernel._order(tall)
        monkeypatch.undo()
        kernel._order.cache_clear()
        assert kernel._order(tall) is not own
    finally:
        kernel._order.cache_clear()
