"""One run of `predict`: the rows it writes, those it goes on from, and the pictures it files."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from backlit._comparing import differences
from backlit._files import beside, fitting_name, unreadable, write_whole
from backlit._text import counted
from backlit.errors import ModelFileError, PhotoError, SettingError
from backlit.formats.strict_json import parse_object
from backlit.photos.class_names import UNSURE
from backlit.photos.classifier import PhotoClassifier, Prediction
from backlit.photos.filing import Filer, Promise
from backlit.photos.resuming import Done, resume
from backlit.photos.row_file import RowFile
from backlit.photos.writing import Rows, open_writer, row_columns

RESUMABLE = ("csv", "jsonl")
"""Formats that a run can go on in."""

SETTINGS_ENDING = ".settings.json"
"""What the name of an output's settings, which lie beside it, ends with."""

_MOST_SETTINGS = 1 << 22  # bytes
_MOST_NAMED = 8  # classes that a summary names


@dataclass(frozen=True)
class RunPlan:
    """Where a run writes its rows and its pictures.

    Attributes
    ----------
    form : {"table", "csv", "json", "jsonl", "parquet"}
        The rows' format.
    output : str or None
        Their file; None for standard output.
    resume : bool
        Whether to go on with the rows that are there.
    unsure : float
        The label is ``"unsure"`` where the highest probability is below this.
    folder : path or None
        Where pictures are filed by label; None where they stay.
    move, dry_run : bool
        As for `Filer`.
    given : tuple of str
        Pictures and folders as they were named.
    spreadsheet : bool
        As for `open_writer`.
    """

    form: str = "table"
    output: str | os.PathLike[str] | None = None
    resume: bool = False
    unsure: float = 0.0
    folder: str | os.PathLike[str] | None = None
    move: bool = False
    dry_run: bool = False
    given: tuple[str, ...] = ()
    spreadsheet: bool = False

    @property
    def files(self) -> bool:
        """Whether pictures are copied or moved."""
        return self.folder is not None and not self.dry_run


class Run:
    """Takes predictions: writes a row for each, and files pictures whose rows are on the disk.

    Parameters
    ----------
    rows : Rows
        What writes them.
    filer : Filer or None
        What files pictures.
    done : Done
        What is there already.
    warn, note : callable
        Called with what is to be said of a picture.

    Attributes
    ----------
    labels : Counter
        Pictures by label, those of the rows before included.
    unreadable, unfiled : int
        Pictures that cannot be read, those of the rows before included, and that cannot be filed.
    waiting : int
        Pictures whose rows say where they go, and which are not there yet.
    """

    def __init__(
        self,
        rows: Rows,
        filer: Filer | None,
        done: Done,
        warn: Callable[[str], None],
        note: Callable[[str], None],
    ) -> None:
        self.done, self.filer = done, filer
        self.labels, self.unreadable, self.unfiled = Counter(done.labels), done.failed, 0
        self._rows, self._warn, self._note = rows, warn, note
        self._waiting: list[Promise] = []

    @property
    def failed(self) -> int:
        """Pictures that cannot be read or filed."""
        return self.unreadable + self.unfiled

    @property
    def waiting(self) -> int:
        """See the class."""
        return len(self._waiting)

    def take(self, prediction: Prediction) -> None:
        """Write a prediction, and where its picture goes; have it filed when it is time.

        Raises
        ------
        PhotoError
            Where rows cannot be written, or the pictures' disk is full or fails.
        """
        promise = None
        if prediction.error:
            self.unreadable += 1
        else:
            self.labels[prediction.label] += 1
        readable = not prediction.error
        if self.filer is not None:
            prediction, promise = self.filer.promise(prediction)
            if promise is not None and self.filer.dry_run:
                verb = "move" if self.filer.move else "copy"
                self._note(f"would {verb} {promise.source} to {promise.target}")
                promise = None
        self._rows(prediction, promise)
        self.unfiled += readable and bool(prediction.error)
        if promise is not None:
            self._waiting.append(promise)
            if self._rows.batch and len(self._waiting) >= self._rows.batch:
                self.file()

    def go_on(self) -> None:
        """File what the rows before say, and is not there yet.

        Raises
        ------
        PhotoError
            As `take`.
        """
        if self.filer is not None:
            self._tell(self.filer.go_on(self.done.promises))

    def file(self) -> None:
        """File what waits for it.

        Raises
        ------
        PhotoError
            As `take`.
        """
        if self.filer is None or not self._waiting:
            return
        self._rows.sync()
        failures = self.filer.place(self._waiting)
        self._waiting.clear()
        self._tell(failures)

    def summary(self, classes: Sequence[str]) -> str:
        """Say how many pictures there are of each class.

        Parameters
        ----------
        classes : sequence of str
            The model's, in the order in which they are named; of many the most frequent.
        """
        named = list(classes)
        if self.labels[UNSURE] and UNSURE not in named:
            named.append(UNSURE)
        if len(named) > _MOST_NAMED:
            most = {name for name, _ in self.labels.most_common(_MOST_NAMED)}
            named = [name for name in named if name in most]
        others = self.labels.total() - sum(self.labels[name] for name in named)
        parts = [f"{self.labels[name]:,} {name}" for name in named]
        parts += [f"{others:,} of other classes"] * (others > 0)
        text = f"{_pictures(self.labels.total())}: {', '.join(parts)}"
        if self.unreadable:
            text += f"; {self.unreadable:,} unreadable"
        if self.unfiled:
            text += f"; {self.unfiled:,} not filed"
        return text

    def _tell(self, failures: Iterable[tuple[Promise, str]]) -> None:
        for promise, reason in failures:
            self._warn(f"{promise.source}: {reason}")
            self.unfiled += 1


