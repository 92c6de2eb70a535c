"""Kill trainings and predictions 200 times each, and see that they end as if never stopped.

``python -m benchmarks.kill`` runs `tests/support/kills.py` (trainings: the same bits)
and `tests/support/kills_of_predict.py` (rows, and pictures copied and moved: nothing lost, twice or
torn), whose scaled-down forms are part of the test suite, and then the same on disks that are full
and, for trainings, read-only, where it may mount small ones (as root, on Linux). Exit code 1 if
anything differs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

SUPPORT = Path(__file__).parents[1] / "tests" / "support"
sys.path.insert(0, str(SUPPORT))

NOT_TRIED = "not tried, no right to mount a disk"


def _mounted(*options: str) -> bool:
    return subprocess.run(["mount", *options], check=False, capture_output=True).returncode == 0


def kills(program: str, arguments: list[str]) -> str | None:
    """Run one of the programs, with its output; return its last line, or None if it failed."""
    last = ""
    code = [sys.executable, "-u", str(SUPPORT / program), *arguments]
    with subprocess.Popen(code, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
    return last if process.returncode == 0 else None


def real_disks() -> str | None:
    """Go on from a checkpoint on a full disk, and on one that can only be read."""
    import kills

    ok = True
    case, seconds = "adamw, dropout, one cycle, clip", 0.3
    expected = kills._digest(case, None)
    with tempfile.TemporaryDirectory() as disk:
        if not _mounted("-t", "tmpfs", "-o", "size=4m", "none", disk):
            return NOT_TRIED
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
    return "the same bits after a full disk and after a read-only one" if ok else None


def small_disks() -> str | None:
    """Copy and move pictures to disks on which only some of them have room, then to larger ones."""
    import kills_of_predict as predict

    stopped = ended = 0
    with tempfile.TemporaryDirectory() as pictures, tempfile.TemporaryDirectory() as disk:
        predict.make_pictures(Path(pictures), 10)
        for case in ("copy to another disk", "move to another disk"):
            expected = None
            for kilobytes in (2000, *range(4, 140, 8)):
                if not _mounted("-t", "tmpfs", "-o", f"size={kilobytes}k", "none", disk):
                    return NOT_TRIED
                try:
                    with tempfile.TemporaryDirectory() as root:
                        place = predict.Place(pictures, case, root, disk)
                        code = predict.attempt(place, False, predict.SMALL_DISK, 0, 1e9)
                        place.check()
                        stopped, ended = stopped + (code == 1), ended + (code == 3)
                        if code == 1 and not _mounted("-o", "remount,size=2000k", disk):
                            return None
                        if code == 1 and predict.attempt(place, True, "none", 0, 1e9) != 3:
                            return None
                        place.check()
                        expected = expected or place.end()
                        if place.end() != expected:
                            print(f"{case}, {kilobytes} kB: another end")
                            return None
                finally:
                    subprocess.run(["umount", disk], check=True)
    return (
        f"{stopped} runs stopped on a full disk and {ended} had room; with more room all ended "
        "with the same rows, pictures and bytes"
    )


def main() -> None:
    """Run all."""
    from benchmarks import _harness

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="keep the table for docs/")
    options = parser.parse_args()
    print(_harness.machine())
    arguments = ["--kills", str(options.kills), "--seed", str(options.seed)]
    parts: dict[str, Callable[[], str | None]] = {
        "trainings killed": lambda: kills("kills.py", arguments),
        "archives killed": lambda: kills("kills_of_predict.py", arguments),
        "trainings on full and read-only disks": real_disks,
        "archives to small disks": small_disks,
    }
    found = {}
    for name, part in parts.items():
        found[name] = part()
        print(f"{name}: {found[name] or 'FAILED'}", flush=True)
    if options.write and all(found.values()):
        rows = list(found.items())
        _harness.record("kills", "python -m benchmarks.kill", ("what", "found"), rows)
    sys.exit(not all(found.values()))


if __name__ == "__main__":
    main()
