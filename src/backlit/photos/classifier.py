"""A trained network together with what turns pictures into its input and its output into labels."""

import hashlib
import json
import os
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backlit._checks import as_numpy, check_finite, in_dtype_of
from backlit.errors import ModelFileError, PhotoError, SettingError, ShapeError
from backlit.formats.export.registry import register_describer
from backlit.formats.models import Fields, NetworkFile, load_network, save_network
from backlit.photos import features, shapes
from backlit.photos.backbone.identity import EncoderIdentity
from backlit.photos.class_names import UNSURE
from backlit.photos.extracting import COMPILE_FROM, Extractor
from backlit.photos.inputs import InputReader, Reduced
from backlit.photos.listed import Listing
from backlit.photos.listing import FoundPath, walk_photos
from backlit.photos.pool import ordered_map

if TYPE_CHECKING:
    from backlit.photos.backbone.running import Encoder

Floats = NDArray[np.float32]

KIND = "photo-classifier"
SHIPPED_MODEL = Path(__file__).with_name("day_night.safetensors")
"""The model that is part of the package: day and night, on any camera."""

_MOST = 1e30  # that a number on the way may reach; float32 ends at 3e38

_CHUNK = 16  # pictures that are classified together


class Stamp(NamedTuple):
    """By what a change of a file is noticed: its size in bytes, and when it was modified, in ns."""

    size: int
    modified_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp":
        """Return that of a file, of which the system says so much."""
        return cls(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Prediction:
    """What a picture shows.

    Attributes
    ----------
    path : str
        The picture.
    label : str
        Name of the likeliest class, ``"unsure"``, or empty where there is an error.
    probability : float or None
        Of the likeliest class; None where there is an error.
    probabilities : tuple of float
        Of every class; empty where there is an error.
    error : str
        Why the picture could not be read; empty where it could.
    stamp : Stamp or None
        Size and time of the file just before it was read.
    """

    path: str
    label: str
    probability: float | None
    probabilities: tuple[float, ...] = ()
    error: str = ""
    stamp: Stamp | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class PhotoClassifier:
    """A dense network on the features of pictures.

    Attributes
    ----------
    classes : tuple of str
        Names; the second one is what the single output of a two-class network means.
    parameters : dict of str to ndarray
        ``W1, b1, ..., WL, bL``.
    mean, scale : ndarray of float32, shape (n_0,)
        The network's input is ``tanh((features - mean) / scale)``.
    training : dict
        How it was made; goes into the file as it is.
    shapes : bool
        Whether the input has the features of `backlit.photos.shapes`, too.
    encoder : EncoderIdentity or None
        The frozen encoder whose vector is the last part of the input; None where there is none.
    folder : str
        Where its file was, and so may be that of its encoder.
    """

    classes: tuple[str, ...]
    parameters: dict[str, Floats]
    mean: Floats
    scale: Floats
    training: dict[str, Any] = field(default_factory=dict)
    shapes: bool = False
    encoder: EncoderIdentity | None = None
    folder: str = field(default="", compare=False, repr=False)

    @property
    def n_square(self) -> int:
        """Numbers of the input that are features and shapes; an encoder's vector follows them."""
        return len(self.mean) - (0 if self.encoder is None else self.encoder.length)

    def open_encoder(self) -> "Encoder | None":
        """Open the encoder that it was trained with; None where there is none.

        Raises
        ------
        MissingExtraError, EncoderError
            As :func:`backlit.photos.backbone.encoders.find_encoder`.
        """
        if self.encoder is None:
            return None
        from backlit.photos.backbone.encoders import find_encoder

        return find_encoder(self.encoder, self.folder)

    def reader(self, extract: Extractor | None = None) -> InputReader:
        """Return what makes its input of pictures.

        Parameters
        ----------
        extract : Extractor, optional
            What computes the features; NumPy by default.

        Raises
        ------
        MissingExtraError, EncoderError
            Where its encoder cannot be used.
        """
        return InputReader(shapes=self.shapes, encoder=self.open_encoder(), extract=extract)

    @property
    def activations(self) -> tuple[str, ...]:
        """Names of the activations: relu, then sigmoid for two classes and softmax for more."""
        hidden = len(self.parameters) // 2 - 1
        return ("relu",) * hidden + ("sigmoid" if len(self.classes) == 2 else "softmax",)

    @property
    def digest(self) -> str:
        """SHA-256 of the classes and of all numbers: of what it computes, not of its training."""
        found = hashlib.sha256(json.dumps(self.classes).encode())
        arrays = {**self.parameters, "mean": self.mean, "scale": self.scale}
        for name in sorted(arrays):
            found.update(name.encode())
            found.update(arrays[name].tobytes())
        if self.encoder is not None:
            found.update(repr(self.encoder).encode())
        return found.hexdigest()

    def standardise(self, extracted: Floats) -> Floats:
        """Turn features (m, n_0) into the network's input, of the same shape.

        Raises
        ------
        ShapeError, DTypeError, NonFiniteError
            Where they are no finite numbers of that shape.
        """
        return standardise(self._checked("standardise", extracted), self.mean, self.scale)

    def _checked(self, function: str, extracted: Floats) -> Floats:
        found = as_numpy(function, "extracted", extracted)
        if found.ndim != 2 or found.shape[1] != len(self.mean):
            raise ShapeError(
                f"{function}: extracted has shape {found.shape}, expected (m, {len(self.mean)}), "
                "a row of features for each picture, as extract_features gives them."
            )
        check_finite(function, extracted=found)  # tanh would hide an infinity
        converted: Floats = in_dtype_of(function, "extracted", found, self.mean)
        return converted

    def probabilities_of_features(self, extracted: Floats) -> Floats:
        """Probabilities of the classes.

        Parameters
        ----------
        extracted : ndarray of float32, shape (m, n_0)
            As :func:`backlit.photos.features.extract_features` gives them.

        Returns
        -------
        ndarray of float32, shape (m, K)
            Rows sum to 1.

        Raises
        ------
        ShapeError, DTypeError, NonFiniteError
            Where they are no finite numbers of that shape.
        """
        from backlit.model import model_forward

        extracted = self._checked("probabilities_of_features", extracted)
        if not len(extracted):
            return np.empty((0, len(self.classes)), dtype=np.float32)
        AL, _ = model_forward(
            standardise(extracted, self.mean, self.scale).T,
            self.parameters,
            activations=self.activations,
        )
        return np.vstack([1 - AL, AL]).T if len(AL) == 1 else AL.T

    def predict(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | Listing,
        *,
        unsure: float = 0.0,
        skip: Container[str] = (),
        leave_out: str | os.PathLike[str] | None = None,
        workers: int | None = None,
        on_compile: Callable[[], None] | None = None,
        extract: Extractor | None = None,
    ) -> Iterator[Prediction]:
        """Tell what pictures show, in order, as they are read.

        Parameters
        ----------
        paths : path, iterable of paths, or Listing
            Pictures, and folders of pictures, which are searched recursively. An iterator is
            gone through as the pictures are read; a Listing is as it was made, and `skip` and
            `leave_out` are its own.
        unsure : float, optional
            The label is ``"unsure"`` where the highest probability is below this.
        skip : container of str, optional
            Pictures that are passed over.
        leave_out : path, optional
            A folder that is not searched.
        workers : int, optional
            Number of threads that decode; by default one a core.
        on_compile : callable, optional
            The features of two thousand pictures and more are computed by compiled code, which
            gives the same numbers but for rounding; of fewer, and of an iterator's, by NumPy.
            Called when the code must be compiled first, once a machine.
        extract : Extractor, optional
            What computes the features instead, where several runs share one.

        Yields
        ------
        Prediction
            One a picture; also for those that cannot be read, with the reason.

        Raises
        ------
        SettingError
            Where ``unsure`` is no probability, or above 0 while a class is called so.
        """
        if not 0.0 <= unsure <= 1.0:
            raise SettingError(f"predict: unsure is {unsure}, expected a probability, 0 to 1.")
        if unsure and UNSURE in self.classes:
            raise SettingError(
                f"predict: unsure is {unsure}, expected 0, because a class of this model is called "
                f"{UNSURE!r}, too; the two could not be told apart."
            )
        if isinstance(paths, str | os.PathLike):
            paths = [paths]
        return self._predict(paths, unsure, skip, leave_out, workers, on_compile, extract)

    def _predict(
        self,
        paths: Iterable[str | os.PathLike[str]] | Listing,
        unsure: float,
        skip: Container[str],
        leave_out: str | os.PathLike[str] | None,
        workers: int | None,
        on_compile: Callable[[], None] | None,
        extract: Extractor | None,
    ) -> Iterator[Prediction]:
        found: Listing | Iterable[FoundPath]
        if isinstance(paths, Sequence):  # anything else can be gone through only once
            found = Listing(paths, skip=skip, leave_out=leave_out)
        elif isinstance(paths, Listing):
            found = paths
        else:
            found = (one for one in walk_photos(paths, leave_out) if one.path not in skip)

        def classify(chunk: Sequence[FoundPath]) -> list[Prediction]:
            return self._classify(chunk, reader, unsure)

        with found if isinstance(found, Listing) else nullcontext():
            many = isinstance(found, Listing) and found.reaches(COMPILE_FROM)
            reader = self.reader(Extractor(many, on_compile) if extract is None else extract)
            for predictions in ordered_map(classify, _chunks(found), workers):
                yield from predictions

    def _classify(
        self, chunk: Sequence[FoundPath], reader: InputReader, unsure: float
    ) -> list[Prediction]:
        """Read and classify a few pictures."""
        pictures: list[Reduced] = []
        good: list[int] = []
        predictions = []
        stamps = []
        for place, one in enumerate(chunk):
            error = one.error
            if not error:
                try:
                    stamp = _stamp(one.path)
                    pictures.append(reader.read(one.path))
                    good.append(place)
                    stamps.append(stamp)
                except PhotoError as reading:
                    error = reading.reason
            predictions.append(Prediction(one.path, "", None, error=error))
        # Plain lists: a look at single numbers of an array takes longer than the network.
        rows = self.probabilities_of_features(reader.rows(pictures))
        sure = (rows.max(axis=1, initial=0.0) >= unsure).tolist()
        for place, stamp, row, is_sure in zip(good, stamps, rows.tolist(), sure, strict=True):
            best = row.index(max(row))
            predictions[place] = Prediction(
                chunk[place].path,
                self.classes[best] if is_sure else UNSURE,
                row[best],
                tuple(row),
                stamp=stamp,
            )
        return predictions

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model file, atomically.

        Parameters
        ----------
        path : path
            Replaced if it exists.

        Raises
        ------
        ModelFileError
            Where it cannot be written.
        """
        description = {
            "classes": list(self.classes),
            "preprocessing": {
                "features": len(self.mean),
                "features_version": features.VERSION,
                "side": features.SIDE,
                **({"shapes_version": shapes.VERSION} if self.shapes else {}),
                **({"encoder": self.encoder.to_file()} if self.encoder is not None else {}),
            },
            "training": self.training,
        }
        extra = {"input_mean": self.mean, "input_scale": self.scale}
        save_network(
            path, NetworkFile(KIND, dict(self.parameters), self.activations, extra, description)
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str] = SHIPPED_MODEL) -> "PhotoClassifier":
        """Read a model file.

        Parameters
        ----------
        path : path, optional
            As :meth:`save` wrote it; by default the model that is part of the package.

        Returns
        -------
        PhotoClassifier

        Raises
        ------
        ModelFileError
            Where the file is missing, damaged, of another kind, or needs other features than
            this version of the package computes.
        """
        network = load_network(path, KIND)
        fields = Fields(os.fspath(path), network.description)
        classes = fields.texts("classes")
        if len(classes) < 2 or len(set(classes)) != len(classes):
            fields.refuse("classes", classes, "at least two different names")
        preprocessing = fields.mapping("preprocessing")
        for name, value in (("features_version", features.VERSION), ("side", features.SIDE)):
            if preprocessing.integer(name) != value:
                preprocessing.refuse(name, preprocessing.values[name], f"{value}; train it again")
        has_shapes = "shapes_version" in preprocessing.values
        if has_shapes and preprocessing.integer("shapes_version") != shapes.VERSION:
            preprocessing.refuse(
                "shapes_version",
                preprocessing.values["shapes_version"],
                f"{shapes.VERSION}; train it again",
            )
        encoder = None
        if "encoder" in preprocessing.values:
            encoder = EncoderIdentity.from_file(preprocessing.mapping("encoder"))
        n_0 = len(features.feature_names()) + has_shapes * shapes.LENGTH
        n_0 += 0 if encoder is None else encoder.length
        n_L = 1 if len(classes) == 2 else len(classes)
        if network.layers[0] != n_0 or network.layers[-1] != n_L:
            fields.refuse(
                "layers",
                list(network.layers),
                f"{n_0} inputs and {n_L} outputs, for these features and {len(classes)} classes",
            )
        classifier = cls(
            tuple(classes),
            network.parameters,
            fields.tensor(network.extra, "input_mean", (n_0,)),
            fields.tensor(network.extra, "input_scale", (n_0,)),
            dict(fields.mapping("training").values),
            has_shapes,
            encoder,
            os.path.dirname(os.path.abspath(path)),
        )
        if network.activations != classifier.activations:
            fields.refuse("activations", network.activations, f"{classifier.activations}")
        if not (classifier.scale > 0).all():
            fields.refuse("tensor input_scale", "a scale that is not positive", "positive scales")
        _check_range(fields, classifier)
        return classifier


def _check_range(fields: Fields, classifier: PhotoClassifier) -> None:
    """Refuse numbers with which a picture's answer, or its gradient, might be none.

    With |A0| <= 1 and relu, |Z_l| <= |W_l| |A_{l-1}| + |b_l|, element by element; with one for the
    gradient of an output's log-odds, |dA_{l-1}| <= |W_l|' |dZ_l|, and |dfeatures| <= |dA0| / scale.
    """
    L = len(classifier.activations)
    weights = [classifier.parameters[f"W{l}"].astype(np.float64) for l in range(1, L + 1)]
    scale = classifier.scale[:, None].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        A = np.ones((len(scale), 1))
        for l, W in enumerate(weights, 1):
            A = np.abs(W) @ A + np.abs(classifier.parameters[f"b{l}"].astype(np.float64))
            _check_bound(fields, f"tensors W{l} and b{l}", "numbers", A)
        dA = np.ones((len(weights[-1]), 1))
        for l, W in zip(range(L, 0, -1), weights[::-1], strict=True):
            dA = np.abs(W).T @ dA
            _check_bound(fields, f"tensor W{l}", "gradients", dA)
        _check_bound(fields, "tensor input_scale", "gradients", dA / scale)
        _check_bound(
            fields, "tensor input_mean", "numbers", np.abs(classifier.mean[:, None]) / scale
        )


def _check_bound(fields: Fields, field: str, what: str, bound: NDArray[np.float64]) -> None:
    largest = float(bound.max())
    if not largest <= _MOST:
        raise ModelFileError(
            f"{fields.path}: {field}: found values with which a picture's {what} may reach "
            f"{largest:.1e}, expected at most {_MOST:.0e}."
        )


register_describer("backlit.photos", "backlit.photos.describing:describe")


def standardise(extracted: Floats, mean: Floats, scale: Floats) -> Floats:
    """Shift and scale features, and bring them between -1 and 1.

    What lies far from all training pictures so says little more than what lies at their edge.

    Parameters
    ----------
    extracted : ndarray of float32, shape (m, n_0)
    mean, scale : ndarray of float32, shape (n_0,)

    Returns
    -------
    ndarray of float32, shape (m, n_0)
        ``tanh((extracted - mean) / scale)``.
    """
    with np.errstate(over="ignore"):  # tanh(+-inf) = +-1 is what the exact quotient has, too
        scaled: Floats = (extracted - mean) / scale
    return np.tanh(scaled, out=scaled)


def standardise_backward(
    dA0: NDArray[np.floating], extracted: Floats, mean: Floats, scale: Floats
) -> NDArray[np.floating]:
    """Take a gradient with respect to standardised features back to the features.

    Parameters
    ----------
    dA0 : ndarray, shape (m, n_0)
        Gradient with respect to ``A0 = standardise(extracted, mean, scale)``.
    extracted : ndarray of float32, shape (m, n_0)
    mean, scale : ndarray of float32, shape (n_0,)

    Returns
    -------
    ndarray, shape (m, n_0)
    """
    # forward was A0 = tanh(z), z = (extracted - mean) / scale, so now dz = dA0 * tanh'(z), where
    # tanh'(z) = 1 - tanh(z)^2 = 4 e / (1 + e)^2 with e = exp(-2 |z|), without the cancellation
    with np.errstate(over="ignore"):  # exp(-inf) = 0
        e = np.exp(-2 * np.abs((extracted - mean) / scale))
    dextracted: NDArray[np.floating] = dA0 * (4 * e / np.square(1 + e)) / scale
    return dextracted


def _stamp(path: str) -> Stamp | None:
    try:
        return Stamp.of(os.stat(path))
    except (OSError, ValueError):  # reading says why
        return None


def _chunks(found: Iterable[FoundPath]) -> Iterator[list[FoundPath]]:
    chunk: list[FoundPath] = []
    for one in found:
        chunk.append(one)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
