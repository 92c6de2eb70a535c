"""A trace for a notebook or a page: HTML without scripts, without anything from elsewhere."""

from html import escape
from math import isfinite, log10

from backlit.tracing.tables import Pass, cells, columns, heading

_STYLE = """
<style>
.backlit-trace { font-size: 13px; max-width: 60em; overflow-x: auto; }
.backlit-trace table { border-collapse: collapse; margin: .4em 0; }
.backlit-trace th, .backlit-trace td { padding: .2em .7em; text-align: right; white-space: nowrap;
  border-bottom: 1px solid rgba(128, 128, 128, .3); }
.backlit-trace th:first-child, .backlit-trace td:first-child { text-align: left; }
.backlit-trace .alarm { color: #c62828; font-weight: bold; }
.backlit-trace .bar { display: inline-block; height: .7em; margin-left: .5em; width: 5em;
  text-align: left; }
.backlit-trace .bar span { display: block; height: 100%; background: #f9a825; }
.backlit-trace ul { margin: .3em 0; padding-left: 1.2em; }
@media (prefers-color-scheme: dark) { .backlit-trace .alarm { color: #ef9a9a; } }
</style>
"""


def as_html(trace: Pass) -> str:
    """Return the table and the remarks as a piece of HTML.

    Parameters
    ----------
    trace : Trace
        The pass.

    Returns
    -------
    str
        A ``div``; the bars beside ``‖dZ‖`` are by its logarithm.
    """
    wanted = columns(trace)
    head = "".join(
        f'<th scope="col" title="{escape(meaning)}">{escape(name)}</th>'
        for name, meaning in wanted.items()
    )
    alarmed = {(remark.layer, remark.topic) for remark in trace.alarms}
    sizes = [one.gradient for one in trace.measures]
    rows = []
    for one, share in zip(trace.measures, _bars(sizes), strict=True):
        row = cells(one)
        parts = []
        for name in wanted:
            kind = ' class="alarm"' if (one.layer, name) in alarmed else ""
            bar = ""
            if name == "‖dZ‖":
                bar = f'<span class="bar"><span style="width: {share:.0f}%"></span></span>'
            parts.append(f"<td{kind}>{escape(row[name])}{bar}</td>")
        rows.append(f"<tr>{''.join(parts)}</tr>")
    remarks = "".join(
        f"<li{' class=alarm' if remark.alarm else ''}>{escape(remark.text)}</li>"
        for remark in trace.remarks
    )
    if not trace.alarms:
        remarks += "<li>no alarm</li>"
    return (
        f'{_STYLE}<div class="backlit-trace"><strong>{escape(heading(trace))}</strong>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        f"<ul>{remarks}</ul></div>"
    )


def _bars(sizes: list[float]) -> list[float]:
    """Return widths in percent: a factor of ten is a quarter."""
    top = max(sizes)
    if not top or not isfinite(top):
        return [0.0] * len(sizes)
    return [max(4.0, 100 + 25 * log10(size / top)) if size else 0.0 for size in sizes]
