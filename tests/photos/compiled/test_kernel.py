"""The compiled features against NumPy's."""

import threading

import numpy as np
import pytest

from backlit.photos.compiled.kernel import is_cached, load
from backlit.photos.compiled.places import n_features
from backlit.photos.features import SIDE, extract_features, feature_names
from backlit.photos.rank_statistics import MEANS
from backlit.photos.reading import reduce_picture
from backlit.photos.scenes import render_scene

NAMES = feature_names()
DEVIATIONS = np.array([name.startswith("deviation of") for name in NAMES])
HISTOGRAMS = np.array([", bin " in name for name in NAMES])
SUMS = ~DEVIATIONS & ~HISTOGRAMS


@pytest.fixture(scope="module")
def extract():
    return load()


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
    pictures = PICTURES[kind]()
    expected, found = extract_features(pictures), extract(pictures)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    # sums of a few thousand terms of size 1, and distances to patches
    tolerance = 2e-5 if kind == "single colours" else 4e-6
    np.testing.assert_allclose(found[:, SUMS], expected[:, SUMS], rtol=4e-6, atol=tolerance)
    # Logarithms that differ by a rounding may fall on either side of one of 1024 steps: that is a
    # step of a bin's eleventh for a pixel, and there are few of them.
    shares = [np.square(one[:, HISTOGRAMS].astype(float)) for one in (found, expected)]
    np.testing.assert_allclose(*shares, rtol=2e-6, atol=3 * 11 / 1023 / (21 * SIDE))
    # A deviation is the root of a difference of squares: those are what is rounded.
    squares = np.square(expected[:, DEVIATIONS].astype(float))
    means = np.array([expected[:, NAMES.index(NAMES[i].replace("deviation of", "mean"))]
                      for i in np.flatnonzero(DEVIATIONS)]).T  # fmt: skip
    error = np.abs(np.square(found[:, DEVIATIONS].astype(float)) - squares)
    assert (error <= 3e-6 * (squares + np.square(means)) + 1e-9).all()


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


def test_names_and_cache(extract):
    assert n_features() == len(NAMES)
    assert len(MEANS) == 11
    assert is_cached()
