"""A trace's table and remarks, for a page that has its own style."""

from collections.abc import Mapping
from math import log10
from types import MappingProxyType
from typing import Any

from backlit.tracing.run import Trace
from backlit.tracing.tables import cells, columns, heading

_NONE: Mapping[str, tuple[str, str]] = MappingProxyType({})


def table_of(trace: Trace, others: Mapping[str, tuple[str, str]] = _NONE) -> dict[str, Any]:
    """Return what a page shows of a trace.

    Parameters
    ----------
    trace : Trace
    others : mapping, optional
        Column -> another name and meaning for it.

    Returns
    -------
    dict
        ``heading``; ``columns`` with their meanings; ``rows``, each with its cells, the columns
        that an alarm is about, and a length in percent for the size of its gradient; ``remarks``.
    """
    wanted = columns(trace)
    alarmed = {(remark.layer, remark.topic) for remark in trace.alarms}
    sizes = [one.gradient for one in trace.measures]
    top = max(sizes)
    rows = []
    for one in trace.measures:
        row = cells(one)
        bar = max(4.0, 100 + 25 * log10(one.gradient / top)) if one.gradient else 0.0
        rows.append(
            {
                "cells": [row[name] for name in wanted],
                "alarms": [
                    others.get(name, (name,))[0] for name in wanted if (one.layer, name) in alarmed
                ],
                "bar": round(bar, 1),
            }
        )
    return {
        "heading": heading(trace),
        "columns": [
            dict(zip(("name", "meaning"), others.get(name, (name, meaning)), strict=True))
            for name, meaning in wanted.items()
        ],
        "rows": rows,
        "remarks": [
            {"layer": remark.layer, "alarm": remark.alarm, "text": remark.text}
            for remark in trace.remarks
        ],
    }
