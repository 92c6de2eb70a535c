"""RealMLP step by step against its authors' code (pytabkit): same numbers from the same weights.

Run in an environment of its own that has backlit and `pytabkit` (which brings PyTorch):

    python benchmarks/tables_oracle.py

For classes and numbers, "td" and "td-s", on a drawn table with numbers, small and large categories:
the preprocessing (to 1e-6), the schedules, the first loss and its gradients (to 1e-5, relative to
each tensor's largest), and the loss of 20 steps of training with the same batches, without dropout,
whose random numbers differ. Decay follows the authors' code here (`double_decay_factors=True`).
Prints a line for each, and exits with 1 where one is off.
"""

import sys
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytabkit.models.alg_interfaces.base import InterfaceResources, SplitIdxs
from pytabkit.models.data.conversion import ToDictDatasetConverter
from pytabkit.models.data.data import DictDataset, TensorInfo
from pytabkit.models.sklearn.default_params import DefaultParams
from pytabkit.models.training.lightning_modules import TabNNModule

from backlit.tables.columns import read_table
from backlit.tables.encoding import Scaling, TableEncoder
from backlit.tables.engines import table_engine
from backlit.tables.folds import TargetScale
from backlit.tables.layout import TableLayout
from backlit.tables.recipe import recipe_of
from backlit.tables.steps import TableData, TableSteps
from backlit.training.schedules import CosLog, FlatCosine

SEED, ROWS, BATCH, EPOCHS, STEPS = 0, 640, 128, 16, 20
PARAMS = {
    ("td", "classes"): DefaultParams.RealMLP_TD_CLASS,
    ("td-s", "classes"): DefaultParams.RealMLP_TD_S_CLASS,
    ("td", "numbers"): DefaultParams.RealMLP_TD_REG,
    ("td-s", "numbers"): DefaultParams.RealMLP_TD_S_REG,
}


def draw() -> tuple[pd.DataFrame, Any, Any]:
    rng = np.random.default_rng(SEED)
    frame = pd.DataFrame(
        {
            "normal": rng.normal(3, 2, ROWS),
            "heavy": rng.lognormal(0, 2, ROWS),
            "mostly zero": rng.poisson(0.2, ROWS).astype(float),
            "two": rng.choice(["a", "b"], ROWS),
            "five": rng.choice(list("abcde"), ROWS),
            "twenty": rng.choice([f"level {i:02d}" for i in range(20)], ROWS),
        }
    )
    score = frame["normal"] + (frame["two"] == "a") + 0.3 * rng.normal(size=ROWS)
    classes = np.digitize(score, np.quantile(score, [0.3, 0.7]))
    return frame, classes, score.to_numpy()


def theirs(variant: str, kind: str, frame: pd.DataFrame, y: Any) -> tuple[Any, Any]:
    """Return their module, compiled for training on all rows, and their data."""
    x = ToDictDatasetConverter().fit_transform(frame)
    if kind == "classes":
        y_tensor = torch.as_tensor(y[:, None], dtype=torch.long)
        info = TensorInfo(cat_sizes=[int(y.max()) + 1])
    else:
        y_tensor, info = torch.as_tensor(y[:, None], dtype=torch.float32), TensorInfo([1])
    data = DictDataset.join(x, DictDataset({"y": y_tensor}, {"y": info}))
    config = {**PARAMS[variant, kind], "p_drop": 0.0, "n_epochs": EPOCHS, "batch_size": BATCH}
    module = TabNNModule(**config)
    rows = torch.arange(ROWS)[None, :]
    module.compile_model(
        data,
        [SplitIdxs(rows, rows[:, :100], None, 0, [0], 0)],
        InterfaceResources(n_threads=1, gpu_devices=[]),
    )
    module.callbacks = module.create_callbacks()
    return module, data


def take_parameters(module: Any, layout: TableLayout) -> np.ndarray:
    """Copy their parameters into our layout, by their scopes and order."""
    vector = np.zeros(layout.size, np.float32)
    views = layout.views(vector)
    embedding, names = 0, iter(_dense_names(layout))
    for parameter in module.model.parameters():
        scope, array = str(parameter.context.scope), parameter.detach().numpy()[0]
        if not parameter.requires_grad:
            continue
        if "plr" in scope:
            part = scope.rsplit("/", 1)[-1]
            name = {"weight_1": "W", "bias_1": "b", "weight_2": "V", "bias_2": "c"}[part]
            view = views[f"periodic_{name}"]
            array = array.transpose(0, 2, 1) if name == "V" else array
        elif "emb" in scope:
            embedding += 1
            view = views[f"E{embedding}"]
        else:
            name = next(names)
            view = views[name]
            array = array.T
        view[...] = array.reshape(view.shape)
        parameter.ours = view  # for the gradients
    return vector


def _dense_names(layout: TableLayout) -> list[str]:
    return [t.name for t in layout.tensors if not t.name.startswith(("E", "periodic"))]


def their_gradients(module: Any, layout: TableLayout) -> dict[str, np.ndarray]:
    embedding, names, found = 0, iter(_dense_names(layout)), {}
    for parameter in module.model.parameters():
        if not parameter.requires_grad:
            continue
        scope, array = str(parameter.context.scope), parameter.grad.numpy()[0]
        if "plr" in scope:
            part = scope.rsplit("/", 1)[-1]
            name = {"weight_1": "W", "bias_1": "b", "weight_2": "V", "bias_2": "c"}[part]
            found[f"periodic_{name}"] = array.transpose(0, 2, 1) if name == "V" else array
        elif "emb" in scope:
            embedding += 1
            found[f"E{embedding}"] = array
        else:
            found[next(names)] = array.T
    return found


