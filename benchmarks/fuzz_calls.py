"""20,000 sequences of calls on the estimators: no signal, no raw traceback, no silent nonsense.

``python -m benchmarks.fuzz_calls`` runs them in child processes, many a process, whose findings and
deaths are noted in a file of results; the same command goes on from there. Sequence number n of a
seed is always the same: ``--only n`` runs it again. What is drawn and what must hold is in
`tests/support/fuzzing/calls.py`; a slice is part of the test suite. Exit code 1 if anything was
found.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from benchmarks import _harness

#: processor seconds, and seconds in all, that a sequence may take
SECONDS, MOST_SECONDS = 60, 600


def child(seed: int, first: int, last: int, begun: Path) -> None:
    """Run sequences; print what came of each as a line of JSON."""
    from fuzzing.calls import attempt

    for index in range(first, last):
        begun.write_text(str(index))
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # either ends the process
        signal.alarm(MOST_SECONDS)
        try:
            outcome, what = attempt(seed, index), ""
        except AssertionError as finding:
            outcome, what = "FOUND", str(finding)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        print(json.dumps([index, outcome, what]), flush=True)


def run(seed: int, first: int, last: int) -> list[list[object]]:
    """Run sequences in a child process, and in another from where one died."""
    results: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        begun = Path(folder) / "begun"
        while first < last:
            code = [sys.executable, "-m", "benchmarks.fuzz_calls", "--seed", str(seed)]
            code += ["--child", str(first), str(last), str(begun)]
            done = subprocess.run(code, capture_output=True, text=True, check=False)
            results += [json.loads(line) for line in done.stdout.splitlines()]
            if done.returncode == 0:
                break
            if not begun.exists():
                raise SystemExit(done.stderr[-2000:])
            index = int(begun.read_text())
            results.append([index, "FOUND", f"ended with {done.returncode}: {done.stderr[-400:]}"])
            begun.unlink()
            first = index + 1
    return results


def main() -> None:
    """Run the fuzzer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=200, help="sequences of a process")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--results", default=None, help="JSON lines, by default fuzz_calls-SEED")
    parser.add_argument("--only", type=int, help="run one sequence, and show what it does")
    parser.add_argument("--write", action="store_true", help="keep the table for docs/")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        first, last, begun = options.child
        return child(options.seed, int(first), int(last), Path(begun))
    if options.only is not None:
        from fuzzing.calls import attempt

        print(attempt(options.seed, options.only))
        return None
    print(_harness.machine())
    path = Path(options.results or f"fuzz_calls-{options.seed}.jsonl")
    lines = path.read_text().splitlines() if path.exists() else []
    known = {int(index): outcome for index, outcome, _ in map(json.loads, lines)}
    writing = Lock()

    def block(first: int) -> None:
        last = min(first + options.each, options.count)
        left = [index for index in range(first, last) if index not in known]
        if not left:
            return
        found = run(options.seed, left[0], last)
        with writing, path.open("a") as file:
            for one in found:
                if one[0] not in known:
                    file.write(json.dumps(one) + "\n")
            print(f"{first} to {last}: {dict(Counter(str(one[1]) for one in found))}", flush=True)

    with ThreadPoolExecutor(options.processes) as pool:
        for _ in pool.map(block, range(0, options.count, options.each)):
            pass
    every = [json.loads(line) for line in path.read_text().splitlines()]
    counts = Counter(outcome for _, outcome, _ in every)
    print(dict(counts))
    if options.write:
        columns = ["sequences", "accepted", "refused", "findings"]
        row = [len(every), counts["accepted"], counts["refused"], counts["FOUND"]]
        _harness.record("call_sequences", "python -m benchmarks.fuzz_calls", columns, [row])
    findings = [f"{index}: {what}" for index, outcome, what in every if outcome == "FOUND"]
    print("\n".join(findings))
    os._exit(1 if findings else 0)


if __name__ == "__main__":
    main()
