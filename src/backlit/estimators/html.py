"""What a notebook shows of an estimator: its layers with their shapes, and its loss curve."""

from html import escape
from itertools import pairwise
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils import estimator_html_repr

_WIDTH, _HEIGHT = 420, 130
_STYLE = "font: 12px sans-serif; color: currentColor; margin-top: 6px"


def layers_picture(dims: tuple[int, ...], activations: list[str]) -> str:
    """Return an SVG picture of the layers: a bar each, with its size and activation.

    Parameters
    ----------
    dims : tuple of int
        ``n_0, ..., n_L``.
    activations : list of str
        One a layer.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    tallest = max(n**0.3 for n in dims)
    gap = _WIDTH / len(dims)
    parts, tops = [], []
    for l, n in enumerate(dims):
        height = 80 * n**0.3 / tallest
        x, top = gap * (l + 0.5), 50 - height / 2
        tops.append((x, top, height))
        name = "input" if l == 0 else activations[l - 1]
        parts.append(
            f'<rect x="{x - 9:.0f}" y="{top:.0f}" width="18" height="{height:.0f}" rx="3" '
            'fill="#4477aa"/>'
            f'<text x="{x:.0f}" y="108" text-anchor="middle" fill="currentColor">{n}</text>'
            f'<text x="{x:.0f}" y="123" text-anchor="middle" fill="currentColor" '
            f'font-size="10">{escape(name)}</text>'
        )
    for l, ((x0, top0, h0), (x1, top1, h1)) in enumerate(pairwise(tops)):
        points = (
            f"{x0 + 9:.0f},{top0:.0f} {x1 - 9:.0f},{top1:.0f} "
            f"{x1 - 9:.0f},{top1 + h1:.0f} {x0 + 9:.0f},{top0 + h0:.0f}"
        )
        title = f"W{l + 1}: {dims[l]} × {dims[l + 1]}"
        parts.append(
            f'<polygon points="{points}" fill="#4477aa" opacity="0.18"><title>{title}</title>'
            "</polygon>"
        )
    return _svg("the layers", "".join(parts))


def curve_picture(curves: dict[str, list[float]]) -> str:
    """Return an SVG picture of losses over epochs.

    Parameters
    ----------
    curves : dict
        Name of each curve and its values; values that are not finite are left out.

    Returns
    -------
    str
        An ``<svg>`` element, empty if there is nothing to draw.
    """
    finite = {
        name: [(i, v) for i, v in enumerate(values) if abs(v) < float("inf")]
        for name, values in curves.items()
    }
    values = [v for points in finite.values() for _, v in points]
    longest = max((len(curve) for curve in curves.values()), default=0)
    if not values or longest < 2:
        return ""
    low, high = min(values), max(values)
    spread = (high - low) or 1.0
    parts = [
        f'<text x="2" y="12" fill="currentColor">{high:.4g}</text>',
        f'<text x="2" y="104" fill="currentColor">{low:.4g}</text>',
        f'<text x="{_WIDTH}" y="123" text-anchor="end" fill="currentColor">{longest} epochs</text>',
    ]
    for (name, points), colour in zip(finite.items(), ("#4477aa", "#ee6677"), strict=False):
        path = " ".join(
            f"{60 + (_WIDTH - 70) * i / (longest - 1):.1f},{8 + 96 * (high - v) / spread:.1f}"
            for i, v in points
        )
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5">'
            f"<title>{escape(name)}</title></polyline>"
        )
    return _svg("the loss over the epochs", "".join(parts))


def _svg(label: str, inside: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}" '
        f'style="{_STYLE}">{inside}</svg>'
    )


class HtmlMixin:
    """The HTML representation of both estimators."""

    def _html_repr(self: Any) -> str:
        """Return scikit-learn's box and, once there is a network, its pictures."""
        box = str(estimator_html_repr(self))
        if not self.__sklearn_is_fitted__():
            return box
        one, count = self, len(vars(self).get("members_", ()))
        if count:
            one, box = self.members_[0], f"{box}<div>The first of {count} networks:</div>"
        curves = {"training loss": getattr(one, "loss_curve_", None) or []}
        if getattr(one, "validation_loss_curve_", None):
            curves["validation loss"] = one.validation_loss_curve_
        pictures = layers_picture(one._weights.layer_dims, one._activations())
        return f"<div>{box}{pictures}{curve_picture(curves)}</div>"

    if not hasattr(BaseEstimator, "_html_repr"):  # scikit-learn before 1.7 asks for these instead

        def _repr_html_inner(self: Any) -> str:
            return str(self._html_repr())

        def _repr_mimebundle_(self: Any, **kwargs: Any) -> dict[str, str]:
            bundle: dict[str, str] = BaseEstimator._repr_mimebundle_(self, **kwargs)
            if "text/html" in bundle:
                bundle["text/html"] = self._html_repr()
            return bundle
