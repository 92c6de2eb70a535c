"""The one place that writes to standard output and standard error.

For people, what would steer a terminal is escaped (:mod:`backlit._text`), and what an encoding
lacks is spelt out; for programs, bytes of names go out as they are, unless to a terminal. A stream
that is closed or full is one sentence: for standard output an :class:`OutputError`; for standard
error none, since there is nowhere to say it.
"""

import errno
import os
import shlex
import shutil
import stat
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

from backlit._text import encodable, json_text, printable, printable_lines
from backlit.errors import OutputError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_PIPED_WIDTH = 100


def program() -> str:
    """Return how this command line is called, for lines to be pasted.

    Returns
    -------
    str
        ``"backlit"`` where a folder of PATH has it; else the path that was typed.
    """
    typed = sys.argv[0]
    if typed.endswith(os.path.join("backlit", "__main__.py")):
        return f"{shlex.quote(sys.executable)} -m backlit"
    found = shutil.which("backlit")
    is_it = found is not None and os.path.exists(typed) and os.path.samefile(found, typed)
    return "backlit" if is_it or "backlit" not in os.path.basename(typed) else shlex.quote(typed)


class Writer:
    """A stream of text that takes every character, and whose errors are sentences.

    Parameters
    ----------
    stream : text file or None
        Where to; None for one that was closed before the process began.
    optional : bool, optional
        Whether what cannot be written is dropped, as there is nobody who would read of it.
    name : str, optional
        What an error calls it.
    escape : bool, optional
        Whether what would steer a terminal is escaped, line breaks excepted.
    """

    def __init__(
        self,
        stream: TextIO | None,
        *,
        optional: bool = False,
        name: str = "standard output",
        escape: bool = False,
    ) -> None:
        self._stream, self._optional, self._name = stream, optional, name
        self._escape = escape

    @property
    def encoding(self) -> str:
        """The codec's name."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write text; returns its length."""
        with self._told():
            if self._escape:
                text = printable_lines(text)
            self._open().write(encodable(text, getattr(self._stream, "encoding", None)))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts one after the other."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand on what was written."""
        if self._stream is not None:
            with self._told():
                self._stream.flush()

    def isatty(self) -> bool:
        """Whether a terminal shows it."""
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:  # closed since
            return False

    def writable(self) -> bool:
        """Whether it was open when the process began."""
        return self._stream is not None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _open(self) -> TextIO:
        if self._stream is None:
            raise OSError(errno.EBADF, "closed")
        return self._stream

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: closed since
            if self._optional:
                return
            if isinstance(error, (BrokenPipeError, OutputError)):  # head has what it wanted
                raise
            raise OutputError(
                f"{self._name} cannot be written to: {getattr(error, 'strerror', None) or error}."
            ) from error


def output() -> TextIO:
    """Return standard output, as a stream that takes every character."""
    return _writer(sys.stdout)


def errors() -> TextIO:
    """Return standard error, as a stream that takes every character and raises nothing."""
    return _writer(sys.stderr, optional=True, name="standard error")


def _writer(stream: TextIO | None, **settings: Any) -> TextIO:
    found = stream if isinstance(stream, Writer) else Writer(stream, **settings)
    return cast("TextIO", found)


def data_output() -> TextIO:
    """Return standard output for what programs read.

    UTF-8, with bytes of names that are none as they are; to a terminal in its own encoding, and
    what would steer it is escaped.

    Raises
    ------
    OutputError
        Where it is closed.
    """
    stream = sys.stdout
    inner = stream._stream if isinstance(stream, Writer) else stream
    if inner is None:
        require_output()
    assert inner is not None
    if inner.isatty():
        return cast("TextIO", Writer(inner, escape=True))
    if hasattr(inner, "reconfigure"):
        inner.reconfigure(encoding="utf-8", errors="surrogateescape")
    return cast("TextIO", _Raw(inner))


class _Raw(Writer):
    """A stream for programs: what its encoding lacks is the encoding's own affair."""

    def write(self, text: str) -> int:
        """Write text as it is; returns its length."""
        with self._told():
            self._open().write(text)
        return len(text)


def is_to_file() -> bool:
    """Tell whether standard output is a file on a disk, and neither a terminal nor a pipe."""
    try:
        return stat.S_ISREG(os.fstat(1).st_mode)
    except OSError:
        return False


