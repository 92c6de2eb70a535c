"""How right `backlit train` is after few and after many pictures of each class.

``python -m benchmarks.how_many FOLDER`` sets 200 pictures of each ``FOLDER/<class>`` aside, trains
on 10, 20, 50, ... of the others, and judges by those set aside; ``--seeds`` draws each. It compares
that with what the training itself says of its validation pictures. Without FOLDER: scenes that
backlit renders.
"""

import argparse
import statistics
import tempfile
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from backlit.photos import evaluate, train
from backlit.photos.listing import scan_folder
from backlit.photos.scenes import render_scenes
from benchmarks import _harness

SIZES = (10, 20, 50, 100, 200, 400)
ASIDE = 200


def render(folder: Path) -> None:
    """Write scenes, enough for all sizes."""
    images, labels = render_scenes(2 * (SIZES[-1] + ASIDE), seed=0)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / ("day", "night")[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number}.jpg", quality=92)


def link(paths: list[Path], folder: Path) -> None:
    """Make a folder of links to pictures."""
    folder.mkdir(parents=True)
    for number, path in enumerate(paths):
        (folder / f"{number}{path.suffix}").symlink_to(path.resolve())


def one_draw(folder: Path, size: int, seed: int) -> tuple[float, float]:
    """Return the accuracy on the pictures set aside, and what the training said."""
    found = scan_folder(folder)
    with tempfile.TemporaryDirectory() as place:
        for label, name in enumerate(found.classes):
            own = sorted(
                Path(path)
                for split in found.splits.values()
                for path, one in zip(split.paths, split.labels, strict=True)
                if one == label
            )
            order = np.random.default_rng((seed, label)).permutation(len(own)).tolist()
            link([own[i] for i in order[:ASIDE]], Path(place, "aside", name))
            link([own[i] for i in order[ASIDE : ASIDE + size]], Path(place, "own", name))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that they are few is what is tried
            trained = train(Path(place, "own"))
        judged = evaluate(Path(place, "aside"), trained.classifier).evaluation
    return judged.accuracy, trained.evaluations["validation"].accuracy


def main() -> None:
    """Print the table, and record it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="to docs/data")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as rendered:
        folder = options.folder or Path(rendered)
        if options.folder is None:
            render(folder)
        rows = []
        for size in SIZES:
            draws = [one_draw(folder, size, seed) for seed in range(options.seeds)]
            truth, said = (statistics.mean(values) for values in zip(*draws, strict=True))
            least, most = min(t for t, _ in draws), max(t for t, _ in draws)
            rows.append((size, f"{truth:.3f}", f"{least:.3f} to {most:.3f}", f"{said:.3f}"))
            print(*rows[-1], flush=True)
    columns = ("pictures a class", "right on others", "the draws", "the training said")
    print(_harness.markdown(columns, rows))
    if options.write:
        _harness.record(
            "how_many", f"python -m benchmarks.how_many --seeds {options.seeds}", columns, rows
        )


if __name__ == "__main__":
    main()
