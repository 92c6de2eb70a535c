"""How further public functions are called, for `public_backward_truth.py`: the third set, and more.

Each line says how one function is called; what is right is a matter of central differences of what
the code itself computes. Nothing here knows the checker.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from public_backward_truth import HOT, LABELS, P, X, agrees, each, layer, loss

Judge = Callable[[], dict[str, bool]]
D = np.random.default_rng(11).normal(size=X.shape)


def upstream(
    forward: Callable[..., Any], backward: Callable[..., Any], *inputs: np.ndarray
) -> dict[str, bool]:
    """Judge backward(d) -> gradients by forward(*inputs), d being random."""
    out = np.asarray(forward(*[x.copy() for x in inputs]))
    d = np.random.default_rng(1).normal(size=out.shape)
    found = backward(d.copy())
    found = found if isinstance(found, tuple) else (found,)
    verdicts = {}
    for place, (x, gradient) in enumerate(zip(inputs, found, strict=False)):

        def cost(v: np.ndarray, place: int = place) -> Any:
            given = [y.copy() for y in inputs]
            given[place] = v.copy()
            return np.sum(d * forward(*given))

        verdicts[str(place)] = agrees(cost, x, gradient)
    return verdicts


def net(
    cost: Callable[[], Any], gradients: Callable[[], dict[str, Any]], held: dict[str, Any]
) -> dict[str, bool]:
    """Judge the gradients of a net by its cost; `held` has where each parameter is: (box, key)."""
    rng = np.random.default_rng(4)
    for box, key in held.values():
        box[key] = rng.normal(size=np.shape(box[key])) * 0.4
    found = gradients()
    verdicts = {}
    for name, (box, key) in held.items():
        value = np.array(box[key], dtype=float)

        def moved(v: np.ndarray, box: Any = box, key: Any = key, value: np.ndarray = value) -> Any:
            box[key] = v
            number = cost()
            box[key] = value
            return number

        verdicts[name] = agrees(moved, value, found[name])
    return verdicts


class Attributes:
    """An object's attributes as a box: `Attributes(layer)["W"]`."""

    def __init__(self, holder: Any) -> None:
        self.holder = holder

    def __getitem__(self, key: str) -> Any:
        return getattr(self.holder, key)

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self.holder, key, value)


def residual_net(module: Any) -> dict[str, bool]:
    """Judge a net of three layers whose dropout is off."""
    made = module.DNN()
    rng = np.random.default_rng(2)
    shapes = {"W1": (4, 6), "b1": (6,), "W2": (6, 6), "b2": (6,), "W3": (6, 3), "b3": (3,)}
    made.params = {n: rng.normal(size=s) for n, s in shapes.items()}
    made.eval_mode()
    d = rng.normal(size=(5, 3))

    def gradients() -> dict[str, Any]:
        made.forward(X.copy())
        return dict(made.backward(d.copy()))

    held = {n: (made.params, n) for n in shapes}
    return net(lambda: np.sum(d * made.forward(X.copy())), gradients, held)


def two_layers(module: Any) -> dict[str, bool]:
    """Judge a net that returns its cost with the gradients."""
    made = module.TwoLayerNet(4, 6, 3)
    held = {n: (made.params, n) for n in made.params}
    cost = made.loss
    return net(lambda: cost(X, LABELS, 0.1)[0], lambda: dict(cost(X, LABELS, 0.1)[1]), held)


def xor(module: Any) -> dict[str, bool]:
    """Judge a net that updates itself: (before - after) / rate under half the squared error."""

    class Tanh:
        __call__ = staticmethod(np.tanh)
        derivative = staticmethod(lambda z: 1 - np.tanh(z) ** 2)

    class Half:
        __call__ = staticmethod(lambda y, o: np.sum((o - y) ** 2) / 2)
        derivative = staticmethod(lambda y, o: o - y)

    made = module.XorNet(Tanh(), Half())
    names = ("_w_hidden", "_b_hidden", "_w_output", "_b_output")
    x, y = X[:, :2], X[:, 2:3]

    def gradients() -> dict[str, Any]:
        before = {n: np.array(getattr(made, n)) for n in names}
        made.train_step(x, y)
        found = {n: (before[n] - getattr(made, n)) / 0.1 for n in names}
        for n, value in before.items():
            setattr(made, n, value)
        return found

    held = {n: (Attributes(made), n) for n in names}
    return net(lambda: Half()(y, made.predict(x)), gradients, held)


