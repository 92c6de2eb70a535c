"""The build's hook: the engine's machine code is made ahead of time, where that can be done.

``BACKLIT_BUILD`` chooses: "native" (the default) for this processor, "release" for every level of
its kind, "none" for a wheel of Python alone. Whatever goes wrong, the wheel is built all the same,
without machine code, and says so.
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = "src/backlit/prebuilt"


class MachineCode(BuildHookInterface[Any]):
    """Makes `FOLDER` and has the wheel carry it."""

    def dependencies(self) -> list[str]:
        """Return what the build needs besides: a compiler, and a linker where there is none."""
        choice = os.environ.get("BACKLIT_BUILD")
        if self.target_name != "wheel" or choice == "none" or not _has_wheels_of_numba():
            return []
        linker = [] if shutil.which("cc") and choice != "release" else ["ziglang>=0.14"]
        return ["numba>=0.62", *linker]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the libraries before the wheel is packed."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        # pip's own environment for a build is on this path, too
        path = [str(root / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
        done = subprocess.run(
            [sys.executable, "-m", "backlit.training.machine_code.building"],
            cwd=root, env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            self.app.display_warning(done.stderr.strip() or "no prebuilt machine code")
            return
        names = done.stdout.split()
        if not names:
            return
        build_data["artifacts"].append(f"/{FOLDER}/*")
        if version == "standard":
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{_platform()}"


def _has_wheels_of_numba() -> bool:
    """Tell whether pip finds Numba without compiling LLVM; if in doubt, no."""
    machine = platform.machine().lower()
    known = {
        "linux": machine in ("x86_64", "aarch64") and platform.libc_ver()[0] == "glibc",
        "darwin": machine == "arm64",
        "win32": machine == "amd64",
    }
    python = sys.implementation.name == "cpython" and sys.version_info < (3, 15)
    return python and sys.maxsize > 2**32 and known.get(sys.platform, False)


def _platform() -> str:
    """Return the wheel's tag for this system; a release's is that of what its linker aims at."""
    from packaging.tags import platform_tags

    tags = list(platform_tags())
    if os.environ.get("BACKLIT_BUILD") == "release":
        return next((tag for tag in tags if tag.startswith("manylinux_2_17")), tags[-1])
    return next((tag for tag in tags if tag.startswith("linux")), tags[0])
