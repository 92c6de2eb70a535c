"""Names of classes: which ones can be learnt, and the folders that pictures are filed in."""

import unicodedata
from collections.abc import Iterable, Sequence

from backlit._files import LONGEST_NAME, fitting_name
from backlit._text import printable
from backlit.errors import PhotoFolderError

UNSURE = "unsure"
"""Label of a picture whose probability is below the wanted one."""

_SEPARATORS = "/\\\0"
_CATEGORIES = {
    "Cc": "a control character",
    "Cf": "a character that is not seen, or turns the direction of text",
    "Cs": "a byte that is not UTF-8",
    "Zl": "a line break",
    "Zp": "a line break",
}
#: joiners, which several scripts and emoji are written with
_ALLOWED = "\u200c\u200d"


def check_class_names(names: Sequence[str]) -> None:
    """Refuse names of classes that a folder, a table or a row could not tell apart.

    Parameters
    ----------
    names : sequence of str
        One a class.

    Raises
    ------
    PhotoFolderError
        Where a name is empty, ``"."``, ``".."`` or ``"unsure"``, holds a path separator, a control
        or an invisible character or bytes that are not UTF-8, is longer than a file's name may be,
        or is another one's but for upper and lower case or its Unicode form.
    """
    seen: dict[str, str] = {}
    for name in names:
        reason = _why_not(name)
        if reason:
            raise PhotoFolderError(f"A class is called {_quoted(name)}: {reason}.")
        twin = seen.get(_key(name))
        seen[_key(name)] = name
        if twin is not None:
            same = "the same name" if twin == name else "names that some disks take for one"
            raise PhotoFolderError(
                f"Two classes are called {_quoted(twin)} and {_quoted(name)}: {same}; expected "
                "different ones."
            )


def _why_not(name: object) -> str:
    if not isinstance(name, str):
        return f"found {type(name).__name__}, expected text"
    if not name.strip():
        return "expected a name that can be seen"
    if name in (".", ".."):
        return "as a folder's name it stands for another folder"
    if _key(name) == UNSURE:
        return "that is the label of pictures below --unsure; rename the class"
    separators = [one for one in _SEPARATORS if one in name]
    if separators:
        return f"found {separators[0]!r}, which no folder's name can hold"
    unreadable = next(filter(_unreadable, name), None)
    if unreadable is not None:
        return f"found {_unreadable(unreadable)}, expected characters that can be read"
    if len(name.encode()) > LONGEST_NAME:
        return f"found {len(name.encode())} bytes, expected at most {LONGEST_NAME}"
    return ""


def _unreadable(character: str) -> str:
    """Say what kind of unreadable character one is; nothing of one that can be read."""
    if character in _ALLOWED:
        return ""
    return _CATEGORIES.get(unicodedata.category(character), "")


def folder_names(classes: Iterable[str]) -> dict[str, str]:
    """Return the folder for the pictures of each class, and of the unsure ones.

    Names that can be trained are their own folders. Model files may hold any others: these lead
    nowhere else, and no two share a folder.

    Parameters
    ----------
    classes : iterable of str
        Names as a model file has them.

    Returns
    -------
    dict of str to str
        Folder by label.
    """
    labels = list(dict.fromkeys([*classes, UNSURE]))
    labels.sort(key=lambda label: (label != UNSURE, _safe(label) != label))
    found: dict[str, str] = {}
    taken: set[str] = set()
    for label in labels:
        name, number = _safe(label), 1
        while _key(name) in taken:
            number += 1
            name = fitting_name(_safe(label), f"-{number}")
        taken.add(_key(name))
        found[label] = name
    return found


def _safe(label: str) -> str:
    name = "".join("_" if one in _SEPARATORS or _unreadable(one) else one for one in label)
    return "_" if name in ("", ".", "..") else fitting_name(name, "")


def _key(name: str) -> str:
    """Return what a disk that ignores case and Unicode's forms would compare."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _quoted(name: object) -> str:
    return f"'{printable(name)}'" if isinstance(name, str) else repr(name)
