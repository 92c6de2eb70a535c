"""Thousands of damaged files through every reader: no crash, no hang, no memory, no wrong answer.

``python -m benchmarks.fuzz`` reads 20,000 damaged model files and some thousands for each of the
other readers. Each target runs in a child process whose address space is bounded and in which a
file may take ten seconds of computing, or two minutes in all. The child notes the number of each
file before it reads it, so that a killed one is reported too. File number n of a seed is always the
same: ``--targets models --only n`` reads it again. ``--atheris models`` lets Atheris, where it is
installed (``pip install atheris``), find the damage by coverage instead.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from benchmarks import _harness

COUNTS = {
    "models": 20_000,
    "tensors": 5_000,
    "checkpoints": 3_000,
    "kept": 3_000,
    "manifest": 5_000,
    "listing": 5_000,
    "resume_csv": 5_000,
    "resume_filed_csv": 5_000,
    "resume_filed_jsonl": 5_000,
    "resume_jsonl": 5_000,
    "check_notebook": 1_000,
    "check_python": 1_000,
    "pictures": 5_000,
}
READERS = {
    "models": "models (`PhotoClassifier.load`)",
    "tensors": "tensors (`load_tensors`)",
    "checkpoints": "checkpoints (`fit(..., resume=True)`)",
    "kept": "kept features (`train --checkpoint`)",
    "manifest": "a cluster's manifest (`predict --cluster --resume`)",
    "listing": "a cluster's list of pictures",
    "resume_csv": "`predict --resume`, CSV",
    "resume_filed_csv": "`predict --resume`, CSV, pictures filed",
    "resume_filed_jsonl": "`predict --resume`, JSON lines, pictures filed",
    "resume_jsonl": "`predict --resume`, JSON lines",
    "check_notebook": "`check`, notebooks",
    "check_python": "`check`, .py files",
    "pictures": "pictures (`read_crops`, `read_photo`)",
}
SECONDS_A_FILE = 10
MOST_SECONDS_A_FILE = 120
#: address space beyond what the process has when it begins; a picture may be 100 megapixels
ROOM = {"pictures": 2 << 30}
USUAL_ROOM = 512 << 20


def child(name: str, seed: int, first: int, last: int, folder: str) -> None:
    """Read files and print, as JSON, what came of it; the last number begun stands in a file."""
    from fuzzing.targets import TARGETS, attempt, case

    target = TARGETS[name]
    path = Path(folder) / f"damaged{target.ending}"
    for index in range(-50, 0):  # what is loaded at first use does not count
        try:
            attempt(target, path, *case(target, seed + 1, -index))
        except Exception:
            break
    status = Path("/proc/self/status").read_text()
    now = int(status.split("VmSize:")[1].split()[0]) << 10
    limit = now + ROOM.get(name, USUAL_ROOM)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before = _harness.peak_bytes()
    outcomes: Counter[str] = Counter()
    findings, slowest = [], (0.0, 0)
    for index in range(first, last):
        data, good, forged = case(target, seed, index)
        (Path(folder) / "begun").write_text(str(index))
        # either ends the process, whatever it is stuck in
        signal.setitimer(signal.ITIMER_PROF, SECONDS_A_FILE)
        signal.alarm(MOST_SECONDS_A_FILE)
        began = time.process_time()
        try:
            outcomes[attempt(target, path, data, good, forged)] += 1
        except Exception as error:
            outcomes["FOUND"] += 1
            findings.append([index, f"{type(error).__name__}: {error}"[:300]])
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        slowest = max(slowest, (time.process_time() - began, index))
    grown = _harness.peak_bytes() - before
    print(json.dumps([outcomes, findings, slowest, grown / 2**20]))


def run(name: str, seed: int, count: int) -> tuple[list[str | int], list[str]]:
    """Run a target's files; return its row of the table and its findings."""
    outcomes: Counter[str] = Counter()
    findings: list[str] = []
    slowest, grown, first = 0.0, 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        while first < count:
            code = [sys.executable, "-m", "benchmarks.fuzz", "--child", name]
            code += ["--seed", str(seed), "--range", str(first), str(count), "--folder", folder]
            done = subprocess.run(code, capture_output=True, text=True)
            if done.returncode == 0:
                counted, found, slow, more = json.loads(done.stdout.splitlines()[-1])
                outcomes.update(counted)
                findings += [f"{name} {index}: {what}" for index, what in found]
                slowest, grown = max(slowest, slow[0]), max(grown, more)
                break
            begun = Path(folder) / "begun"
            if not begun.exists():
                raise SystemExit(done.stderr[-2000:])
            index = int(begun.read_text())  # what the child had counted is lost
            why = (
                "hung"
                if -done.returncode in (signal.SIGALRM, signal.SIGPROF)
                else f"died of {done.returncode}"
            )
            findings.append(f"{name} {index}: {why}: {done.stderr[-300:]}")
            outcomes["FOUND"] += 1
            first = index + 1
    row = [READERS[name], count, outcomes["refused"], outcomes["accepted"], len(findings)]
    return [*row, round(slowest * 1e3), round(grown)], findings


def run_atheris(name: str, arguments: list[str]) -> None:
    """Hand a target to Atheris."""
    try:
        import atheris
    except ImportError:
        raise SystemExit("Atheris is not installed: pip install atheris") from None
    with atheris.instrument_imports(include=["backlit.formats", "backlit.photos.resuming"]):
        from fuzzing.mutations import with_checksum
        from fuzzing.targets import TARGETS, attempt
    target = TARGETS[name]
    good = target.seeds()[0]
    folder = tempfile.mkdtemp()
    corpus = Path(folder) / "corpus"
    corpus.mkdir()
    for number, data in enumerate(target.seeds()):
        (corpus / str(number)).write_bytes(data)
    path = Path(folder) / f"damaged{target.ending}"

    def one(data: bytes) -> None:
        attempt(target, path, with_checksum(data), good, True)

    atheris.Setup([sys.argv[0], *arguments, str(corpus)], one)
    atheris.Fuzz()


def main() -> None:
    """Run the fuzzer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", nargs="+", choices=list(COUNTS), default=list(COUNTS))
    parser.add_argument("--count", type=int, help="files a target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="read one file, and show what it says")
    parser.add_argument("--atheris", choices=list(COUNTS), help="what follows goes to Atheris")
    parser.add_argument("--write", action="store_true", help="keep the table for docs/")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--range", nargs=2, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    if options.atheris:
        return run_atheris(options.atheris, rest)
    if rest:
        parser.error(f"unknown: {' '.join(rest)}")
    if options.child:
        return child(options.child, options.seed, *options.range, options.folder)
    if options.only is not None:
        from fuzzing.targets import TARGETS, case

        for name in options.targets:
            target = TARGETS[name]
            data, good, forged = case(target, options.seed, options.only)
            path = Path(tempfile.mkdtemp()) / f"damaged{target.ending}"
            path.write_bytes(data)
            print(path, len(data), "bytes")
            target.read(path, good, forged)
        return None
    print(_harness.machine())
    rows, findings = [], []
    for name in options.targets:
        row, found = run(name, options.seed, options.count or COUNTS[name])
        rows.append(row)
        findings += found
        print("done:", *row, flush=True)
    header = ["reader", "files", "refused", "accepted", "findings", "slowest, CPU ms", "MiB"]
    print("\n" + _harness.markdown(header, rows))
    if options.write:
        _harness.record("damaged_files", "python -m benchmarks.fuzz", header, rows)
    print("\n".join(findings))
    os._exit(1 if findings else 0)


if __name__ == "__main__":
    main()
