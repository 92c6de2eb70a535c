"""The table of entry points against bad data, as found, in Markdown and for the tests.

``python -m benchmarks.bad_data`` prints it; ``--write`` makes what is found the tests' expectation
(read the difference before you commit it).
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import bad_data
from benchmarks import _harness

SHORT = {"same": "=", "close": "≈", "answer": "a", "not finite": "m"}


def main() -> None:
    """Run all pairs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the tests' expectation")
    found: dict[str, dict[str, dict[str, str]]] = {"X": {}, "y": {}}
    write = parser.parse_args().write
    for table, name, entry in bad_data.cells():
        found[table].setdefault(name, {})[entry] = bad_data.outcome_of(table, name, entry)
    if write:
        text = json.dumps(found, indent=1, ensure_ascii=False)
        bad_data.EXPECTED.write_text(text + "\n", encoding="utf-8")
    for table, entries in (("X", bad_data.ENTRIES), ("y", bad_data.LABEL_ENTRIES)):
        print(f"\nColumns, {table}:\n")
        for number, entry in enumerate(entries, 1):
            print(f"{number}. {entry}")
        header = ["", *(str(i + 1) for i in range(len(entries)))]
        rows = [
            [name, *(SHORT.get(row[entry], "E") for entry in entries)]
            for name, row in found[table].items()
        ]
        print("\n" + _harness.markdown(header, rows))
    outcomes = [v for rows in found.values() for row in rows.values() for v in row.values()]
    counts = Counter(v.partition(":")[0] for v in outcomes)
    print(f"\n{len(outcomes):,} pairs:", ", ".join(f"{n:,} {v}" for v, n in counts.items()))


if __name__ == "__main__":
    main()