@contextmanager
def open_run(
    classifier: PhotoClassifier,
    plan: RunPlan,
    *,
    warn: Callable[[str], None],
    note: Callable[[str], None],
) -> Iterator[Run]:
    """Open the output, go on from what it holds if that is wanted, and file what it promises.

    Parameters
    ----------
    classifier : PhotoClassifier
        Whose predictions they are.
    plan : RunPlan
        Where to.
    warn, note : callable
        Called with what is to be said of a picture.

    Yields
    ------
    Run

    Raises
    ------
    SettingError
        Where rows cannot be gone on with: they are no predictions, or of another model, threshold,
        format or folder.
    PhotoError
        Where a file or folder cannot be written, or another run writes to the output.
    """
    filing = plan.files
    with _open_rows(classifier, plan, filing, note) as (rows, done, name):
        filer = None
        if plan.folder is not None:
            filer = Filer(
                plan.folder,
                classifier.classes,
                move=plan.move,
                dry_run=plan.dry_run,
                run=name,
                given=[path for path in plan.given if not os.path.isdir(path)],
            )
        run = Run(rows, filer, done, warn, note)
        run.go_on()
        yield run
        if rows.batch:
            run.file()
    run.file()  # Parquet's rows are on the disk only now


@contextmanager
def _open_rows(
    classifier: PhotoClassifier, plan: RunPlan, filing: bool, note: Callable[[str], None]
) -> Iterator[tuple[Rows, Done, str]]:
    """Yield what writes rows, those that are there already, and the run's name."""
    classes = classifier.classes
    if plan.output is None or plan.form not in RESUMABLE:
        if plan.output is not None and os.path.isfile(plan.output):
            with RowFile(plan.output) as file:
                path = beside(file.path, SETTINGS_ENDING)
                if _keep_filed(file, path, note):
                    os.unlink(path)  # which says nothing of the rows to come
        with open_writer(
            plan.form, plan.output, classes, filing=filing, spreadsheet=plan.spreadsheet
        ) as rows:
            yield rows, Done(), ""
        return
    with RowFile(plan.output) as file:
        done, name = Done(), ""
        if file.regular:
            done, name = _begin(file, plan, _settings(classifier, plan, filing), filing, note)
        append = bool(done.paths)
        with open_writer(
            plan.form, file, classes, append=append, filing=filing, spreadsheet=plan.spreadsheet
        ) as rows:
            yield rows, done, name


