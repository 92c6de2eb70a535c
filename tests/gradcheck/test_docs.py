"""The pages on the checker show what their examples print."""

import pytest

from backlit.gradcheck import RELATIONS
from gradcheck import doc_examples


@pytest.mark.parametrize("page", doc_examples.PAGES, ids=lambda path: path.stem)
def test_every_output_on_the_page_is_real(page, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    shown = 0
    for match, documented, real in doc_examples.run_page(page.read_text("utf-8"), page.name):
        if documented is not None:
            assert real == documented, match["code"]
            shown += 1
    assert shown >= 3


def test_each_relation_has_an_entry_with_its_output():
    text = "".join(page.read_text(encoding="utf-8") for page in doc_examples.PAGES)
    for relation in RELATIONS:
        assert text.count(f"\n## {relation}\n") == 1
        entry = text.partition(f"\n## {relation}\n")[2].partition("\n## ")[0]
        assert "```python\n" in entry
        assert "```text\n" in entry


def test_a_changed_output_would_be_noticed():
    text = "```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n"
    ((_, documented, real),) = doc_examples.run_page(text)
    assert (documented, real) == ("3\n", "2\n")
    assert doc_examples.written(text) == "```python\nprint(1 + 1)\n```\n\n```text\n2\n```\n"


@pytest.mark.parametrize("word", ["check_model", "assert_backward", "own code"])
def test_the_page_speaks_of(word):
    assert word in doc_examples.PAGES[0].read_text(encoding="utf-8")
