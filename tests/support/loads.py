"""backlit under load, as a program: each command ends with exit code 0, or with what was wrong.

``python tests/support/loads.py COMMAND``, one of soak, threads, processes, pictures, determinism,
signals and moments: the sizes are options, so that the test suite runs in seconds what the
benchmarks run for an hour.
"""

import argparse
import gc
import hashlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np

SOURCE = np.random.default_rng(0)
X = SOURCE.normal(size=(600, 8))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)


def _digest(*arrays):
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()


def _estimator(seed, **settings):
    from backlit import MLPClassifier

    settings = {"hidden_layer_sizes": (24, 8), "max_iter": 3, "random_state": seed} | settings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MLPClassifier(**settings).fit(X, Y)


def work(seed, threads=None):
    """Fit and predict; return a digest of every bit of it."""
    from backlit.training import fit

    model = _estimator(seed, threads=threads)
    result = fit(
        X.astype(np.float32), Y, hidden=(40,), epochs=2, dropout=0.2, seed=seed, threads=threads
    )
    return _digest(model._weights.vector, model.predict_proba(X), result.vector)


# ------------------------------------------------------------------------------------------ soak


def _resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def soak(options):
    """Fits, predictions and archives, again and again: memory and open files stay flat."""
    from backlit.photos import PhotoClassifier
    from backlit.photos.features import feature_names
    from backlit.training import Checkpoint, fit
    from backlit.training.engine.compiled import engine_for
    from sample_pictures import save_day_night

    for dtype in ("float32", "float64"):  # compiling takes memory, once a machine
        engine_for(np.dtype(dtype))
    n_0 = len(feature_names())
    weights = {"W1": np.ones((1, n_0), np.float32), "b1": np.zeros((1, 1), np.float32)}
    flat = np.zeros(n_0, np.float32), np.ones(n_0, np.float32)
    resident, files = [], []
    ended = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as folder:
        archive = save_day_night(Path(folder) / "archive", 4)
        pictures = [str(path) for path in sorted(archive.rglob("*.*"))]
        rounds = 0
        while rounds < options.rounds or time.monotonic() < ended:
            rounds += 1
            _estimator(rounds % 7, hidden_layer_sizes=(8 + rounds % 5 * 8,)).predict(X)
            place = Checkpoint(Path(folder) / "c", 0)
            fit(X, Y, hidden=(16,), epochs=2, threads=1 + rounds % 2, checkpoint=place)
            for path in (Path(folder) / "c").iterdir():
                path.unlink()
            classifier = PhotoClassifier(("day", "night"), weights, *flat)
            classifier.save(Path(folder) / "model")
            found = list(PhotoClassifier.load(Path(folder) / "model").predict(pictures))
            assert len(found) == len(pictures)
            assert not any(one.error for one in found)
            gc.collect()
            resident.append(_resident())
            files.append(len(os.listdir("/proc/self/fd")))
    kept = np.array(resident[rounds // 4 :])  # the first quarter fills pools and caches
    slope = float(np.polyfit(np.arange(len(kept)), kept, 1)[0])
    growth = slope * len(kept)
    print(
        f"{rounds} rounds: resident {kept[-1] / 1e6:.1f} MB, slope {slope:.0f} bytes a round, "
        f"{growth / 1e6:.2f} MB over the last three quarters; open files {files[0]} to {files[-1]}"
    )
    assert growth < options.growth * (1 << 20), "memory grows"
    assert files[-1] <= files[rounds // 4], "open files pile up"


# --------------------------------------------------------------------------------------- threads


def threads(options):
    """Threads predict with shared estimators and fit their own, all at once: right answers."""
    shared = _estimator(0)
    answers = _digest(shared.predict_proba(X))
    n = options.threads
    expected = [work(seed) for seed in range(n)]
    together = threading.Barrier(n)

    def run(seed):
        together.wait()
        for _ in range(options.rounds):
            assert _digest(shared.predict_proba(X)) == answers
            assert work(seed, threads=1 + seed % 3) == expected[seed]
        return True

    with ThreadPoolExecutor(n) as pool:
        assert all(pool.map(run, range(n)))
    print(f"{n} threads, {options.rounds} rounds of fits and predictions: the same bits")


# ------------------------------------------------------------------------------------- processes


def processes(options):
    """Children made by fork, spawn and forkserver after fits in the parent: no hang, same bits."""
    expected = [work(seed, threads=2) for seed in range(options.processes)]
    for method in ("fork", "spawn", "forkserver"):
        began = time.monotonic()
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(options.processes, context) as pool:
            jobs = [pool.submit(work, seed, 2) for seed in range(options.processes)]
            found = [job.result(timeout=options.limit) for job in jobs]
        assert found == expected, method
        seconds = time.monotonic() - began
        print(f"{method}: {options.processes} processes, the same bits, {seconds:.1f} s")


# -------------------------------------------------------------------------------------- pictures


def pictures(options):
    """List a great many pictures without holding them."""
    from backlit.photos.listing import walk_photos

    each = options.each
    with tempfile.TemporaryDirectory(dir=options.folder) as root:
        for number in range(0, options.pictures, each):
            folder = os.path.join(root, f"{number // each:06}")
            os.mkdir(folder)
            for place in range(each):
                os.close(os.open(os.path.join(folder, f"{place:06}.jpg"), os.O_CREAT))
        list(walk_photos([os.path.join(root, "000000")]))
        before = _resident()
        tracemalloc.start()
        began = time.monotonic()
        count = sum(1 for _ in walk_photos([root]))
        seconds = time.monotonic() - began
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    print(
        f"{count:,} pictures in folders of {each:,}: {seconds:.1f} s, at most {most / 1e6:.2f} MB "
        f"held, resident {(_resident() - before) / 1e6:+.1f} MB"
    )
    assert count == options.pictures // each * each
    # a listing of one folder, and of the folders
    assert most < 400 * (each + options.pictures // each) + (1 << 20), "they are held"


# ----------------------------------------------------------------------------------- determinism


def determinism(options):
    """The same bits each time, with any number of threads, in this process and in new ones."""
    found = {work(3, threads=1 + run % 4) for run in range(options.runs)}
    code = "import loads; print(loads.work(3))"
    for _ in range(options.processes):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            cwd=Path(__file__).parent,
        )  # fmt: skip
        found.add(done.stdout.strip())
    print(
        f"{options.runs} runs here with 1 to 4 threads, {options.processes} in new processes: "
        f"{len(found)} different result(s)"
    )
    assert len(found) == 1


# --------------------------------------------------------------------------------------- signals


def signals(options):
    """``backlit train --checkpoint`` is told to stop at random moments: how long does it take?"""
    from sample_pictures import save_day_night

    drawn = random.Random(options.seed)
    taken = []
    with tempfile.TemporaryDirectory() as root:
        photos = save_day_night(Path(root) / "photos", 60)
        model, place = Path(root) / "model", Path(root) / "c"
        command = [
            sys.executable, "-m", "backlit", "train", str(photos), "-m", str(model),
            "--checkpoint", str(place), "--resume", "--epochs", "400", "--patience", "400",
        ]  # fmt: skip
        for run in range(options.signals):
            child = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                start_new_session=True,
            )  # fmt: skip
            assert child.stderr is not None
            assert child.stderr.readline() == "training ...\n"
            time.sleep(drawn.uniform(0.0, options.within))
            number = (signal.SIGINT, signal.SIGTERM)[run % 2]
            began = time.monotonic()
            child.send_signal(number)
            told = child.stderr.read()
            code = child.wait()
            if code == 0:
                break  # it was over
            taken.append(time.monotonic() - began)
            assert code == 128 + number, f"exit code {code}: {told}"
    print(
        f"{len(taken)} signals: left after {np.median(taken):.3f} s (median), {max(taken):.3f} s "
        "(longest)"
    )
    assert max(taken) < options.limit, "too slow"


# --------------------------------------------------------------------------------------- moments


def moments(options):
    """A short ``backlit train --checkpoint`` is told to stop at any moment: how does it leave?

    From its start to its end. It leaves with the exit code of the signal, or is over; before
    the command is entered, and after it, the signal does what it does to any process of Python's.
    """
    from sample_pictures import save_day_night

    drawn = random.Random(options.seed)
    left = dict.fromkeys(("stopped", "before or after", "over"), 0)
    with tempfile.TemporaryDirectory() as root:
        photos = save_day_night(Path(root) / "photos", 10)

        def start(run):
            command = [
                sys.executable, "-m", "backlit", "train", str(photos), "-m", f"{root}/model",
                "--force", "--checkpoint", f"{root}/{run}", "--epochs", "3", "--members", "2",
            ]  # fmt: skip
            return subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                start_new_session=True,
            )  # fmt: skip

        took = []
        for run in ("first", "second"):  # the first may have to compile
            began = time.monotonic()
            child = start(run)
            assert child.communicate()[1].startswith("training ...")
            took.append(time.monotonic() - began)
        for run in range(options.moments):
            child = start(run)
            # every third time early, while the commands are being loaded
            time.sleep(drawn.uniform(0.0, 0.3 if run % 3 == 0 else 1.05 * took[-1]))
            number = (signal.SIGINT, signal.SIGTERM)[run % 2]
            child.send_signal(number)
            told = child.communicate(timeout=options.limit)[1]
            code = child.returncode
            begun = "training ..." in told
            # Python itself: killed by the signal, or amid what it loads before any program
            loading = ("init_import_site", "Could not import runpy module")
            own = 1 if any(words in told for words in loading) else -number
            assert code in ((0, 128 + number) if begun else (0, 128 + number, own)), (code, told)
            if code == -number and number == signal.SIGINT:
                left["before or after"] += 1
                continue
            assert "Traceback" not in told or code == own, told
            left["over" if code == 0 else "stopped" if code > 2 else "before or after"] += 1
    print(f"{options.moments} moments:", ", ".join(f"{n} {what}" for what, n in left.items()))


def main(arguments=None):
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)

    def command(function, **defaults):
        sub = commands.add_parser(function.__name__, help=function.__doc__)
        for name, default in defaults.items():
            kind = str if default is None else type(default)
            sub.add_argument(f"--{name}", type=kind, default=default)
        sub.set_defaults(run=function)

    command(soak, seconds=3600.0, rounds=100, growth=8.0)
    command(threads, threads=32, rounds=10)
    command(processes, processes=8, limit=300.0)
    command(pictures, pictures=1_000_000, each=1000, folder=None)
    command(determinism, runs=100, processes=10)
    command(moments, moments=100, limit=120.0, seed=0)
    command(signals, signals=40, within=4.0, limit=0.5, seed=0)
    options = parser.parse_args(arguments)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    options.run(options)


if __name__ == "__main__":
    main()
