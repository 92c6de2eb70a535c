"""Folders of odd pictures: what plain Pillow makes of each file, and what backlit makes of it.

``python -m benchmarks.image_suites FOLDER...`` reads every file, whatever its ending, four times:
in full and reduced as `predict` does, with simplejpeg and without, and compares pixels with those
of plain Pillow. It prints how many of each format

* are the same, or refused by both;
* are refused here alone: formats that are not opened, and what is told apart more strictly;
* are read here alone, or with other pixels, or differ with simplejpeg, or end the process, or make
  a decoder print. There should be none, and each is named.

``--rows FILE.csv`` writes a row a file. Public test suites to run it on are those of Pillow
(``Tests/images``), libheif, libavif, libjpeg-turbo, libwebp, OpenJPEG, image-rs and ImageMagick,
PngSuite, bmpsuite, exif-samples, exif-orientation-examples and metadata-extractor-images.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

SIDE = 64
SECONDS_A_FILE = 120
GOOD = ("same", "both refuse", "refused here alone")
KINDS = (*GOOD, "read here alone", "other pixels", "differs with simplejpeg", "prints", "crashes")


def verdicts(path: str) -> dict[str, str]:
    """Read a file every way; what Pillow calls its format, the verdict and the reason."""
    from unittest import mock

    import numpy as np
    from PIL import Image

    from backlit.errors import PhotoError
    from backlit.photos import quick_jpegs
    from backlit.photos.reading import read_crops, read_photo, reduce_picture
    from picture_files import plainly, quietly

    def ours() -> tuple[object, object, str]:
        try:
            return read_photo(path), read_crops(path, SIDE)[0], ""
        except PhotoError as error:
            return None, None, error.reason

    printed = os.fstat(2).st_size
    whole, reduced, reason = ours()
    with mock.patch.object(quick_jpegs, "is_available", return_value=False):
        whole_too, reduced_too, reason_too = ours()
    prints = os.fstat(2).st_size > printed
    expected = plainly(path)
    draft = plainly(path, SIDE)
    if expected is not None and draft is not None:
        draft = reduce_picture(np.ascontiguousarray(draft), SIDE)[0]
    form = quietly(lambda: Image.open(path).format) or "none"

    def differ(one: object, other: object) -> bool:
        return (one is None) != (other is None) or not np.array_equal(one, other)

    if differ(whole, whole_too) or differ(reduced, reduced_too) or reason != reason_too:
        kind = "differs with simplejpeg"
    elif prints:
        kind = "prints"
    elif whole is None:
        kind = "both refuse" if expected is None else "refused here alone"
    elif expected is None:
        kind = "read here alone"
    elif differ(whole, expected) or differ(reduced, draft):
        kind = "other pixels"
    else:
        kind = "same"
    return {"path": path, "format": form, "verdict": kind, "reason": reason}


def child() -> None:
    """Read paths from standard input, one a line as JSON, and print a verdict for each."""
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a decoder prints is counted, wherever it prints it
    for line in sys.stdin:
        output.write(json.dumps(verdicts(json.loads(line))) + "\n")
        output.flush()


def judge(paths: list[str]) -> Iterator[dict[str, str]]:
    """Yield the verdict on each file, from child processes that may be killed."""
    import select

    begun = 0
    while begun < len(paths):
        with (
            tempfile.TemporaryFile() as printed,
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.image_suites", "--child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=printed,
                text=True,
            ) as process,
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            while begun < len(paths):
                path = paths[begun]
                begun += 1
                process.stdin.write(json.dumps(path) + "\n")
                process.stdin.flush()
                ready, _, _ = select.select([process.stdout], [], [], SECONDS_A_FILE)
                line = process.stdout.readline() if ready else ""
                if not line:
                    process.kill()
                    printed.seek(0)
                    said = printed.read()[-300:].decode(errors="replace")
                    yield {"path": path, "format": "", "verdict": "crashes", "reason": said}
                    break
                yield json.loads(line)
            process.stdin.close()


def main() -> None:
    """Judge folders and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--rows", type=Path, help="a CSV file with a row a file")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child()
        return
    paths = sorted(
        str(path) for folder in arguments.folders for path in folder.rglob("*") if path.is_file()
    )
    if not paths:
        parser.error("no file in these folders")
    rows = []
    for row in judge(paths):
        rows.append(row)
        if row["verdict"] not in GOOD:
            print(f"{row['verdict']}: {row['path']} ({row['format']}) {row['reason']}", flush=True)
    if arguments.rows:
        with open(arguments.rows, "w", newline="", encoding="utf-8", errors="replace") as stream:
            writer = csv.DictWriter(stream, ["path", "format", "verdict", "reason"])
            writer.writeheader()
            writer.writerows(rows)
    counts = Counter((row["format"], row["verdict"]) for row in rows)
    print(f"\n{len(rows):,} files by Pillow's name of their format\n")
    print("| format | " + " | ".join(KINDS) + " |")
    print("|---" * (len(KINDS) + 1) + "|")
    for form in [*sorted({form for form, _ in counts}), None]:
        cells = [
            sum(
                count
                for (of, kind), count in counts.items()
                if kind == wanted and form in (of, None)
            )
            for wanted in KINDS
        ]
        print(f"| {form or 'all'} | " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    main()
