"""Equations as MathML, made while the pages are built: nothing to load, and no script to run."""

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.writers.html5 import HTML5Translator

_SIGN = r'\1<mo form="prefix">&#x02212;</mo>'
_BAR = ('<mo stretchy="false">&#x0007C;</mo>', '<mo stretchy="false" lspace="0" rspace="0">|</mo>')


def mathml(latex: str, display: str) -> str:
    """Return an equation as a ``<math>`` element, its source beside it for who copies it.

    Parameters
    ----------
    latex : str
        The equation.
    display : str
        "inline" or "block".

    Raises
    ------
    ExtensionError
        If the equation holds what the converter does not know: it would show as it is.
    """
    element = str(convert(latex, display=display))
    for left in ("<mi>\\", "<mi>&</mi>", "<mtext>\\"):
        if left in element:
            raise ExtensionError(f"an equation cannot be converted to MathML: {latex}")
    # what the converter leaves to the browser to guess: a sign is no difference, a bar is a bracket
    element = re.sub(r"(<mrow>|\(</mo>|&#x00028;</mo>)<mo>&#x02212;</mo>", _SIGN, element)
    element = element.replace(*_BAR)
    source = nodes.fully_normalize_name(latex).replace('"', "&quot;").replace("<", "&lt;")
    return element.replace("<math ", f'<math alttext="{source}" ', 1)


def _inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def _block(self: HTML5Translator, node: nodes.math_block) -> None:
    # what is wider than a phone is scrolled, by keyboard too
    self.body.append('<div class="equation" tabindex="0" role="group" aria-label="equation">')
    self.body.append(mathml(node.astext(), "block"))
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer under the name "mathml"."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
