"""`export`: a fitted model into a file of another language, with its proof."""

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from backlit._files import write_whole
from backlit._locks import importing
from backlit.errors import ExportError, SettingError
from backlit.formats.export.job import Job, identifier
from backlit.formats.export.ranges import input_ranges
from backlit.formats.export.reference import as_inputs
from backlit.formats.export.registry import describe
from backlit.formats.export.vectors import choose_vectors


class Form(NamedTuple):
    """A form that a model can be exported to.

    Attributes
    ----------
    name : str
        As people call it.
    dtypes : tuple of str
        What it can compute in, the usual one first.
    writer : str
        ``"module:function"`` that takes a `Job` and one of these and returns bytes.
    """

    name: str
    dtypes: tuple[str, ...]
    writer: str

    def write(self, job: Job, dtype: str) -> bytes:
        """Write a model."""
        module, _, function = self.writer.partition(":")
        with importing:
            home = import_module(f"backlit.formats.export.{module}")
        found: Callable[[Job, str], bytes] = getattr(home, function)
        return found(job, dtype)


_JAVASCRIPT = Form("JavaScript", ("float64",), "javascript_form:write_javascript")

#: a file's ending -> its form
FORMS = {
    ".onnx": Form("ONNX", ("float32", "float64"), "onnx_form:write_onnx"),
    ".h": Form("C", ("float32", "float64", "int8", "q15"), "c_form:write_c"),
    ".js": _JAVASCRIPT,
    ".mjs": _JAVASCRIPT,
    ".py": Form("Python", ("float64",), "python_form:write_python"),
}


def form_of(path: str | os.PathLike[str], dtype: str | None) -> tuple[Form, str]:
    """Return the form that a file's ending means, and what it computes in.

    Raises
    ------
    SettingError
        If there is none, or it cannot compute in `dtype`.
    """
    ending = Path(path).suffix.lower()
    form = FORMS.get(ending)
    if form is None:
        raise SettingError(
            f"{os.fspath(path)} ends in {ending or 'nothing'}, expected one of {', '.join(FORMS)}."
        )
    if dtype is None:
        return form, form.dtypes[0]
    if dtype not in form.dtypes:
        raise SettingError(
            f"{form.name} cannot compute in {dtype!r}, expected {' or '.join(form.dtypes)}."
        )
    return form, dtype


def prepare(model: Any, *, inputs: Any = None, name: str = "model") -> Job:
    """Describe a model and choose its test vectors: what all forms are written from.

    Parameters
    ----------
    model, inputs
        As for `export`.
    name : str
        What the names in C begin with.

    Returns
    -------
    Job
    """
    description = describe(model)
    given = None if inputs is None else as_inputs(description, inputs)
    ranges = input_ranges(description, given)
    vectors = choose_vectors(description, ranges.inputs, given)
    if not len(vectors.inputs):
        raise ExportError("the model refuses all of the examples, expected some that it takes.")
    return Job(description, identifier(name), ranges, vectors, given)


def export(
    model: Any,
    path: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    inputs: Any = None,
    name: str | None = None,
) -> None:
    """Write a fitted model as ONNX, C, JavaScript or Python, preprocessing included.

    The file carries test vectors with the outputs that they must give, and a bound of its error
    against the model in float64, derived from its weights for inputs within their ranges.

    Parameters
    ----------
    model : estimator, pipeline, PhotoClassifier, (parameters, activations) or Description
        A fitted `MLPClassifier` or `MLPRegressor`, backlit's or scikit-learn's, or a network for
        tables; a pipeline of scalers, encoders, imputers, `ColumnTransformer` and the like that
        ends in one; a search or `TransformedTargetRegressor` around it; a bag, a vote or a
        `MultiOutputRegressor` of several; a photo classifier, from its features on; or a
        network as the open functions take it, whose outputs are numbers.
    path : path
        Replaced if it exists. Its ending chooses the form: ``.onnx``; ``.h``, one C99 header
        without dependencies or allocation; ``.js`` or ``.mjs``, one module; ``.py``, one file that
        needs NumPy alone.
    dtype : str, optional
        ONNX: "float32" (default) or "float64". C: "float32" (default), "float64", or "int8" and
        "q15", whose layers are whole numbers with weights of 8 and 16 bits. JavaScript and Python
        compute in float64.
    inputs : data frame, mapping or array-like of shape (m, n_features), optional
        Examples such as the model will see, as `predict` takes them. They give the ranges for
        which the bound holds and, in "int8" and "q15", calibrate the layers. Without, ranges are
        those that the scalers know, or -4 to 4.
    name : str, optional
        What the names in C begin with; by default the file's.

    Raises
    ------
    ExportError
        If a step of the model, or the type, is none that the form can hold.
    SettingError
        If the ending or `dtype` is unknown; also without the extra ``[export]`` for ONNX.
    """
    form, chosen = form_of(path, dtype)
    data = form.write(prepare(model, inputs=inputs, name=name or Path(path).stem), chosen)
    try:
        write_whole(path, data)
    except OSError as error:
        raise ExportError(f"{os.fspath(path)}: cannot be written ({error.strerror}).") from error