def _settings(classifier: PhotoClassifier, plan: RunPlan, filing: bool) -> dict[str, Any]:
    """Return what all rows of an output have in common."""
    folder = os.path.abspath(plan.folder) if filing and plan.folder is not None else None
    return {
        "model": classifier.digest,
        "classes": list(classifier.classes),
        "unsure": plan.unsure,
        "format": plan.form,
        "columns": ",".join(row_columns(classifier.classes, filing)),
        "probability": "of the likeliest class",
        "copy_to": None if plan.move else folder,
        "move_to": folder if plan.move else None,
        **({"spreadsheet": True} if plan.spreadsheet else {}),
    }


def _begin(
    file: RowFile,
    plan: RunPlan,
    settings: dict[str, Any],
    filing: bool,
    note: Callable[[str], None],
) -> tuple[Done, str]:
    """Return what is done and the run's name; begin anew where nothing is."""
    path = beside(file.path, SETTINGS_ENDING)
    if plan.resume and os.path.getsize(file.path):
        before = _read_settings(path)
        if before is not None:
            name = str(before.pop("run", ""))
            _compare(file.path, before, settings)
        done = resume(file.path, plan.form, settings["classes"], filing=filing)
        if done.paths:
            if before is None:
                raise SettingError(
                    f"{file.path}: {path} is missing, which says by which model and with which "
                    "settings its rows were made; give another --output, or leave --resume out."
                )
            return done, name
    _keep_filed(file, path, note)
    name = os.urandom(8).hex()
    file.begin()
    try:
        write_whole(path, _as_json({**settings, "run": name}))
    except OSError as error:
        raise PhotoError(f"cannot be written ({error.strerror or error})", path) from error
    return Done(), name


def _keep_filed(file: RowFile, settings: str, note: Callable[[str], None]) -> bool:
    """Keep rows that say where pictures were filed, under a name with a number; tell if there are.

    The settings are written there first: killed in between, the rows have theirs under both names.
    """
    try:
        if not os.path.getsize(file.path):
            return False
        with open(settings, "rb") as given:
            data = given.read(_MOST_SETTINGS)
        before = parse_object(settings, "settings", data)
    except (OSError, ModelFileError):  # none, or none of ours
        return False
    if not (before.get("copy_to") or before.get("move_to")):
        return False
    folder, name = os.path.split(file.path)
    stem, ending = os.path.splitext(name)
    for number in count(1):
        kept = os.path.join(folder, fitting_name(stem, f"-{number}{ending}"))
        if os.path.lexists(kept) or os.path.lexists(beside(kept, SETTINGS_ENDING)):
            continue
        try:
            write_whole(beside(kept, SETTINGS_ENDING), data)
            file.set_aside(kept)
        except FileExistsError:  # since then
            continue
        except PhotoError:
            raise
        except OSError as error:
            raise PhotoError(f"cannot be written ({error.strerror or error})", kept) from error
        note(f"The rows that say where pictures were filed before are kept: {kept}")
        return True
    raise AssertionError  # numbers do not end


def _pictures(number: int) -> str:
    return counted(number, "picture")


def _as_json(settings: dict[str, Any]) -> bytes:
    return json.dumps(settings, indent=1).encode() + b"\n"


def _read_settings(path: str) -> dict[str, Any] | None:
    try:
        with open(path, "rb") as file:
            return parse_object(path, "settings", file.read(_MOST_SETTINGS))
    except FileNotFoundError:
        return None
    except ModelFileError as error:
        raise SettingError(f"{error} Give another --output, or leave --resume out.") from error
    except OSError as error:
        raise PhotoError(unreadable(error), path) from error


def _compare(output: str, before: dict[str, Any], settings: dict[str, Any]) -> None:
    differing = differences(before, settings)
    if differing:
        raise SettingError(
            f"predict: the rows in {output} are of another run: {'; '.join(differing)}. Give the "
            "same settings, or another --output."
        )
