"""The table of entry points against bad data, as found, in Markdown and for the tests.

``python -m benchmarks.bad_data`` prints it; ``--write`` makes what is found the tests' expectation
(read the difference before you commit it).
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

import bad_data
import bad_pictures
from benchmarks import _harness

SHORT = {"same": "=", "close": "≈", "answer": "a", "not finite": "m", "told": "t"}
TITLES = {
    "X": "Matrices",
    "y": "Labels and weights",
    "pictures": "Pictures in memory",
    "features": "Features",
    "files": "Files and folders",
}


def _find(cells, outcome_of):
    found = {}
    for table, name, entry in cells:
        found.setdefault(table, {}).setdefault(name, {})[entry] = outcome_of(table, name, entry)
    return found


def _print(found):
    for table, rows in found.items():
        entries = list(next(iter(rows.values())))
        print(f"\n### {TITLES[table]}\n")
        for number, entry in enumerate(entries, 1):
            print(f"{number}. {entry}")
        header = ["", *(str(i + 1) for i in range(len(entries)))]
        lines = [
            [name, *(SHORT.get(row[entry], "E") for entry in entries)] for name, row in rows.items()
        ]
        print("\n" + _harness.markdown(header, lines))


def main() -> None:
    """Run all pairs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the tests' expectation")
    parser.add_argument("--only", choices=("data", "pictures"), help="one half of the tables")
    options = parser.parse_args()
    outcomes: list[str] = []
    for half, module in (("data", bad_data), ("pictures", bad_pictures)):
        if options.only not in (None, half):
            continue
        found = _find(module.cells(), module.outcome_of)
        _print(found)
        outcomes += [v for rows in found.values() for row in rows.values() for v in row.values()]
        if options.write:
            text = json.dumps(found, indent=1, ensure_ascii=False)
            module.EXPECTED.write_text(text + "\n", encoding="utf-8")
    counts = Counter(v.partition(":")[0] for v in outcomes)
    print(f"\n{len(outcomes):,} pairs:", ", ".join(f"{n:,} {v}" for v, n in counts.items()))


if __name__ == "__main__":
    main()
