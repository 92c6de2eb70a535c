"""Learn the dictionary of patches that is part of the package, from rendered scenes.

``python benchmarks/patch_dictionary.py`` renders scenes, cuts patches out of them, takes the cosine
coefficients that vary most, and then finds typical patches by k-means (scikit-learn's). No
photograph has a part in it, so that anybody can run it, and accuracies on photographs owe it
nothing.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.cluster import MiniBatchKMeans

from backlit.formats.tensors import save_tensors
from backlit.photos.augmentation import change_light, random_boxes
from backlit.photos.features import SIDE
from backlit.photos.patches import (
    COEFFICIENTS,
    DICTIONARY,
    ENTRIES,
    all_directions,
    take_patches,
)
from backlit.photos.reading import reduce_picture
from backlit.photos.scenes import render_scenes

SCENES = 800
COPIES = 2
PATCHES = 120_000
NOISE = 0.002  # variance below which a coefficient is not blown up


def sample_patches(generator: np.random.Generator) -> np.ndarray:
    """Cut patches at random out of scenes and changed copies of them: (PATCHES, 192)."""
    pictures, _ = render_scenes(SCENES, seed=0)
    squares = []
    for picture in pictures:
        own = reduce_picture(picture, SIDE, random_boxes(COPIES, generator))
        squares += [own[:1], change_light(own[1:], generator)]
    planes = np.moveaxis(np.concatenate(squares), 3, 0).astype(np.float32) / 255
    each = -(-PATCHES // planes.shape[1])
    found = []
    for start in range(0, planes.shape[1], 50):
        patches, _ = take_patches(planes[:, start : start + 50])
        found += [own[generator.choice(len(own), each, replace=False)] for own in patches]
    return np.concatenate(found)


def main() -> None:
    """Learn and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=DICTIONARY)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    patches = sample_patches(np.random.default_rng(arguments.seed))
    mean = patches.mean(axis=0)
    directions = all_directions()
    shape = directions.shape[1:]
    directions = directions.reshape(len(directions), -1)
    coefficients = (patches - mean) @ directions
    variances = coefficients.var(axis=0)
    most = np.argsort(-variances)[:COEFFICIENTS]
    scale = (1 / np.sqrt(variances[most] + NOISE)).astype(np.float32)
    typical = MiniBatchKMeans(
        ENTRIES, random_state=arguments.seed, batch_size=4096, n_init=1, max_iter=30
    ).fit((coefficients[:, most] * scale).astype(np.float32))
    save_tensors(
        arguments.output,
        {
            "mean": mean.astype(np.float32),
            "scale": scale,
            "entries": typical.cluster_centers_.astype(np.float32),
        },
        {
            "kind": "patch-dictionary",
            "source": f"{SCENES} rendered scenes",
            "seed": arguments.seed,
            "orders": np.stack(np.unravel_index(most, shape), axis=1).tolist(),
        },
    )
    print(f"{arguments.output}: {arguments.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
