"""Trainings killed at random points, and gone on from until they end: are the bits the same?

Run as a program: it loads the engine once and forks a process for each attempt. An attempt is
killed (SIGKILL) after a random time, or within the writing of a checkpoint: with half of the file
written, before it is renamed, or after that and before the folder is flushed; or its disk is full
or can only be read from some moment on. All checkpoints are saved at every chance there is.
"""

import argparse
import errno
import hashlib
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import scipy.sparse

from backlit import MLPClassifier, MLPRegressor
from backlit.errors import CheckpointError, CheckpointWarning
from backlit.training import LBFGS, SGD, Adam, Checkpoint, fit, trainer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2000, 6))
X_SINGLE = X.astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
SPARSE = scipy.sparse.csr_array(X * (X > 0.3))
PHOTOS = Path(tempfile.gettempdir()) / f"backlit-kills-{os.getpid()}"


def _fit(x=X_SINGLE, **settings):
    settings = {"hidden": (16, 8), "epochs": 15, "batch_size": 32} | settings
    return lambda c: fit(x, Y, checkpoint=c, resume=c is not None, **settings).vector


def _estimator(kind, x=X, **settings):
    settings = {"hidden_layer_sizes": (16, 8), "max_iter": 15, "random_state": 0} | settings

    def run(c):
        found = kind(**settings, checkpoint=c, resume=c is not None).fit(x, Y)
        curve = getattr(found, "loss_curve_", [found.loss_])
        return np.concatenate([found._weights.vector.astype(np.float64), curve])

    return run


def _photos(c):
    from backlit.photos import Recipe, train

    trained = train(
        PHOTOS, Recipe(members=3, epochs=4, copies=1, batch_size=8), checkpoint=c,
        resume=c is not None, workers=1,
    )  # fmt: skip
    return np.concatenate([value.ravel() for value in trained.classifier.parameters.values()])


CASES = {
    "sgd": _fit(optimizer=SGD(0.1, momentum=0)),
    "momentum": _fit(optimizer=SGD(0.1, nesterov=False), dropout=0.3),
    "nesterov, sparse": _fit(SPARSE, optimizer=SGD(0.05)),
    "adam, early stopping": _fit(X, validation=0.2, patience=3, min_improvement=1e-3),
    "adamw, dropout, one cycle, clip": _fit(
        optimizer=Adam(weight_decay=0.1), dropout=(0.2, 0.1), schedule="one_cycle", clip=1.0,
        validation=0.1,
    ),
    "blocks": _fit(shuffle="blocks", schedule="inverse_scaling"),
    "lbfgs": _fit(X, optimizer=LBFGS(), l2=0.1, epochs=40, validation=0.2),
    "classifier, early stopping": _estimator(
        MLPClassifier, early_stopping=True, n_iter_no_change=4, dropout=0.2
    ),
    "classifier, adaptive": _estimator(
        MLPClassifier, solver="sgd", learning_rate="adaptive", tol=0.3, n_iter_no_change=2,
        learning_rate_init=0.1,
    ),
    "regressor, lbfgs": _estimator(MLPRegressor, x=X_SINGLE, solver="lbfgs"),
    "photos": _photos,
}  # fmt: skip

#: how an attempt ends: by the clock, at some call of the writer, or not, with a disk that fails
WAYS = ("clock", "clock", "torn write", "before rename", "after rename", "full disk", "read-only")


def _digest(case, folder):
    trainer.CALL_SECONDS = 0.002  # so that there are many states within an epoch
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", CheckpointWarning)
        if folder is None:
            return hashlib.sha256(CASES[case](None).tobytes()).hexdigest()
        warnings.simplefilter("ignore", CheckpointWarning)
        return hashlib.sha256(CASES[case](Checkpoint(folder, 0)).tobytes()).hexdigest()


def _break_writer(way, number):
    """Have the writer of checkpoints die, or its disk fail, at its n-th call."""
    calls = Counter()
    fsync, replace, mkstemp = os.fsync, os.replace, tempfile.mkstemp

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def fsync_or_die(descriptor):
        status = os.fstat(descriptor)
        is_file = stat.S_ISREG(status.st_mode)
        calls["file" if is_file else "folder"] += 1
        if way == "torn write" and is_file and calls["file"] == number:
            os.ftruncate(descriptor, random.randrange(status.st_size + 1))
            die()
        if way == "after rename" and not is_file and calls["folder"] == number:
            die()
        if way == "full disk" and is_file and calls["file"] >= number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    def replace_or_die(*arguments):
        calls["rename"] += 1
        if way == "before rename" and calls["rename"] == number:
            die()
        replace(*arguments)

    def mkstemp_or_refuse(**arguments):
        calls["open"] += 1
        if way == "read-only" and calls["open"] >= number:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return mkstemp(**arguments)

    os.fsync, os.replace, tempfile.mkstemp = fsync_or_die, replace_or_die, mkstemp_or_refuse


def _attempt(case, folder, out, way, number, seconds):
    """Run in a process of its own; return whether it was killed."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            if way not in ("clock", "none"):
                random.seed(number)
                _break_writer(way, number)
            Path(out).write_text(_digest(case, folder))
            os._exit(0)
        except CheckpointError as error:
            print(error, flush=True)
            os._exit(3)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(4)
    deadline = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            break
        time.sleep(0.0005)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return True
    assert os.WEXITSTATUS(status) == 0, f"{case}, {way}: exit code {os.WEXITSTATUS(status)}"
    return False


def main():
    """Kill trainings until there were enough."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    options = parser.parse_args()
    drawn = random.Random(options.seed)
    from sample_pictures import save_day_night

    save_day_night(PHOTOS, 12)
    expected, seconds = {}, {}
    for case in options.cases:
        expected[case] = _digest(case, None)
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            assert _digest(case, os.path.join(folder, "c")) == expected[case], case
        seconds[case] = time.monotonic() - began
    kills, trainings, killed_by = 0, 0, Counter()
    while kills < options.kills:
        case = options.cases[trainings % len(options.cases)]
        trainings += 1
        with tempfile.TemporaryDirectory() as root:
            folder, out = os.path.join(root, "c"), os.path.join(root, "out")
            for attempt in range(1000):
                way = drawn.choice(WAYS) if attempt < 4 else "none"
                limit = drawn.uniform(0, seconds[case]) if way in WAYS else 1e9
                if way in ("torn write", "before rename", "after rename"):
                    limit = 1e9
                if _attempt(case, folder, out, way, drawn.randint(1, 40), limit):
                    kills += 1
                    killed_by[way] += 1
                else:
                    break
            found = Path(out).read_text()
            assert found == expected[case], f"{case}: other bits after {attempt} kills"
        print(f"{case}: the same bits after {attempt} kills ({kills} in all)", flush=True)
    ways = ", ".join(f"{count} {way}" for way, count in sorted(killed_by.items()))
    print(f"{trainings} trainings, {kills} kills ({ways}): all ended with the same bits")
    subprocess.run(["rm", "-r", str(PHOTOS)], check=True)


if __name__ == "__main__":
    main()
