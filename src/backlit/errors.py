"""The exceptions and warnings of backlit.

Each one also derives from the built-in class that a caller would have caught anyway, so that an
``except ValueError`` written before backlit came along keeps working.
"""


class BacklitError(Exception):
    """Base class of every exception that backlit raises on purpose."""


class ShapeError(BacklitError, ValueError):
    """An array has a shape that does not fit the others."""


class DTypeError(BacklitError, TypeError):
    """An array, or a value in its place, has a type that cannot be computed with."""


class NonFiniteError(BacklitError, ValueError):
    """An array holds NaN or infinity where only finite numbers make sense."""


class UnknownNameError(BacklitError, ValueError):
    """A name (of an activation, a loss, an optimizer, ...) is none of those that exist."""


class SettingError(BacklitError, ValueError):
    """A setting lies outside the range in which it has a meaning."""


class MissingExtraError(SettingError, ImportError):
    """What was asked for needs packages that the base installation leaves out.

    Parameters
    ----------
    what : str
        What needs them; it opens the message.
    extra : str
        The extra that brings them.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra: pip install 'backlit[{extra}]'")


class CacheError(BacklitError, ValueError):
    """Caches and arrays come from different forward passes, or a cache is malformed."""


class DivergenceError(BacklitError, ValueError):
    """Training reached a cost or parameters that are not finite."""


class ModelFileError(BacklitError, ValueError):
    """A model file cannot be read, or is not what it claims to be."""


class ExportError(BacklitError, ValueError):
    """A model cannot be held by the form that it was to be exported to; the message says why."""


class CheckpointError(BacklitError, ValueError):
    """A checkpoint cannot be written, read, or gone on from; the message says why."""


class PhotoError(BacklitError, OSError):
    """A picture cannot be read; the message says why.

    Attributes
    ----------
    reason : str
        Why, without the picture's name.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason


class EncoderError(BacklitError, ValueError):
    """A frozen encoder cannot be found or run, or is not the one that a model was trained with."""


class PhotoFolderError(BacklitError, ValueError):
    """A folder of pictures cannot be learnt from; the message says why."""


class ClusterError(BacklitError, RuntimeError):
    """A cluster cannot be reached, or was lost during the work; the message says what is kept."""


class OutputError(BacklitError, OSError):
    """Standard output cannot be written to; the message says why."""


class BacklitWarning(UserWarning):
    """Base class of the warnings."""


class CheckpointWarning(BacklitWarning):
    """A checkpoint could not be written or read; training goes on all the same."""


class ModelFileWarning(BacklitWarning):
    """A model file was read, but a library that its parts are of has another version now."""


class PhotoWarning(BacklitWarning):
    """A picture was left out."""
