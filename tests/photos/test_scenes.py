"""The rendered scenes: their form, their reproducibility, and how hard they are."""

import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from threadpoolctl import threadpool_info, threadpool_limits

from backlit._cores import one_blas_thread
from backlit.errors import DTypeError, SettingError, ShapeError, UnknownNameError
from backlit.photos import scenes
from backlit.photos.scenes import (
    DAY_WEATHERS,
    NIGHT_WEATHERS,
    PLACES,
    _raster,
    _render,
    contact_sheet,
    render_scene,
    render_scenes,
)
from backlit.photos.scenes.__main__ import main


def luminance(images):
    """Mean Rec. 601 luma of each picture."""
    return np.array([float((image @ np.array([0.299, 0.587, 0.114])).mean()) for image in images])


def best_threshold(brightness, labels):
    """Accuracy of the best rule 'darker than t is night', t chosen on the set itself."""
    order = np.argsort(brightness, kind="stable")
    night = (labels[order] == 1).astype(int)
    nights_below = np.concatenate([[0], np.cumsum(night)])
    days_above = np.concatenate([[0], np.cumsum(1 - night)])[-1] - np.concatenate(
        [[0], np.cumsum(1 - night)]
    )
    return float((nights_below + days_above).max() / len(labels))


@pytest.fixture(scope="module")
def sets():
    """Give four sets of 400, by seed; the first in full size."""
    return {0: render_scenes(400, seed=0)} | {
        seed: render_scenes(400, seed=seed, size=(64, 48)) for seed in (1, 2, 7)
    }


class TestForm:
    def test_default_set(self, sets):
        images, labels = sets[0]
        assert isinstance(images, list)
        assert len(images) == 400
        assert {image.shape for image in images} == {(120, 160, 3)}
        assert {image.dtype for image in images} == {np.dtype(np.uint8)}
        assert np.issubdtype(labels.dtype, np.integer)
        np.testing.assert_array_equal(labels, np.tile([0, 1], 200))

    @pytest.mark.parametrize(("n", "nights"), [(0, 0), (1, 0), (2, 1), (7, 3)])
    def test_balance(self, n, nights):
        images, labels = render_scenes(n, size=(32, 24))
        assert len(images) == n
        assert labels.shape == (n,)
        assert labels.sum() == nights

    @pytest.mark.parametrize(
        "size", [(1, 1), (2, 3), (7, 5), (33, 57), (24, 24), (200, 30), (25, 140), (323, 241)]
    )
    def test_sizes(self, size):
        images, _ = render_scenes(24, seed=3, size=size)
        assert {image.shape for image in images} == {(size[1], size[0], 3)}

    @pytest.mark.parametrize("size", [(40, 30), (61, 45)])
    def test_every_place_in_every_weather(self, size):
        for label, weathers in ((0, DAY_WEATHERS), (1, NIGHT_WEATHERS)):
            for place in PLACES:
                for weather in weathers:
                    image = render_scene(
                        label, np.random.default_rng(5), size=size, place=place, weather=weather
                    )
                    assert image.shape == (size[1], size[0], 3)
                    assert image.dtype == np.uint8

    def test_pictures_are_the_callers_own(self):
        images, _ = render_scenes(12, size=(40, 30))
        for image in images:
            assert image.flags.writeable
            assert image.flags.c_contiguous
        assert not any(np.shares_memory(images[0], other) for other in images[1:])


