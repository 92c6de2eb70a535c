import shutil

import numpy as np
import pytest
from onnx import TensorProto

from backlit.errors import EncoderError, SettingError
from backlit.photos.backbone import encoders
from backlit.photos.backbone.efficientnet_lite import VARIANTS, VECTOR, build, stages
from backlit.photos.backbone.encoders import InputOptions, find_encoder, open_encoder
from backlit.photos.backbone.onnx_files import serialised
from backlit.photos.backbone.running import Encoder
from encoders import LENGTH, SIDE, filters, save_encoder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(encoders, "cache_root", lambda: tmp_path / "cache")
    encoders._find.cache_clear()


def _restated(pictures, mean=(0.0,) * 3, std=(1.0,) * 3, seed=0):
    """The tiny encoder in NumPy: (m, 5) vectors and (m, 5, 4, 4) maps, in double precision."""
    x = (pictures / 255 - np.array(mean)) / np.array(std)
    m, n = len(x), SIDE // 4
    blocks = x.reshape(m, n, 4, n, 4, 3).transpose(0, 1, 3, 5, 2, 4)
    maps = np.maximum(np.einsum("mijcyx,kcyx->mkij", blocks, filters(seed)), 0)
    return maps.mean(axis=(2, 3)), maps


def _pictures(m=3):
    return np.random.default_rng(4).integers(0, 256, (m, SIDE, SIDE, 3)).astype(np.uint8)


# 48 products of float32, each within 2^-24 of numbers below 5 x 5
TOLERANCE = 48 * 2.0**-24 * 25


def test_vectors_and_map_are_those_of_the_network(tmp_path):
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    path = save_encoder(tmp_path / "a.onnx")
    encoder = open_encoder(path, InputOptions(mean=mean, std=std))
    vectors, maps = _restated(_pictures(), mean, std)
    np.testing.assert_allclose(encoder.vectors(_pictures()), vectors, atol=TOLERANCE)
    found = encoder.feature_map(_pictures()[1])
    np.testing.assert_allclose(found, maps[1], atol=TOLERANCE)
    assert encoder.vectors(_pictures())[1].tobytes() == encoder.vectors(_pictures()[1:2]).tobytes()


def test_layout_type_and_means_are_read_from_the_file(tmp_path):
    metadata = {"mean": "[0.4, 0.5, 0.6]", "std": "0.2 0.3 0.25"}
    one = open_encoder(save_encoder(tmp_path / "a.onnx", metadata=metadata))
    assert one.identity.mean == (0.4, 0.5, 0.6)
    assert one.identity.std == (0.2, 0.3, 0.25)
    other = open_encoder(save_encoder(tmp_path / "b.onnx", layout="nhwc", metadata=metadata))
    assert other.identity.layout == "nhwc"
    np.testing.assert_array_equal(one.vectors(_pictures()), other.vectors(_pictures()))
    raw = save_encoder(tmp_path / "c.onnx", layout="nhwc", dtype=TensorProto.UINT8)
    vectors, _ = _restated(_pictures() * 255.0)
    np.testing.assert_allclose(
        open_encoder(raw).vectors(_pictures()), vectors, atol=255 * TOLERANCE
    )
    unsaid = open_encoder(save_encoder(tmp_path / "d.onnx"))
    assert unsaid.identity.mean == encoders.IMAGENET_MEAN


def test_a_size_may_have_to_be_given(tmp_path):
    path = save_encoder(tmp_path / "a.onnx", side=None)
    with pytest.raises(EncoderError, match="--backbone-size"):
        open_encoder(path)
    assert open_encoder(path, InputOptions(size=(SIDE, 2 * SIDE))).size == (SIDE, 2 * SIDE)
    fixed = save_encoder(tmp_path / "b.onnx")
    with pytest.raises(SettingError, match=r"has 8 rows; b.onnx takes 16"):
        open_encoder(fixed, InputOptions(size=(8, 16)))


