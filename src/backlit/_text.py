"""Text for terminals."""


def printable(text: str) -> str:
    """Replace what would disturb a terminal (line breaks, control codes, stray bytes) by escapes.

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


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