class TestReproducibility:
    def test_same_seed_same_bits_whatever_n(self, sets):
        small, labels = render_scenes(9, seed=7, size=(64, 48))
        large, _ = sets[7]
        np.testing.assert_array_equal(labels, np.arange(9) % 2)
        for mine, other in zip(small, large[:9], strict=True):
            np.testing.assert_array_equal(mine, other)

    def test_other_seed_other_scenes(self, sets):
        assert all(not np.array_equal(a, b) for a, b in zip(sets[1][0], sets[2][0], strict=True))
        assert len({image.tobytes() for image in sets[0][0]}) == 400

    def test_generator_alone_decides(self):
        np.random.seed(1)  # noqa: NPY002 - the global state must not matter
        first = render_scene(1, np.random.default_rng(11))
        np.random.seed(2)  # noqa: NPY002
        np.testing.assert_array_equal(first, render_scene(1, np.random.default_rng(11)))

    def test_threads_change_nothing_and_are_given_back(self):
        def threads():
            libraries = (
                threadpool_info()
            )  # scikit-learn's OpenMP may be among them: not our business
            return [found["num_threads"] for found in libraries if found["user_api"] == "blas"]

        expected, _ = render_scenes(16, seed=6, size=(80, 60))
        with threadpool_limits(2, user_api="blas"):
            before = threads()
            assert 2 in before
            with one_blas_thread():
                assert 2 not in threads()
            images, _ = render_scenes(16, seed=6, size=(80, 60))
            assert threads() == before
            with ThreadPoolExecutor(4) as pool:
                jobs = [pool.submit(render_scenes, 16, seed=6, size=(80, 60)) for _ in range(8)]
                results = [job.result()[0] for job in jobs]
            assert threads() == before
        for other in (images, *results):
            np.testing.assert_array_equal(other, expected)

    def test_another_process_gives_the_same_bits(self):
        code = (
            "import hashlib; from backlit.photos.scenes import render_scenes as r;"
            "print(hashlib.sha256(b''.join(i.tobytes() for i in r(10, seed=4)[0])).hexdigest())"
        )
        digests = {
            subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONHASHSEED": hash_seed, "OPENBLAS_NUM_THREADS": hash_seed},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for hash_seed in ("1", "2")
        }
        assert len(digests) == 1

    def test_a_larger_picture_shows_the_same_scene(self):
        small, _ = render_scenes(60, seed=5, size=(80, 60))
        large, _ = render_scenes(60, seed=5, size=(240, 180))
        alike = []
        for a, b in zip(small, large, strict=True):
            shrunk = np.asarray(Image.fromarray(b).resize((80, 60), Image.Resampling.BOX))
            alike.append(abs(float(a.mean()) - float(shrunk.mean())))
        assert np.median(alike) < 3.0
        assert np.quantile(alike, 0.9) < 12.0


