"""Kill trainings and predictions 200 times each, and see that they end as if never stopped.

``python -m benchmarks.kill --kills 200`` runs `tests/support/kills.py` (trainings: the same bits)
and `tests/support/kills_of_predict.py` (rows, and pictures copied and moved: nothing lost, twice or
torn), whose scaled-down forms are part of the test suite, and then the same on disks that are full
and, for trainings, read-only, where it may mount small ones (as root, on Linux). Exit code 1 if
anything differs.
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


def small_disks() -> bool:
    """Copy and move pictures to disks on which only some of them have room, then to larger ones."""
    import kills_of_predict as predict

    stopped = ended = 0
    with tempfile.TemporaryDirectory() as pictures, tempfile.TemporaryDirectory() as disk:
        predict.make_pictures(Path(pictures), 10)
        for case in ("copy to another disk", "move to another disk"):
            expected = None
            for kilobytes in (2000, *range(4, 140, 8)):
                if not _mounted("-t", "tmpfs", "-o", f"size={kilobytes}k", "none", disk):
                    print("small disks: not tried, no right to mount one")
                    return True
                try:
                    with tempfile.TemporaryDirectory() as root:
                        place = predict.Place(pictures, case, root, disk)
                        code = predict.attempt(place, False, predict.SMALL_DISK, 0, 1e9)
                        place.check()
                        stopped, ended = stopped + (code == 1), ended + (code == 3)
                        if code == 1 and not _mounted("-o", "remount,size=2000k", disk):
                            return False
                        if code == 1 and predict.attempt(place, True, "none", 0, 1e9) != 3:
                            return False
                        place.check()
                        expected = expected or place.end()
                        if place.end() != expected:
                            print(f"{case}, {kilobytes} kB: another end")
                            return False
                finally:
                    subprocess.run(["umount", disk], check=True)
    print(
        f"small disks: {stopped} runs stopped on a full one and {ended} had room; after more room "
        "all ended with the same rows, pictures and bytes"
    )
    return True


def main() -> None:
    """Run all."""
    from benchmarks import _harness

    print(_harness.machine())
    arguments = sys.argv[1:] or ["--kills", "200"]
    ok = True
    for name in ("kills.py", "kills_of_predict.py"):
        done = subprocess.run([sys.executable, str(SUPPORT / name), *arguments], check=False)
        ok &= done.returncode == 0
    ok &= real_disks() and small_disks()
    sys.exit(not ok)


if __name__ == "__main__":
    main()
