"""The kinds of files that backlit writes, and what reads each."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from backlit.formats.strict_json import short


class Kind(NamedTuple):
    """What files of a kind hold, and how they are read."""

    holds: str
    reading: str


#: the models, by the `kind` of their description
FAMILY: dict[str, Kind] = {
    "photo-classifier": Kind(
        "a classifier of photographs", "`backlit predict PHOTOS --model FILE`"
    ),
    "estimator": Kind(
        "an estimator for tables",
        'backlit.load("FILE").predict(X) in Python, or `backlit table predict DATA --model FILE` '
        "where `backlit table train` wrote it",
    ),
    "plane-classifier": Kind("a network of `backlit app`", 'backlit.load("FILE") in Python'),
}


def reading(kind: str, path: str) -> str:
    """Return what reads a file of a known kind, by the file's own name."""
    return FAMILY[kind].reading.replace("FILE", path)


def how_to_read(description: Mapping[str, Any], path: str = "FILE") -> str:
    """Return what a file holds and what reads it, as the end of a sentence.

    Parameters
    ----------
    description : mapping
        The file's, as it came.
    path : str, default "FILE"
        The file, printable.
    """
    kind = description.get("kind")
    known = FAMILY.get(kind) if isinstance(kind, str) else None
    if known is not None:
        return f"{known.holds}: use {reading(str(kind), path)}"
    if "checkpoint" in description:
        return (
            "the state of a training, no model; name its folder as checkpoint= with resume=True, "
            "or with `backlit train --resume`"
        )
    return f"a model of the kind {short(kind)}, which this version does not know"


def wrong_kind(description: Mapping[str, Any], wanted: str, path: str = "FILE") -> str:
    """Return what a file holds in place of what is wanted, as it follows the file's name.

    Parameters
    ----------
    description : mapping
        The file's, as it came.
    wanted : str
        A kind that is read.
    path : str, default "FILE"
        The file, printable.
    """
    expected = FAMILY[wanted].holds if wanted in FAMILY else f"the kind {wanted!r}"
    return f"holds {how_to_read(description, path)} (expected {expected})"
