"""The static page's JavaScript against the package: numbers, texts and files."""

import json
import string

import numpy as np
import pytest

import backlit
from app.documents import document
from backlit.activations import FUNCTIONS, activation_backward
from backlit.app.plane.network import HIDDEN, PlaneNetwork
from backlit.app.plane.passes import run_pass
from backlit.app.plane.table import read_table
from backlit.app.plane.training import train
from backlit.app.plane.values import Values
from backlit.errors import BacklitError

EPS = np.finfo(float).eps
ULPS = (
    16  # of an activation or a slope: exp, tanh, log1p and erfc are good to a few, here and there
)
SLOPE, BEND = 1.8, 1.8  # no g' and no g'' is larger: 1.76 of selu


@pytest.fixture
def page(visit, static_address):
    return visit("/some/where/see/steps.html", base=static_address)


def ask(page, name, *given):
    """Call a function of the backend; an error comes back as its text."""
    return page.evaluate(
        """async ([name, given]) => {
          const { backend } = await import("./static/backend.js");
          try { return await backend[name](...given); } catch (error) { return error.message; }
        }""",
        [name, given],
    )


def imported(page, module, call, given):
    """Map a function of a module over what is given."""
    return page.evaluate(
        f"async (given) => {{ const own = await import('./static/local/{module}'); "
        f"return JSON.parse(given).map((one) => {call}); }}",
        json.dumps(given),  # Playwright's own way with numbers makes -0 of 0 in some versions
    )


def gamma(terms):
    """Bound the relative error of a sum of so many rounded products, twice: once on each side."""
    return 2 * (terms + 2) * EPS / (1 - (terms + 2) * EPS)


def with_bounds(own):
    """Every array of a pass, and how far two ways to compute it in float64 may differ."""
    AL, caches = backlit.model_forward(own.X, own.parameters, activations=own.activations)
    grads = backlit.model_backward(AL, own.Y, caches, activations=own.activations)
    m, E_A = own.X.shape[1], [np.zeros_like(own.X)]
    found, E_Z = {}, {}
    for l, ((A_prev, W, b), Z) in enumerate(caches, start=1):
        terms = np.abs(W) @ np.abs(A_prev) + np.abs(b)
        E_Z[l] = gamma(W.shape[1]) * terms + np.abs(W) @ E_A[-1]
        A = FUNCTIONS[own.activations[l - 1]].forward(Z)
        E_A.append(SLOPE * E_Z[l] + ULPS * EPS * np.abs(A))
        found |= {f"Z{l}": (Z, E_Z[l]), f"A{l}": (A, E_A[-1])}
    L = len(caches)
    dZ, E_dZ = AL - own.Y, E_A[-1] + ULPS * EPS
    for l in range(L, 0, -1):
        A_prev, W, _ = caches[l - 1].linear_cache
        magnitude, E = np.abs(dZ), E_dZ
        E_dW = gamma(m) * magnitude @ np.abs(A_prev).T + E @ np.abs(A_prev).T
        E_dW = (E_dW + magnitude @ E_A[l - 1].T + E @ E_A[l - 1].T) / m
        E_db = (gamma(m) * magnitude + E).sum(axis=1, keepdims=True) / m
        E_dA = gamma(len(W)) * np.abs(W).T @ magnitude + np.abs(W).T @ E
        dA = grads[f"dA{l - 1}"]
        found |= {f"dZ{l}": (dZ, E), f"dA{l - 1}": (dA, E_dA)}
        found |= {f"dW{l}": (grads[f"dW{l}"], E_dW), f"db{l}": (grads[f"db{l}"], E_db)}
        if l > 1:
            name, Z = own.activations[l - 2], caches[l - 2].activation_cache
            if name in ("relu", "leaky_relu", "selu"):  # whose slopes jump at 0
                assert (np.abs(Z) > E_Z[l - 1]).all()
            slope = np.abs(activation_backward(np.ones_like(Z), Z, name))
            E_slope = BEND * E_Z[l - 1] + ULPS * EPS * slope
            dZ = activation_backward(dA, Z, name)
            E_dZ = E_dA * (slope + E_slope) + np.abs(dA) * E_slope
    return found


