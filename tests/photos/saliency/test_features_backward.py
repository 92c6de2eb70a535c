from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

import restated_features as restated
from backlit.errors import ShapeError
from backlit.photos import PhotoClassifier
from backlit.photos.features import SIDE, extract_features, feature_names
from backlit.photos.hues import hue_names
from backlit.photos.patches import patch_names
from backlit.photos.rank_statistics import rank_statistics_names
from backlit.photos.saliency.features import extract_features_backward
from backlit.photos.saliency.maps import pixel_gradient
from backlit.photos.scenes import render_scenes
from photos.compiled.rounding import apart, bounds_of

ENDS = np.cumsum([0, len(rank_statistics_names()), 72, len(hue_names()), len(patch_names())])
KINDS = dict(zip(("ranks", "relative", "hues", "patches"), pairwise(ENDS), strict=True))


def smooth_picture(seed, darkness=1.0):
    """Smooth colours, with something bright: no ties, no value on a kink."""
    generator = np.random.default_rng(seed)
    noise = gaussian_filter(generator.normal(size=(SIDE, SIDE, 3)), (3, 3, 0))
    noise = (noise - noise.min()) / np.ptp(noise)
    fine = gaussian_filter(generator.normal(size=(SIDE, SIDE, 3)), (0.7, 0.7, 0)) * 0.03
    return np.clip(0.02 + 0.9 * noise ** (2 * darkness) + fine * noise, 0.003, 1.0)


@pytest.fixture(scope="module", params=[(0, 1.0), (1, 2.0)])
def picture(request):
    return smooth_picture(*request.param)


@pytest.fixture(scope="module")
def truth(picture):
    """The restatement: its features, and a gradient taken back through them."""
    order = np.argsort(picture.max(axis=2).ravel(), kind="stable")

    def pull(d):
        values, gradient = restated.values_and_gradient(picture, order, d)
        return np.asarray(values), np.asarray(gradient)

    return pull


def test_the_restatement_is_of_these_features(picture, truth):
    values, _ = truth(np.zeros(ENDS[-1]))
    found = extract_features(picture[None].astype(np.float32))[0]
    errors, squared = bounds_of(255 * picture)
    errors[slice(*KINDS["relative"])] += 11 / 2 / 1023  # half of one of 1024 steps
    over = apart(found, values, squared) - errors
    assert (over <= 0).all(), feature_names()[np.argmax(over)]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_against_automatic_differentiation(picture, truth, kind):
    d = np.zeros((1, ENDS[-1]))
    low, high = KINDS[kind]
    d[0, low:high] = np.random.default_rng(5).normal(size=high - low)
    expected = truth(d[0])[1]
    found = extract_features_backward(d, picture[None])[0]
    scale = np.abs(expected).max()
    assert scale > 0
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-11 * scale)


def test_features_one_by_one(picture, truth):
    """A gradient that went to the wrong feature would hide in a sum of all."""
    some = np.random.default_rng(1).choice(ENDS[-1], 40, replace=False)
    d = np.zeros((len(some), ENDS[-1]))
    d[np.arange(len(some)), some] = 1
    found = extract_features_backward(d, np.repeat(picture[None], len(some), axis=0))
    for place, row, own in zip(some, d, found, strict=True):
        expected = truth(row)[1]
        tolerance = 1e-11 * np.abs(expected).max()
        np.testing.assert_allclose(
            own, expected, rtol=1e-8, atol=tolerance, err_msg=feature_names()[place]
        )


@pytest.mark.parametrize("kind", ["ranks", "hues", "patches"])
def test_against_differences_of_the_shipped_forward(picture, kind):
    """The forward that is used, in float32; its histograms are stepped and have no differences.

    The ranks are held in the gradient, so there the direction is one that leaves them: exposure.
    """
    generator = np.random.default_rng(3)
    direction = gaussian_filter(generator.normal(size=picture.shape), (6, 6, 0)) * 20
    direction = picture * (1 if kind == "ranks" else direction)
    h = 2e-3
    ends = np.stack([picture + h * direction, picture - h * direction]).astype(np.float32)
    ahead, behind = extract_features(ends).astype(np.float64)
    d = np.zeros((1, ENDS[-1]))
    low, high = KINDS[kind]
    slope = (ahead - behind)[low:high] / (2 * h)
    d[0, low:high] = slope  # so that the sum is of squares, and cannot cancel
    along = (extract_features_backward(d, picture[None])[0] * direction).sum()
    assert along == pytest.approx(np.square(slope).sum(), rel=0.02)


