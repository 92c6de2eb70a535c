"""How an archive run scales with worker processes, and what a killed one leaves: asserted.

``python -m benchmarks.cluster_archive`` renders scenes, writes them as JPEG, and predicts them with
1 worker and with more, up to the cores. Exit code 1 if the speed is below 0.85 of linear, or the
rows differ from those of a plain predict, also where a worker is killed half-way.
"""

import argparse
import csv
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from backlit._cores import available_cores
from backlit.cluster import connect, predict_archive
from backlit.photos import predict, render_scenes

LEAST = 0.85


def rows_of(output):
    rows = []
    for part in sorted((output / "parts").iterdir()):
        rows += list(csv.DictReader(part.read_text().splitlines()))
    return [(row["path"], row["label"]) for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--chunk", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        pictures.mkdir()
        scenes, _ = render_scenes(40, seed=0)
        for number in range(arguments.pictures):
            place = pictures / f"{number:06d}.jpg"
            if number < len(scenes):
                image = Image.fromarray(scenes[number])
                image.resize((arguments.side, arguments.side * 3 // 4)).save(place, quality=88)
            else:
                os.link(pictures / f"{number % len(scenes):06d}.jpg", place)
        expected = [(one.path, one.label) for one in predict(str(pictures))]
        good, seconds = True, {}
        for workers in range(1, available_cores() + 1):
            with connect(f"local:{workers}") as client:
                client.wait_for_workers(workers, timeout=120)
                warm = Path(folder) / f"warm-{workers}"
                predict_archive(
                    [str(pictures / f"{k:06d}.jpg") for k in range(20 * workers)], str(warm),
                    client=client, chunk=10,
                )  # fmt: skip
                output = Path(folder) / f"out-{workers}"
                began = time.perf_counter()
                predict_archive(str(pictures), str(output), client=client, chunk=arguments.chunk)
                seconds[workers] = time.perf_counter() - began
            share = seconds[1] / seconds[workers] / workers
            print(
                f"{workers} workers: {arguments.pictures / seconds[workers]:,.0f} pictures/s, "
                f"{share:.2f} of linear"
            )
            good &= share >= LEAST and rows_of(output) == expected
        with connect("local:2") as client:
            client.wait_for_workers(2, timeout=120)
            pid = next(iter(client.run(os.getpid).values()))
            killed = []

            def kill(done, total):
                if not killed and done >= total / 2:
                    killed.append(os.kill(pid, signal.SIGKILL))

            output = Path(folder) / "killed"
            predict_archive(
                str(pictures), str(output), client=client, chunk=arguments.chunk, tick=kill
            )
            same = bool(killed) and rows_of(output) == expected
            print("one of 2 killed half-way:", "the same rows" if same else "OTHER rows")
            good &= same
    sys.exit(not good)


if __name__ == "__main__":
    main()
