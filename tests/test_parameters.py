import numpy as np
import pytest

from backlit import initialize_parameters, initialize_parameters_deep, update_parameters
from backlit.errors import DTypeError, NonFiniteError, SettingError, ShapeError, UnknownNameError
from backlit.names import ACTIVATIONS
from backlit.parameters import Layout, aligned_zeros


def test_initialized_names_shapes_and_zero_biases():
    parameters = initialize_parameters([5, 4, 3, 1])
    assert list(parameters) == ["W1", "b1", "W2", "b2", "W3", "b3"]
    dims = (5, 4, 3, 1)
    for l in (1, 2, 3):
        assert parameters[f"W{l}"].shape == (dims[l], dims[l - 1])
        assert parameters[f"b{l}"].shape == (dims[l], 1)
        assert (parameters[f"b{l}"] == 0).all()
        assert (parameters[f"W{l}"] != 0).all()
    assert initialize_parameters_deep is initialize_parameters


@pytest.mark.parametrize(
    ("activation", "variance"),
    [("relu", 2 / 300), ("tanh", 2 / 500), ("selu", 1 / 300), ("sigmoid", 2 / 500)],
)
def test_variance_follows_the_activation(activation, variance):
    W = initialize_parameters([300, 200], activations=[activation])["W1"]
    # the variance of 60,000 normal numbers is known to 0.6 %, their mean to a 245th of their spread
    assert W.var() == pytest.approx(variance, rel=0.03)
    assert abs(W.mean()) < 5 * np.sqrt(variance / W.size)


def test_the_default_is_he_before_relu_and_glorot_before_sigmoid():
    ours = initialize_parameters([300, 200, 100], 3)
    named = initialize_parameters([300, 200, 100], 3, activations=["relu", "sigmoid"])
    for name, value in ours.items():
        np.testing.assert_array_equal(value, named[name])
    assert ours["W1"].var() == pytest.approx(2 / 300, rel=0.03)
    assert ours["W2"].var() == pytest.approx(2 / 300, rel=0.05)
    lecun = initialize_parameters([300, 200, 100], 3, initialization="lecun")
    np.testing.assert_allclose(lecun["W1"] * np.sqrt(2), ours["W1"], rtol=1e-14)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_has_an_initialization(name):
    assert np.isfinite(initialize_parameters([3, 2], activations=[name])["W1"]).all()


