import numpy as np
import pytest

from backlit.errors import ShapeError
from backlit.photos.features import GRID, SIDE, extract_features, feature_names


def one(picture):
    values = extract_features(picture[None])
    return dict(zip(feature_names(), values[0], strict=True))


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8)


def luminance(picture):
    return picture.astype(np.float64) / 255 @ [0.299, 0.587, 0.114]


def test_names_are_unique_and_fit(noise):
    features = extract_features(noise)
    assert features.shape == (5, len(feature_names()))
    assert features.dtype == np.float32
    assert len(set(feature_names())) == len(feature_names())


def test_blocks(noise):
    picture = noise[0]
    found = one(picture)
    size = SIDE // GRID
    for row, column in ((0, 0), (3, 6), (7, 7)):
        block = picture[row * size : (row + 1) * size, column * size : (column + 1) * size]
        red, green, blue = block.reshape(-1, 3).mean(axis=0) / 255
        y = luminance(block)
        expected = {
            "red": red,
            "green": green,
            "blue": blue,
            "minimum": y.min(),
            "maximum": y.max(),
            "contrast": np.sqrt(y.var() + 1e-5),
            "log red/green": np.log((red + 0.02) / (green + 0.02)),
            "log blue/green": np.log((blue + 0.02) / (green + 0.02)),
            "log luminance": np.log(y.mean() + 0.02),
        }
        for name, value in expected.items():
            assert found[f"{name}, block {row} {column}"] == pytest.approx(value, abs=2e-6)


def linear_histogram(values, bins):
    """The definition: a value between two centres counts for both, in proportion."""
    counts = np.zeros(bins)
    for value in values.ravel():
        place = min(max(value, 0.0), 1.0) * (bins - 1)
        low = min(int(place), bins - 2)
        counts[low] += 1 - (place - low)
        counts[low + 1] += place - low
    return np.sqrt(counts / values.size)


def channels(picture):
    p = picture.astype(np.float64) / 255
    y = luminance(picture)
    brightest, darkest = p.max(axis=2), p.min(axis=2)
    total = p.sum(axis=2) + 0.06
    across = np.abs(y[:-1, 1:] - y[:-1, :-1])
    down = np.abs(y[1:, :-1] - y[:-1, :-1])
    return {
        "luminance": y,
        "log luminance": 1 + np.log2(y + 1 / 64) / 6,
        "saturation": (brightest - darkest) / (brightest + 0.05),
        "red share": 1.5 * (p[..., 0] + 0.02) / total,
        "blue share": 1.5 * (p[..., 2] + 0.02) / total,
        "gradient": np.sqrt(across + down),
        "relative gradient": np.sqrt((across + down) / (y[:-1, :-1] + 0.05) / 2),
    }


def test_histograms(noise):
    picture = noise[1].copy()
    picture[: SIDE // 2] //= 5
    found = one(picture)
    for name, values in channels(picture).items():
        third = np.arange(len(values)) * 3 // len(values)
        bands = {"whole": values, "top": values[third == 0], "bottom": values[third == 2]}
        for band, part in bands.items():
            shares = [found[key] for key in found if key.startswith(f"{name}, {band}, bin ")]
            assert np.square(shares).sum() == pytest.approx(1, abs=1e-5)
            # Steps of 1/1024 before binning: a root near zero feels them most.
            expected = linear_histogram(part, len(shares))
            assert np.abs(np.square(shares) - np.square(expected)).max() < 1e-3


def test_a_shift_between_bins_moves_the_histogram_smoothly():
    grey = np.arange(100, 117, dtype=np.uint8)
    pictures = np.broadcast_to(grey[:, None, None, None], (17, SIDE, SIDE, 3))
    position = feature_names().index("luminance, whole, bin 6")
    shares = np.square(extract_features(pictures)[:, position : position + 2].astype(float))
    np.testing.assert_allclose(shares.sum(axis=1)[2:], 1, atol=4e-3)
    steps = np.diff(shares[2:, 1])
    np.testing.assert_allclose(steps, 15 / 255, atol=2e-2)


def test_flat_pictures_are_finite():
    for level in (0, 1, 128, 255):
        picture = np.full((1, SIDE, SIDE, 3), level, dtype=np.uint8)
        assert np.isfinite(extract_features(picture)).all()


def test_floats_in_place_of_bytes(noise):
    floats = noise * np.float32(1 / 255)
    np.testing.assert_array_equal(extract_features(floats), extract_features(noise))


def test_batches_do_not_mix(noise):
    many = np.concatenate([noise] * 15)
    np.testing.assert_array_equal(extract_features(many)[70:75], extract_features(noise))
    np.testing.assert_array_equal(extract_features(noise[2:3])[0], extract_features(noise)[2])


def test_input_is_left_alone(noise):
    before = noise.copy()
    noise.setflags(write=False)
    extract_features(noise)
    np.testing.assert_array_equal(noise, before)


def test_no_pictures():
    none = np.zeros((0, SIDE, SIDE, 3), dtype=np.uint8)
    assert extract_features(none).shape == (0, len(feature_names()))


def test_wrong_shape():
    with pytest.raises(ShapeError, match=r"shape \(2, 8, 8, 3\), expected \(m, 64, 64, 3\)"):
        extract_features(np.zeros((2, 8, 8, 3), dtype=np.uint8))