def require_output() -> None:
    """Say before the work, not after it, that standard output is closed.

    Raises
    ------
    OutputError
        Where it was closed when the process began.
    """
    stream = sys.stdout
    if stream is None or (isinstance(stream, Writer) and not stream.writable()):
        raise OutputError("standard output is closed.")


def print_json(value: Any, *, indent: int | None = None) -> None:
    """Write a value to standard output as JSON, every character of which can be printed.

    Parameters
    ----------
    value : object
        Anything that JSON can hold.
    indent : int, optional
        As for :func:`json.dumps`.
    """
    stream = data_output()
    stream.write(json_text(value, indent=indent, encoding=stream.encoding) + "\n")
    stream.flush()


def print_line(text: str, *, stderr: bool = False) -> None:
    """Write a line for people, as ``print`` does: nothing where the stream is closed.

    Parameters
    ----------
    text : str
        The line; characters that would steer a terminal are escaped.
    stderr : bool, optional
        To standard error.
    """
    stream = errors() if stderr else output()
    if cast("Writer", stream).writable():
        stream.write(printable(text) + "\n")
        stream.flush()


def console(
    *, stderr: bool = False, file: TextIO | None = None, notebook: bool = False, **settings: Any
) -> "Console":
    """Return a rich console, in which nothing that is printed can steer a terminal.

    Parameters
    ----------
    stderr : bool, optional
        For standard error rather than output.
    file : text file, optional
        For another stream.
    notebook : bool, optional
        Whether a notebook may show it as HTML.
    **settings
        Further ones of rich's ``Console``.

    Returns
    -------
    rich.console.Console
        Without highlighting; 100 columns wide where there is no terminal.
    """
    from rich.console import Console
    from rich.segment import Segment

    class Safe(Console):
        """Escapes in every segment of text; rich's own control codes are no text."""

        def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                text, style, control = segment
                if control or text == "\n" or text.isprintable():
                    yield segment
                else:
                    yield Segment(printable_lines(text), style)

    if notebook and "ipykernel" in sys.modules:
        return Safe(highlight=False, **settings)
    stream = (
        _writer(file, name="the file") if file is not None else errors() if stderr else output()
    )
    settings.setdefault("width", None if stream.isatty() else _PIPED_WIDTH)
    return Safe(file=stream, stderr=stderr, highlight=False, **settings)


def as_text(renderable: "RenderableType", width: int, *, colour: bool = False) -> str:
    """Return what a console would print.

    Parameters
    ----------
    renderable : object
        Anything that rich can print.
    width : int
        Columns.
    colour : bool, optional
        Whether with escape sequences for colours.

    Returns
    -------
    str
        Without spaces at the ends of lines.
    """
    import io

    file = io.StringIO()
    system: Any = "standard" if colour else None
    shown = console(
        file=file, width=width, force_terminal=colour, color_system=system, no_color=not colour,
        emoji=False, markup=False, force_jupyter=False,
    )  # fmt: skip
    shown.print(renderable)
    return "\n".join(line.rstrip() for line in file.getvalue().rstrip().splitlines())


def has_colours() -> bool:
    """Tell whether standard output is a terminal that may be coloured."""
    return output().isatty() and "NO_COLOR" not in os.environ


def print_traceback(error: BaseException) -> None:
    """Write an unexpected exception to standard error.

    Parameters
    ----------
    error : BaseException
        What nobody has caught.
    """
    stream = errors()
    stream.write(printable_lines("".join(traceback.format_exception(error))))
    stream.flush()


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Let everything that a command prints, also what libraries print, go through `Writer`.

    File descriptors that are closed are taken, so that no file that is opened later gets the
    number, and with it what C libraries write to it.
    """
    _take_closed_descriptors()
    before = sys.stdout, sys.stderr, warnings.showwarning
    sys.stdout, sys.stderr, warnings.showwarning = output(), errors(), _show_warning
    try:
        yield
    finally:
        sys.stdout, sys.stderr, warnings.showwarning = before


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    stream = errors() if file is None else file
    stream.write(printable_lines(warnings.formatwarning(message, category, filename, lineno, line)))


def _take_closed_descriptors() -> None:
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # the other way round, so that a write fails rather than gets lost
            with suppress(OSError):
                os.open(os.devnull, os.O_WRONLY if number == 0 else os.O_RDONLY)


def flush() -> None:
    """Hand on what was printed.

    Raises
    ------
    OutputError, BrokenPipeError
        Where standard output cannot take it.
    """
    for stream in (errors(), output()):
        stream.flush()
