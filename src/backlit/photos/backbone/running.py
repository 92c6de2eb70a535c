"""An encoder at work: pictures into vectors, and the feature map that a vector is the mean of."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlit.errors import EncoderError, MissingExtraError, ShapeError
from backlit.photos.backbone.identity import EncoderIdentity

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]


class Encoder:
    """A frozen network that turns a picture into a vector.

    Parameters
    ----------
    identity : EncoderIdentity
        Which one, and how its input is made.
    data : bytes
        The network, as ONNX.
    """

    def __init__(self, identity: EncoderIdentity, data: bytes) -> None:
        self.identity = identity
        self._data = data
        self._session = _session(data, identity.name)
        self._input = self._session.get_inputs()[0].name

    @property
    def data(self) -> bytes:
        """The network, as ONNX."""
        return self._data

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures that it takes."""
        return self.identity.height, self.identity.width

    @property
    def length(self) -> int:
        """How many numbers a vector has."""
        return self.identity.length

    @cached_property
    def map_name(self) -> str | None:
        """The feature map over whose places the vector is the mean; None where there is none."""
        from backlit.photos.backbone.onnx_files import mean_of

        return mean_of(self._data, self.identity.output)

    @cached_property
    def _mapping(self) -> Any:
        """The same network with the feature map among its outputs."""
        from backlit.photos.backbone.onnx_files import with_output

        assert self.map_name is not None  # callers check before they ask for a map
        return _session(with_output(self._data, self.map_name), self.identity.name)

    def vectors(self, pictures: Pixels) -> Floats:
        """Compute the vectors of pictures, one by one: the same bits whatever else is among them.

        Parameters
        ----------
        pictures : ndarray of uint8, shape (m, height, width, 3)

        Returns
        -------
        ndarray of float32, shape (m, length)

        Raises
        ------
        ShapeError
            Where the pictures have another shape.
        EncoderError
            Where the network fails, or gives anything but finite numbers.
        """
        expected = (*self.size, 3)
        if pictures.ndim != 4 or pictures.shape[1:] != expected:
            raise ShapeError(
                f"vectors: pictures has shape {pictures.shape}, expected (m, {expected[0]}, "
                f"{expected[1]}, 3), as the encoder {self.identity.name} takes them."
            )
        found = np.empty((len(pictures), self.length), np.float32)
        for own, picture in zip(found, pictures, strict=True):
            own[...] = self._run(self._session, self.identity.output, picture).reshape(-1)
        if not np.isfinite(found).all():
            raise EncoderError(
                f"{self.identity.name}: gives numbers that are not finite; are its means right?"
            )
        return found

    def length_of(self, picture: Pixels) -> int:
        """Run once and say how many numbers come out."""
        found = self._run(self._session, self.identity.output, picture)
        if found.ndim not in (2, 4) or found.shape[0] != 1 or max(found.shape[2:], default=1) > 1:
            raise EncoderError(
                f"{self.identity.name}: its output {self.identity.output} has shape {found.shape}, "
                "expected (1, n): one vector a picture."
            )
        return int(found.size)

    def feature_map(self, picture: Pixels) -> Floats | None:
        """Compute the feature map that the vector is the mean of.

        Parameters
        ----------
        picture : ndarray of uint8, shape (height, width, 3)

        Returns
        -------
        ndarray of float32, shape (length, rows, columns), or None
            None where the vector is no such mean.
        """
        name = self.map_name
        if name is None:
            return None
        found = self._run(self._mapping, name, picture)
        return found[0] if found.ndim == 4 and found.shape[1] == self.length else None

    def _run(self, session: Any, output: str, picture: Pixels) -> Floats:
        try:
            (found,) = session.run([output], {self._input: self._prepared(picture)})
        except Exception as error:  # onnxruntime's own exceptions have no common class
            raise EncoderError(f"{self.identity.name}: failed ({_first_line(error)}).") from error
        converted: Floats = np.asarray(found, dtype=np.float32)
        return converted

    def _prepared(self, picture: Pixels) -> NDArray[Any]:
        """Make the network's input of a picture, by a table of what each byte becomes."""
        identity = self.identity
        if identity.dtype == "uint8":
            prepared: NDArray[Any] = picture
        else:
            prepared = np.empty(picture.shape, np.float32)
            for colour, table in enumerate(self._tables):
                prepared[..., colour] = table[picture[..., colour]]
            prepared = prepared.astype(identity.dtype, copy=False)
        if identity.layout == "nchw":
            prepared = prepared.transpose(2, 0, 1)
        return np.ascontiguousarray(prepared[None])

    @cached_property
    def _tables(self) -> Floats:
        """Return what each byte of each colour becomes: (3, 256)."""
        levels = np.arange(256) / 255
        mean, std = (np.array(one)[:, None] for one in (self.identity.mean, self.identity.std))
        tables: Floats = ((levels - mean) / std).astype(np.float32)
        return tables


def _session(data: bytes, name: str) -> Any:
    runtime = _require_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # pictures run side by side
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False
    try:
        return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise EncoderError(f"{name}: cannot be loaded ({_first_line(error)}).") from error


def _require_runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("A frozen backbone", "backbone") from error
    return onnxruntime


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
