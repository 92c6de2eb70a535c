"""What a model file holds, in words: from its description alone.

The writer of the file wrote the description too. Nothing here trusts it: what is of another type
than it should be is left out.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from backlit._text import printable
from backlit.formats.kinds import FAMILY, how_to_read, reading
from backlit.formats.tensors import load_tensors

_MOST = 12  # names that a line lists
_LONGEST = 60  # characters of one


class ModelInformation(NamedTuple):
    """What `backlit info` shows.

    Attributes
    ----------
    rows : list of (str, str)
        A heading and a text each, for people.
    data : dict
        The same and all the rest, in JSON's types: ``file``, ``bytes``, ``kind``, ``description``.
    """

    rows: list[tuple[str, str]]
    data: dict[str, Any]


def model_information(path: str | os.PathLike[str]) -> ModelInformation:
    """Read what a model file says of itself.

    Parameters
    ----------
    path : path
        A file of any of backlit's kinds; all of it is read and its checksum compared.

    Returns
    -------
    ModelInformation

    Raises
    ------
    ModelFileError
        Where the file is missing, damaged, or none of backlit's.
    """
    tensors, description = load_tensors(path, state=True)
    status = os.stat(path)
    kind = description.get("kind")
    known = isinstance(kind, str) and kind in FAMILY
    written = datetime.fromtimestamp(status.st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")
    rows = [("file", f"{printable(os.fspath(path))}, {status.st_size:,} bytes, dated {written}")]
    if not known:
        rows.append(("holds", how_to_read(description)))
    elif kind == "estimator":
        rows += _estimator_rows(_mapping(description.get("about")))
    else:
        rows += _network_rows(str(kind), description)
    rows.append(("versions", _pairs(_mapping(description.get("versions")), " ")))
    if known:
        rows.append(("to use it", reading(str(kind), printable(os.fspath(path)))))
    data = {
        "file": os.fspath(path),
        "bytes": status.st_size,
        "kind": kind if isinstance(kind, str) else None,
        "description": description,
        "tensors": {name: list(tensor.shape) for name, tensor in sorted(tensors.items())},
    }
    return ModelInformation([(name, text) for name, text in rows if text], data)


def _estimator_rows(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    trained = _mapping(about.get("trained"))
    model, network = _text(about.get("model")), _text(about.get("network"))
    figures = _mapping(about.get("figures"))
    return [
        ("model", network if network.startswith(model) else _with(model, network)),
        ("steps", _names(about.get("steps"))),
        ("classes", _counted(about.get("classes"))),
        ("features", _counted(about.get("features"))),
        *_layers(about),
        ("trained on", _text(about.get("note"), 2000)),
        ("examples", _number(trained.get("examples"))),
        ("trained", _text(trained.get("finished")).replace("T", " ").replace("+00:00", " UTC")),
        ("figures", ", ".join(f"{_text(k)} {_number(v)}" for k, v in figures.items())),
    ]


def _network_rows(kind: str, description: Mapping[str, Any]) -> list[tuple[str, str]]:
    training = _mapping(description.get("training"))
    preprocessing = _mapping(description.get("preprocessing"))
    pictures = _mapping(training.get("pictures"))
    settings = {
        name: value
        for name, value in training.items()
        if name not in ("pictures", "source", "curves", "backlit")
        and isinstance(value, (int, float, str))
    }
    classes = description.get("classes")
    features = _number(preprocessing.get("features"))
    return [
        ("model", FAMILY[kind].holds),
        (
            "classes",
            _counted({"count": len(classes), "names": classes})
            if isinstance(classes, list)
            else "",
        ),
        ("features", f"{features} of a picture" if features else ""),
        *_layers(description),
        ("trained on", _text(training.get("source"), 2000)),
        ("pictures", _pairs(pictures, " ")),
        (
            "settings",
            ", ".join(f"{_text(k)} {_number(v) or _text(v)}" for k, v in settings.items()),
        ),
    ]


def _layers(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    sizes, names = fields.get("layers"), fields.get("activations")
    if not isinstance(sizes, list):
        return []
    shown = " - ".join(_number(size) for size in sizes[:_MOST])
    more = f" and {len(sizes) - _MOST} more" if len(sizes) > _MOST else ""
    count, kind = _number(fields.get("parameters")), _text(fields.get("type"))
    parts = [shown + more, _names(names), f"{count} parameters" if count else "", kind]
    return [("layers", "; ".join(part for part in parts if part))]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object, most: int = _LONGEST) -> str:
    if not isinstance(value, str):
        return ""
    return printable(value if len(value) <= most else value[: most - 3] + "...")


def _number(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**15 else f"{float(min(value, 10**300)):.3g}"
    return f"{value:.6g}"


def _names(value: object) -> str:
    if not isinstance(value, list):
        return ""
    shown = ", ".join(_text(str(name)) for name in value[:_MOST])
    return shown + (f" and {len(value) - _MOST:,} more" if len(value) > _MOST else "")


def _counted(value: object) -> str:
    fields = _mapping(value)
    count, names = fields.get("count"), fields.get("names")
    if isinstance(count, bool) or not isinstance(count, int):
        return ""
    if not isinstance(names, list):
        return f"{_number(count)}, without names"
    shown = ", ".join(_text(str(name)) for name in names[:_MOST])
    more = f" and {count - _MOST:,} more" if count > _MOST else ""
    return f"{_number(count)}: {shown}{more}"


def _pairs(values: Mapping[str, Any], between: str) -> str:
    return ", ".join(f"{_text(k)}{between}{_number(v) or _text(v)}" for k, v in values.items())


def _with(model: str, network: str) -> str:
    """Name a model and the network in it, where there is one."""
    return f"{model} with {network}" if network else model
