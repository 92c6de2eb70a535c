"""The report on a network for tables, as one self-contained HTML page."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backlit._files import write_whole
from backlit._text import printable
from backlit._version import __version__
from backlit.errors import PhotoError
from backlit.photos.calibration import expected_calibration_error, reliability
from backlit.report.charts import reliability_chart
from backlit.report.page import check_extra
from backlit.tables.findings import figure

if TYPE_CHECKING:
    from backlit.tables.findings import TableFindings

_HERE = Path(__file__).parent
#: shares of the residuals that are shown
_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)


def write_table_report(
    path: str | os.PathLike[str], findings: "TableFindings", source: str
) -> None:
    """Write a report.

    Parameters
    ----------
    path : path
        Replaced if it exists.
    findings : TableFindings
        What it tells.
    source : str
        The table's file.

    Raises
    ------
    MissingExtraError
        Where Jinja2 is missing.
    PhotoError
        Where the file cannot be written.
    """
    page = render_table_report(findings, source)
    try:
        write_whole(path, page.encode())
    except OSError as error:
        raise PhotoError(f"cannot be written ({error.strerror})", os.fspath(path)) from error


def render_table_report(findings: "TableFindings", source: str) -> str:
    """Render a report, as text.

    Returns
    -------
    str
        HTML. Everything in it that comes from files or their names is escaped.
    """
    check_extra()
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["printable"] = printable
    environment.filters["score"] = _score
    return environment.get_template("table.html.jinja").render(
        findings=findings,
        source=printable(source),
        calibration=_calibration(findings),
        residuals=_residuals(findings),
        css=(_HERE / "page.css").read_text(encoding="utf-8"),
        version=__version__,
    )


def _score(value: float, share: bool) -> str:
    return f"{100 * value:.1f} %" if share else figure(value)


def _calibration(findings: "TableFindings") -> Any:
    """Return the chart of sureness and rightness, for classes."""
    if findings.kind != "classes" or len(findings.classes) < 2:
        return None
    rows = reliability(findings.truth, findings.predicted)
    error = expected_calibration_error(findings.truth, findings.predicted)
    return {
        "chart": reliability_chart(rows, len(findings.classes), error),
        "error": f"{100 * error:.1f} %",
    }


def _residuals(findings: "TableFindings") -> list[tuple[str, str]]:
    """Return quantiles of target minus prediction, for numbers."""
    if findings.kind != "numbers":
        return []
    found = np.quantile(findings.truth - findings.predicted, _SHARES)
    signed = [("+" if value > 0 else "") + figure(float(value)) for value in found]
    return [(f"{100 * share:.0f} %", text) for share, text in zip(_SHARES, signed, strict=True)]
