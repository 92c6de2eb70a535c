"""Pictures into folders by label: copied or moved, never over another file."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from backlit.errors import PhotoError
from backlit.photos.classifier import Prediction


class Filer:
    """Copies or moves pictures to ``folder/<label>/<name>``.

    Where there is a file of that name, ``name-2``, ``name-3``, ... are tried.

    Parameters
    ----------
    folder : path
        Made, with its subfolders, as needed.
    move : bool, optional
        Whether pictures are moved rather than copied.
    dry_run : bool, optional
        Whether nothing is done, and only the target found.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, move: bool = False, dry_run: bool = False
    ) -> None:
        self.folder = Path(folder)
        self.move = move
        self.dry_run = dry_run
        self._promised: set[Path] = set()  # targets of a dry run

    def file(self, prediction: Prediction) -> Path | None:
        """Copy or move one picture.

        Parameters
        ----------
        prediction : Prediction
            What it shows; one with an error is left where it is.

        Returns
        -------
        Path or None
            Where it went, or would go.

        Raises
        ------
        PhotoError
            Where it cannot be copied or moved.
        """
        if prediction.error or not prediction.label:
            return None
        source = Path(prediction.path)
        folder = self.folder / _folder_name(prediction.label)
        try:
            if not self.dry_run:
                folder.mkdir(parents=True, exist_ok=True)
            for target in _targets(folder, source.name):
                if self.dry_run:
                    if not os.path.lexists(target) and target not in self._promised:
                        self._promised.add(target)
                        return target
                elif self._place(source, target):
                    return target
        except OSError as error:
            raise PhotoError(
                f"cannot be filed in {folder} ({error.strerror or error})", prediction.path
            ) from error
        raise PhotoError(f"no free name left in {folder}", prediction.path)

    def _place(self, source: Path, target: Path) -> bool:
        """Put the picture there, unless something is there already."""
        if self.move and not source.is_symlink():
            try:
                os.link(source, target)  # fails, unlike rename, where the target exists
            except FileExistsError:
                return False
            except OSError:  # another file system, or one without links
                pass
            else:
                source.unlink()
                return True
        try:
            with open(source, "rb") as reading, open(target, "xb") as writing:
                try:
                    shutil.copyfileobj(reading, writing)
                except BaseException:
                    target.unlink()
                    raise
        except FileExistsError:
            return False
        shutil.copystat(source, target)
        if self.move:
            source.unlink()
        return True


def _targets(folder: Path, name: str) -> Iterator[Path]:
    stem, ending = os.path.splitext(name)
    yield folder / name
    for number in range(2, 100_000):
        yield folder / f"{stem}-{number}{ending}"


def _folder_name(label: str) -> str:
    """Keep a class name from a model file from leading anywhere else."""
    name = label.replace("/", "_").replace("\\", "_").replace("\0", "_")
    return "_" if name in ("", ".", "..") else name
