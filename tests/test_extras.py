"""What is asked for without the extra that it needs: a sentence that names the extra."""

import os
import subprocess
import sys

import pytest

#: hides packages from a new process as if they were not installed
HIDING = """
import importlib.machinery, os
hidden = os.environ["HIDDEN"].split()
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name.split(".")[0] in hidden else find(name, *rest)
)
"""
WITHOUT = {
    "app": ("starlette", "uvicorn"),
    "dask": ("dask", "distributed", "fsspec"),
    "export": ("onnx", "onnxruntime"),
    "parquet": ("pyarrow",),
    "privacy": ("dp_accounting",),
    "report": ("jinja2",),
    "sklearn": ("sklearn",),
    "tensorboard": ("tensorboard",),
}
COMMANDS = [
    ("app", "app --no-browser"),
    ("app", "app --host 0.0.0.0"),
    ("dask", "predict . --cluster local --output parts"),
    ("parquet", "predict . --output labels.parquet"),
    ("report", "report ."),
    ("report", "train --report report.html"),
    ("tensorboard", "train --tensorboard runs"),
]
PYTHON = [
    ("app", "import backlit.app"),
    ("dask", "import backlit.cluster; backlit.cluster.fit"),
    ("dask", "from backlit.cluster import connect"),
    (
        "export",
        "import backlit; from backlit.photos import PhotoClassifier; "
        "backlit.export(PhotoClassifier.load(), 'out.onnx')",
    ),
    ("privacy", "from backlit.estimators import DPSGD; DPSGD(epsilon=1).noise_for(0.1, 5)"),
    ("sklearn", "from backlit import MLPClassifier"),
    ("sklearn", "import backlit.estimators"),
]


def run(extra, folder, *arguments):
    (folder / "sitecustomize.py").write_text(HIDING)
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "HIDDEN": " ".join(WITHOUT[extra])}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=folder, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize(("extra", "command"), COMMANDS)
def test_a_command_names_its_extra(extra, command, tmp_path):
    done = run(extra, tmp_path, "-m", "backlit", *command.split())
    assert done.returncode == 2, done.stderr
    assert f"needs an extra: pip install 'backlit[{extra}]'" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("extra", "code"), PYTHON)
def test_python_names_its_extra_and_can_catch_it(extra, code, tmp_path):
    caught = (
        f"try:\n    {code}\nexcept ImportError as error:\n    print(type(error).__name__, error)"
    )
    done = run(extra, tmp_path, "-W", "error", "-c", caught)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("MissingExtraError ")
    assert f"needs an extra: pip install 'backlit[{extra}]'" in done.stdout
