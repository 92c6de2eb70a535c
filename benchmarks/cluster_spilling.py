"""A training on features that the workers' memory is too small for: asserted.

``python -m benchmarks.cluster_spilling`` trains a network on drawn features of pictures: in this
process, and on two workers whose memory is limited, so that Dask writes part of them to their
disks. Exit code 1 unless something was written and both have the same bits.
"""

import argparse
import sys
import threading
import time

import distributed
import numpy as np

from backlit.cluster import pictures
from backlit.photos.learning import learn
from backlit.photos.recipe import Recipe

COPIES, FEATURES = 1, 715


def drawn_part(places, sources, labels, copies, seed, pieces=None):
    """Stand in for reading: features that say a little of the class."""
    features = np.empty((len(places), 1 + copies, FEATURES), np.float32)
    for k, (place, label) in enumerate(zip(places.tolist(), labels, strict=True)):
        generator = np.random.default_rng((seed, place))
        features[k] = generator.standard_normal(features.shape[1:], dtype=np.float32)
        features[k, :, :20] += 0.3 * label
    signatures = np.full((len(places), 320), 0.5, np.float32)
    partners = np.full((len(places), 1 + copies), -1, np.int64)
    return pictures.Part(
        places, list(sources), np.array(labels, np.int64), features, partners, signatures, []
    )


def train(client, count):
    """Return the parameters, and the accuracy on the part held out."""
    split = pictures.SpreadPictures(
        client, [str(k) for k in range(count)], [k % 2 for k in range(count)],
        copies=COPIES, seed=0, signatures=False, timeout=3600,
    )  # fmt: skip
    recipe = Recipe(hidden=(16,), members=1, epochs=2, batch_size=4096, learning_rate=0.01)
    found = learn(("a", "b"), {"train": split}, recipe)
    return found.classifier.parameters, found.evaluations["validation"].accuracy


def watch(client, most, over):
    """Keep the largest memory and the most bytes on disk of each worker."""
    while not over.wait(1.0):
        for address, worker in client.scheduler_info(n_workers=-1)["workers"].items():
            metrics = worker["metrics"]
            own = metrics["memory"], metrics.get("spilled_bytes", {}).get("disk", 0)
            most[address] = tuple(map(max, most.get(address, (0, 0)), own))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=60_000)
    parser.add_argument("--memory", default="500MB", help="of each of two workers")
    arguments = parser.parse_args()
    pictures.read_part = drawn_part
    size = arguments.pictures * (1 + COPIES) * FEATURES * 4
    print(f"{arguments.pictures:,} pictures, {size / 1e6:,.0f} MB of features")
    began = time.perf_counter()
    here, accuracy = train(None, arguments.pictures)
    print(f"this process: {time.perf_counter() - began:.0f} s, held out {accuracy:.3f} right")
    most, over = {}, threading.Event()
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit=arguments.memory,
            host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=50,
        ) as cluster,
        distributed.Client(cluster, direct_to_workers=True, set_as_default=False) as client,
    ):  # fmt: skip
        looking = threading.Thread(target=watch, args=(client, most, over), daemon=True)
        looking.start()
        began = time.perf_counter()
        there, _ = train(client, arguments.pictures)
        print(f"two workers of {arguments.memory}: {time.perf_counter() - began:.0f} s")
        over.set()
        looking.join()
    for memory, disk in most.values():
        print(f"a worker: at most {memory / 1e6:,.0f} MB of memory, {disk / 1e6:,.0f} MB on disk")
    same = all(np.array_equal(there[name], value) for name, value in here.items())
    spilled = sum(disk for _, disk in most.values())
    print("the same bits" if same else "OTHER bits")
    sys.exit(not (same and spilled > 0))


if __name__ == "__main__":
    main()