@pytest.mark.parametrize("activation", HIDDEN)
def test_a_pass_is_the_package_s_within_a_derived_bound(page, activation):
    for seed, hidden in enumerate([(), (8,), (3, 5), (8, 8, 8, 8)]):
        given = document(hidden, activation, count=40, seed=seed)
        own = PlaneNetwork.read(Values(given))
        expected = run_pass(own)
        found = ask(page, "pass", given)
        bounds = with_bounds(own)
        assert found["arrays"].keys() == expected["arrays"].keys()
        for name, (value, bound) in bounds.items():
            assert (bound <= 1e-9 * max(np.abs(value).max(), 1e-3)).all(), name  # it says something
            assert (np.abs(np.array(found["arrays"][name]) - value) <= bound).all(), name
        L, rate = own.n_layers, own.learning_rate
        for name, array in own.parameters.items():
            np.testing.assert_array_equal(found["arrays"][name], array)
            updated, grads = np.array(expected["updated"][name]), bounds[f"d{name}"]
            limit = rate * grads[1] + 2 * EPS * (np.abs(array) + 2 * rate * np.abs(grads[0]))
            assert (np.abs(np.array(found["updated"][name]) - updated) <= limit).all(), name
        _, E_Z = bounds[f"Z{L}"]
        limit = E_Z[0] + ULPS * EPS * np.array(expected["losses"])  # a loss's slope is at most 1
        assert (np.abs(np.array(found["losses"]) - expected["losses"]) <= limit).all()
        cost = limit.mean() + gamma(40) * expected["cost"]
        assert abs(found["cost"] - expected["cost"]) <= cost
        last = np.array(expected["arrays"][f"dA{L}"])  # 1 / A: relative to the logits' error
        difference = np.abs(np.array(found["arrays"][f"dA{L}"]) - last)
        assert (difference <= np.abs(last) * (E_Z + ULPS * EPS) * 1.01).all()
        assert found["right"] == expected["right"]
        assert found["steps"] == json.loads(json.dumps(expected["steps"]))
        check_fields(found["field"], expected["field"])


def check_fields(found, expected):
    assert found["reach"] == pytest.approx(expected["reach"], rel=4 * EPS)
    np.testing.assert_allclose(found["values"], expected["values"], rtol=0, atol=1.01e-4)
    for mine, layer in zip(found["units"], expected["units"], strict=True):
        np.testing.assert_allclose(mine, layer, rtol=0, atol=1.01e-2)  # rounded to so many decimals


@pytest.mark.parametrize("seed", range(3))
def test_the_table_and_the_remarks_say_the_same(page, seed):
    generator = np.random.default_rng(seed)
    said = set()
    for _ in range(30):
        hidden = generator.integers(1, 9, generator.integers(0, 5)).tolist()
        given = document(
            hidden, str(generator.choice(HIDDEN)), count=int(generator.choice([5, 40])),
            seed=int(generator.integers(1000)), rate=float(10 ** generator.uniform(-3, 2)),
        )  # fmt: skip
        size = 10 ** generator.uniform(-3, 2)
        given["parameters"] = {
            name: (np.array(rows) * (0 if generator.random() < 0.08 else size)).tolist()
            for name, rows in given["parameters"].items()
        }
        if generator.random() < 0.4:
            given["X"] = (np.array(given["X"]) * 10 ** generator.uniform(-5, 3, (2, 1))).tolist()
        expected = run_pass(PlaneNetwork.read(Values(given)))["table"]
        found = ask(page, "pass", given)["table"]
        assert found["remarks"] == expected["remarks"]
        assert found["heading"] == expected["heading"]
        assert found["columns"] == expected["columns"]
        for mine, row in zip(found["rows"], expected["rows"], strict=True):
            assert mine["alarms"] == row["alarms"]
            assert mine["cells"] == row["cells"]
            assert mine["bar"] == pytest.approx(row["bar"], abs=0.11)
        said |= {one["text"].split(":")[0].strip("0123456789 ") for one in found["remarks"]}
    assert len(said) > 8


def test_training_takes_the_same_steps(page):
    given = document(count=40)
    own = PlaneNetwork.read(Values(given))
    expected, found = train(own, 20), ask(page, "train", {**given, "steps": 20})
    # The cost falls from step to step: a step then enlarges an earlier difference by no more than
    # 1 + rate * curvature < 2, so that 20 steps make at most 2^20 of a pass's 1e-15.
    assert np.all(np.diff(expected["costs"]) < 0)
    np.testing.assert_allclose(found["costs"], expected["costs"], rtol=1e-9)
    for name, rows in expected["parameters"].items():
        np.testing.assert_allclose(found["parameters"][name], rows, rtol=1e-9, atol=1e-12)
    assert found["right"] == expected["right"]
    check_fields(found["field"], expected["field"])


def test_seeds_draw_the_package_s_weights(page):
    for seed in (0, 1, 7, 2**31, 2**32 - 1):
        for activation in HIDDEN:
            hidden = [8, 8, 8, 8]
            names = (activation,) * 4 + ("sigmoid",)
            expected = backlit.initialize_parameters((2, *hidden, 1), seed, activations=names)
            wanted = {"hidden": hidden, "activation": activation, "seed": seed}
            found = ask(page, "network", wanted)["parameters"]
            assert found.keys() == expected.keys()
            for name, array in expected.items():
                # the ziggurat's 255 widths follow from each other, each with a logarithm
                np.testing.assert_allclose(found[name], array, rtol=255 * 4 * EPS, atol=0)