def test_what_is_no_encoder_is_refused(tmp_path):
    with pytest.raises(EncoderError, match="neither a file nor one of efficientnet-lite0"):
        open_encoder(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(EncoderError, match="ONNX"):
        open_encoder(tmp_path / "text.onnx")
    with pytest.raises(EncoderError, match="has no output other; it has vector"):
        open_encoder(save_encoder(tmp_path / "a.onnx"), InputOptions(output="other"))
    with pytest.raises(SettingError, match="for ONNX files"):
        open_encoder("lite0", InputOptions(size=(3, 3)))
    with pytest.raises(SettingError, match="above 0"):
        open_encoder(tmp_path / "a.onnx", InputOptions(std=(1, 0, 1)))


def test_without_a_mean_at_the_end_there_is_no_map(tmp_path):
    encoder = open_encoder(save_encoder(tmp_path / "a.onnx", head=True))
    assert encoder.length == LENGTH
    assert encoder.feature_map(_pictures()[0]) is None


def test_a_model_finds_its_very_encoder_again(tmp_path):
    path = save_encoder(tmp_path / "a.onnx")
    identity = open_encoder(path).identity
    assert isinstance(find_encoder(identity), Encoder)  # where it was at training
    encoders._find.cache_clear()
    beside = tmp_path / "models"
    beside.mkdir()
    shutil.move(path, beside / "a.onnx")
    assert find_encoder(identity, str(beside)).identity == identity
    encoders._find.cache_clear()
    save_encoder(beside / "a.onnx", seed=9)
    with pytest.raises(EncoderError, match="is another one"):
        find_encoder(identity, str(beside))


def _weights(variant, generator):
    """Random weights by the names that the package's file has."""
    found = {}

    def normalisation(name, n):
        found[f"{name}.weight"] = generator.uniform(0.5, 1.5, n)
        found[f"{name}.bias"] = generator.normal(size=n)
        found[f"{name}.running_mean"] = generator.normal(size=n)
        found[f"{name}.running_var"] = generator.uniform(0.5, 2, n)

    def filters_of(name, *shape):
        fan = np.prod(shape[1:])
        found[f"{name}.weight"] = generator.normal(size=shape) / np.sqrt(fan)

    filters_of("_conv_stem", 32, 3, 3, 3)
    normalisation("_bn0", 32)
    channels, number = 32, 0
    for stage in stages(variant):
        for _ in range(stage.repeats):
            wide, block = channels * stage.widening, f"_blocks.{number}"
            if stage.widening > 1:
                filters_of(f"{block}._expand_conv", wide, channels, 1, 1)
                normalisation(f"{block}._bn0", wide)
            filters_of(f"{block}._depthwise_conv", wide, 1, stage.kernel, stage.kernel)
            normalisation(f"{block}._bn1", wide)
            filters_of(f"{block}._project_conv", stage.channels, wide, 1, 1)
            normalisation(f"{block}._bn2", stage.channels)
            channels, number = stage.channels, number + 1
    filters_of("_conv_head", 1280, channels, 1, 1)
    normalisation("_bn1", 1280)
    return {name: values.astype(np.float32) for name, values in found.items()}


def _convolve(x, W, stride, groups):
    """TensorFlow's "same" convolution of (channels, rows, columns), by its definition."""
    k, n = W.shape[2], x.shape[1]
    out = -(-n // stride)
    total = max((out - 1) * stride + k - n, 0)
    before = total // 2
    padded = np.pad(x, ((0, 0), (before, total - before), (before, total - before)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(1, 2))
    windows = windows[:, ::stride, ::stride][:, :out, :out]
    if groups == 1:
        return np.einsum("cijyx,kcyx->kij", windows, W, optimize=True)
    return np.einsum("cijyx,cyx->cij", windows, W[:, 0])


def _forward(variant, weights, x):
    """EfficientNet-Lite block by block, with batch normalisation as it is written."""

    def normal(x, name):
        gamma, beta, mean, variance = (
            weights[f"{name}.{part}"].astype(float)[:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta

    def layer(x, name, normalisation, stride=1, groups=1):
        W = weights[f"{name}.weight"].astype(float)
        return normal(_convolve(x, W, stride, groups), normalisation)

    x = np.clip(layer(x, "_conv_stem", "_bn0", 2), 0, 6)
    number = 0
    for stage in stages(variant):
        for repeat in range(stage.repeats):
            block, before = f"_blocks.{number}", x
            stride = stage.stride if repeat == 0 else 1
            if stage.widening > 1:
                x = np.clip(layer(x, f"{block}._expand_conv", f"{block}._bn0"), 0, 6)
            x = layer(x, f"{block}._depthwise_conv", f"{block}._bn1", stride, len(x))
            x = layer(np.clip(x, 0, 6), f"{block}._project_conv", f"{block}._bn2")
            if stride == 1 and x.shape == before.shape:
                x = x + before
            number += 1
    x = np.clip(layer(x, "_conv_head", "_bn1"), 0, 6)
    return x.mean(axis=(1, 2)), x


def test_the_graph_is_efficientnet_lite():
    assert [(s.repeats, s.channels) for s in stages(VARIANTS["lite2"])] == [
        (1, 16), (3, 24), (3, 48), (4, 88), (4, 120), (5, 208), (1, 352),
    ]  # fmt: skip
    variant = VARIANTS["lite0"]._replace(side=32)
    weights = _weights(variant, np.random.default_rng(2))
    data = serialised(build(variant, weights))
    identity = encoders.EncoderIdentity(
        "e", "0" * 64, 1, 32, 32, "nchw", "float32", (0.5,) * 3, (0.5,) * 3, VECTOR, 1280
    )
    picture = np.random.default_rng(3).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    encoder = Encoder(identity, data)
    vector, head = _forward(variant, weights, (picture / 255 - 0.5).transpose(2, 0, 1) / 0.5)
    # 53 layers, each of sums of at most 1,152 products of float32 that are of order one and do not
    # line up: errors of sqrt(1152) units in the last place a layer
    tolerance = 53 * np.sqrt(1152) * 2.0**-24 * 6
    np.testing.assert_allclose(encoder.vectors(picture[None])[0], vector, atol=tolerance)
    np.testing.assert_allclose(encoder.feature_map(picture), head, atol=6 * tolerance)
    assert head.std() > 0.1
    short = {name: value for name, value in weights.items() if name != "_bn1.bias"}
    with pytest.raises(EncoderError, match=r"_bn1.bias: found nothing"):
        build(variant, short)
    with pytest.raises(EncoderError, match="is no part"):
        build(variant, {**weights, "_blocks.99._bn1.bias": weights["_bn1.bias"]})


def test_shipped_weights_are_converted_once_and_by_their_checksum(tmp_path, monkeypatch):
    encoders._shipped.cache_clear()
    first = open_encoder("efficientnet-lite0")
    assert first.map_name is not None
    assert first.length == 1280
    (kept,) = (tmp_path / "cache" / "encoders").glob("*.onnx")
    encoders._shipped.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(encoders, "read_weights", None)  # from the cache
        again = open_encoder("lite0")
        assert again.data == first.data
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")  # damaged: converted anew
    encoders._shipped.cache_clear()
    assert open_encoder("lite0").data == first.data
    encoders._shipped.cache_clear()
    wrong = encoders.replace(encoders.SHIPPED["efficientnet-lite0"], checksum="0" * 64)
    monkeypatch.setitem(encoders.SHIPPED, "efficientnet-lite0", wrong)
    with pytest.raises(EncoderError, match="nothing of it was interpreted"):
        open_encoder("lite0")
    encoders._shipped.cache_clear()