@pytest.mark.parametrize("level", [0, 1, 128, 255])
def test_flat_and_black_pictures_have_finite_subgradients(level):
    flat = np.full((1, SIDE, SIDE, 3), level, dtype=np.uint8)
    d = np.random.default_rng(0).normal(size=(1, ENDS[-1]))
    found = extract_features_backward(d, flat)
    assert np.isfinite(found).all()
    assert (found != 0).any()


def test_ties_are_shared_evenly():
    """Grey pixels: the largest and the smallest colour are all three, so saturation stands."""
    generator = np.random.default_rng(0)
    grey = np.repeat(generator.uniform(0.1, 0.9, (1, SIDE, SIDE, 1)), 3, axis=3)
    d = np.zeros((1, ENDS[-1]))
    d[0, [name.startswith("mean saturation") for name in feature_names()]] = 1
    assert np.abs(extract_features_backward(d, grey)).max() < 1e-15


def test_bytes_and_floats_alike():
    codes = (smooth_picture(4) * 255).astype(np.uint8)[None]
    d = np.random.default_rng(0).normal(size=(1, ENDS[-1]))
    first, second = (extract_features_backward(d, one) for one in (codes, codes / 255))
    np.testing.assert_allclose(first, second, rtol=1e-9, atol=1e-12)


def test_pictures_of_a_batch_do_not_mix():
    pictures = np.stack([smooth_picture(seed) for seed in (5, 6, 7)])
    before = pictures.copy()
    d = np.random.default_rng(0).normal(size=(3, ENDS[-1]))
    found = extract_features_backward(d, pictures)
    np.testing.assert_array_equal(pictures, before)
    for row, picture, own in zip(d, pictures, found, strict=True):
        alone = extract_features_backward(row[None], picture[None])[0]
        np.testing.assert_allclose(own, alone, rtol=1e-9, atol=1e-12)


def test_wrong_shapes():
    d, pictures = np.zeros((1, ENDS[-1])), np.zeros((1, SIDE, SIDE, 3))
    with pytest.raises(ShapeError, match=r"pictures has shape \(1, 8, 8, 3\)"):
        extract_features_backward(d, pictures[:, :8, :8])
    with pytest.raises(ShapeError, match=r"dfeatures has shape \(1, 9\), expected \(1, 571\)"):
        extract_features_backward(d[:, :9], pictures)


def test_the_whole_way_back_against_automatic_differentiation():
    """The shipped network on a picture of bytes: JAX through the restated features."""
    classifier = PhotoClassifier.load()
    scene = Image.fromarray(render_scenes(2, seed=3, size=(160, 120))[0][1])
    square = np.array(scene.resize((SIDE, SIDE), Image.Resampling.BOX))
    p = classifier.parameters
    depth = len(p) // 2

    def logit(features):
        A = jnp.tanh((features - classifier.mean) / classifier.scale)
        for l in range(1, depth):
            A = jax.nn.relu(p[f"W{l}"] @ A + p[f"b{l}"][:, 0])
        return (p[f"W{depth}"] @ A + p[f"b{depth}"][:, 0])[0]

    # a hair from the bytes, so that no two pixels tie and none is black
    hair = np.random.default_rng(0).uniform(1e-5, 1e-3, square.shape)
    pixels = (np.clip(square / 255, 0, 0.99) + hair).astype(np.float32)
    order = np.argsort(pixels.max(axis=2).ravel(), kind="stable")
    values, _ = restated.values_and_gradient(
        pixels.astype(float), order, np.zeros(len(feature_names()))
    )
    _, expected = restated.values_and_gradient(pixels.astype(float), order, jax.grad(logit)(values))
    found = pixel_gradient(classifier, pixels[None], 1)[0]
    assert np.linalg.norm(found - expected) < 0.01 * np.linalg.norm(expected)
