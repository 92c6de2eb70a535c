"""Which pictures an archive has: folders of this machine, and any store that fsspec knows."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from backlit.errors import SettingError
from backlit.photos.listing import is_photo_name, walk_photos


class Entry(NamedTuple):
    """One picture: the name it is called by, and the URL it is opened by (or why it cannot be)."""

    name: str
    error: str = ""


def is_url(path: str) -> bool:
    """Whether a path is one for fsspec."""
    return "://" in path


def list_archive(paths: Iterable[str], options: dict[str, Any]) -> Iterator[Entry]:
    """Yield pictures in the order of the paths, each folder's sorted by name.

    Parameters
    ----------
    paths : iterable of str
        Paths and URLs.
    options : dict
        For fsspec.

    Raises
    ------
    SettingError
        If a URL's store is unknown, or what it needs is not installed.
    """
    for path in paths:
        if not is_url(path):
            for found in walk_photos([path]):
                yield Entry(found.path, found.error)
            continue
        yield from _listed(path, options)


def _listed(url: str, options: dict[str, Any]) -> Iterator[Entry]:
    import fsspec

    try:
        fs, root = fsspec.core.url_to_fs(url, **options)
    except (ValueError, ImportError, OSError) as error:
        raise SettingError(f"{url}: {error}") from error
    rest = url.partition("::")[2]
    try:
        if "*" in root:
            found = fs.glob(root) if "**" in root else fs.glob(root, maxdepth=None)
            found = [one for one in found if is_photo_name(_last(one))]
        elif fs.isfile(root):
            found = [root]
        else:
            found = [one for one in fs.find(root) if is_photo_name(_last(one))]
    except (OSError, ValueError) as error:
        yield Entry(url, str(error) or type(error).__name__)
        return
    if not found:
        yield Entry(url, "no such file or folder, or no pictures in it")
    for one in sorted(found):
        name = fs.unstrip_protocol(one)
        yield Entry(f"{name}::{rest}" if rest else name)


def _last(path: str) -> str:
    return path.rpartition("/")[2]
