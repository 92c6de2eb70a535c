import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
#: pages whose Python is run here; the checker's and the estimators' have tests of their own
PAGES = ("app.md", "engine.md", "per_example.md", "report.md", "scale.md", "trace.md")


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.S)
    assert blocks
    names = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)


def test_links_between_the_pages_lead_somewhere():
    for page in (DOCS.parent / "README.md", *DOCS.glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
