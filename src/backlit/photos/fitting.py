"""A folder of pictures, or rendered scenes, into a classifier."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from backlit._progress import NoProgress, StageProgress
from backlit._warning import warn_user
from backlit.errors import PhotoFolderError, PhotoWarning
from backlit.photos.class_names import check_class_names
from backlit.photos.examples import PictureSet, Source, count_pieces, read_examples, read_pieces
from backlit.photos.inputs import InputReader
from backlit.photos.keeping import Kept
from backlit.photos.learning import learn
from backlit.photos.listing import PhotoFolder, Split, scan_folder
from backlit.photos.recipe import MOST_VIEWS, Recipe
from backlit.photos.trained import TrainedPhotos
from backlit.training.settings import Checkpoint, given_checkpoint

if TYPE_CHECKING:
    from backlit.photos.backbone.running import Encoder
    from backlit.tracing import TraceRecorder

SCENES = 1600
"""Rendered scenes to learn from where there is no folder."""

TEST_SEED = 1_000_000_007
"""Added to the seed for the scenes of the test split."""


@dataclass(frozen=True)
class _Source:
    classes: tuple[str, ...]
    splits: dict[str, tuple[Sequence[Source], Sequence[int]]]
    origin: str


def train(
    folder: str | os.PathLike[str] | None = None,
    recipe: Recipe | None = None,
    *,
    progress: StageProgress | None = None,
    warn: Callable[[str], None] | None = None,
    workers: int | None = None,
    recorders: "Callable[[int], TraceRecorder] | None" = None,
    checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
    resume: bool = False,
    encoder: "str | os.PathLike[str] | Encoder | None" = None,
) -> TrainedPhotos:
    """Learn classes from a folder of pictures, or day and night from rendered scenes.

    Parameters
    ----------
    folder : path, optional
        ``folder/<class>/**`` or ``folder/{train,training}/<class>/**`` with optional ``val`` or
        ``validation`` and ``test``. By default scenes that the package renders in memory.
    recipe : Recipe, optional
        Settings.
    progress : StageProgress, optional
        Receives how far it is.
    warn : callable, optional
        Called with each warning; by default they are issued as ``PhotoWarning``.
    workers : int, optional
        Number of threads that read pictures; by default one a core.
    recorders : callable, optional
        Returns a `backlit.TraceRecorder` for each member network, by its number from 0: what it
        recorded is then in the result's `traces`.
    checkpoint : path or Checkpoint, optional
        A folder that keeps the features of the pictures that were read, the networks that are done
        and the state of the one in training. Ctrl-C then saves and raises KeyboardInterrupt.
    resume : bool, default False
        Whether to go on from it, to the bits of an uninterrupted training; from the start where
        there is nothing yet.
    encoder : str, path or Encoder, optional
        A frozen backbone, whose vectors join the features: ``"efficientnet-lite0"``,
        ``"efficientnet-lite2"``, an ONNX file, or what
        :func:`backlit.photos.backbone.encoders.open_encoder` returned.

    Returns
    -------
    TrainedPhotos

    Raises
    ------
    CheckpointError
        Where the checkpoint cannot be written, or gone on from; see
        :func:`backlit.training.fit`.
    PhotoFolderError
        Where the folder cannot be learnt from; see :func:`backlit.photos.listing.scan_folder` and
        :func:`backlit.photos.class_names.check_class_names`.
    """
    recipe = recipe or Recipe()
    progress = progress or NoProgress()
    warn = warn or _issue
    reader = InputReader(shapes=recipe.shapes, encoder=_opened(encoder))
    kept: Kept | None = None
    given = given_checkpoint("train", checkpoint, resume)
    if given is not None:
        origin = "rendered scenes" if folder is None else os.path.abspath(folder)
        kept = Kept(given, resume, recipe, origin, reader)
        if kept.remark:
            warn(kept.remark)
    source = _rendered(recipe, progress) if folder is None else _from_folder(folder, warn)

    examples = _read(source, recipe, reader, kept, progress, warn, workers)
    broken = [one for part in examples.values() for one in part.broken]
    _check_classes(source, examples["train"])
    trained = learn(
        source.classes,
        examples,
        recipe,
        origin=source.origin,
        progress=progress,
        recorders=recorders,
        kept=kept,
        encoder=None if reader.encoder is None else reader.encoder.identity,
    )
    return replace(trained, broken=broken)


def _opened(encoder: "str | os.PathLike[str] | Encoder | None") -> "Encoder | None":
    if encoder is None:
        return None
    from backlit.photos.backbone.encoders import open_encoder
    from backlit.photos.backbone.running import Encoder

    return encoder if isinstance(encoder, Encoder) else open_encoder(encoder)


def _read(
    source: _Source,
    recipe: Recipe,
    reader: InputReader,
    kept: Kept | None,
    progress: StageProgress,
    warn: Callable[[str], None],
    workers: int | None,
) -> dict[str, PictureSet]:
    """Read the pictures of each split, and say which cannot be."""

    def tell(done: int, total: int) -> None:
        progress.advance(done)

    examples: dict[str, PictureSet] = {}
    has_encoder = reader.encoder is not None
    for number, (split, (pictures, labels)) in enumerate(source.splits.items()):
        learns = split == "train"
        copies = recipe.copies_for(len(pictures), has_encoder) if learns else 0
        seed = recipe.seed + 1_000_003 * number
        pieces = None
        if copies:
            progress.stage("reading parts", count_pieces(labels))
            pieces = read_pieces(pictures, labels, seed=seed, workers=workers, tick=tell)
        progress.stage(f"reading {split}" if len(source.splits) > 1 else "reading", len(pictures))
        read = partial(kept.read, split) if kept else partial(read_examples, reader=reader)
        found = read(
            pictures,
            labels,
            copies=copies,
            seed=seed,
            pieces=pieces,
            workers=workers,
            tick=tell,
            views=min(1 + copies, MOST_VIEWS),
        )
        for name, reason in found.broken:
            warn(f"left out {name}: {reason}")
        examples[split] = found
    return examples


def _issue(text: str) -> None:
    warn_user(text, PhotoWarning)


def _from_folder(folder: str | os.PathLike[str], warn: Callable[[str], None]) -> _Source:
    found: PhotoFolder = scan_folder(folder)
    check_class_names(found.classes)
    for problem in found.problems:
        warn(f"left out {problem.path}: {problem.error}")
    for path in found.empty:
        warn(f"{path} holds no picture; passed over")

    def pair(split: Split) -> tuple[Sequence[Source], Sequence[int]]:
        return split.paths, split.labels

    return _Source(
        found.classes,
        {name: pair(split) for name, split in found.splits.items()},
        f"folder {os.path.basename(os.path.abspath(found.root))}",
    )


def _rendered(recipe: Recipe, progress: StageProgress) -> _Source:
    from backlit.photos.scenes import render_scenes

    progress.stage("rendering scenes", SCENES + SCENES // 4)
    train_set = render_scenes(SCENES, seed=recipe.seed)
    progress.advance(SCENES)
    test_set = render_scenes(SCENES // 4, seed=recipe.seed + TEST_SEED)
    progress.advance(SCENES + SCENES // 4)
    return _Source(
        ("day", "night"),
        {
            "train": (train_set[0], train_set[1].tolist()),
            "test": (test_set[0], test_set[1].tolist()),
        },
        "rendered scenes",
    )


def _check_classes(source: _Source, pictures: PictureSet) -> None:
    counts = np.bincount(pictures.labels, minlength=len(source.classes))
    for name, count in zip(source.classes, counts, strict=True):
        if count == 0:
            raise PhotoFolderError(
                f"None of the pictures of class {name!r} can be read; each class needs some."
            )
