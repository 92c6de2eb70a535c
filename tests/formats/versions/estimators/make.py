"""Write the estimators' files of this version, and what they answer, beside this script.

    python tests/formats/versions/estimators/make.py 0.2.0

Once a version, and never again: the tests load what every version wrote.
"""

import json
import sys
from pathlib import Path

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import backlit

HERE = Path(__file__).parent


def rows():
    """Return the rows that are predicted."""
    return np.random.default_rng(1).normal(size=(7, 3))


def models():
    """Return fitted models by name."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    three = np.array(["day", "dusk", "night"])[np.digitize(X[:, 0], [-0.5, 0.5])]
    settings = {"hidden_layer_sizes": (4,), "max_iter": 20, "random_state": 0, "tol": 0.0}
    classifier = backlit.MLPClassifier(early_stopping=True, **settings)
    regressor = backlit.MLPRegressor(activation=["gelu"], dropout=0.1, **settings)
    pipeline = make_pipeline(StandardScaler(), backlit.MLPClassifier(solver="sgd", **settings))
    return {
        "classifier": classifier.fit(X, three),
        "regressor": regressor.fit(X.astype(np.float32), X.astype(np.float32) @ [[1], [2], [3]]),
        "pipeline": pipeline.fit(X, X[:, 1] > 0),
    }


def answers(model):
    """Return what a model says of the rows."""
    return getattr(model, "predict_proba", model.predict)(rows()).tolist()


if __name__ == "__main__":
    version = sys.argv[1]
    found = {}
    for name, model in models().items():
        backlit.save(model, HERE / f"{version}-{name}.safetensors", note="random numbers")
        found[f"{version}-{name}"] = answers(model)
    (HERE / f"{version}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
