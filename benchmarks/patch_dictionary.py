"""Learn the dictionary of patches that is part of the package, from rendered scenes.

``python benchmarks/patch_dictionary.py`` renders scenes, cuts patches out of them, finds their
principal directions and then typical patches by k-means. No photograph has a part in it, so that
anybody can run it, and accuracies on photographs owe it nothing.
"""

import argparse
from pathlib import Path

import numpy as np

from backlit.formats.tensors import save_tensors
from backlit.photos.augmentation import change_light, random_boxes
from backlit.photos.features import SIDE
from backlit.photos.patches import DICTIONARY, ENTRIES, take_patches
from backlit.photos.reading import reduce_picture
from backlit.photos.scenes import render_scenes

SCENES = 600
PATCHES = 60_000
DIRECTIONS = 60
NOISE = 0.002  # variance below which a direction is not blown up
ROUNDS = 12


def sample_patches(generator: np.random.Generator) -> np.ndarray:
    """Cut patches at random out of scenes and changed copies of them: (PATCHES, 192)."""
    pictures, _ = render_scenes(SCENES, seed=0)
    squares = []
    for picture in pictures:
        whole, crop = reduce_picture(picture, SIDE, random_boxes(1, generator))
        squares += [whole, change_light(crop[None], generator)[0]]
    planes = np.moveaxis(np.stack(squares), 3, 0).astype(np.float32) / 255
    each = -(-PATCHES // len(squares))
    found = []
    for start in range(0, len(squares), 50):
        patches, _ = take_patches(planes[:, start : start + 50])
        found += [own[generator.choice(len(own), each, replace=False)] for own in patches]
    return np.concatenate(found)


def k_means(points: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Find typical points (Lloyd's algorithm); an empty cluster starts anew at random."""
    centres = points[generator.choice(len(points), count, replace=False)]
    for _ in range(ROUNDS):
        nearest = (np.square(centres).sum(axis=1) - 2 * points @ centres.T).argmin(axis=1)
        for k in range(count):
            mine = points[nearest == k]
            centres[k] = mine.mean(axis=0) if len(mine) else points[generator.integers(len(points))]
    return centres


def main() -> None:
    """Learn and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=DICTIONARY)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    patches = sample_patches(generator)
    mean = patches.mean(axis=0)
    variances, vectors = np.linalg.eigh(np.cov((patches - mean).T.astype(np.float64)))
    scale = np.sqrt(variances[-DIRECTIONS:] + NOISE)
    directions = (vectors[:, -DIRECTIONS:] / scale).astype(np.float32)
    entries = k_means((patches - mean) @ directions, ENTRIES, generator)
    save_tensors(
        arguments.output,
        {"mean": mean, "directions": directions, "entries": entries},
        {"kind": "patch-dictionary", "source": f"{SCENES} rendered scenes", "seed": 0},
    )
    print(f"{arguments.output}: {arguments.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