def dense(module: Any) -> dict[str, bool]:
    """Judge a linear layer whose parameters are objects with .data and .grad."""
    made = module.Linear(4, 3)
    d = np.random.default_rng(2).normal(size=(5, 3))

    def gradients() -> dict[str, Any]:
        made.forward(X.copy())
        made.backward(d.copy())
        return {"weight": made.weight.grad, "bias": made.bias.grad}

    held = {n: (Attributes(getattr(made, n)), "data") for n in ("weight", "bias")}
    return net(lambda: np.sum(d * made.forward(X.copy())), gradients, held)


def softmax_head(module: Any) -> dict[str, bool]:
    """Judge a layer with its softmax: from above comes output - target, the cost is their own."""
    made = module.ClassificationLinear(4, 3)
    target = np.eye(3)[LABELS]

    def cost() -> Any:
        return -np.sum(target * np.log(made.forward(X)[0]))

    def gradients() -> dict[str, Any]:
        out, kept = made.forward(X)
        _, (dW, db) = made.backward(out - target, kept)
        return {"W": dW, "b": db}

    return net(cost, gradients, {n: (Attributes(made), n) for n in ("W", "b")})


def trained(module: Any) -> dict[str, bool]:
    """Judge a dense layer that updates its parameters: (before - after) / rate."""
    made = module.FullyConnected(4, 3)
    d = np.random.default_rng(2).normal(size=(5, 3))
    verdicts = {}

    def gradients() -> dict[str, Any]:
        before = {n: np.array(getattr(made, n)) for n in ("weights", "bias")}
        made.forward(X.copy())
        dx = made.backward(d.copy(), 0.1)
        found = {n: (value - getattr(made, n)) / 0.1 for n, value in before.items()}
        for n, value in before.items():
            setattr(made, n, value)
        verdicts["x"] = agrees(lambda x: np.sum(d * made.forward(x)), X, dx)
        return found

    held = {n: (Attributes(made), n) for n in ("weights", "bias")}
    verdicts |= net(lambda: np.sum(d * made.forward(X.copy())), gradients, held)
    return verdicts


def batched(module: Any) -> dict[str, bool]:
    """Judge a dense layer whose parameters have an axis of one for the examples."""
    made = module.DenseLayer(4, 3)
    x = np.random.default_rng(3).normal(size=(5, 4, 1))
    d = np.random.default_rng(2).normal(size=(5, 3, 1))

    def gradients() -> dict[str, Any]:
        return dict(made.backward(x, d))

    held = {n: (made.weights, n) for n in ("W", "b")}
    return net(lambda: np.sum(d * made.forward(x)), gradients, held)


def classifier(module: Any) -> dict[str, bool]:
    """Judge a net of softmax and cross-entropy with gradients in lists."""
    made = module.NN(4, 3, [(6, "relu"), (5, "relu")])
    target = np.eye(3)[LABELS]

    def gradients() -> dict[str, Any]:
        made.forward(X)
        made.backward(target)
        return {f"W{i}": g for i, g in enumerate(made.dW)} | {
            f"b{i}": g for i, g in enumerate(made.db)
        }

    held = {f"W{i}": (made.weights, i) for i in range(3)}
    held |= {f"b{i}": (made.biases, i) for i in range(3)}
    return net(lambda: -np.sum(target * np.log(made.forward(X))) / len(X), gradients, held)


def cell(module: Any) -> dict[str, bool]:
    """Judge a recurrent cell that keeps what it computes."""
    made = module.RNN_cell(6, 4)
    rng = np.random.default_rng(2)
    h, x, d = (rng.normal(size=(n, 1)) for n in (6, 4, 6))

    def out() -> Any:
        made.rnn_cell_forward(h, x)
        return np.sum(d * made.h_output)

    def gradients() -> dict[str, Any]:
        out()
        made.rnn_cell_backward(d.copy())
        return {n: getattr(made, f"d{n}") for n in ("Whh", "Wxh", "b")}

    return net(out, gradients, {n: (Attributes(made), n) for n in ("Whh", "Wxh", "b")})


