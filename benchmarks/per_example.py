"""Each example's own gradient norm: what it costs beside a plain backward pass, and BackPACK's.

``python -m benchmarks.per_example``. One network of three layers, in float32, forward done before:

- plain: `model_backward`, without dA0;
- norms: `per_example_gradient_norms` alone;
- both: the norms and the gradient of the mean, from one pass;
- clipped: `clipped_gradients`, twice as many products as norms;
- BackPACK's ``BatchL2Grad`` beside PyTorch's own backward, forward included in both, since its
  graph cannot be used twice.
"""

import argparse
import copy
from typing import Any

import numpy as np

from backlit import (
    clipped_gradients,
    initialize_parameters,
    model_backward,
    model_forward,
    per_example_gradient_norms,
)
from benchmarks import _harness


def _torch(X: Any, Y: Any, parameters: Any) -> dict[str, Any]:
    """Return PyTorch's contestants, or none where it or BackPACK is missing."""
    try:
        import torch
        from backpack import backpack, extend
        from backpack.extensions import BatchL2Grad
    except ImportError as error:
        print(f"without BackPACK: {error}\n")
        return {}
    n_layers = len(parameters) // 2
    modules: list[Any] = []
    for l in range(1, n_layers + 1):
        W, b = parameters[f"W{l}"], parameters[f"b{l}"]
        linear = torch.nn.Linear(W.shape[1], W.shape[0])
        linear.weight.data, linear.bias.data = torch.tensor(W), torch.tensor(b[:, 0])
        modules += [linear] + ([torch.nn.ReLU()] if l < n_layers else [])
    plain = copy.deepcopy(torch.nn.Sequential(*modules))  # without BackPACK's hooks
    model = extend(torch.nn.Sequential(*modules))
    loss = extend(torch.nn.BCEWithLogitsLoss(reduction="sum"))
    inputs, labels = torch.tensor(X.T.copy()), torch.tensor(Y.T.astype(np.float32))
    plain_loss = torch.nn.BCEWithLogitsLoss(reduction="sum")

    def by_torch() -> None:
        plain.zero_grad()
        plain_loss(plain(inputs), labels).backward()

    def by_backpack() -> Any:
        model.zero_grad()
        with backpack(BatchL2Grad()):
            loss(model(inputs), labels).backward()
        return sum(p.batch_l2 for p in model.parameters()) ** 0.5

    AL, caches = model_forward(X, parameters)
    ours = per_example_gradient_norms(AL, Y, caches).total
    np.testing.assert_allclose(by_backpack().numpy(), ours, rtol=1e-3)
    return {"PyTorch": by_torch, "BackPACK": by_backpack}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--widths", type=int, nargs="*", default=[64, 256, 1024])
    parser.add_argument("--examples", type=int, default=256)
    options = parser.parse_args()
    rows = []
    for width in options.widths:
        rng = np.random.default_rng(0)
        X = rng.standard_normal((width, options.examples)).astype(np.float32)
        Y = rng.integers(0, 2, (1, options.examples))
        parameters = initialize_parameters([width, width, width, 1], dtype=np.float32)
        AL, caches = model_forward(X, parameters)
        contestants = {
            "plain": lambda a=AL, y=Y, c=caches: model_backward(a, y, c, input_gradient=False),
            "norms": lambda a=AL, y=Y, c=caches: per_example_gradient_norms(a, y, c),
            "both": lambda a=AL, y=Y, c=caches: per_example_gradient_norms(a, y, c, gradients=True),
            "clipped": lambda a=AL, y=Y, c=caches: clipped_gradients(a, y, c, 1.0),
            "forward": lambda x=X, p=parameters: model_forward(x, p),
            **_torch(X, Y, parameters),
        }
        found = _harness.contest(f"width {width}", contestants, rounds=options.rounds)
        row = [width, f"{found.median('plain') * 1e6:.0f} µs"]
        row += [f"{found.ratio(key, 'plain'):.2f}" for key in ("norms", "both", "clipped")]
        if "BackPACK" in contestants:
            row.append(f"{found.ratio('BackPACK', 'PyTorch'):.2f}")
            whole = found.median("forward") + found.median("both")
            row.append(f"{found.median('BackPACK') / whole:.1f}")
        rows.append(row)
    header = ["width", "plain backward", "norms", "both", "clipped"]
    if len(rows[0]) > len(header):
        header += ["BackPACK / PyTorch", "BackPACK / forward and both"]
    print(_harness.markdown(header, rows))
    print(
        f"\n{options.examples} examples; columns after the second are ratios to it. "
        f"{_harness.machine()}; "
        f"{_harness.versions('numpy', 'torch', 'backpack-for-pytorch')}; {_harness.control()}."
    )


if __name__ == "__main__":
    main()
