"""How quickly a whole archive is told apart, beside the decoding of its pictures alone.

``python -m benchmarks.archive`` makes pictures of 500 x 375 pixels (rendered scenes under a
camera's noise, of about 50 kB, as photographs have), then times in turn, with as many threads:
Pillow's and, where it is installed, simplejpeg's reduced decoding alone, at a scale that leaves at
least 64 pixels a side; reading and reducing as backlit does it, with simplejpeg where it is
installed; and ``backlit predict``, a whole process from its start to its last row. A first round,
in which the system's file cache fills, is not counted. The last process's peak memory is told as
well, and what each part of the work takes of one core, which other processes disturb less.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import unittest.mock
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backlit._cores import one_blas_thread
from backlit.photos import quick_jpegs
from backlit.photos.classifier import PhotoClassifier
from backlit.photos.compiled.kernel import load
from backlit.photos.features import SIDE, extract_features
from backlit.photos.pool import ordered_map
from backlit.photos.reading import read_square
from backlit.photos.scenes import render_scene
from benchmarks import _harness

SIZE = (500, 375)
SCENES = 100
NOISE = 6.0  # standard deviation of a camera's noise, of 255
QUALITY = 90
TOGETHER = 16  # pictures that a thread takes at a time, whoever decodes
DECODER = "Pillow, reduced decoding"
READING = "backlit's reading, to 64 x 64"
READING_ALONE = "the same without simplejpeg"
WHOLE = "backlit predict, whole"


def make_archive(folder: Path, count: int) -> None:
    """Write the pictures that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [k for k in range(count) if not (folder / f"{k:06d}.jpg").exists()]
    if not missing:
        return
    scenes = [render_scene(k % 2, np.random.default_rng(k), size=SIZE) for k in range(SCENES)]

    def write(k: int) -> None:
        generator = np.random.default_rng((1, k))
        picture = np.roll(scenes[k % SCENES], int(generator.integers(SIZE[0])), axis=1)
        noise = generator.standard_normal(picture.shape, dtype=np.float32)
        noisy = np.clip(picture + np.float32(NOISE) * noise, 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{k:06d}.jpg", quality=QUALITY)

    for _ in ordered_map(write, missing):
        pass


def pillow(path: str) -> None:
    """Decode as small as Pillow can, but no smaller than what features are taken of."""
    with Image.open(path) as image:
        image.draft("RGB", (SIDE, SIDE))
        image.load()


def simplejpeg_decoder() -> Callable[[str], None] | None:
    """Return the same by simplejpeg, if it is installed."""
    try:
        import simplejpeg
    except ImportError:
        return None

    def decode(path: str) -> None:
        simplejpeg.decode_jpeg(Path(path).read_bytes(), min_height=SIDE, min_width=SIDE)

    return decode


def read(path: str) -> NDArray[np.uint8]:
    """Read a picture as backlit does in an archive."""
    return read_square(path, SIDE, load().square)


def all_of_them(function: Callable[[str], object], paths: list[str], threads: int) -> float:
    """Seconds to call a function with every path, on threads."""
    chunks = [paths[k : k + TOGETHER] for k in range(0, len(paths), TOGETHER)]

    def work(chunk: list[str]) -> None:
        for path in chunk:
            function(path)

    began = time.perf_counter()
    for _ in ordered_map(work, chunks, threads):
        pass
    return time.perf_counter() - began


def core_time(paths: list[str], squares: NDArray[np.uint8]) -> dict[str, float]:
    """Seconds of one core a picture of each part of the work, the least of some rounds."""
    chunks = np.split(squares, len(squares) // TOGETHER)
    classifier = PhotoClassifier.load()
    rows = np.split(extract_features(squares), len(chunks))
    parts: dict[str, tuple[Callable[[Any], object], Sequence[Any]]] = {
        DECODER: (pillow, paths),
        READING: (read, paths),
        READING_ALONE: (read, paths),
        "features, NumPy": (extract_features, chunks),
        "features, compiled": (load().features, chunks),
        "network": (classifier.probabilities_of_features, rows),
    }
    least = dict.fromkeys(parts, float("inf"))
    with one_blas_thread():
        for _ in range(5):
            for name, (function, items) in parts.items():
                largest = 0 if name == READING_ALONE else quick_jpegs.MAX_BYTES
                with unittest.mock.patch.object(quick_jpegs, "MAX_BYTES", largest):
                    began = time.thread_time()
                    for item in items:
                        function(item)
                    took = time.thread_time() - began
                least[name] = min(least[name], took / len(squares))
    return least


def predict(folder: Path, count: int, threads: int) -> tuple[float, float]:
    """Seconds and peak megabytes of ``backlit predict`` in a process of its own."""
    with tempfile.TemporaryDirectory() as output:
        rows = Path(output) / "labels.csv"
        command = [sys.executable, "-m", "backlit", "predict", str(folder)]
        command += ["--workers", str(threads), "--output", str(rows)]
        peaks = [0]
        ended = threading.Event()
        began = time.perf_counter()
        process = subprocess.Popen(command)
        watching = threading.Thread(target=watch, args=(process.pid, ended, peaks))
        watching.start()
        status = process.wait()
        took = time.perf_counter() - began
        ended.set()
        watching.join()
        written = rows.read_text().count("\n") - 1
    if status or written != count:
        sys.exit(f"backlit predict left with {status} after {written} of {count} pictures")
    return took, peaks[-1] / 1e6


def watch(process: int, ended: threading.Event, peaks: list[int]) -> None:
    """Note a process's peak memory, ten times a second."""
    while not ended.wait(0.1):
        with contextlib.suppress(OSError, IndexError):  # it is leaving
            peaks.append(_harness.peak_bytes(process))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keep the pictures there")
    parser.add_argument("--json", metavar="PATH")
    options = parser.parse_args()
    count = options.pictures
    print(_harness.machine())
    print(_harness.versions("pillow", "simplejpeg", "numpy"))
    print(_harness.control(), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)) / f"pictures-{count}"
        make_archive(folder, count)
        paths = sorted(str(path) for path in folder.iterdir())
        size = statistics.mean(os.path.getsize(path) for path in paths[:1000])
        print(f"{count:,} pictures of {SIZE[0]} x {SIZE[1]}, {size / 1000:.0f} kB on average")
        decoders: dict[str, Callable[[str], object]] = {DECODER: pillow}
        other = simplejpeg_decoder()
        if other is not None:
            decoders["simplejpeg, reduced decoding"] = other
        decoders[READING] = read
        seconds: dict[str, list[float]] = {name: [] for name in (*decoders, WHOLE)}
        peak = 0.0
        for round_ in range(-1, options.rounds):
            for name, function in decoders.items():
                took = all_of_them(function, paths, options.threads)
                seconds[name] += [took] if round_ >= 0 else []
            took, megabytes = predict(folder, count, options.threads)
            seconds[WHOLE] += [took] if round_ >= 0 else []
            peak = max(peak, megabytes)
        squares = np.stack([read(path) for path in paths[:512]])
        parts = core_time(paths[:512], squares)
    rows = []
    for name, times in seconds.items():
        pairs = zip(seconds[DECODER], times, strict=True)
        ratio = statistics.median(decoder / own for decoder, own in pairs)
        rows.append([name, f"{count / statistics.median(times):,.0f}", f"{ratio:.2f}"])
    print()
    print(_harness.markdown(["what", "pictures a second", "of the decoder's"], rows))
    print()
    cells = [[name, f"{1e6 * took:.0f}"] for name, took in parts.items()]
    print(_harness.markdown(["part", "us of one core a picture"], cells))
    print()
    if peak:  # Linux tells
        print(f"peak memory of backlit predict: {peak:.0f} MB")
    print(_harness.control())
    _harness.save(options.json, {"seconds": seconds, "peak_mb": peak, "core_time": parts})


if __name__ == "__main__":
    main()
