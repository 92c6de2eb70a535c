"""Without Numba everything runs, on prebuilt code or on NumPy: in processes that cannot import it.

`.ci/supply-chain without-numba` runs the suite where it is not installed.
"""

import os
import subprocess
import sys

import pytest

from backlit.training.engine.units import PROGRAM
from backlit.training.machine_code import prebuilt
from sample_pictures import save_day_night

HIDING = """
import importlib.machinery
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name.split(".")[0] in ("numba", "llvmlite")
    else find(name, *rest)
)
"""

#: nor has the package code of its own
BARE = """
from backlit.training.machine_code import prebuilt
prebuilt.library_for = lambda program: None
"""

IMPORTS = """
import importlib, pkgutil
import backlit

missing = []
for module in pkgutil.walk_packages(backlit.__path__, "backlit."):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            missing.append(module.name)
for name in backlit.__all__:
    getattr(backlit, name)
print(*missing)
"""

TRAINING = """
import warnings
warnings.simplefilter("ignore")
warnings.filterwarnings("always", "No prebuilt code")
import numpy as np
import scipy.sparse
import backlit
from backlit.estimators import DPSGD
from backlit.training import Adam, fit
from backlit.training.engines import engine_name

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 4))
y = (X[:, 0] > 0).astype(int)
for settings in (
    {"early_stopping": True, "dropout": 0.1}, {"solver": "sgd", "learning_rate": "adaptive"},
    {"solver": "lbfgs"}, {"dtype": "float32", "activation": ["gelu"]},
    {"dp": DPSGD(noise_multiplier=1.0)}, {"checkpoint": "checkpoint"},
):
    settings = {"max_iter": 40, "random_state": 0, "learning_rate_init": 0.05, **settings}
    model = backlit.MLPClassifier((6,), **settings).fit(X, y)
    if "dp" not in settings:
        assert model.score(X, y) > 0.8, settings
    model.predict_proba(X[:3]), model.input_gradient(X, y), model.trace(X, y)
    model.save("m.safetensors")
    assert (backlit.load("m.safetensors").predict(X) == model.predict(X)).all()
backlit.MLPClassifier((6,), max_iter=5).fit(scipy.sparse.csr_array(X), y)
backlit.MLPRegressor(hidden_layer_sizes=(6,), max_iter=30, loss="huber").fit(X, X[:, 0])
result = fit(X, y, hidden=(6,), epochs=20, optimizer=Adam(0.05), seed=0)
AL, _ = backlit.model_forward(X.T, result.parameters, activations=result.activations)
assert ((AL[0] > 0.5) == y).mean() > 0.8
print("done", engine_name())
"""


@pytest.fixture(params=["prebuilt", "numpy"])
def run(tmp_path, request):
    (tmp_path / "hiding").mkdir()
    bare = BARE if request.param == "numpy" else ""
    (tmp_path / "hiding" / "sitecustomize.py").write_text(HIDING + bare)
    before = os.environ.get("PYTHONPATH")
    path = os.pathsep.join(filter(None, (str(tmp_path / "hiding"), before)))

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *map(str, arguments)], env={**os.environ, "PYTHONPATH": path},
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    has_code = request.param == "prebuilt" and prebuilt.library_for(PROGRAM) is not None
    run.engine = "compiled" if has_code else "numpy"
    return run


@pytest.mark.parametrize("run", ["numpy"], indirect=True)
def test_all_but_the_compiled_modules_can_be_imported(run):
    done = run("-W", "error", "-c", IMPORTS)
    assert done.returncode == 0, done.stderr
    rooms = ("backlit.training.engine.", "backlit.photos.compiled.")
    definitions = {
        *(f"{rooms[0]}{name}" for name in (
            "calls", "definitions", "epochs", "functions", "orders", "pieces", "products",
            "reading", "simd", "steps", "updates",
        )),
        *(f"{rooms[1]}{name}" for name in (
            "definitions", "patches", "pixels", "reducing", "statistics",
        )),
        *(f"backlit.training.machine_code.{name}" for name in ("kernels", "kinds", "translating")),
    }  # fmt: skip
    assert set(done.stdout.split()) == definitions


def test_networks_train_and_say_once_what_is_slower(run):
    done = run("-c", TRAINING)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"done {run.engine}\n"
    said = done.stderr.count("Numba is not installed: training runs on the plain NumPy")
    assert said == (run.engine == "numpy")


@pytest.mark.parametrize("run", ["numpy"], indirect=True)
def test_photographs(run, tmp_path):
    save_day_night(tmp_path / "photos", 8)
    quick = ("--epochs", 3, "--members", 1, "--copies", 1, "--model", "m.safetensors")
    done = run("-m", "backlit", "train", "photos", *quick)
    assert done.returncode == 0, done.stderr
    done = run("-m", "backlit", "predict", "photos", "--model", "m.safetensors", "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 17
    assert run("-m", "backlit", "info", "m.safetensors").returncode == 0
    forced = (
        "from backlit.photos.extracting import Extractor; "
        "import numpy as np; e = Extractor(True); "
        "print(e(np.zeros((3, 64, 64, 3), np.uint8)).shape[0])"
    )
    done = run("-c", forced)  # an archive of thousands computes its features by NumPy
    assert (done.returncode, done.stdout.strip()) == (0, "3"), done.stderr