def test_numbers_are_written_as_python_writes_them(page):
    generator = np.random.default_rng(0)
    numbers = (10.0 ** generator.uniform(-12, 20, 400) * generator.choice([-1, 1], 400)).tolist()
    numbers += [0.0, 0.3, 1.0, 5e-324, 1e16, 123456789012345680.0, 1e-5, 0.0001, -2.5, 1000.0]
    numbers += [0.5, 2.5, 0.3125, 0.125, 1.0625, 12.5, 100.5, 1e22, 123456.5, 999999.5, 9.9999995]
    assert imported(page, "text.js", "own.repr(one)", numbers) == [repr(x) for x in numbers]
    for digits in (1, 2, 3, 4, 6, 15):
        found = imported(page, "text.js", f"own.general(one, {digits})", numbers)
        assert found == [f"{x:.{digits}g}" for x in numbers]
    shares = [k / 200 for k in range(201)]
    found = imported(page, "text.js", "own.percent(one)", shares)
    assert found == [f"{100 * share:.0f}" for share in shares]


def test_checksums_are_sha_256(page):
    import hashlib

    texts = ["", "abc", string.printable, "x" * 55, "x" * 56, "y" * 64, "é" * 1000]
    found = imported(page, "sha256.js", "own.sha256(new TextEncoder().encode(one))", texts)
    assert found == [hashlib.sha256(text.encode()).hexdigest() for text in texts]


FILES = [
    "1,2,a\n3,4,b\n",
    "x;y;label\n1,5;2;a\n3;4,25;b\n",
    "label,y,x\na,1,2\nb,3,4\nb,5,6\n",
    "x\ty\tlabel\n1\t2\t1.0\n3\t4\t1\n5\t6\t0\n",
    '1,2,"a ""b"""\r\n3, 4, c\r\n\r\n5,6,c',
    "1,2,10\n3,4,9\n",
    "1e3,2,a\n-.5,+4.,b\n",
    "",
    "x,y,label\n",
    "1,2\n",
    "1,2,a\n3,four,b\n5,inf,b\n6,7,\n8,9,x,y\n",
    "1,2,a\n3,4,a\n",
    "1,2,a\n3,4,b\n5,6,c\n",
    "1_0,2,a\n3,4,b\n5,6,7,8\n",
    "1e308,2,a\n-1e308,4,b\n1e308,1,a\n",
    "1,2,it's\n3,4,other\n5,6,third\n",
    "5,5,a\n5,5,b\n",
    "1,2,a\n" * 1001,
]


def test_tables_are_read_the_same(page):
    answers = page.evaluate(
        """async (texts) => {
          const { readTable } = await import("./static/local/table.js");
          return texts.map((text) => {
            try { return readTable(new TextEncoder().encode(text)); }
            catch (error) { return error.message; }
          });
        }""",
        FILES,
    )
    refused = 0
    for text, found in zip(FILES, answers, strict=True):
        if isinstance(found, str):
            with pytest.raises(BacklitError) as refusal:
                read_table(text.encode())
            assert found == str(refusal.value)
            refused += 1
            continue
        expected = read_table(text.encode())
        assert found["Y"] == expected["Y"]
        assert found["classes"] == expected["classes"]
        for name in ("mean", "scale"):
            mine = found["scaling"][name]
            np.testing.assert_allclose(mine, expected["scaling"][name], rtol=1e-14)
        np.testing.assert_allclose(found["X"], expected["X"], rtol=1e-13, atol=1e-15)
    assert 5 < refused < len(FILES) - 5


def test_ready_made_points_are_the_package_s(page, client):
    for name in ask(page, "choices")["datasets"]:
        for noise in (0, 0.05, 0.15):
            for count in (20, 100, 300):
                wanted = {"name": name, "noise": noise, "count": count, "seed": 0}
                expected = client.post("/api/dataset", json=wanted).json()
                assert ask(page, "dataset", wanted) == expected
    assert ask(page, "choices") == client.get("/api/choices").json()


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": -1}, {"learning_rate": None}, {"X": [[], []], "Y": []},
        {"parameters": {"W1": [[1e200, 0], [1e308, 1e308]], "b1": [[0], [0]],
                        "W2": [[1e308, 1e308]], "b2": [[0]]}},
    ],
)  # fmt: skip
def test_what_is_refused_is_refused_in_the_same_words(page, client, change):
    given = {**document(activation="identity"), **change}
    answer = client.post("/api/pass", json=given)
    assert answer.status_code == 422
    expected = answer.json()["error"].replace("None", "missing")
    assert ask(page, "pass", given) == expected
    if "parameters" not in change:
        expected = client.post("/api/train", json={**given, "steps": 5}).json()["error"]
        assert ask(page, "train", {**given, "steps": 5}) == expected.replace("None", "missing")


def test_the_page_s_front_end_is_the_package_s(static_folder, see_page):
    from backlit.app.server import STATIC

    see = static_folder / "some" / "where" / "see"
    for path in STATIC.iterdir():
        if path.suffix in (".js", ".css", ".svg") and path.name not in ("backend.js", "sort.js"):
            assert (see / "static" / path.name).read_bytes() == path.read_bytes()
    # its own files are no copies of the package's
    names = {path.name for path in (see_page.HERE / "see").rglob("*.js")}
    assert names & {path.name for path in STATIC.iterdir()} == {"backend.js"}
    json.loads((see / "static" / "data" / "choices.json").read_text())
