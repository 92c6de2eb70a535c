"""How good other classifiers are with a set left out, on the features that backlit's network has.

``python -m benchmarks.day_night_peers`` trains a support vector machine and a forest of random
trees (scikit-learn's) on two of the three sets of photographs and rendered scenes, and judges the
whole third, as ``python benchmarks/day_night.py leave-one-set-out`` does with the network. If they
are no better, what is missing is in the features, the pictures and their labels.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.svm import SVC

from backlit.photos.classifier import standardise
from backlit.photos.evaluation import evaluate_labels
from backlit.photos.examples import join_examples
from benchmarks.day_night import CLASSES, SETS, read_scenes, read_set

COPIES = 2


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, default=Path("../shared/photos"))
    photos = parser.parse_args().photos
    if not photos.is_dir():
        parser.error(f"there is no folder {photos}; give --photos.")
    sets = {name: read_set(photos, f"{name}/train", COPIES) for name in SETS}
    amos = join_examples([sets["amos"], read_set(photos, "amos/test", COPIES)])
    scenes = read_scenes(COPIES)
    makers: dict[str, Callable[[int], Any]] = {
        "support vector machine": lambda n_0: SVC(C=3, gamma=0.3 / n_0),
        "random trees": lambda n_0: ExtraTreesClassifier(
            500, min_samples_leaf=2, n_jobs=-1, random_state=0
        ),
    }
    for name, make in makers.items():
        accuracies = []
        for held in SETS:
            train = join_examples([sets[one] for one in SETS if one != held] + [scenes])
            test = amos if held == "amos" else sets[held]
            mean, scale = train.moments()
            n_0 = train.features.shape[-1]
            X = standardise(train.features.reshape(-1, n_0), mean, scale)
            y = np.repeat(train.labels, 1 + COPIES)
            found = make(n_0).fit(X, y).predict(standardise(test.plain, mean, scale))
            accuracies.append(evaluate_labels(test.labels, found, CLASSES).accuracy)
            print(f"{name:<24} {held:<12} {len(test):>5}  {accuracies[-1]:.4f}", flush=True)
        print(f"{name:<24} mean                {np.mean(accuracies):.4f}", flush=True)


if __name__ == "__main__":
    main()
