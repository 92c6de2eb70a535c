"""Entry points against bad data, as found: what differs from what the tests expect.

``python -m benchmarks.bad_data`` prints the differences; ``--write`` makes what is found the tests'
expectation, from which the documentation's tables are built (read the difference before you commit
it). Exit code 1 if anything differs and is not written.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

import bad_data
import bad_pictures


def _find(cells, outcome_of):
    found = {}
    for table, name, entry in cells:
        found.setdefault(table, {}).setdefault(name, {})[entry] = outcome_of(table, name, entry)
    return found


def _flat(found):
    return {
        f"{table}, {name}, {entry}": outcome
        for table, rows in found.items()
        for name, row in rows.items()
        for entry, outcome in row.items()
    }


def main() -> None:
    """Run all pairs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the tests' expectation")
    parser.add_argument("--only", choices=("data", "pictures"), help="one half of the tables")
    options = parser.parse_args()
    outcomes: list[str] = []
    differ = 0
    for half, module in (("data", bad_data), ("pictures", bad_pictures)):
        if options.only not in (None, half):
            continue
        found = _find(module.cells(), module.outcome_of)
        now, before = _flat(found), _flat(json.loads(module.EXPECTED.read_text("utf-8")))
        outcomes += now.values()
        for pair in sorted(now.keys() | before.keys()):
            if now.get(pair) != before.get(pair):
                print(f"{pair}: {now.get(pair)} (expected: {before.get(pair)})")
                differ += 1
        if options.write:
            text = json.dumps(found, indent=1, ensure_ascii=False)
            module.EXPECTED.write_text(text + "\n", encoding="utf-8")
    counts = Counter(v.partition(":")[0] for v in outcomes)
    print(f"{len(outcomes):,} pairs:", ", ".join(f"{n:,} {v}" for v, n in counts.items()))
    print(f"{differ} differ from what the tests expect")
    sys.exit(bool(differ) and not options.write)


if __name__ == "__main__":
    main()
