"""`backlit predict` killed at random points, and gone on with: is anything lost, twice or torn?

Run as a program: it loads the package once and forks a process for each attempt. An attempt is
killed (SIGKILL) after a random time, or before, after or within a system call that changes the
disk (write, fsync, link, rename, unlink); or its disk is full from some call on. Rows, pictures and
bytes are counted before, after each attempt and at the end, which has to be, byte by byte, that of
a run that was never stopped.
"""

import argparse
import csv
import errno
import hashlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import backlit.photos.runs  # noqa: F401  # loaded once, before the attempts
from backlit.cli import app
from backlit.photos import PhotoClassifier, filing, row_file
from backlit.photos.features import feature_names
from backlit.photos.reading import read_photo
from sample_pictures import day_picture, night_picture, save_class

OUTPUT, SORTED = "rows", "sorted"
#: name -> ending of the output, option for pictures, whether they go to another file system
CASES = {
    "predict, csv": (".csv", None, False),
    "predict, jsonl": (".jsonl", None, False),
    "copy": (".csv", "--copy-to", False),
    "move": (".jsonl", "--move-to", False),
    "copy to another disk": (".jsonl", "--copy-to", True),
    "move to another disk": (".csv", "--move-to", True),
}
WAYS = ("clock", "before a call", "after a call", "within a write", "full disk")
#: an attempt in which pictures go to a disk that is really small
SMALL_DISK = "small disk"
CALLS = ("fsync", "link", "replace", "rename", "unlink", "ftruncate")


def make_pictures(folder, count):
    """Save pictures in folders that share names, and the model that tells them apart."""
    for number, maker in enumerate((day_picture, night_picture, day_picture)):
        save_class(folder / "photos" / f"{number}", maker, count, seed=number)
    (folder / "photos" / "1" / "broken.jpg").write_bytes(b"no picture")
    os.link(folder / "photos" / "0" / "000.jpg", folder / "photos" / "2" / "twin.jpg")
    names = feature_names()
    counts = np.float32([name.startswith("mean log luminance, ranks") for name in names])
    parameters = {"W1": counts[None] * np.float32(-2 / 9), "b1": np.zeros((1, 1), np.float32)}
    classifier = PhotoClassifier(("day", "night"), parameters, -counts, np.ones_like(counts))
    classifier.save(folder / "model.safetensors")


