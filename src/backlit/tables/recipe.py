"""RealMLP's settings: the tuned defaults ("TD") and the simple ones ("TD-S") of its paper.

Holzmüller, Grinsztajn and Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on
Tabular Data" (arXiv 2407.04491), tables A.1 and B.1. "TD" is the whole recipe; "TD-S" leaves out
embeddings, parametric activations, dropout, weight decay and the first weights from data.
"""

from dataclasses import dataclass, replace
from typing import Any

from backlit._checks import number_or_nan
from backlit.errors import SettingError, UnknownNameError

VARIANTS = ("td", "td-s")


@dataclass(frozen=True)
class Recipe:
    """All numbers of a network for tables and of its training.

    Attributes
    ----------
    activation : str
        "selu" or "mish".
    learning_rate : float
        Of Adam, before the factors of each tensor and of the schedule.
    hidden : tuple of int
        Units of the hidden layers.
    parametric : bool
        Whether each unit has a trained share of its activation.
    frequencies : int
        Cosines of a number's embedding; 0 for no embedding.
    embedding_numbers : int
        Numbers of an embedding, the number itself not counted.
    frequency_scale : float
        Standard deviation of the first frequencies.
    one_hot_levels : int or None
        Categories of up to so many levels are one-hot, others get trained vectors; None for all.
    category_size : int
        Length of these vectors.
    weights_from_data : bool
        Whether the first weights and biases follow from the training rows.
    zero_output : bool
        Whether the output layer starts at zero.
    clamped : bool
        Whether predicted numbers are kept within the range of the training targets.
    dropout, weight_decay : float
        At first; both are constant for half of the training, and then fall along a cosine.
    label_smoothing : float
        The share of a label that is spread over all classes.
    double_factors : bool
        Whether weight decay has each tensor's factors twice, as in the authors' code (issue 40 of
        pytabkit), or once, as in the paper.
    beta1, beta2, epsilon : float
        Adam's.
    scale_rate, bias_rate, activation_rate, periodic_rate : float
        Factors of the learning rate for the scaling layer, biases, parametric activations and
        embeddings of numbers.
    """

    activation: str
    learning_rate: float
    hidden: tuple[int, ...] = (256, 256, 256)
    parametric: bool = True
    frequencies: int = 16
    embedding_numbers: int = 3
    frequency_scale: float = 0.1
    one_hot_levels: int | None = 8
    category_size: int = 8
    weights_from_data: bool = True
    zero_output: bool = False
    clamped: bool = False
    dropout: float = 0.15
    weight_decay: float = 0.02
    label_smoothing: float = 0.0
    double_factors: bool = False
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    scale_rate: float = 6.0
    bias_rate: float = 0.1
    activation_rate: float = 0.1
    periodic_rate: float = 0.1


_TUNED = {
    "classes": Recipe("selu", 0.04, label_smoothing=0.1),
    "numbers": Recipe("mish", 0.2, clamped=True),
}
_SIMPLE = {
    kind: replace(
        tuned,
        learning_rate=rate,
        parametric=False,
        frequencies=0,
        one_hot_levels=None,
        weights_from_data=False,
        zero_output=True,
        clamped=False,
        dropout=0.0,
        weight_decay=0.0,
    )
    for (kind, tuned), rate in zip(_TUNED.items(), (0.04, 0.07), strict=True)
}
_BY_VARIANT = {"td": _TUNED, "td-s": _SIMPLE}


def recipe_of(function: str, variant: object, kind: str, **settings: Any) -> Recipe:
    """Return a variant's recipe with some numbers replaced.

    Parameters
    ----------
    function : str
        The public function or class, for messages.
    variant : {"td", "td-s"}
        Which.
    kind : {"classes", "numbers"}
        What is predicted.
    **settings
        Fields of `Recipe`; None keeps the variant's own.

    Raises
    ------
    UnknownNameError
        If there is no such variant.
    SettingError
        If a number lies outside its range.
    """
    if variant not in VARIANTS:
        raise UnknownNameError(f"{function}: variant is {variant!r}, expected 'td' or 'td-s'.")
    given = {name: value for name, value in settings.items() if value is not None}
    for name in ("dropout", "label_smoothing"):
        if name in given and not 0 <= number_or_nan(given[name]) < 1:
            raise SettingError(
                f"{function}: {name} is {given[name]!r}, expected a number in [0, 1)."
            )
    for name in ("weight_decay", "learning_rate"):
        value = number_or_nan(given.get(name, 1.0))
        if not 0 <= value < float("inf") or (name == "learning_rate" and value == 0):
            above = "above 0" if name == "learning_rate" else "of at least 0"
            raise SettingError(
                f"{function}: {name} is {given[name]!r}, expected a finite number {above}."
            )
    if "hidden" in given:
        given["hidden"] = _checked_hidden(function, given["hidden"])
    return replace(_BY_VARIANT[str(variant)][kind], **given)


def _checked_hidden(function: str, hidden: Any) -> tuple[int, ...]:
    try:
        sizes = tuple(int(n) for n in hidden)
        whole = all(n == given and n > 0 for n, given in zip(sizes, hidden, strict=True))
    except (TypeError, ValueError):
        sizes, whole = (), False
    if not sizes or not whole:
        raise SettingError(
            f"{function}: hidden_layer_sizes is {hidden!r}, expected whole numbers above 0, such "
            "as (256, 256, 256)."
        )
    return sizes