def test_seeds():
    one, same, other = (initialize_parameters([3, 2], seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one["W1"], same["W1"])
    assert (one["W1"] != other["W1"]).all()
    np.testing.assert_array_equal(
        initialize_parameters([3, 2])["W1"], initialize_parameters([3, 2], 0)["W1"]
    )
    generator = np.random.default_rng(7)
    np.testing.assert_array_equal(initialize_parameters([3, 2], generator)["W1"], one["W1"])
    assert (initialize_parameters([3, 2], generator)["W1"] != one["W1"]).all()
    for rng in (7, np.random.default_rng(7), np.random.PCG64(7), np.random.SeedSequence(7)):
        np.testing.assert_array_equal(initialize_parameters([3, 2], rng=rng)["W1"], one["W1"])
    with pytest.raises(SettingError, match="seed is 7 and rng is 7, expected only one of them"):
        initialize_parameters([3, 2], 7, rng=7)
    with pytest.raises(SettingError, match="seed is -1, expected an integer of at least 0"):
        initialize_parameters([3, 2], -1)
    unseeded = [initialize_parameters([3, 2], None)["W1"] for _ in range(2)]
    assert (unseeded[0] != unseeded[1]).all()


def test_global_randomness_is_neither_used_nor_moved():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    initialize_parameters([3, 2])
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_both_types_start_from_the_same_weights():
    one = initialize_parameters([3, 2, 1], 5, dtype=np.float64)
    other = initialize_parameters([3, 2, 1], 5, dtype="float32")
    for name in one:
        assert other[name].dtype == np.float32
        np.testing.assert_array_equal(other[name], one[name].astype(np.float32))


def test_parameters_are_views_into_one_vector():
    parameters = initialize_parameters((3, 2, 1))
    vector = parameters["W1"].base
    assert vector.shape == (3 * 2 + 2 + 2 * 1 + 1,)
    assert vector.flags.c_contiguous
    assert all(value.base is vector for value in parameters.values())
    vector[:] = np.arange(11)
    np.testing.assert_array_equal(parameters["W1"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(parameters["b1"], [[6], [7]])
    np.testing.assert_array_equal(parameters["W2"], [[8, 9]])
    np.testing.assert_array_equal(parameters["b2"], [[10]])


@pytest.mark.parametrize("dims", [[5], [], [5, 0], [5, -1], [5, 2.0], [5, True], ["5", 2], 5, None])
def test_sizes_are_checked(dims):
    with pytest.raises(SettingError) as caught:
        initialize_parameters(dims)
    assert str(caught.value) == (
        f"initialize_parameters: layer_dims is {dims!r}, expected at least two positive integers, "
        "n_0, n_1, ..., n_L."
    )


def test_sizes_may_be_numpy_integers():
    assert initialize_parameters(np.array([3, 2]))["W1"].shape == (2, 3)


def test_settings_are_checked():
    with pytest.raises(SettingError, match="activations has 1 names, expected 2, one a layer"):
        initialize_parameters([3, 2, 1], activations=["relu"])
    with pytest.raises(UnknownNameError, match="initialize_parameters: activation is 'ralu'"):
        initialize_parameters([3, 2], activations=["ralu"])
    for wrong in ("hee", ["he"]):
        with pytest.raises(SettingError) as caught:
            initialize_parameters([3, 2], initialization=wrong)
        assert str(caught.value) == (
            f"initialize_parameters: initialization is {wrong!r}, expected one of 'he', 'glorot', "
            "'lecun'."
        )
    for dtype in (np.int64, np.float16, "complex128", "nonsense", ">f8"):
        with pytest.raises(SettingError, match=r"dtype is .*, expected float32 or float64"):
            initialize_parameters([3, 2], dtype=dtype)


# ------------------------------------------------------------------------------------- layout


def test_layout_offsets_tile_the_vector():
    layout = Layout([4, 3, 2])
    assert layout.layer_dims == (4, 3, 2)
    assert layout.n_layers == 2
    assert layout.weight_offsets == (0, 15)
    assert layout.bias_offsets == (12, 21)
    assert layout.size == 23
    vector = np.zeros(23, np.float32)
    for view in layout.views(vector, "d").values():
        view += 1
    np.testing.assert_array_equal(vector, 1)
    assert list(layout.views(vector, "d")) == ["dW1", "db1", "dW2", "db2"]


def test_pack_is_the_inverse_of_views_and_copies():
    parameters = initialize_parameters([4, 3, 2], 1)
    layout = Layout([4, 3, 2])
    vector = layout.pack(parameters, np.float64)
    np.testing.assert_array_equal(vector, parameters["W1"].base)
    assert not np.shares_memory(vector, parameters["W1"])
    grads = {f"d{name}": value for name, value in parameters.items()}
    assert layout.pack(grads, np.float32, prefix="d").dtype == np.float32


def test_layout_checks():
    layout = Layout([2, 1])
    with pytest.raises(ShapeError, match=r"vector has shape \(4,\), expected \(3,\)"):
        layout.views(np.zeros(4))
    with pytest.raises(SettingError, match=r"Layout.pack: b1 is missing, expected \(1, 1\)"):
        layout.pack({"W1": np.zeros((1, 2))}, np.float64)
    with pytest.raises(ShapeError, match=r"Layout.pack: W1 has shape \(2, 1\), expected \(1, 2\)"):
        layout.pack({"W1": np.zeros((2, 1)), "b1": np.zeros((1, 1))}, np.float64)
    with pytest.raises(SettingError, match="Layout: layer_dims is"):
        Layout([3])


# ------------------------------------------------------------------------------------- update


def _step(dtype=np.float64):
    parameters = initialize_parameters([3, 2, 1], 1, dtype=dtype)
    rng = np.random.default_rng(2)
    grads = {f"d{n}": rng.normal(size=v.shape).astype(dtype) for n, v in parameters.items()}
    return parameters, {**grads, "dA0": np.ones((3, 4)), "dA1": np.ones((2, 4))}


def test_update_is_a_step_downhill_into_new_arrays():
    parameters, grads = _step()
    before = {name: value.copy() for name, value in {**parameters, **grads}.items()}
    updated = update_parameters(parameters, grads, 0.1)
    assert list(updated) == list(parameters)
    for name, value in updated.items():
        np.testing.assert_allclose(value, before[name] - 0.1 * before[f"d{name}"], rtol=1e-15)
        assert not np.shares_memory(value, parameters[name])
        assert not np.shares_memory(value, grads[f"d{name}"])
    for name, value in {**parameters, **grads}.items():
        np.testing.assert_array_equal(value, before[name])
    still = update_parameters(parameters, grads, 0)
    for name, value in still.items():
        np.testing.assert_array_equal(value, parameters[name])
        assert not np.shares_memory(value, parameters[name])


@pytest.mark.parametrize("rate", [0.1, np.float64(0.1), np.float32(0.1), np.array(0.1)])
def test_update_keeps_float32_whatever_the_rate_or_the_gradients_are(rate):
    parameters, grads = _step(np.float32)
    for given in (grads, {name: value.astype(np.float64) for name, value in grads.items()}):
        updated = update_parameters(parameters, given, rate)
        assert {value.dtype for value in updated.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("rate", [-0.1, np.nan, np.inf, None, "0.1", 1j])
def test_learning_rates_are_checked(rate):
    with pytest.raises(SettingError) as caught:
        update_parameters(*_step(), rate)
    assert str(caught.value) == (
        f"update_parameters: learning_rate is {rate!r}, expected a finite number of at least 0."
    )


def test_updates_are_checked():
    parameters, grads = _step()
    lacking = {name: value for name, value in grads.items() if name != "db2"}
    with pytest.raises(SettingError, match=r"grads lacks 'db2', the gradient of b2"):
        update_parameters(parameters, lacking, 0.1)
    with pytest.raises(ShapeError) as caught:
        update_parameters(parameters, {**grads, "dW1": np.ones((3, 2))}, 0.1)
    assert str(caught.value) == (
        "update_parameters: dW1 has shape (3, 2), expected (2, 3) because W1 has that shape."
    )
    with pytest.raises(NonFiniteError, match="update_parameters: db1 has 1 non-finite of 2"):
        update_parameters(parameters, {**grads, "db1": [[np.nan], [0]]}, 0.1)
    with pytest.raises(DTypeError, match="update_parameters: dW2 is complex"):
        update_parameters(parameters, {**grads, "dW2": np.ones((1, 2)) + 0j}, 0.1)
    with pytest.raises(SettingError, match="parameters is list, expected a mapping of arrays"):
        update_parameters([1], grads, 0.1)
    with pytest.raises(SettingError, match="grads is NoneType, expected a mapping of arrays"):
        update_parameters(parameters, None, 0.1)
    with pytest.raises(SettingError, match="parameters has the key 1, expected W1, b1"):
        update_parameters({1: np.ones(1)}, grads, 0.1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 15, 16, 1000])
def test_vectors_begin_with_a_cache_line(size, dtype):
    vector = aligned_zeros(size, dtype)
    assert vector.shape == (size,)
    assert vector.dtype == dtype
    assert vector.ctypes.data % 64 == 0
    assert not vector.any()


def test_packed_parameters_begin_with_a_cache_line():
    arrays = {"W1": np.ones((3, 5)), "b1": np.ones((3, 1))}
    for _ in range(8):  # an unaligned one would be aligned by chance at times
        assert Layout((5, 3)).pack(arrays, np.float32).ctypes.data % 64 == 0