class TestContent:
    def test_brightness_alone_does_not_tell(self, sets):
        for images, labels in sets.values():
            score = best_threshold(luminance(images), labels)
            assert 0.82 < score < 0.95

    def test_the_threshold_finds_what_there_is(self):
        labels = np.array([1, 0, 1, 0])
        assert best_threshold(np.array([10.0, 90.0, 20.0, 80.0]), labels) == 1.0
        assert best_threshold(np.array([10.0, 90.0, 85.0, 80.0]), labels) == 0.75
        assert best_threshold(np.array([1.0, 1.0, 0.0, 0.0]), np.array([1, 1, 0, 0])) == 0.5

    def test_days_are_brighter_on_the_whole(self, sets):
        for images, labels in sets.values():
            brightness = luminance(images)
            assert np.median(brightness[labels == 0]) > np.median(brightness[labels == 1]) + 50
            # and yet some nights outshine some days, by far
            assert brightness[labels == 1].max() > np.quantile(brightness[labels == 0], 0.25)

    def test_simple_features_tell_more_than_brightness(self):
        # logistic regression by Newton's method on an 4 x 4 thumbnail and a histogram
        def features(images):
            rows = []
            for image in images:
                thumbnail = np.asarray(Image.fromarray(image).resize((4, 4), Image.Resampling.BOX))
                counts = np.histogram(image @ np.array([0.299, 0.587, 0.114]), 8, (0, 256))[0]
                rows.append(
                    np.concatenate(
                        [[1.0], thumbnail.ravel() / 128.0 - 1.0, np.sqrt(counts / counts.sum())]
                    )
                )
            return np.array(rows)

        images, y = render_scenes(560, seed=21, size=(48, 36))
        X = features(images)
        learn, check = np.arange(400), np.arange(400, 560)
        w = np.zeros(X.shape[1])
        for _ in range(8):
            p = 1.0 / (1.0 + np.exp(-X[learn] @ w))
            slope = X[learn].T @ (p - y[learn]) + 1.0 * w
            bend = (X[learn].T * (p * (1.0 - p))) @ X[learn] + np.eye(len(w))
            w -= np.linalg.solve(bend, slope)
        accuracy = float(((X[check] @ w > 0) == y[check]).mean())
        assert accuracy > 0.86
        # flipped labels, or labels that say nothing about the picture, fail here
        assert accuracy > best_threshold(luminance([images[i] for i in check]), y[check]) - 0.03

    def test_every_place_and_weather_comes_up(self):
        for label, weathers in ((0, DAY_WEATHERS), (1, NIGHT_WEATHERS)):
            rng = np.random.default_rng(0)
            plans = [_render.draw_plan(label, rng) for _ in range(2000)]
            assert {plan.label for plan in plans} == {label}
            assert set(Counter(plan.place for plan in plans)) == set(PLACES)
            assert set(Counter(plan.weather for plan in plans)) == set(weathers)
            assert min(Counter(plan.place for plan in plans).values()) > 20
            assert min(Counter(plan.weather for plan in plans).values()) > 20

    def test_plans_are_obeyed(self):
        def mean_colour(label, weather, place):
            images = [
                render_scene(
                    label, np.random.default_rng(k), size=(64, 48), place=place, weather=weather
                )
                for k in range(24)
            ]
            return np.mean(images, axis=(0, 1, 2))

        blue = mean_colour(0, "clear", "sky")
        grey = mean_colour(0, "overcast", "sky")
        assert blue[2] - blue[0] > 50 > 20 > abs(grey[2] - grey[0])
        aurora = mean_colour(1, "aurora", "sky")
        glow = mean_colour(1, "skyglow", "sky")
        assert aurora[1] > aurora[0]
        assert glow[0] > glow[2] + 10

    def test_places_do_not_know_the_hour(self):
        # the same draws set up the same stage by day, where no light is painted, and by night
        frame = _raster.make_frame(64, 48)
        for name, (build, _, _) in _render.PLACES.items():
            dark, lit = (_render.Stage(frame, False, glowing) for glowing in (False, True))
            for stage in (dark, lit):
                build(stage, np.random.default_rng(8))
            for mine, other in zip(dark.arrays()[:2], lit.arrays()[:2], strict=True):
                np.testing.assert_array_equal(mine, other, err_msg=name)
            assert dark.lamps == lit.lamps


class TestDrawing:
    @pytest.mark.parametrize("cells", [(3, 4), (12, 18)])
    def test_fractal_noise_is_standardised(self, cells):
        noise = _raster.fractal(
            _raster.make_frame(97, 61), np.random.default_rng(1), cells=cells, octaves=3
        )
        assert noise.shape == (61, 97)
        assert noise.dtype == np.float32
        assert abs(float(noise.mean())) < 1e-5
        assert float(noise.std()) == pytest.approx(1.0, abs=1e-4)

    def test_static_is_white(self):
        noise = _raster.static(np.random.default_rng(2), (400, 500))
        assert abs(float(noise.mean())) < 0.01
        assert float(noise.std()) == pytest.approx(1.0, abs=0.01)
        assert abs(float((noise[:, 1:] * noise[:, :-1]).mean())) < 0.01

    def test_splat_is_the_sum_of_gaussians(self):
        frame = _raster.make_frame(19, 13)
        rng = np.random.default_rng(3)
        x, y = rng.uniform(0, 1, (2, 4))
        sx, sy = rng.uniform(0.05, 0.4, (2, 4))
        light = rng.uniform(0, 2, (4, 3))
        expected = np.zeros((3, 13, 19))
        for k in range(4):
            for row in range(13):
                for column in range(19):
                    dx = ((column + 0.5) / 13 - x[k]) / sx[k]
                    dy = ((row + 0.5) / 13 - y[k]) / sy[k]
                    expected[:, row, column] += light[k] * np.exp(-0.5 * (dx**2 + dy**2))
        np.testing.assert_allclose(
            _raster.splat(frame, x, y, sx, sy, light), expected, rtol=2e-5, atol=1e-6
        )

    def test_soften_and_resize_keep_the_light(self):
        light = np.random.default_rng(4).random((3, 20, 30), dtype=np.float32)
        softened = _raster.soften(light, 0.2)
        np.testing.assert_allclose(softened.sum((1, 2)), light.sum((1, 2)), rtol=1e-5)
        assert softened.std() < light.std()
        flat = np.full((3, 20, 30), 0.7, np.float32)
        np.testing.assert_allclose(_raster.resize(flat, 7, 41), np.full((3, 41, 7), 0.7), rtol=1e-6)


