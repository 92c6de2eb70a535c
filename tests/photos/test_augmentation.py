import numpy as np

from backlit.photos.augmentation import change_light, random_boxes


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
