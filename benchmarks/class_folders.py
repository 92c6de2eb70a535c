"""How right `backlit train` is on folders of any classes, without and with a frozen backbone.

``python -m benchmarks.class_folders FOLDER...`` deals the pictures of each ``FOLDER/<class>`` (or
of each split in it) into two halves, learns from one and judges by the other, four times: by a
logistic regression on the colours of 32 x 32 pixels, by `backlit train`, by a logistic regression
on the encoder's vectors, and by `backlit train --backbone`. Folders are not part of the repository.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from backlit.photos import Recipe
from backlit.photos.backbone.encoders import open_encoder
from backlit.photos.evaluation import Evaluation, evaluate_labels
from backlit.photos.examples import PictureSet, read_examples, read_pieces
from backlit.photos.inputs import InputReader
from backlit.photos.learning import learn
from backlit.photos.listing import scan_folder
from backlit.photos.pool import ordered_map
from backlit.photos.reading import read_crops
from backlit.photos.recipe import MOST_VIEWS

PENALTIES = (0.001, 0.01, 0.1, 1.0)
"""Inverse strengths of the regressions' penalty, chosen by five folds of the half learnt from."""


def halves(folder: Path, most: int) -> tuple[tuple[str, ...], list[tuple[list[str], list[int]]]]:
    """Deal the pictures of each class into two halves of at most so many."""
    found = scan_folder(folder)
    both: list[tuple[list[str], list[int]]] = [([], []), ([], [])]
    for label in range(len(found.classes)):
        own = sorted(
            path
            for split in found.splits.values()
            for path, one in zip(split.paths, split.labels, strict=True)
            if one == label
        )
        order = np.random.default_rng((0, label)).permutation(len(own))[: 2 * most]
        for place, index in enumerate(order.tolist()):
            both[place % 2][0].append(own[index])
            both[place % 2][1].append(label)
    return found.classes, both


def regression(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, theirs: np.ndarray, classes: tuple
) -> Evaluation:
    """Learn a logistic regression, its penalty chosen by cross-validation, and judge it."""
    from sklearn.model_selection import cross_val_score

    def make(C: float):
        return make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=500, tol=1e-3))

    scores = [cross_val_score(make(C), train, labels, cv=5).mean() for C in PENALTIES]
    best = make(PENALTIES[int(np.argmax(scores))]).fit(train, labels)
    return evaluate_labels(theirs, best.predict(test), classes)


def network(
    classes: tuple[str, ...],
    both: list[tuple[list[str], list[int]]],
    reader: InputReader,
    recipe: Recipe,
) -> tuple[Evaluation, list[PictureSet]]:
    """Train as `backlit train` does, and judge by the other half."""
    (paths, labels), (others, theirs) = both
    copies = recipe.copies_for(len(paths), reader.encoder is not None)
    pieces = read_pieces(paths, labels, seed=recipe.seed)
    train = read_examples(
        paths, labels, copies=copies, seed=recipe.seed, pieces=pieces, reader=reader,
        views=min(1 + copies, MOST_VIEWS),
    )  # fmt: skip
    test = read_examples(others, theirs, reader=reader)
    identity = None if reader.encoder is None else reader.encoder.identity
    found = learn(classes, {"train": train, "test": test}, recipe, encoder=identity)
    return found.evaluations["test"], [train, test]


def show(what: str, found: Evaluation, begun: float) -> None:
    """Print a line."""
    low, high = found.interval
    print(
        f"  {what:<36} {found.accuracy:.3f} ({low:.3f} to {high:.3f})  balanced "
        f"{found.balanced_accuracy:.3f}  {time.perf_counter() - begun:4.0f} s",
        flush=True,
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--encoder", default="efficientnet-lite0")
    parser.add_argument("--most", type=int, default=500, help="pictures of a class, each way")
    arguments = parser.parse_args()
    encoder = open_encoder(arguments.encoder)
    for folder in arguments.folders:
        classes, both = halves(folder, arguments.most)
        print(f"{folder.name}: {len(classes)} classes, {len(both[0][0])} + {len(both[1][0])}")
        begun = time.perf_counter()
        small = [
            np.stack([one.ravel() / 255 for one in ordered_map(_tiny, paths)]) for paths, _ in both
        ]
        labels = [np.array(own) for _, own in both]
        pixels = regression(small[0], labels[0], small[1], labels[1], classes)
        show("regression on 32 x 32 pixels", pixels, begun)
        begun = time.perf_counter()
        plain, _ = network(classes, both, InputReader(shapes=True), Recipe())
        show("backlit train", plain, begun)
        begun = time.perf_counter()
        backed, sets = network(classes, both, InputReader(shapes=True, encoder=encoder), Recipe())
        show(f"backlit train --backbone {encoder.identity.name[-5:]}", backed, begun)
        begun = time.perf_counter()
        vectors = [one.vectors[:, 0] for one in sets if one.vectors is not None]
        own = regression(vectors[0], sets[0].labels, vectors[1], sets[1].labels, classes)
        show("regression on its vectors", own, begun)


def _tiny(path: str) -> np.ndarray:
    return read_crops(path, 32)[0]


if __name__ == "__main__":
    main()
