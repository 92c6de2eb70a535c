"""Kill trainings 200 times and see that they end with the bits of an uninterrupted one.

``python -m benchmarks.kill --kills 200`` runs `tests/support/kills.py`, whose scaled-down form
is part of the test suite, and then the same on disks that are really full and really read-only,
where it may mount small ones (as root, on Linux). Exit code 1 if a bit differs.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

SUPPORT = Path(__file__).parents[1] / "tests" / "support"
sys.path.insert(0, str(SUPPORT))


def _mounted(*options: str) -> bool:
    return subprocess.run(["mount", *options], check=False, capture_output=True).returncode == 0


def real_disks() -> bool:
    """Go on from a checkpoint on a full disk, and on one that can only be read."""
    import kills

    ok = True
    case, seconds = "adamw, dropout, one cycle, clip", 0.3
    expected = kills._digest(case, None)
    with tempfile.TemporaryDirectory() as disk:
        if not _mounted("-t", "tmpfs", "-o", "size=4m", "none", disk):
            print("real disks: not tried, no right to mount one")
            return True
        try:
            folder = os.path.join(disk, "c")
            out = tempfile.mktemp()
            kills._attempt(case, folder, out, "clock", 0, seconds)
            filler = os.open(os.path.join(disk, "filler"), os.O_WRONLY | os.O_CREAT)
            try:
                while os.write(filler, bytes(4096)):
                    pass
            except OSError as error:  # full
                print(f"filled: {error.strerror}")
            finally:
                os.close(filler)
            killed = kills._attempt(case, folder, out, "clock", 0, seconds)
            kills._attempt(case, folder, out, "none", 0, 1e9)
            same = Path(out).read_text() == expected
            print(f"a full disk (killed there, too: {killed}): the same bits: {same}")
            ok &= same
            os.unlink(os.path.join(disk, "filler"))
            ok &= _mounted("-o", "remount,ro", disk)
            kills._attempt(case, folder, out, "clock", 0, seconds)
            kills._attempt(case, folder, out, "none", 0, 1e9)
            same = Path(out).read_text() == expected
            print(f"a read-only disk: the same bits: {same}")
            ok &= same
        finally:
            subprocess.run(["umount", disk], check=True)
    return ok


def main() -> None:
    """Run both."""
    from benchmarks import _harness

    print(_harness.machine())
    arguments = sys.argv[1:] or ["--kills", "200"]
    done = subprocess.run([sys.executable, str(SUPPORT / "kills.py"), *arguments], check=False)
    sys.exit(done.returncode or not real_disks())


if __name__ == "__main__":
    main()
