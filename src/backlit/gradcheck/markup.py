"""The report in a notebook: the same table as HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence

from backlit.gradcheck.finding import Finding


def html_of(verdict: str, findings: Sequence[Finding], notes: Sequence[str]) -> str:
    """Return a report as a piece of HTML."""
    rows = []
    for f in findings:
        colour = "#1a7f37" if f.ok else "#b42318"
        name = f"{f.function}: " if f.function else ""
        name += f"d{f.gradient}" if f.gradient else "the call"
        where = f"<br><code>line {f.line}: {html.escape(f.source)}</code>" if f.source else ""
        text = html.escape(f.sentence)
        if not f.ok:
            text += where
        if f.details:
            text += f"<pre style='margin:4px 0'>{html.escape(f.details)}</pre>"
        rows.append(
            "<tr>"
            f"<td style='text-align:left;vertical-align:top;color:{colour}'>"
            f"{'✓' if f.ok else '✗'}</td>"
            f"<td style='text-align:left;vertical-align:top'><code>{html.escape(name)}</code>"
            "</td>"
            f"<td style='text-align:left;vertical-align:top;color:{colour};white-space:nowrap'>"
            f"<b>{html.escape(f.label)}</b></td>"
            f"<td style='text-align:left;vertical-align:top'>{text}</td></tr>"
        )
    return (
        f"<div><p><b>{html.escape(verdict)}</b></p><table>"
        "<thead><tr><th></th><th style='text-align:left'>gradient</th>"
        "<th style='text-align:left'>relation</th>"
        "<th style='text-align:left'>what it means</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
        + "".join(f"<p><small>{html.escape(n)}</small></p>" for n in notes)
        + "</div>"
    )
