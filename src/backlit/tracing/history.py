"""What was recorded of a network while it trained: numbers only, the arrays are gone."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, overload

#: heights of a line of text that draws a curve
_BLOCKS = "▁▂▃▄▅▆▇█"


class LayerRecord(NamedTuple):
    """A layer at one moment; the measures are those of `LayerMeasures`.

    Attributes
    ----------
    weight_norm, dW_norm, gradient : float
        Norms of W and dW, and the size of an example's dZ.
    flow, dead, saturated : float or None
        How the gradient grew from the layer above; shares of dead units and of saturated
        activations. None at the output, and where they have no meaning.
    change : float or None
        The ratio of update to weight: ``||W - W_before|| / ||W||``, since the record before and
        divided by the number of steps between. None in the first record.
    """

    weight_norm: float
    dW_norm: float
    gradient: float
    flow: float | None
    dead: float | None
    saturated: float | None
    change: float | None


class Record(NamedTuple):
    """A network at one moment.

    Attributes
    ----------
    step, epoch : int
        Steps of the optimizer, and epochs finished.
    seconds : float
        Since the start.
    cost : float
        The cost of the sample, without the penalty.
    layers : tuple of LayerRecord
        Layer 1 first.
    alarms : tuple of str
        What should be changed.
    """

    step: int
    epoch: int
    seconds: float
    cost: float
    layers: tuple[LayerRecord, ...]
    alarms: tuple[str, ...]


class TraceHistory(Sequence[Record]):
    """Records in the order of their steps.

    Parameters
    ----------
    records : sequence of Record
        The records.

    Attributes
    ----------
    activations : tuple of str
        The layers' activations.
    """

    def __init__(self, records: Sequence[Record] = (), activations: Sequence[str] = ()) -> None:
        self._records = list(records)
        self.activations = tuple(activations)

    def append(self, record: Record) -> None:
        """Add a record."""
        self._records.append(record)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    def column(self, name: str, layer: int | None = None) -> list[Any]:
        """Return one number of every record.

        Parameters
        ----------
        name : str
            A field of `Record`, or with `layer` one of `LayerRecord`.
        layer : int, optional
            From 1.

        Returns
        -------
        list
        """
        if layer is None:
            return [getattr(record, name) for record in self]
        return [getattr(record.layers[layer - 1], name) for record in self]

    @property
    def alarms(self) -> dict[str, int]:
        """Every alarm, and the step at which it was first raised."""
        first: dict[str, int] = {}
        for record in self:
            for text in record.alarms:
                first.setdefault(text, record.step)
        return first

    def as_dict(self) -> dict[str, Any]:
        """Return plain lists and dicts, for JSON."""
        records = [
            {**record._asdict(), "layers": [layer._asdict() for layer in record.layers]}
            for record in self
        ]
        return {"activations": list(self.activations), "records": records}

    def to_json(self) -> str:
        """Return `as_dict` as JSON."""
        return json.dumps(self.as_dict())

    @classmethod
    def from_dict(cls, held: dict[str, Any]) -> "TraceHistory":
        """Return the history that `as_dict` came from."""
        records = [
            Record(
                **{
                    **record,
                    "layers": tuple(LayerRecord(**layer) for layer in record["layers"]),
                    "alarms": tuple(record["alarms"]),
                }
            )
            for record in held["records"]
        ]
        return cls(records, held["activations"])

    def __repr__(self) -> str:
        if not self._records:
            return "<TraceHistory, empty>"
        last = self[-1]
        return f"<TraceHistory of {len(self)} records to step {last.step}, cost {last.cost:.4g}>"

    def __str__(self) -> str:
        """Draw each layer's curves, a line each."""
        if not self._records:
            return repr(self)
        lines = [f"{len(self)} records, steps {self[0].step:,} to {self[-1].step:,}"]
        lines.append(f"cost     {_curve(self.column('cost'))}")
        for l, activation in enumerate(self.activations, start=1):
            lines.append(f"layer {l} {activation}")
            for name, title in (
                ("gradient", "‖dZ‖"),
                ("dead", "dead"),
                ("saturated", "saturated"),
                ("change", "update"),
            ):
                values = [value for value in self.column(name, l) if value is not None]
                if any(values):
                    lines.append(f"  {title:<10} {_curve(values)}")
        return "\n".join(lines)


def _curve(values: Sequence[float], width: int = 40) -> str:
    """Draw a curve in a line, with its first and last number."""
    every = max(1, -(-len(values) // width))
    shown = [*values[::every][:-1], values[-1]] if len(values) > 1 else list(values)
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0
    blocks = "".join(_BLOCKS[int(7 * (value - low) / span)] for value in shown)
    return f"{values[0]:9.3g} {blocks} {values[-1]:.3g}"
