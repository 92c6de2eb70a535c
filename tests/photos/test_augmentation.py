import numpy as np

from backlit.photos.augmentation import (
    MOST_VEIL,
    VEILED,
    change_light,
    collage,
    collage_copies,
    random_boxes,
    veil,
)


def test_boxes():
    boxes = random_boxes(400, np.random.default_rng(0))
    assert boxes[0] == (0, 0, 1, 1)
    assert len(boxes) == 401
    left, top, right, bottom = np.array(boxes).T
    assert left.min() >= 0
    assert top.min() >= 0
    assert right.max() <= 1 + 1e-12
    assert bottom.max() <= 1 + 1e-12
    assert (right - left).min() >= 0.5 - 1e-12
    assert (right - left).std() > 0.1
    assert boxes == random_boxes(400, np.random.default_rng(0))


def test_light_changes_by_colour_and_keeps_order():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    pictures = np.broadcast_to(ramp, (300, 1, 256, 3)).copy()
    changed = change_light(pictures, np.random.default_rng(1))
    assert changed.dtype == np.uint8
    rising = changed[:, 0, -1, 0] >= changed[:, 0, 0, 0]
    assert 0.4 < rising.mean() < 0.6  # the others are flipped
    upright = np.where(rising[:, None, None, None], changed, changed[:, :, ::-1]).astype(int)
    assert (np.diff(upright, axis=2) >= 0).all()
    middle = upright[:, 0, 128]
    assert middle.std(axis=0).min() > 6
    assert np.abs(middle[:, 0] - middle[:, 2]).max() > 6
    assert abs(np.median(middle) - 128) < 12


def test_input_is_left_alone_and_seeds_repeat():
    pictures = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    before = pictures.copy()
    first = change_light(pictures, np.random.default_rng(3))
    np.testing.assert_array_equal(pictures, before)
    np.testing.assert_array_equal(first, change_light(pictures, np.random.default_rng(3)))
    assert (first != pictures).any()


def test_a_collage_is_of_two_pictures_along_one_straight_cut():
    generator = np.random.default_rng(0)
    m, side = 400, 32
    pictures = generator.integers(0, 128, (m, side, side, 3), dtype=np.uint8)
    pieces = generator.integers(128, 256, (5, side, side, 3), dtype=np.uint8)
    before = pictures.copy()
    made, drawn = collage(pictures, pieces, np.random.default_rng(1))
    np.testing.assert_array_equal(pictures, before)
    again = collage(pictures, pieces, np.random.default_rng(1))
    np.testing.assert_array_equal(made, again[0])
    np.testing.assert_array_equal(drawn, again[1])
    taken = (made >= 128).all(axis=3)
    np.testing.assert_array_equal(made[~taken], pictures[~taken])
    y, x = np.indices((side, side))
    for own, mask, piece in zip(made, taken, drawn, strict=True):
        np.testing.assert_array_equal(own[mask], pieces[piece][mask])
        # one straight line parts the two: that between the middles of the parts will do, moved
        middles = [np.array([y[part].mean(), x[part].mean()]) for part in (mask, ~mask)]
        normal = middles[1] - middles[0]
        along = y * normal[0] + x * normal[1]
        wrong = [((along > place) == mask).sum() for place in np.unique(along)]
        assert min(wrong) <= 0.06 * side * side
    assert set(drawn.tolist()) == set(range(5))
    shares = taken.mean(axis=(1, 2))
    assert 0.1 < shares.min() < 0.35 < 0.65 < shares.max() < 0.9
    level = np.array([(mask == mask[:, :1]).all() for mask in taken])
    assert 0.4 < level.mean() < 0.6
    # the other picture lies above, but for a cut that happens to be level
    assert (taken[level][:, 0, 0] & ~taken[level][:, -1, 0]).mean() > 0.95


def test_most_copies_are_collages_but_one_in_four_is_not():
    assert [collage_copies(k) for k in (0, 1, 2, 3, 4, 8, 15)] == [0, 0, 1, 2, 3, 6, 11]


def test_a_veil_lifts_black_and_keeps_the_order_of_shades():
    shades = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = np.repeat(shades[..., None], 3, axis=2)
    before = picture.copy()
    made = veil(np.stack([picture] * 200), np.random.default_rng(0), least=0.1)
    np.testing.assert_array_equal(picture, before)
    assert made.shape == (200, 16, 16, 3)
    flat = made.reshape(200, 256, 3).astype(int)
    assert (np.diff(flat, axis=1) >= 0).all()
    black = flat[:, 0] / 255
    # the tint is log-normal: within four of its deviations
    assert black.min() > 0.1 * np.exp(-4 * 0.1)
    assert black.max() < MOST_VEIL * np.exp(4 * 0.1)
    assert (flat[:, -1] - flat[:, 0] >= 0.2 * 255).all()  # there is still a picture
    assert 0.15 < black.mean() < 0.3


def test_a_share_of_the_copies_is_veiled():
    black = np.zeros((400, 4, 4, 3), np.uint8)
    lifted = change_light(black, np.random.default_rng(1)).max(axis=(1, 2, 3)) > 0
    # four standard deviations of a share of 400
    assert abs(lifted.mean() - VEILED) < 4 * np.sqrt(VEILED * (1 - VEILED) / 400)