def compare(variant: str, kind: str) -> bool:
    frame, classes, score = draw()
    y = classes if kind == "classes" else score
    module, data = theirs(variant, kind, frame, y)
    recipe = recipe_of("oracle", variant, kind, dropout=0.0, double_factors=True)
    encoder = TableEncoder("oracle", recipe.one_hot_levels)
    features = encoder.fit(read_table("oracle", frame), "from_dtype")
    numbers = Scaling.of(features.numbers).apply(features.numbers, np.float32)
    n_outputs = int(y.max()) + 1 if kind == "classes" else 1
    layout = TableLayout(len(numbers), encoder.n_embedded, encoder.n_levels, n_outputs, recipe)
    ok = _say(variant, kind, "preprocessing", _preprocessing(module, data, numbers, variant), 1e-6)
    vector = take_parameters(module, layout)
    engine = table_engine(layout, vector, kind)
    scale = None
    if kind == "numbers":
        scale = TargetScale.of(score[None, :], None)
    ours = TableData(
        np.ascontiguousarray(numbers),
        features.levels,
        classes.astype(np.int64) if kind == "classes" else None,
        None if scale is None else scale.standardised(score[None, :]).astype(np.float32),
    )
    total = EPOCHS * (ROWS // BATCH)
    steps = TableSteps(engine, ours, BATCH, total, _Keep(), _Keep())
    return _train(module, data, steps, layout, total, variant, kind) and ok


class _Keep:
    """Stands for a generator: the order of the rows comes from pytabkit's batches."""

    def shuffle(self, rows: Any) -> None:
        """Leave the order."""


def _preprocessing(module: Any, data: Any, numbers: np.ndarray, variant: str) -> float:
    """Return the largest difference of the scaled numbers."""
    scaled = []
    hooks = [
        layer.register_forward_hook(lambda _, given, found: scaled.append(found["x_cont"]))
        for _, layer in [
            *module.creator.static_model.named_modules(),
            *module.model.named_modules(),
        ]
        if type(layer).__name__ == "FunctionLayer" and "smooth_clip" in str(layer.f)
    ]
    module.model.eval()
    static = module.creator.static_model(data)
    module.model(static.get_batch(torch.arange(ROWS)[None, :]))
    for hook in hooks:
        hook.remove()
    if not scaled:  # "td-s" scales once, before all batches
        scaled = [_numbers(static)]
    found = torch.cat([part.reshape(ROWS, -1) for part in scaled], dim=-1).numpy()
    return float(np.abs(found.T - numbers).max())


def _numbers(found: Any) -> Any:
    """Return the numbers of what a layer returned: a data set, a dict, or a tensor."""
    found = getattr(found, "tensors", found)
    return found["x_cont"] if isinstance(found, dict) else found


def _train(
    module: Any, data: Any, steps: Any, layout: Any, total: int, variant: str, kind: str
) -> bool:
    optimizer = module.configure_optimizers()
    module.model.train()
    rng = np.random.default_rng(1)
    order = np.concatenate([rng.permutation(ROWS) for _ in range(STEPS)])
    module.creator.static_model.eval()
    static = module.creator.static_model(data)
    losses, worst = [], 0.0
    factors = CosLog(4).factors(np.arange(STEPS), total)
    scheduled = 0.0
    for step in range(STEPS):
        rows = order[step * BATCH : (step + 1) * BATCH]
        module.progress.epoch_float = step / (ROWS // BATCH)
        module.hp_manager.update_hypers(module)
        batch = static.get_batch(torch.as_tensor(rows[None, :]))
        output = module.model(batch)
        loss = module.criterion(output["x_cont"], output["y"]).sum()
        loss.backward()
        batch = steps._batch(rows)
        mine = steps.engine.differentiate(batch, None, 0) / BATCH
        losses.append((float(loss.detach()), mine))
        if step == 0:
            for name, truth in their_gradients(module, layout).items():
                got = layout.views(steps.engine.gradient)[name]
                truth = truth.reshape(got.shape)
                largest = max(np.abs(truth).max(), 1e-12)
                worst = max(worst, float(np.abs(got - truth).max() / largest))
        rate = layout.recipe.learning_rate * factors[step]
        fading = FlatCosine().factors(np.array([step]), total)[0]
        getters = optimizer.hyper_getters
        scheduled = max(scheduled, abs(getters["lr"][0]() - rate))
        if layout.recipe.weight_decay:
            wd = layout.recipe.weight_decay * fading
            scheduled = max(scheduled, abs(getters["wd"][0]() - wd))
        steps.engine.update(steps._step(rate, layout.recipe.weight_decay * fading))
        steps._taken += 1
        optimizer.step(loss=loss)
        optimizer.zero_grad()
    first = abs(losses[0][0] - losses[0][1]) / abs(losses[0][0])
    apart = [abs(a - b) / abs(a) for a, b in losses]
    print("   losses, theirs and ours:", *(f"{a:.6f}/{b:.6f}" for a, b in losses[::5]))
    return all(
        [
            _say(variant, kind, "schedules", scheduled, 1e-12),
            _say(variant, kind, "first loss", first, 1e-5),
            _say(variant, kind, "first gradients", worst, 1e-5),
            # float32's roundings, which Adam's quotient magnifies where a gradient is near zero
            _say(variant, kind, f"losses of {STEPS} steps", max(apart), 1e-4),
        ]
    )


def _say(variant: str, kind: str, what: str, off: float, allowed: float) -> bool:
    fine = off <= allowed
    mark = "✓" if fine else "✗"
    print(f"{mark} {variant:5} {kind:8} {what:20} off by {off:.2g}, allowed {allowed:.0e}")
    return fine


def main() -> int:
    torch.set_num_threads(1)
    found = [compare(*which) for which in PARAMS]  # all of them, whatever one says
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
