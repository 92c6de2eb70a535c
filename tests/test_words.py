"""Words and phrases that no page, docstring, comment or message uses, each with a clearer one.

`docs/log` may say how a figure came about; `CHANGELOG.md` names what there was.
"""

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOG = ROOT / "docs" / "log"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if LOG not in page.parents),
]
SOURCES = sorted((ROOT / "src").rglob("*.py")) if (ROOT / "src").is_dir() else []
TEXT = {tokenize.STRING, tokenize.COMMENT}

#: a pattern -> what to write in its place
CLEARER = {
    r"\bwhom\b": "name the thing: 'Numba registers globals here'",
    r"\bwhoever\b": "'callers', 'anyone who', or the thing's name",
    r"\bsomebody": "'the user', 'user code', 'another process'",
    r"\btold\b(?! apart)": "'reported', 'given', 'recognised by'",
    r"\blook(s|ed|ing)? into\b": "'searched', 'examined'",
    r"\blooked at\b": "'evaluated', 'examined', 'checked'",
    r"\blooks at\b": "'reads', 'samples', 'uses'",
    r"\blook(s|ed)? on\b": "'receives', 'observes'",
    r"\bgo(es)? by\b": "'uses', 'follows', 'is decided by'",
    r"\b(be)?com(es?|ing) of\b": "'the result', 'what happens to'",
    r"\b(put|goes|go) before the checker\b": "'checked'",
    r"\bheld against\b|\bhold(s|ing)? (it|them|the \w+|\S+) against\b": "'compared with'",
    r"\bone's own\b": "'your own', 'the user's'",
    r"\blives?\b in|\bwhere the mean lives\b": "'is stored in', 'is applied in'",
    r"\blose something\b": "'coerce', 'lose digits': say what is lost",
    r"\bnever bent\b": "'never changed silently'",
    r"\b(its|and their) kin\b": "'related formats'",
    r"\bha(s|ve) to say\b": "'warns', 'reports'",
    r"\b(can't|cannot) bite\b": "'run no code'",
    r"\btidy up\b": "'free', 'release'",
    r"\bwhereof|thereof|therein|wherefrom|whence\b": "two plain sentences",
}

#: what only the log may say -> what the other pages say
DIARY = {
    r"\bby (a )?scripts?\b": "the command that gives the figure",
    r"\b(an|two) hours? (before|earlier)\b": "the present figure",
    r"\bearlier (that day|run)\b|\brun earlier\b|\bin other runs\b": "the present figure",
    r"\bheld-out folds of all\b": "'cross-validation on all sets'",
}


def texts(path):
    """Return lines with their numbers: all of a page, or a source's strings and comments."""
    if path.suffix == ".md":
        return list(enumerate(path.read_text(encoding="utf-8").splitlines(), 1))
    found = []
    reader = io.StringIO(path.read_text(encoding="utf-8")).readline
    for token in tokenize.generate_tokens(reader):
        if token.type in TEXT or tokenize.tok_name[token.type] == "FSTRING_MIDDLE":
            found += enumerate(token.string.splitlines(), token.start[0])
    return found


def unclear(path):
    return [
        f"{path.relative_to(ROOT)}:{number}: {match[0]!r}: write {clearer}"
        for number, line in texts(path)
        for pattern, clearer in (CLEARER | (DIARY if path.suffix == ".md" else {})).items()
        for match in re.finditer(pattern, line, re.IGNORECASE)
    ]


@pytest.mark.parametrize("kind", [PAGES, SOURCES], ids=["pages", "sources"])
def test_plain_words(kind):
    found = [sentence for path in kind for sentence in unclear(path)]
    assert not found, "\n" + "\n".join(found)


def test_the_test_sees_them(tmp_path):
    assert any("by scripts" in sentence for sentence in unclear(LOG / "2026-11-29.md"))
    source = tmp_path / "source.py"
    source.write_text('told = 1  # whom it is told\nx = "somebody"\n')
    assert texts(source) == [(1, "# whom it is told"), (2, '"somebody"')]
