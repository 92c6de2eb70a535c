"""The page on the checker shows what its examples print."""

import pytest

from backlit.gradcheck import RELATIONS
from gradcheck import doc_examples


def test_every_output_on_the_page_is_real(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    text = doc_examples.PAGE.read_text(encoding="utf-8")
    count = 0
    for match, documented, real in doc_examples.run_page(text):
        if documented is not None:
            assert real == documented, match["code"]
            count += 1
    assert count >= len(RELATIONS)


def test_the_gallery_has_an_entry_for_each_relation():
    text = doc_examples.PAGE.read_text(encoding="utf-8")
    for relation in RELATIONS:
        assert f"\n### {relation}\n" in text


def test_a_changed_output_would_be_noticed():
    text = "```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n"
    ((_, documented, real),) = doc_examples.run_page(text)
    assert (documented, real) == ("3\n", "2\n")
    assert doc_examples.written(text) == "```python\nprint(1 + 1)\n```\n\n```text\n2\n```\n"


@pytest.mark.parametrize("word", ["check_model", "assert_backward", "own code"])
def test_the_page_speaks_of(word):
    assert word in doc_examples.PAGE.read_text(encoding="utf-8")
