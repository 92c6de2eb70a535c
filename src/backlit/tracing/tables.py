"""A trace for a terminal: one row a layer, then a sentence a line."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from backlit import _terminal as terminal
from backlit.tracing.measures import ACTIVATIONS_THAT_DIE

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from backlit.tracing.measures import LayerMeasures
    from backlit.tracing.remarks import Remark

#: characters that all columns need
_WIDE = 96
#: column -> what it holds, for a title in a page
COLUMNS = {
    "layer": "number and activation",
    "W": "shape of W: units × inputs",
    "‖W‖": "norm of the weights",
    "A": "root mean square of the activations",
    "dead": "units through which no gradient passes for any example",
    "saturated": "share of the activations within 1 % of a bound",
    "‖dZ‖": "size of an example's gradient: root of the mean of its square",
    "flow": "the same, relative to the layer above",
    "‖dW‖": "norm of the weights' gradient",
    "dW/W": "norm of the gradient, relative to the weights'",
    "update": "relative change of the weights in one step",
}


class Pass(Protocol):
    """What a table says of a pass through a network: a `backlit.Trace`."""

    @property
    def m(self) -> int:
        """The number of examples."""

    @property
    def loss(self) -> str:
        """The loss's name."""

    @property
    def cost(self) -> float:
        """The cost, without the penalty."""

    @property
    def penalty(self) -> float:
        """The L2 penalty."""

    @property
    def learning_rate(self) -> float | None:
        """The rate that update ratios are for."""

    @property
    def measures(self) -> "list[LayerMeasures]":
        """The numbers of the table, layer 1 first."""

    @property
    def remarks(self) -> "list[Remark]":
        """What the numbers mean, a sentence each."""

    @property
    def alarms(self) -> "list[Remark]":
        """The remarks that call for a change."""

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        """Draw it."""


def columns(trace: Pass, width: int = _WIDE) -> dict[str, str]:
    """Return the columns of a trace's table that say something, and fit."""
    left = {"dW/W" if trace.learning_rate is not None else "update"}
    if all(one.saturated is None for one in trace.measures):
        left.add("saturated")
    if all(not ACTIVATIONS_THAT_DIE & {one.activation} for one in trace.measures[:-1]):
        left.add("dead")
    if width < _WIDE:
        left |= {"A", "‖dW‖"}
    return {name: meaning for name, meaning in COLUMNS.items() if name not in left}


def cells(one: "LayerMeasures") -> dict[str, str]:
    """Return a row of the table."""
    saturated = "–" if one.saturated is None else f"{100 * one.saturated:.0f} %"
    relative = f"{one.dW_norm / one.weight_norm:.2g}" if one.weight_norm else "–"
    return {
        "layer": f"{one.layer} {one.activation}",
        "W": f"{one.units} × {one.inputs}",
        "‖W‖": f"{one.weight_norm:.3g}",
        "A": f"{one.A_rms:.3g}",
        "dead": "–" if one.dead_units is None else f"{one.dead_units} of {one.units}",
        "saturated": saturated,
        "‖dZ‖": f"{one.gradient:.3g}",
        "flow": "–" if one.flow is None else f"{one.flow:.2g}×",
        "‖dW‖": f"{one.dW_norm:.3g}",
        "dW/W": relative,
        "update": "–" if one.update_ratio is None else f"{one.update_ratio:.2g}",
    }


def heading(trace: Pass) -> str:
    """Return the line above the table."""
    text = f"{trace.m:,} examples, {trace.loss.replace('_', ' ')} {trace.cost:.4g}"
    if trace.penalty:
        text += f" + penalty {trace.penalty:.4g}"
    if trace.learning_rate is not None:
        text += f", learning rate {trace.learning_rate:g}"
    return text


def renderables(trace: Pass, width: int = _WIDE) -> Iterator[Any]:
    """Yield what rich draws."""
    wanted = columns(trace, width)
    yield Text(heading(trace), style="bold")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in wanted:
        table.add_column(name, justify="left" if name == "layer" else "right", no_wrap=True)
    alarmed = {(remark.layer, remark.topic) for remark in trace.alarms}
    for one in trace.measures:
        row = cells(one)
        marked = {"dead", "saturated"} & {topic for layer, topic in alarmed if layer == one.layer}
        table.add_row(
            *(Text(row[name], style="bold red" if name in marked else "") for name in wanted)
        )
    yield table
    lines = Table.grid(padding=(0, 1))
    for remark in trace.remarks:
        mark = Text("!", style="bold red") if remark.alarm else Text(" ")
        lines.add_row(mark, Text(remark.text, style="" if remark.alarm else "dim"))
    if not trace.alarms:
        lines.add_row(" ", Text("no alarm", style="green"))
    yield lines


def as_text(trace: Pass) -> str:
    """Return the table as plain text, as wide as the terminal."""
    return terminal.as_text(trace, shutil.get_terminal_size((100, 25)).columns)
