"""Runs the examples of the checker's pages; with --write, puts what they print into them.

A ```python block followed by a ```text block is an example and its output. All blocks of the page
share their names, in order.
"""

import io
import linecache
import os
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGES = tuple(
    DOCS / f"{name}.md"
    for name in (
        "checker",
        "checker_findings",
        "checker_findings_state",
        "checker_findings_layers",
    )
)
EXAMPLE = re.compile(
    r"```python\n(?P<code>.*?)```\n(?:\n```text\n(?P<output>.*?)```\n)?", re.DOTALL
)


def run_page(text, name="page"):
    """Yield (code, documented output or None, real output) for each block."""
    scope = {"__name__": "checker_page"}
    for number, match in enumerate(EXAMPLE.finditer(text), 1):
        code = match["code"]
        label = f"{name}, example {number}"
        linecache.cache[label] = (len(code), None, io.StringIO(code).readlines(), label)
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(code, label, "exec"), scope)
        yield match, match["output"], printed.getvalue()


def written(text, name="page"):
    """Return the page with the real outputs."""
    parts, end = [], 0
    for match, documented, real in run_page(text, name):
        parts.append(text[end : match.start()])
        block = match.group(0)
        if documented is not None:
            block = f"```python\n{match['code']}```\n\n```text\n{real}```\n"
        parts.append(block)
        end = match.end()
    return "".join(parts) + text[end:]


if __name__ == "__main__":
    os.environ["NO_COLOR"] = "1"
    for path in PAGES:
        page = written(path.read_text(encoding="utf-8"), path.name)
        if "--write" in sys.argv:
            path.write_text(page, encoding="utf-8")
        elif page != path.read_text(encoding="utf-8"):
            sys.exit(f"{path} does not show what the examples print")
