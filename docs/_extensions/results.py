"""Tables of results: those that commands have written, and those that the tests expect."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DATA = ROOT / "docs" / "data"
EXPECTED = ("bad_data_expected.json", "bad_pictures_expected.json")
#: the first word of an outcome -> its sign, what it means
OUTCOMES = {
    "same": ("=", "the answer of the same numbers in plain form"),
    "close": ("≈", "the same, but for the rounding of a narrower type"),
    "answer": ("a", "a finite answer, where the data has no plainer form"),
    "refused": ("E", "a `ValueError` or a `TypeError` that says why"),
    "told": ("t", "the bad file is named with what is wrong; the others have their answers"),
    "not finite": ("m", "a score of scikit-learn's own metric that is not finite"),
}


def recorded_table(name: str) -> str:
    """Return, in Markdown, the table that a command has written, the command, machine and date."""
    found = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    rows = [[_cell(value) for value in row] for row in found["rows"]]
    facts = [found["machine"], found["date"], *([found["note"]] if "note" in found else [])]
    under = f"`{found['command']}`; {'; '.join(facts)}."
    return f"{_table(found['columns'], rows)}\n\n{under}\n"


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bad_data() -> dict[str, dict[str, dict[str, str]]]:
    """Return what the tests expect: table, kind of bad data, entry point -> outcome."""
    tables: dict[str, dict[str, dict[str, str]]] = {}
    for name in EXPECTED:
        tables |= json.loads((ROOT / "tests" / "support" / name).read_text(encoding="utf-8"))
    return tables


def bad_data_legend() -> str:
    """Return, in Markdown, how many pairs there are, and what the tables' signs mean."""
    pairs = [v for rows in bad_data().values() for row in rows.values() for v in row.values()]
    counts = Counter(map(_sign, pairs))
    lines = [
        f"| **{sign}** | {counts[sign]:,} | {meaning} |" for sign, meaning in OUTCOMES.values()
    ]
    return "\n".join(["| sign | pairs | result |", "|---|---|---|", *lines])


def bad_data_table(table: str) -> str:
    """Return, in Markdown, a list of entry points, and kinds of bad data against their numbers."""
    rows = bad_data()[table]
    entries = list(next(iter(rows.values())))
    names = [f"{number}. {entry}" for number, entry in enumerate(entries, 1)]
    header = ["", *(str(number) for number in range(1, len(entries) + 1))]
    lines = [[name, *(_sign(row[entry]) for entry in entries)] for name, row in rows.items()]
    return "\n".join([*names, "", _table(header, lines)])


def _sign(outcome: str) -> str:
    return OUTCOMES[outcome.partition(":")[0]][0]
