"""The self-test of an exported file, run with the tool that its language needs."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from backlit.errors import ExportError
from backlit.formats.export.exporting import form_of

#: seconds that a compiler or a test may take
_TIME_LIMIT = 300

_COMPILERS = ("cc", "gcc", "clang")


class SelfTest(NamedTuple):
    """How a self-test went.

    Attributes
    ----------
    passed : bool or None
        None where it did not run, because the tool is not installed.
    text : str
        What it said, in a line or a few.
    """

    passed: bool | None
    text: str


def run_self_test(path: str | os.PathLike[str]) -> SelfTest:
    """Run the self-test that an exported file carries.

    Parameters
    ----------
    path : path
        A file that `export` wrote.

    Returns
    -------
    SelfTest

    Raises
    ------
    ExportError
        If a C compiler refuses the file.
    """
    form, _ = form_of(path, None)
    file = Path(path).resolve()
    if form.name == "ONNX":
        return _onnx(file)
    if form.name == "Python":
        return _run([sys.executable, "-I", str(file), "--self-test"])
    if form.name == "JavaScript":
        node = shutil.which("node")
        if node is None:
            return SelfTest(None, "node is not installed: the self-test did not run.")
        with tempfile.TemporaryDirectory(prefix="backlit-") as folder:
            module = Path(folder) / "model.mjs"  # which node takes for a module in every version
            shutil.copyfile(file, module)
            return _run([node, str(module), "--self-test"])
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        return SelfTest(None, f"no C compiler ({', '.join(_COMPILERS)}) is installed: the "
                              "self-test did not run.")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="backlit-") as folder:
        return _compiled(compiler, file, Path(folder))


def _onnx(file: Path) -> SelfTest:
    from backlit.formats.export.onnx_form import self_test

    found = self_test(file.read_bytes())
    lines = [
        f"{one.n_examples} test vectors by {one.runtime}, largest error {one.error:.2g}, bound "
        f"{one.bound:.2g}: {'passed' if one.passed else 'FAILED'}"
        for one in found
    ]
    return SelfTest(all(one.passed for one in found), "\n".join(lines))


def _compiled(compiler: str, file: Path, folder: Path) -> SelfTest:
    program = folder / "test"
    guard = _guard(file)
    done = subprocess.run(
        [compiler, "-std=c99", "-O2", "-x", "c", f"-D{guard}_SELF_TEST", str(file), "-o",
         str(program), "-lm"],
        capture_output=True, text=True, check=False, timeout=_TIME_LIMIT,
    )  # fmt: skip
    if done.returncode:
        raise ExportError(f"{file}: the C compiler refused it: {done.stderr.strip()[:400]}")
    found = _run([str(program)])
    return SelfTest(found.passed, found.text.splitlines()[-1] if found.text else "")


def _guard(file: Path) -> str:
    """Return the prefix of a header's macros."""
    for line in file.read_text("utf-8", "replace").splitlines():
        if line.startswith("#ifndef ") and line.endswith("_H"):
            return line.split()[1].removesuffix("_H")
    raise ExportError(f"{file} is no header that backlit exported.")


def _run(command: list[str]) -> SelfTest:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIME_LIMIT)
    return SelfTest(done.returncode == 0, (done.stdout + done.stderr).strip())
