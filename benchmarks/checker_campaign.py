"""Try every function of the checker's catalogue over many seeds, and keep what came of it.

    python benchmarks/checker_campaign.py --seeds 50 --output campaign.jsonl

One line for each function and seed: what was said of it, empty where it is as it should be. A file
that is there already is gone on with: what it has is not tried again.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from gradcheck import catalogue, kinds


def entries(only):
    """Yield every function of the catalogue, with a name of its own."""
    for kind, found in (
        ("wrong", [*catalogue.WRONG, *kinds.WRONG]),
        ("right", [*catalogue.RIGHT, *kinds.RIGHT]),
    ):
        for number, entry in enumerate(found):
            name = f"{kind} {number}: {entry.name}"
            if only in name:
                yield name, entry


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", default="", help="names that contain this")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--output", type=Path, default=Path("checker-campaign.jsonl"))
    options = parser.parse_args()
    done = {}
    if options.output.exists():
        for line in options.output.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            done[row["name"], row["seed"]] = row["said"]
    begun = time.perf_counter()
    with options.output.open("a", encoding="utf-8") as file:
        for seed in range(options.first, options.first + options.seeds):
            for name, entry in entries(options.only):
                if (name, seed) in done:
                    continue
                if time.perf_counter() - begun > options.seconds:
                    break
                done[name, seed] = said = entry.verdict(entry.check(seed))
                file.write(json.dumps({"name": name, "seed": seed, "said": said}) + "\n")
                file.flush()
                if said:
                    print(f"{name}, seed {seed}: {said}", flush=True)
    failed = sum(bool(said) for said in done.values())
    print(f"{len(done)} checks, {failed} not as they should be")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
