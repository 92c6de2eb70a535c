"""How good day from night is on cameras and places that no training picture came from.

``python benchmarks/day_night.py leave-one-set-out`` trains on two of the three sets of photographs
and judges the whole third, for each in turn. ``python benchmarks/day_night.py ship`` trains the
model that is part of the package, on the training pictures of all three and on rendered scenes,
and writes its weights and the figures of its model card.

The photographs are not part of the repository. Their folder has ``amos/{train,test}``,
``timeofday/train`` and ``pexels/train``, each with ``day`` and ``night``.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from backlit.photos import Recipe
from backlit.photos.augmentation import veil
from backlit.photos.backbone.encoders import open_encoder
from backlit.photos.calibration import expected_calibration_error, reliability
from backlit.photos.classifier import SHIPPED_MODEL
from backlit.photos.examples import PictureSet, join_examples, read_examples, read_pieces
from backlit.photos.inputs import InputReader, Reduced
from backlit.photos.learning import learn
from backlit.photos.pool import ordered_map
from backlit.photos.reading import WHOLE
from backlit.photos.recipe import MOST_VIEWS
from backlit.photos.scenes import render_scenes
from backlit.photos.trained import Judgement

CLASSES = ("day", "night")
SETS = ("amos", "timeofday", "pexels")
SCENES = 200
RECIPE = Recipe(copies=8, epochs=6, shapes=False)
"""Of the model that is part of the package."""

APART = 1_000_000
"""Between the numbers of the pictures of two sets, which tell them apart where they are joined."""


def list_set(photos: Path, name: str) -> tuple[list[str], list[int]]:
    """List the pictures of one split, as amos/train, and their labels."""
    sources, labels = [], []
    for label, one in enumerate(CLASSES):
        paths = sorted(str(path) for path in (photos / name / one).iterdir())
        sources += paths
        labels += [label] * len(paths)
    return sources, labels


def read_set(
    photos: Path,
    name: str,
    copies: int,
    seed: int = 0,
    share: float = 1.0,
    reader: InputReader | None = None,
) -> PictureSet:
    """Read a share of one split; the seed is also that of its changed copies."""
    sources, labels = list_set(photos, name)
    if share < 1.0:
        kept: list[int] = []
        for label in range(len(CLASSES)):
            own = np.flatnonzero(np.equal(labels, label))
            drawn = np.random.default_rng((seed, label)).permutation(own)
            kept += np.sort(drawn[: round(share * len(own))]).tolist()
        sources, labels = [sources[k] for k in kept], [labels[k] for k in kept]
    first = APART * (1 + SETS.index(name.split("/")[0]))
    places = range(first, first + len(sources))
    pieces = read_pieces(sources, labels, seed=seed, places=places) if copies else None
    found = read_examples(
        sources, labels, copies=copies, seed=seed, pieces=pieces, places=places, reader=reader,
        views=min(1 + copies, MOST_VIEWS),
    )  # fmt: skip
    print(f"{name}: {len(found)} pictures", file=sys.stderr)
    return found


def read_scenes(copies: int, seed: int = 0, reader: InputReader | None = None) -> PictureSet:
    """Render scenes to train on."""
    pictures, labels = render_scenes(SCENES, seed=0)
    pieces = read_pieces(pictures, labels.tolist(), seed=seed)
    return read_examples(
        pictures, labels.tolist(), copies=copies, seed=seed, pieces=pieces, reader=reader,
        views=min(1 + copies, MOST_VIEWS),
    )  # fmt: skip


def veiled(photos: Path, pictures: PictureSet, reader: InputReader) -> PictureSet:
    """Lay a grey veil over each picture: black at 0.1 to 0.35 of white, other gains and curves."""
    generator = np.random.default_rng(2026)
    seeds = generator.integers(1 << 32, size=len(pictures)).tolist()

    def describe(place: int) -> np.ndarray:
        own = np.random.default_rng(seeds[place])
        reduced = reader.read_crops(pictures.names[place], (WHOLE,), (WHOLE,))
        # the same veil over both reductions of a picture
        state = own.bit_generator.state
        squares = veil(reduced.squares, own, least=0.1)
        if reduced.wide is None:
            return reader.rows([Reduced(squares, None)])
        own.bit_generator.state = state
        return reader.rows([Reduced(squares, veil(reduced.wide, own, least=0.1))])

    rows = np.concatenate(list(ordered_map(describe, range(len(pictures)))))
    n = reader.n_square
    vectors = rows[:, None, n:] if reader.encoder is not None else None
    return replace(pictures, features=rows[:, None, :n], vectors=vectors)


def sure_ones(judgement: Judgement) -> str:
    """Say how right it is where it is 0.9 to 0.99 sure."""
    sure = judgement.probabilities.max(axis=1)
    chosen = (sure >= 0.9) & (sure < 0.99)
    right = (judgement.probabilities.argmax(axis=1) == judgement.labels)[chosen]
    if not len(right):
        return "0.9 to 0.99 sure: none"
    return f"0.9 to 0.99 sure: {right.mean():.3f} of {len(right)} right"


def line(name: str, judgement: Judgement) -> float:
    """Print accuracy with its interval, both kinds of mistake, calibration."""
    evaluation = judgement.evaluate(CLASSES)
    low, high = evaluation.interval
    error = expected_calibration_error(judgement.labels, judgement.probabilities)
    (_, day_as_night), (night_as_day, _) = evaluation.confusion.tolist()
    print(
        f"{name:<28} {evaluation.n:>5}  {evaluation.accuracy:.4f} ({low:.3f} to {high:.3f})  "
        f"day as night {day_as_night:>3}  night as day {night_as_day:>3}  ECE {error:.3f}",
        flush=True,
    )
    return evaluation.accuracy


def worst(judgement: Judgement, count: int = 8) -> None:
    """Print the surest mistakes."""
    guess = judgement.probabilities.argmax(axis=1)
    wrong = np.flatnonzero(guess != judgement.labels)
    for place in wrong[np.argsort(-judgement.probabilities.max(axis=1)[wrong])][:count]:
        path = Path(judgement.names[place])
        sure = judgement.probabilities[place].max()
        print(f"    {CLASSES[judgement.labels[place]]} taken for {CLASSES[guess[place]]}", end=" ")
        print(f"at {sure:.3f}: {path.name}")


def leave_one_set_out(
    photos: Path, recipe: Recipe, with_scenes: bool, seeds: int, share: float, backbone: str | None
) -> None:
    """Train on two sets, judge the whole third; changed copies and networks by every seed."""
    copies = recipe.copies or 0
    encoder = open_encoder(backbone) if backbone else None
    reader = InputReader(shapes=recipe.shapes, encoder=encoder)
    identity = None if encoder is None else encoder.identity
    tests = {name: read_set(photos, f"{name}/train", 0, reader=reader) for name in SETS}
    more = read_set(photos, "amos/test", 0, reader=reader)
    tests["amos"] = join_examples([tests["amos"], more])
    veils = {name: veiled(photos, one, reader) for name, one in tests.items()}
    means = []
    for seed in range(seeds):
        print(f"seed {seed}")
        sets = {
            name: read_set(photos, f"{name}/train", copies, seed, share, reader) for name in SETS
        }
        scenes = [read_scenes(copies, seed, reader)] if with_scenes else []
        accuracies, veiled_accuracies = [], []
        for held in SETS:
            train = join_examples([sets[name] for name in SETS if name != held] + scenes)
            splits = {"train": train, "test": tests[held], "veiled": veils[held]}
            trained = learn(CLASSES, splits, replace(recipe, seed=seed), encoder=identity)
            accuracies.append(line(held, trained.judgements["test"]))
            under = trained.judgements["veiled"]
            veiled_accuracies.append(line(f"{held}, veiled", under))
            print(f"{'':<28}        {sure_ones(under)}", flush=True)
            if seed == 0:
                worst(trained.judgements["test"])
        means.append(float(np.mean(accuracies)))
        print(f"{'mean':<28}        {means[-1]:.4f}", flush=True)
        print(f"{'mean, veiled':<28}        {np.mean(veiled_accuracies):.4f}", flush=True)
    print(f"{'mean over seeds':<28}        {np.mean(means):.4f}")


def ship(photos: Path, recipe: Recipe, output: Path) -> None:
    """Train the model that is part of the package."""
    copies = recipe.copies or 0
    sets = {name: read_set(photos, f"{name}/train", copies) for name in SETS}
    train = join_examples([*sets.values(), read_scenes(copies)])
    trained = learn(
        CLASSES,
        {"train": train, "test": read_set(photos, "amos/test", 0)},
        recipe,
        origin="amos/train, timeofday/train, pexels/train and rendered scenes",
    )
    trained.classifier.save(output)
    print(f"{output}: {output.stat().st_size:,} bytes")
    line("amos/test", trained.judgements["test"])
    held_out = trained.judgements["validation"]
    line("folds, all", held_out)
    names = np.array(held_out.names)
    for name in (*SETS, "picture "):
        rows = np.flatnonzero(np.char.find(names, name) >= 0)
        part = Judgement(names[rows].tolist(), held_out.labels[rows], held_out.probabilities[rows])
        line(f"folds, {'scenes' if name == 'picture ' else name}", part)
    print("reliability (confidence, accuracy, pictures):")
    for row in reliability(held_out.labels, held_out.probabilities):
        print(f"    {row.confidence:.3f}  {row.accuracy:.3f}  {row.n}")
    for name in SETS:
        mine = [one for one in trained.suspects if f"/{name}/" in one.path]
        total = len(sets[name])
        print(f"suspected labels in {name}: {len(mine)} of {total}")
        for one in mine[:10]:
            print(f"    {one.label}, looks like {one.likely} ({one.probability:.3f}): ", end="")
            print(Path(one.path).name)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["leave-one-set-out", "ship"])
    parser.add_argument("--photos", type=Path, default=Path("../shared/photos"))
    parser.add_argument("--output", type=Path, default=SHIPPED_MODEL)
    parser.add_argument("--copies", type=int, default=RECIPE.copies)
    parser.add_argument("--members", type=int, default=RECIPE.members)
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs)
    parser.add_argument("--hidden", type=int, nargs="+", default=RECIPE.hidden)
    parser.add_argument("--seeds", type=int, default=1, help="trainings with a set left out")
    parser.add_argument("--share", type=float, default=1.0, help="of each set's pictures")
    parser.add_argument("--no-scenes", action="store_true")
    parser.add_argument("--shapes", action="store_true", help="the features of photos.shapes, too")
    parser.add_argument("--backbone", help="a frozen encoder, as efficientnet-lite0")
    arguments = parser.parse_args()
    if not 0.0 < arguments.share <= 1.0:
        parser.error(f"--share is {arguments.share}, expected more than 0 and at most 1.")
    if not arguments.photos.is_dir():
        parser.error(f"there is no folder {arguments.photos}; give --photos.")
    recipe = replace(
        RECIPE,
        copies=arguments.copies,
        members=arguments.members,
        hidden=tuple(arguments.hidden),
        epochs=arguments.epochs,
        shapes=arguments.shapes,
    )
    begun = time.perf_counter()
    if arguments.what == "ship":
        ship(arguments.photos, recipe, arguments.output)
    else:
        leave_one_set_out(
            arguments.photos, recipe, not arguments.no_scenes, arguments.seeds, arguments.share,
            arguments.backbone,
        )  # fmt: skip
    print(f"{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
