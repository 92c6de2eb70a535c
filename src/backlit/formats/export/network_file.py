"""A network of the app, as its model file holds it, as the description that exports are of."""

from backlit.errors import ExportError
from backlit.formats.export.description import (
    Column,
    Dense,
    Description,
    Numbers,
    Output,
    Scale,
    Step,
)
from backlit.formats.models import NetworkFile

#: deviations from the mean that the points are taken to stay within
_DEVIATIONS = 4.0


def describe(file: NetworkFile) -> Description:
    """Describe a network of two classes with the mean and scale of its input.

    Parameters
    ----------
    file : NetworkFile
        As `backlit.load` gives it of a network of `backlit app`.

    Raises
    ------
    ExportError
        If it is another kind of network.
    """
    if not {"input_mean", "input_scale"} <= set(file.extra) or file.activations[-1] != "sigmoid":
        raise ExportError(
            f"a network of the kind {file.kind!r} cannot be exported, expected one of `backlit "
            "app`."
        )
    mean, scale = file.extra["input_mean"], file.extra["input_scale"]
    classes = tuple(str(name) for name in file.description.get("classes", ("0", "1")))
    columns = tuple(
        Column(f"x{place}", "number", float(m - _DEVIATIONS * s), float(m + _DEVIATIONS * s))
        for place, (m, s) in enumerate(zip(mean, scale, strict=True), start=1)
    )
    steps: list[Step] = [
        Numbers("points", tuple(range(len(columns)))), Scale("standardised", "points", mean, scale)
    ]  # fmt: skip
    for l, activation in enumerate(file.activations, start=1):
        W, b = file.parameters[f"W{l}"], file.parameters[f"b{l}"][:, 0]
        steps.append(Dense(f"layer {l}", steps[-1].name, W, b, activation))
    return Description("Network", columns, tuple(steps), Output("two classes", classes))
