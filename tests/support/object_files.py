"""What machine code refers to, and what a module imports; read from files."""

import ast
import struct
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path


def undefined_symbols(content):
    """Name what an ELF library for 64 bits refers to and does not hold."""
    assert content[:6] == b"\x7fELF\x02\x01", "64 bits, the lowest byte first"
    (sections_at,) = struct.unpack_from("<Q", content, 40)
    size, count = struct.unpack_from("<HH", content, 58)
    sections = [
        struct.unpack_from("<IIQQQQIIQQ", content, sections_at + size * i) for i in range(count)
    ]
    found = set()
    for _, kind, _, _, at, length, link, _, _, entry in sections:
        if kind != 11:  # the table of symbols for the loader
            continue
        names = sections[link][4]
        for place in range(at + entry, at + length, entry):
            name, _, _, section = struct.unpack_from("<IBBH", content, place)
            if section == 0:
                begin = names + name
                found.add(content[begin : content.index(b"\0", begin)].decode())
    return found


def imported_modules(module):
    """Name the modules of the package that come with an import of one of them, itself included.

    Packages, which load what they have when it is asked for, are left out.
    """
    found, left = set(), [module]
    while left:
        name = left.pop()
        if name in found:
            continue
        path = Path(find_spec(name).origin)
        if path.name == "__init__.py":
            continue
        found.add(name)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "backlit":
                left.append(node.module)
                for one in node.names:
                    inner = f"{node.module}.{one.name}"
                    with suppress(ModuleNotFoundError):  # a name in a module
                        left += [inner] if find_spec(inner) else []
    return found
