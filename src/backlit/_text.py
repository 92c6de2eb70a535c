"""Text that is safe to show: what would steer a terminal is spelt out."""

import json
from typing import Any

#: characters of backlit's own words -> what stands for them where an encoding lacks them
_PLAIN = {
    "–": "-", "—": "-", "−": "-", "×": "x", "·": ".", "…": ".", "‖": "|", "█": "#", "✓": "+",
    "✗": "x", "→": ">", "←": "<", "≥": ">", "≤": "<", "≈": "~", "±": "~", "“": '"', "”": '"',
    "‘": "'", "’": "'", "•": "*", "●": "*", "━": "-", "╸": "-", "╺": "-", "⠀": " ",
}  # fmt: skip


def printable(text: str) -> str:
    """Escape what would disturb a line of a terminal.

    That is: control characters (C0 with line breaks and tabs, DEL, C1), controls of the writing
    direction and other invisible ones, and bytes that were no UTF-8.

    Parameters
    ----------
    text : str
        As a file name, possibly with surrogates for undecodable bytes.

    Returns
    -------
    str
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else _escape(character) for character in text
    )


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: ``"1 line"``, ``"2 lines"``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def printable_lines(text: str) -> str:
    """Escape as :func:`printable` does, but for line breaks.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
    """
    return "\n".join(map(printable, text.split("\n")))


def encodable(text: str, encoding: str | None) -> str:
    """Replace what an encoding lacks: by a similar character, or by an escape.

    Parameters
    ----------
    text : str
        Any text.
    encoding : str or None
        A codec's name; None where any character will do.

    Returns
    -------
    str
        ``text.encode(encoding)`` raises nothing.
    """
    if encoding is None:
        return text
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(_in(encoding, character) for character in text)
    return text


def json_text(value: Any, *, indent: int | None = None, encoding: str = "utf-8") -> str:
    r"""Write JSON in which every character can be printed.

    The others, and those that the encoding lacks, are JSON's own escapes (``\u001b``), so that
    who reads the text gets the same value.

    Parameters
    ----------
    value : object
        Anything that JSON can hold; NaN and infinity are none.
    indent : int, optional
        As for :func:`json.dumps`.
    encoding : str, optional
        What the text is to be written in.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        Where a number is not finite.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    lines = text.split("\n")  # those of the layout: in a string a line break is escaped
    return "\n".join(
        line if line.isprintable() and encodable(line, encoding) == line
        else "".join(_in_json(character, encoding) for character in line)
        for line in lines
    )  # fmt: skip


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def _in(encoding: str, character: str) -> str:
    for wanted in (character, _PLAIN.get(character, "")):
        try:
            if wanted.encode(encoding):
                return wanted
        except UnicodeEncodeError:
            continue
    return _escape(character)


def _in_json(character: str, encoding: str) -> str:
    if character.isprintable():
        try:
            character.encode(encoding)
        except UnicodeEncodeError:
            pass
        else:
            return character
    return json.dumps(character)[1:-1]
