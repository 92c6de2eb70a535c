import numpy as np
import pytest
from PIL import Image

from backlit.errors import ShapeError
from backlit.photos.features import SIDE, extract_features, feature_names
from backlit.photos.patches import load_dictionary
from photos.compiled.rounding import U, bounds_of

#: what stepping a value at 1024 levels moves a histogram's share by, at most: half a step
STEPPING = 11 / 2 / 1023
#: and rounding a sum of a band's shares, of at most 1024 terms and ten roundings
SUMMING = (1024 + 10) * U


def one(picture):
    values = extract_features(picture[None])
    return dict(zip(feature_names(), values[0].astype(float), strict=True))


def bounds(picture):
    """Return by name how far a feature may be off; a deviation's or an amount's, its square."""
    return dict(zip(feature_names(), bounds_of(picture).errors, strict=True))


@pytest.fixture
def noise():
    """Blurred noise, the upper half dark: pictures with something of everything."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    pictures = np.stack(
        [np.asarray(Image.fromarray(one).resize((SIDE, SIDE), 3)) for one in coarse]
    )
    pictures[:, : SIDE // 2] //= 3
    return pictures


def luminance(p):
    return p @ [0.299, 0.587, 0.114]


def test_names_are_unique_and_fit(noise):
    features = extract_features(noise)
    assert features.shape == (5, len(feature_names()))
    assert 500 < len(feature_names()) < 800
    assert features.dtype == np.float32
    assert len(set(feature_names())) == len(feature_names())


def block_means(y, side):
    size = SIDE // side
    means = y.reshape(size, side, size, side).mean(axis=(1, 3))
    return np.repeat(np.repeat(means, side, axis=0), side, axis=1)


def test_rank_statistics(noise):
    """Against the definition, pixel by pixel and sorted."""
    picture = noise[0]
    found = one(picture)
    p = picture.astype(np.float64) / 255
    y = luminance(p)
    brightest, darkest = p.max(axis=2), p.min(axis=2)
    padded = np.pad(y, 1, mode="edge")
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    gradient = np.abs(np.diff(y, axis=0, prepend=y[:1]))
    gradient += np.abs(np.diff(y, axis=1, prepend=y[:, :1]))
    height = np.broadcast_to(np.linspace(0, 1, SIDE)[:, None], y.shape)
    quantities = {
        "log luminance": np.log(y + 0.02),
        "saturation": (brightest - darkest) / (brightest + 0.05),
        "log red/green": np.log((p[..., 0] + 0.02) / (p[..., 1] + 0.02)),
        "log blue/green": np.log((p[..., 2] + 0.02) / (p[..., 1] + 0.02)),
        "point contrast": np.abs(y - around / 4) / (y + 0.05),
        "gradient": gradient / (y + 0.05),
        "contrast to 8 x 8": np.log((y + 0.02) / (block_means(y, 8) + 0.02)),
        "contrast to 4 x 4": np.log((y + 0.02) / (block_means(y, 4) + 0.02)),
        "height": height,
        "distance from the middle": np.abs(np.linspace(-1, 1, SIDE)) + 0 * y,
        "height squared": height**2,
    }
    errors = bounds(picture)
    order = np.argsort(picture.max(axis=2).ravel(), kind="stable")
    for low, high in ((0, 2), (2, 10), (25, 50), (97, 99), (99, 100)):
        begin, end = round(low / 100 * SIDE**2), round(high / 100 * SIDE**2)
        mine = order[begin:end]
        for name, values in quantities.items():
            part = values.ravel()[mine]
            where = f"ranks {low} to {high} %"
            error = errors[f"mean {name}, {where}"]
            assert found[f"mean {name}, {where}"] == pytest.approx(part.mean(), abs=error)
            deviation = f"deviation of {name}, {where}"
            if deviation in found:
                square = pytest.approx(part.var() + 1e-6, abs=errors[deviation])
                assert found[deviation] ** 2 == square


def linear_histogram(values, bins):
    """The definition: a value between two centres counts for both, in proportion."""
    counts = np.zeros(bins)
    for value in values.ravel():
        place = min(max(value, 0.0), 1.0) * (bins - 1)
        low = min(int(place), bins - 2)
        counts[low] += 1 - (place - low)
        counts[low + 1] += place - low
    return counts / values.size


def test_histograms_of_relative_luminance(noise):
    picture = noise[1]
    found = one(picture)
    values = np.log(luminance(picture / 255.0) + 0.02)
    ordered = np.sort(values.ravel())
    third = np.arange(SIDE) * 3 // SIDE
    bands = {"whole": values, "top": values[third == 0], "bottom": values[third == 2]}
    for name, share, low, high in (("median", 0.5, -3, 3), ("98 %", 0.98, -4, 0.5)):
        reference = ordered[int(share * (SIDE**2 - 1))]
        for band, part in bands.items():
            prefix = f"log luminance to its {name}, {band}, bin "
            shares = np.square([found[key] for key in found if key.startswith(prefix)])
            assert shares.sum() == pytest.approx(1, abs=SUMMING)
            expected = linear_histogram((part - reference - low) / (high - low), 12)
            assert np.abs(shares - expected).max() < STEPPING + SUMMING


def test_exposure_moves_no_relative_luminance():
    generator = np.random.default_rng(0)
    bright = generator.uniform(0.2, 0.9, (1, SIDE, SIDE, 3)).astype(np.float32)
    # A stop less light; the 0.02 of a black pixel's noise is scaled with it.
    dark = (bright + np.float32(0.02)) / 2 - np.float32(0.02)
    names = feature_names()
    places = [place for place, name in enumerate(names) if name.startswith("log luminance to")]
    first, second = extract_features(bright)[0, places], extract_features(dark)[0, places]
    np.testing.assert_allclose(second, first, atol=2e-2)


@pytest.mark.parametrize(
    ("colour", "hue"),
    [((200, 40, 40), "red"), ((40, 200, 200), "cyan"), ((40, 200, 40), None), ((90, 90, 90), "")],
)
def test_hues_of_flat_colours(colour, hue):
    picture = np.full((SIDE, SIDE, 3), colour, dtype=np.uint8)
    found, errors = one(picture), bounds(picture)
    total = sum(error for name, error in errors.items() if name.startswith("amount of"))
    p = np.array(colour) / 255
    spread = p.max() - p.min()
    amounts = {
        key.split(" of ")[1].removesuffix(", top"): value**2 - 1e-4
        for key, value in found.items()
        if key.startswith("amount of") and key.endswith(", top")
    }
    assert sum(amounts.values()) == pytest.approx(spread, abs=total)
    if hue is None:  # 120 degrees: a third of the way from spring back to green
        assert amounts["green"] == pytest.approx(spread / 3, abs=total)
        assert amounts["spring"] == pytest.approx(spread * 2 / 3, abs=total)
    elif hue:
        assert amounts[hue] == pytest.approx(spread, abs=total)
        share = spread / (spread + 0.01)
        light = f"luminance of {hue}, whole"
        assert found[light] == pytest.approx(share * luminance(p), abs=errors[light])


def test_patches(noise):
    """Against the definition, patch by patch."""
    picture = noise[2]
    found, errors = one(picture), bounds(picture)
    dictionary = load_dictionary()
    roots = np.sqrt(picture.astype(np.float64) / 255)
    halves = {"upper": [], "lower": []}
    starts = range(0, SIDE - 8 + 1, 4)
    for number, row in enumerate(starts):
        for column in starts:
            patch = roots[row : row + 8, column : column + 8].transpose(2, 0, 1).ravel()
            point = (patch - dictionary.mean) @ dictionary.directions.astype(float)
            distance = np.sqrt(np.square(dictionary.entries - point).sum(axis=1))
            half = "upper" if number < len(starts) // 2 else "lower"
            halves[half].append(np.maximum(distance.mean() - distance, 0))
    for half, activations in halves.items():
        names = [f"patch {entry}, {half}" for entry in range(len(dictionary.entries))]
        apart = np.abs([found[name] for name in names] - np.mean(activations, axis=0))
        assert (apart <= [errors[name] for name in names]).all()


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