def tape(module: Any, name: str, *sizes: int) -> dict[str, bool]:
    """Judge a module over tensors that remember how they were made, in float32."""
    made = getattr(module, name)(*sizes)
    x = X.astype(np.float32)

    def run(value: np.ndarray) -> Any:
        return made.forward(module.Tensor(value, requires_grad=True))

    d = np.random.default_rng(1).normal(size=run(x).data.shape)
    given = module.Tensor(x, requires_grad=True)
    made.forward(given).backward(d.astype(np.float32))
    return {"x": agrees(lambda v: np.sum(d * run(v).data), X, given.grad, single=True)}


def with_context(module: Any, name: str, *inputs: np.ndarray) -> dict[str, bool]:
    """Judge a function with a context of the file's own."""
    function, kept = getattr(module, name), {}

    def forward(*given: np.ndarray) -> Any:
        kept["context"] = module.Context()
        return function.forward(kept["context"], *given)

    return upstream(forward, lambda d: function.backward(kept["context"], d), *inputs)


def further_cases(load: Callable[..., Any]) -> Iterator[tuple[str, str, Judge]]:
    """Yield (repository, function, how to judge it)."""
    r = "HugoSenetaire/Cnn-Numpy"
    for name in ("Identity", "Relu", "SoftMax"):

        def activation(n: str = name) -> dict[str, bool]:
            made = getattr(load("", "activate"), n)()
            return upstream(made.forward, lambda d: made.gradient(X.copy(), d), X)

        yield r, f"{name}.gradient", activation
    r = "MiriR59/From-scratch-NN"
    for name in ("ReLU", "sigmoid", "SiLU", "tanh", "one"):

        def slope_of(n: str = name) -> dict[str, bool]:
            made = getattr(load("", "Activations"), n)()
            out = made.forward(X.copy())
            return {"x": agrees(lambda x: np.sum(D * made.forward(x)), X, D * _at(made, out))}

        yield r, f"{name}.backward", slope_of
    r = "Nico-Curti/NumPyNet"
    for name in (
        *("Logistic", "Loggy", "Relu", "Elu", "Relie", "Ramp", "Linear", "Tanh", "Plse", "Leaky"),
        *("Stair", "Hardtan", "Lhtan", "Selu", "Elliot", "SymmElliot", "SoftPlus", "SoftSign"),
    ):

        def activated(n: str = name) -> dict[str, bool]:
            made = getattr(load("", "NumPyNet.activations"), n)()
            slopes = made.gradient(np.array(made.activate(X.copy(), copy=True)), copy=True)
            at_input = made.gradient(X.copy(), copy=True)
            right = [
                agrees(lambda x: np.sum(D * made.activate(x.copy(), copy=True)), X, D * g)
                for g in (slopes, at_input)
            ]
            return {"x": any(right)}

        yield r, f"{name}.gradient", activated
    r = "v0lta/NumPy-backprop"

    def of(name: str, *args: Any) -> Any:
        return getattr(load("feedforward", "numpy_layer"), name)(*args)

    for name in ("CrossEntropyCost", "MSELoss"):
        yield (
            r,
            f"{name}.backward",
            lambda n=name: loss(
                lambda p, y: of(n).forward(y, p), lambda p, y: of(n).backward(y, p), HOT, x=P
            ),
        )
    for name in ("ReLU", "Sigmoid"):
        yield (
            r,
            f"{name}.backward",
            lambda n=name: upstream(
                lambda x: of(n).forward(x), lambda d: of(n).backward(X.copy(), d), X
            ),
        )
    yield r, "DenseLayer.backward", lambda: batched(load("feedforward", "numpy_layer"))
    yield (
        "Ahmed77923/NumPyNet",
        "Relu.backward",
        lambda: layer(load("activations", "relu").Relu, X),
    )
    yield "thangvubk/Numpy-DNN", "DNN.backward", lambda: residual_net(load("", "dnn"))
    r = "iafarhan/Linear-classifiers-knn-NeuralNet-Numpy-Scratch"
    file = "cs231n.classifiers.neural_net"
    rng = np.random.default_rng(6)
    W, b = rng.normal(size=(4, 3)), rng.normal(size=3)
    yield (
        r,
        "affine_backward",
        lambda: upstream(
            lambda x, w, c: load("", file).affine_forward(x, w, c),
            lambda d: load("", file).affine_backward(d, X, W, b),
            X,
            W,
            b,
        ),
    )
    yield (
        r,
        "relu_backward",
        lambda: upstream(
            load("", file).relu_forward, lambda d: load("", file).relu_backward(d, X), X
        ),
    )
    yield (
        r,
        "softmax_with_cross_entropy",
        lambda: loss(
            lambda s: load("", file).softmax_with_cross_entropy(s, LABELS)[0],
            lambda s: load("", file).softmax_with_cross_entropy(s, LABELS)[1],
        ),
    )
    yield r, "TwoLayerNet.loss", lambda: two_layers(load("", file))
    yield "LerkkaP/xor-neural-network", "XorNet.train_step", lambda: xor(load("", "xor_nn"))
    yield (
        "AmirHosseinBaderan/mnist-from-scratch",
        "Linear.backward",
        lambda: dense(load("", "nn.linear")),
    )
    yield (
        "younesslanda/LSTM-Numpy",
        "ClassificationLinear.backward",
        lambda: softmax_head(load("", "linearLayer")),
    )
    r = "bengoodhew/From-Scratch-Neural-Network-Framework"
    yield r, "FullyConnected.backward", lambda: trained(load("src", "framework.nn.Layers"))
    for name in ("relu", "sigmoid", "tanh", "leakyrelu"):
        yield (
            r,
            f"ActivationLayer.backward ({name})",
            lambda n=name: layer(
                lambda: load("src", "framework.nn.Layers").ActivationLayer(n),
                X,
                back=lambda m, d: m.backward(d, 0.0),
            ),
        )
    yield (
        "Tekraj15/RNN-from-Scratch",
        "BatchNormalization.backward",
        lambda: layer(
            lambda: load(
                "exercise3_material/src_to_implement", "Layers.BatchNormalization"
            ).BatchNormalization(4),
            X,
            "weights:gradient_weights bias:gradient_bias",
        ),
    )
    r = "jiaheskyground/numpy-mlp-cnn"
    for name, inputs in (("Neg", (X,)), ("Add", (X, D)), ("Sub", (X, D)), ("Mul", (X, D))):
        yield (
            r,
            f"{name}.backward",
            lambda n=name, i=inputs: with_context(load("", "dlframe.autograd"), n, *i),
        )
    for name in ("ReLUFunc", "SigmoidFunc", "TanhFunc", "SoftmaxFunc"):
        yield (
            r,
            f"{name}.backward",
            lambda n=name: with_context(load("", "dlframe.autograd"), n, X),
        )
    yield "agus-pereyra/mlp-from-scratch", "NN.backward", lambda: classifier(load("", "src.models"))
    yield "kookie12/RNN-numpy", "RNN_cell.rnn_cell_backward", lambda: cell(load("", "RNN"))
    r = "aleksander-misztal/mlp-numpy-keras-benchmark"
    for name in ("relu", "sigmoid"):

        def static(n: str = name) -> dict[str, bool]:
            found = load("src", "models_architectures.numpy_mlp_arch").NumpyMLP
            return each(getattr(found, n), getattr(found, f"{n}_deriv"))

        yield r, f"NumpyMLP.{name}_deriv", static
    yield (
        "tylerksoong/MLP-from-scratch-python",
        "Layer.sigmoid_derivative",
        lambda: each(
            load("src", "layer").Layer(4, 3).sigmoid,
            load("src", "layer").Layer(4, 3).sigmoid_derivative,
        ),
    )
    r = "cameron-cs/pure-numpy-neural-network"
    for name, sizes in (
        ("Linear", (4, 3)),
        ("Sigmoid", ()),
        ("Tanh", ()),
        ("ReLU", ()),
        ("Softmax", ()),
    ):
        yield (
            r,
            f"{name}.forward",
            lambda n=name, s=sizes: tape(load("", "src.nn"), n, *s),
        )


def _at(made: Any, out: Any) -> Any:
    """Return what a backward without arguments says after the forward of X."""
    made.forward(X.copy())
    return np.broadcast_to(made.backward(), np.shape(out))
