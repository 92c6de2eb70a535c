"""What every benchmark shares: contestants timed in turn in one run, medians, a control, a table.

Machines drift, so nothing is compared across runs: each round times every contestant once, and a
ratio is the median over rounds of the two times of one round.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

#: the idle threads of the last contestant's pool go on spinning for a while, on the cores that the
#: next one needs; nobody is timed until they have gone to sleep, and the first call is not counted
SETTLE_SECONDS = 0.4

#: where results lie that the documentation shows
DATA = Path(__file__).parents[1] / "docs" / "data"


@dataclass
class Contest:
    """Some ways of doing the same work, each with the seconds it took in each round.

    `stolen` is the share of the cores' time that a virtual machine's host gave to others meanwhile.
    """

    name: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    stolen: float = 0.0

    def median(self, contestant: str) -> float:
        """Return the median time in seconds."""
        return statistics.median(self.seconds[contestant])

    def quartiles(self, contestant: str) -> tuple[float, float]:
        """Return the first and third quartile in seconds."""
        times = self.seconds[contestant]
        if len(times) < 2:
            return times[0], times[0]
        first, _, third = statistics.quantiles(times, n=4)
        return first, third

    def ratio(self, slow: str, fast: str) -> float:
        """Return the median, over rounds, of how many times longer `slow` took than `fast`."""
        pairs = zip(self.seconds[slow], self.seconds[fast], strict=True)
        return statistics.median(a / b for a, b in pairs)


def peak_bytes(process: int | str = "self") -> int:
    """Return the most memory that a process had since its program began (Linux).

    Not the system's ``ru_maxrss``: that begins with the peak of whoever started the process.
    """
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def contest(
    name: str,
    contestants: dict[str, Callable[[], Any]],
    *,
    rounds: int = 7,
    least_seconds: float = 0.2,
) -> Contest:
    """Time each contestant once a round, in an order that turns with the round.

    Parameters
    ----------
    name : str
        What is measured.
    contestants : dict
        Callables by name; each call does the same amount of work.
    rounds : int, default 7
        How many rounds count; one more comes first and does not.
    least_seconds : float, default 0.2
        A contestant is repeated within a round until it has run so long.

    Returns
    -------
    Contest
        Seconds a call.
    """
    repeats = {}
    for key, call in contestants.items():
        call()
        began = time.perf_counter()
        call()
        once = time.perf_counter() - began
        repeats[key] = max(1, int(least_seconds / max(once, 1e-9)))
    result = Contest(name, {key: [] for key in contestants})
    order = list(contestants)
    clock, took = stolen_seconds(), time.perf_counter()
    for round_ in range(rounds):
        for key in order[round_ % len(order) :] + order[: round_ % len(order)]:
            time.sleep(SETTLE_SECONDS)
            contestants[key]()
            began = time.perf_counter()
            for _ in range(repeats[key]):
                contestants[key]()
            result.seconds[key].append((time.perf_counter() - began) / repeats[key])
    elapsed = (time.perf_counter() - took) * (os.cpu_count() or 1)
    result.stolen = (stolen_seconds() - clock) / elapsed
    return result


def stolen_seconds() -> float:
    """Return how long all cores have had to wait for other guests of the host; 0 if unknown."""
    try:
        steal = Path("/proc/stat").read_text().split("\n", 1)[0].split()[8]
        return int(steal) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0


def control(rounds: int = 15) -> str:
    """Time one fixed product again and again; its spread says how noisy the machine is."""
    a = np.random.default_rng(0).standard_normal((512, 512)).astype(np.float32)
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(20):
            a @ a
        times.append(time.perf_counter() - began)
    low, middle, high = min(times), statistics.median(times), max(times)
    return (
        f"control, a fixed NumPy product: median {middle / 20 * 1e6:.0f} us, "
        f"from {low / middle:.2f} to {high / middle:.2f} of it"
    )


def machine() -> str:
    """Describe the machine: processor, cores, system, Python."""
    processor = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                processor = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    return (
        f"{processor}, {cores} cores, {platform.system()}, Python {platform.python_version()}, "
        f"{date.today().isoformat()}"
    )


def record(
    name: str,
    command: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    note: str = "",
) -> None:
    """Write what a command found to ``docs/data/NAME.json``, which the page of results shows.

    Parameters
    ----------
    name : str
        Of the file, without its ending.
    command : str
        Runs it again.
    columns : sequence of str
        The table's header.
    rows : sequence of sequences
        Text and numbers, one for each column.
    note : str, optional
        What stands behind machine and date, such as the load.
    """
    where, _, when = machine().rpartition(", ")
    head = {"command": command, "machine": where, "date": when}
    head |= {"note": note} if note else {}
    head["columns"] = list(columns)
    fields = [f'"{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in head.items()]
    lines = ",\n  ".join(json.dumps(list(row), ensure_ascii=False) for row in rows)
    text = ",\n ".join([*fields, f'"rows": [\n  {lines}\n ]'])
    DATA.mkdir(exist_ok=True)
    (DATA / f"{name}.json").write_text(f"{{\n {text}\n}}\n", encoding="utf-8")


def versions(*names: str) -> str:
    """Return the installed versions of packages."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def markdown(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Lay out a table in Markdown."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = [
        " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in cells
    ]
    lines.insert(1, "-|-".join("-" * w for w in widths))
    return "\n".join(f"| {line} |" for line in lines)


def save(path: str | None, data: Any) -> None:
    """Write results as JSON, if a path is given."""
    if path:
        Path(path).write_text(json.dumps(data, indent=1) + "\n")
