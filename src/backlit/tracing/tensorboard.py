"""A history for TensorBoard, through its own writer: neither TensorFlow nor PyTorch is needed."""

import os
import time
from typing import Any

from backlit.errors import MissingExtraError
from backlit.tracing.history import Record, TraceHistory


def require_tensorboard() -> Any:
    """Return TensorBoard's own writer.

    Raises
    ------
    MissingExtraError
        If TensorBoard is not installed.
    """
    try:
        from tensorboard.summary import Writer
    except ImportError as error:
        raise MissingExtraError("A record for TensorBoard", "tensorboard") from error
    return Writer


class TensorBoardWriter:
    """Writes records to an event file as they come.

    Tags are ``cost`` and, for each layer, ``weight_norm/layer 1`` and likewise ``dW_norm``,
    ``gradient``, ``flow``, ``dead``, ``saturated`` and ``change``: one chart a measure.

    Parameters
    ----------
    folder : path
        Where the event file is written; it is made.

    Raises
    ------
    MissingExtraError
        If TensorBoard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._writer = require_tensorboard()(os.fspath(folder))

    def write(self, record: Record, wall_time: float | None = None) -> None:
        """Write a record.

        Parameters
        ----------
        record : Record
            The record.
        wall_time : float, optional
            When it was, in seconds since 1970; by default now.
        """
        when = time.time() if wall_time is None else wall_time
        self._writer.add_scalar("cost", record.cost, record.step, wall_time=when)
        for l, layer in enumerate(record.layers, start=1):
            for name, value in layer._asdict().items():
                if value is not None:
                    tag = f"{name}/layer {l}"
                    self._writer.add_scalar(tag, value, record.step, wall_time=when)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


def write_tensorboard(history: TraceHistory, folder: str | os.PathLike[str]) -> None:
    """Write a history for TensorBoard.

    Parameters
    ----------
    history : TraceHistory
        The records.
    folder : path
        Where the event file is written; ``tensorboard --logdir`` takes it, or a folder above.

    Raises
    ------
    MissingExtraError
        If TensorBoard is not installed.
    """
    writer = TensorBoardWriter(folder)
    began = time.time() - (history[-1].seconds if history else 0.0)
    for record in history:
        writer.write(record, began + record.seconds)
    writer.close()