def digests(folder):
    """Return the digest of every file under a folder, by its path in it."""
    found = {}
    for root, _, names in os.walk(folder, followlinks=True):
        for name in names:
            path = os.path.join(root, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = hashlib.sha256(file.read()).hexdigest()
    return found


class Place:
    """A copy of the pictures with room for a run's output and targets."""

    def __init__(self, pictures, case, root, other):
        self.ending, self.option, elsewhere = CASES[case]
        self.root = Path(root)
        twin = Path("photos", "2", "twin.jpg")
        leave_out = shutil.ignore_patterns(twin.name)
        shutil.copytree(pictures, self.root, dirs_exist_ok=True, ignore=leave_out)
        (self.root / twin).hardlink_to(self.root / "photos" / "0" / "000.jpg")
        self.output = self.root / (OUTPUT + self.ending)
        self.before = digests(self.root / "photos")
        if self.option is not None and elsewhere:
            (self.root / SORTED).symlink_to(other)

    def arguments(self):
        filed = [] if self.option is None else [self.option, SORTED]
        return ["predict", "photos", "-m", "model.safetensors", "-o", self.output.name, *filed]

    def rows(self):
        """Return the whole rows of the output."""
        if not self.output.exists():
            return []
        text = self.output.read_text()
        text = text[: text.rfind("\n") + 1]
        if self.ending == ".csv":
            return list(csv.DictReader(io.StringIO(text, newline="")))
        return [json.loads(line) for line in text.splitlines()]

    def targets(self):
        return digests(self.root / SORTED) if (self.root / SORTED).exists() else {}

    def end(self):
        """Return all that a run leaves."""
        return self.output.read_bytes(), digests(self.root / "photos"), self.targets()

    def check(self):
        """Check that nothing is lost, twice or torn, wherever the run was stopped."""
        rows = {row["path"]: row for row in self.rows()}
        assert len(rows) == len(self.rows()), "a row is there twice"
        left, targets = digests(self.root / "photos"), self.targets()
        real = {name: one for name, one in targets.items() if not name.endswith(".tmp")}
        whole = Counter(self.before.values())
        assert not Counter(real.values()) - whole, "a target is torn, or there twice"
        for name, one in left.items():
            assert self.before[name] == one, f"{name} has changed"
        if self.option != "--move-to":
            assert left == self.before
        for name in set(self.before) - set(left):
            row = rows[os.path.join("photos", name)]  # a row is durable before its picture moves
            target = os.path.relpath(row["target"], SORTED)
            assert targets[target] == self.before[name], f"{name} is not where its row says"


def _full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _break(way, number):
    """Have the process die, or its disk be full, at the n-th call that changes the disk.

    Or, to "count" them, write down how many there were.
    """
    count = 0
    leave, here = os._exit, os.getcwd()

    def leave_with_count(code):
        Path(here, "calls").write_text(str(count))
        leave(code)

    def wrapped(name, call):
        def made(*arguments, **settings):
            nonlocal count
            count += 1
            if way == "full disk" and count >= number and name in ("write", "fsync", "link"):
                _full()
            if count == number and way == "before a call":
                os.kill(os.getpid(), signal.SIGKILL)
            if count >= number and way == "within a write" and name == "write":
                call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            found = call(*arguments, **settings)
            if count == number and way == "after a call":
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return made

    class Written(io.FileIO):
        write = wrapped("write", io.FileIO.write)

    def open_counting(path, mode, **settings):
        if "r" in mode:
            return open(path, mode, **settings)
        return Written(path, mode.replace("b", ""))

    for name in CALLS:
        setattr(os, name, wrapped(name, getattr(os, name)))
    filing.open = row_file.open = open_counting
    if way == "count":
        os._exit = leave_with_count


def attempt(place, resume, way, number, seconds):
    """Run in a process of its own; return its exit code, or None where it was killed."""
    sys.stdout.flush()
    log = place.root / "log"
    child = os.fork()
    if child == 0:
        os.chdir(place.root)
        descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.argv = ["backlit", *place.arguments(), *["--resume"][: int(resume)]]
        if way not in ("clock", "none", SMALL_DISK):
            _break(way, number)
        try:
            app.main()
        finally:
            os._exit(99)
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
        return None
    code, said = os.WEXITSTATUS(status), log.read_text()
    assert code == 3 or (code == 1 and way in ("full disk", SMALL_DISK)), (code, said)
    assert code == 3 or said.count("error: ") == 1, said
    assert "Traceback" not in said, said
    return code


@contextmanager
def other_disk():
    """Yield a folder on another file system than temporary files are, or on the same."""
    here = os.stat(tempfile.gettempdir()).st_dev
    others = [one for one in ("/dev/shm", os.getcwd()) if os.path.isdir(one)]
    others = [one for one in others if os.access(one, os.W_OK) and os.stat(one).st_dev != here]
    with tempfile.TemporaryDirectory(dir=others[0] if others else None) as folder:
        yield folder


def through_kills(pictures, case, drawn, seconds, calls, counts):
    """Run a case through some kills to its end; return what it leaves."""
    with tempfile.TemporaryDirectory() as root, other_disk() as other:
        place = Place(pictures, case, root, other)
        resume = False
        for tried in range(1000):
            way = drawn.choice(WAYS) if tried < 6 else "none"
            most = max(2, calls >> tried // 2)  # what is done needs no more calls
            number = drawn.randint(1, most)
            limit = drawn.uniform(0, seconds) if way == "clock" else 1e9
            code = attempt(place, resume, way, number, limit)
            place.check()
            resume = resume or bool(place.rows())
            counts[way if code is None else "ended" if code == 3 else "stopped, full disk"] += 1
            if code == 3 and way != "full disk":
                break
        found = place.end()
        assert attempt(place, True, "none", 0, 1e9) == 3
        assert place.end() == found, "going on with a finished run changed something"
        return found


def main():
    """Kill runs until there were enough."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=int, default=10, help="of each of three folders")
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    options = parser.parse_args()
    drawn = random.Random(options.seed)
    counts = Counter()
    with tempfile.TemporaryDirectory() as pictures:
        make_pictures(Path(pictures), options.pictures)
        read_photo(Path(pictures) / "photos" / "0" / "000.jpg")  # loads the decoders
        expected, seconds, calls = {}, {}, {}
        for case in options.cases:
            with tempfile.TemporaryDirectory() as root, other_disk() as other:
                place = Place(pictures, case, root, other)
                began = time.monotonic()
                assert attempt(place, False, "count", 0, 1e9) == 3
                seconds[case] = time.monotonic() - began
                calls[case] = int((place.root / "calls").read_text())
                expected[case] = place.end()
                _, left, targets = expected[case]
                everything = len(place.before)
                filed = 0 if place.option is None else everything - 1  # one is broken
                assert len(place.rows()) == everything
                assert len(targets) == filed
                assert len(left) == everything - filed * (place.option == "--move-to")
        runs_made = 0
        while sum(counts[way] for way in WAYS) < options.kills:
            case = options.cases[runs_made % len(options.cases)]
            runs_made += 1
            found = through_kills(pictures, case, drawn, seconds[case], calls[case], counts)
            assert found == expected[case], f"{case}: another end"
            kills = sum(counts[way] for way in WAYS)
            print(f"{case}: the same rows, pictures and bytes ({kills} kills in all)", flush=True)
    ways = ", ".join(f"{count} {way}" for way, count in sorted(counts.items()))
    print(f"{runs_made} runs, {kills} kills ({ways}): nothing lost, nothing twice, nothing torn")


if __name__ == "__main__":
    main()
