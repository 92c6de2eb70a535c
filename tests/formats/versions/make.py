"""Write this version's model files, once a release: ``python tests/formats/versions/make.py``.

They are never written again: each version's stay as they are, and `test_versions.py` loads them.
"""

import json
from pathlib import Path

import numpy as np

from backlit import __version__
from backlit.photos import features
from backlit.photos.classifier import PhotoClassifier

HERE = Path(__file__).parent


def rows() -> np.ndarray:
    """Return the features that are asked about: plain numbers, drawn from nothing."""
    n_0 = len(features.feature_names())
    return (np.sin(np.arange(3 * n_0)) * 2).astype(np.float32).reshape(3, n_0)


def main() -> None:
    """Write two small models and what they answer."""
    answers = {}
    for classes in (("day", "night"), ("dawn", "day", "n\u00e4cht")):
        rng = np.random.default_rng(len(classes))
        n_0, n_out = len(features.feature_names()), 1 if len(classes) == 2 else len(classes)
        shapes = {"W1": (3, n_0), "b1": (3, 1), "W2": (n_out, 3), "b2": (n_out, 1)}
        parameters = {n: 0.3 * rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
        mean, scale = rng.normal(size=n_0), rng.uniform(0.5, 2, n_0)
        classifier = PhotoClassifier(
            classes,
            {name: array.astype(np.float32) for name, array in parameters.items()},
            mean.astype(np.float32),
            scale.astype(np.float32),
            {"recipe": {"seed": 0}},
        )
        name = f"{__version__}-{len(classes)}-classes"
        classifier.save(HERE / f"{name}.safetensors")
        answers[name] = {
            "classes": list(classes),
            "probabilities": classifier.probabilities_of_features(rows()).tolist(),
        }
    text = json.dumps(answers, indent=1)
    (HERE / f"{__version__}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
