"""A photograph through the network: the label, why, and every layer with its gradient."""

import base64
import io
import os
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.app.tables import table_of
from backlit.errors import UnknownNameError
from backlit.photos.classifier import PhotoClassifier
from backlit.photos.saliency.drawing import overlay
from backlit.photos.saliency.explaining import Explanation, explain
from backlit.photos.saliency.input_names import input_names
from backlit.photos.saliency.words import describe
from backlit.photos.scenes import render_scene
from backlit.photos.thumbnails import encode_webp
from backlit.tracing.run import Trace, trace

LONGEST = 720
"""Pixels of the longer side of the pictures that are shown."""

SCENE = (640, 480)
"""Width and height of a rendered scene."""

SILENT = ("silent", "units through which no gradient passes for this picture")
"""What the column of dead units is called where there is a single example."""

MOST_FEATURES = 24
"""Features that are listed, the strongest gradient times value first."""


class PhotoDesk:
    """Classifies and explains photographs with one model.

    Parameters
    ----------
    classifier : PhotoClassifier
    """

    def __init__(self, classifier: PhotoClassifier) -> None:
        self.classifier = classifier

    def description(self) -> dict[str, Any]:
        """Return the model's classes and layers."""
        parameters = self.classifier.parameters
        dims = [parameters["W1"].shape[1]]
        dims += [len(parameters[f"b{l}"]) for l in range(1, len(parameters) // 2 + 1)]
        return {
            "classes": list(self.classifier.classes),
            "layers": [int(n) for n in dims],
            "activations": list(self.classifier.activations),
        }

    def look_at(self, data: bytes, label: str | None) -> dict[str, Any]:
        """Run a picture through the network, forward and backward.

        Parameters
        ----------
        data : bytes
            A picture file.
        label : str or None
            The class that is explained, and the label that the gradient is of; None for the
            likeliest.

        Returns
        -------
        dict
            ``classes`` and ``probabilities``; ``predicted`` and ``label``; ``log_odds``, ``start``
            and ``reasons``; ``picture`` and ``overlay`` as data URLs; ``table``, ``layers`` with
            the numbers of each unit, and ``features``.

        Raises
        ------
        PhotoError
            Where the picture cannot be read.
        UnknownNameError
            Where the model has no such class.
        """
        if label is not None and label not in self.classifier.classes:
            raise UnknownNameError(
                f"The model does not know a class {label!r}; its classes are "
                f"{', '.join(self.classifier.classes)}."
            )
        with tempfile.TemporaryDirectory(prefix="backlit-") as folder:
            path = os.path.join(folder, "picture")
            with open(path, "wb") as file:
                file.write(data)
            found = explain(path, self.classifier, label=label)
            reader = self.classifier.reader()
            extracted = reader.rows([reader.read(path)])
        passed = self.trace(extracted, self.classifier.classes.index(found.label))
        picture, width, height = encode_webp(found.picture, LONGEST)
        return {
            "classes": list(found.classes),
            "probabilities": list(found.probabilities),
            "predicted": found.classes[int(np.argmax(found.probabilities))],
            "label": found.label,
            "log_odds": found.log_odds,
            "start": found.start,
            "reasons": [
                {"group": one.group, "push": one.push, "words": one.words} for one in found.reasons
            ],
            "picture": _data_url(picture),
            "overlay": _data_url(_overlay(found)),
            "size": [width, height],
            "cost": passed.cost,
            "table": table_of(passed, {"dead": SILENT}),
            "layers": _layers(passed),
            "features": _features(passed, input_names(self.classifier)),
        }

    def trace(self, extracted: NDArray[np.float32], label: int) -> Trace:
        """Run a picture's input (1, n_0) through the network, as if that were its label."""
        A0 = self.classifier.standardise(extracted).T  # (n_0, 1)
        if len(self.classifier.classes) == 2:
            Y = np.array([[label]], dtype=A0.dtype)
        else:
            Y = np.eye(len(self.classifier.classes), dtype=A0.dtype)[:, [label]]
        return trace(A0, Y, self.classifier.parameters, activations=self.classifier.activations)


def rendered_scene(number: int) -> bytes:
    """Render a scene, by day or by night, for users without a photograph at hand.

    Parameters
    ----------
    number : int
        Even for day, odd for night; the same picture each time.

    Returns
    -------
    bytes
        WebP.
    """
    generator = np.random.default_rng(number)
    return encode_webp(render_scene(number % 2, generator, size=SCENE), max(SCENE))[0]


def _layers(passed: Trace) -> list[dict[str, Any]]:
    """Return the numbers of every unit, layer 1 first."""
    return [
        {
            "number": layer.number,
            "activation": layer.activation,
            **{name: _column(getattr(layer, name)) for name in ("Z", "A", "dA", "dZ")},
        }
        for layer in passed.layers[1:]
    ]


def _column(array: NDArray[Any]) -> list[Any]:
    """Return the only example's numbers; what is not finite as words."""
    values = np.asarray(array)[:, 0].astype(np.float64).tolist()
    return [value if np.isfinite(value) else str(value) for value in values]


def _features(passed: Trace, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the features that the label hangs on most, in words and numbers."""
    values, gradients = _column(passed.layers[0].A), _column(passed.layers[0].dA)
    strength = [abs(value * gradient) for value, gradient in zip(values, gradients, strict=True)]
    order = sorted(range(len(names)), key=lambda place: -strength[place])[:MOST_FEATURES]
    return [
        {
            "name": names[place],
            "words": describe(names[place], values[place]),
            "A0": values[place],
            "dA0": gradients[place],
        }
        for place in order
    ]


def _overlay(found: Explanation) -> bytes:
    buffer = io.BytesIO()
    overlay(found, LONGEST).save(buffer, format="WEBP", quality=82, method=4)
    return buffer.getvalue()


def _data_url(data: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"