class TestContactSheet:
    def test_layout(self):
        images = [np.full((3, 4, 3), 10 * k, np.uint8) for k in range(5)]
        sheet = np.asarray(contact_sheet(images, columns=3, gap=1))
        assert sheet.shape == (7, 14, 3)
        np.testing.assert_array_equal(sheet[4:7, 5:9], images[4])
        np.testing.assert_array_equal(sheet[0:3, 10:14], images[2])

    def test_command(self, tmp_path):
        main([str(tmp_path / "sheet.png"), "--seed", "3", "--columns", "2", "--scenes", "4"])
        with Image.open(tmp_path / "sheet.png") as sheet:
            pixels = np.asarray(sheet)
        assert pixels.shape == (242, 322, 3)
        np.testing.assert_array_equal(pixels[122:, 162:], render_scenes(4, seed=3)[0][3])

    def test_command_names_what_is_wrong(self, tmp_path, capsys):
        with pytest.raises(SystemExit) as caught:
            main([str(tmp_path / "sheet.png"), "--columns", "0"])
        assert caught.value.code == 2
        assert "columns is 0, expected 1 or more" in capsys.readouterr().err


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"n": -1}, SettingError, r"render_scenes: n is -1, expected 0 or more"),
            ({"n": 2.0}, DTypeError, r"render_scenes: n is 2\.0, expected an integer"),
            ({"n": True}, DTypeError, r"n is True, expected an integer"),
            ({"n": 1, "seed": -3}, SettingError, r"seed is -3, expected 0 or more"),
            ({"n": 1, "seed": None}, DTypeError, r"seed is None, expected an integer"),
            ({"n": 1, "size": (0, 5)}, SettingError, r"size is \(0, 5\), expected a width"),
            ({"n": 1, "size": (4, 5, 3)}, SettingError, r"expected \(width, height\)"),
            ({"n": 1, "size": 16}, SettingError, r"size is 16, expected \(width, height\)"),
            ({"n": 1, "size": (4.5, 5)}, DTypeError, r"size is 4\.5, expected an integer"),
        ],
    )
    def test_sets(self, arguments, error, message):
        with pytest.raises(error, match=message):
            render_scenes(**arguments)

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"label": 2}, SettingError, r"label is 2, expected 0 \(day\) or 1 \(night\)"),
            ({"label": "day"}, DTypeError, r"label is 'day', expected an integer"),
            ({"rng": 5}, DTypeError, r"rng is a int, expected a numpy\.random\.Generator"),
            ({"rng": np.random.RandomState(0)}, DTypeError, r"rng is a RandomState"),
            ({"place": "moon base"}, UnknownNameError, r"place is 'moon base', expected .*hills"),
            (
                {"weather": "aurora"},
                UnknownNameError,
                r"weather is 'aurora', expected one of clear",
            ),
            ({"label": 1, "weather": "golden"}, UnknownNameError, r"expected one of black"),
        ],
    )
    def test_one_scene(self, arguments, error, message):
        with pytest.raises(error, match=message):
            render_scene(**({"label": 0, "rng": np.random.default_rng(0)} | arguments))

    def test_sheets(self):
        image = np.zeros((3, 4, 3), np.uint8)
        with pytest.raises(SettingError, match="images is empty"):
            contact_sheet([])
        with pytest.raises(SettingError, match="gap is -1"):
            contact_sheet([image], gap=-1)
        with pytest.raises(ShapeError, match=r"images\[1\] has shape \(4, 3, 3\)"):
            contact_sheet([image, image.transpose(1, 0, 2)])

    def test_public_names(self):
        assert set(scenes.__all__) <= set(dir(scenes))
