"""The pages: their code runs and prints what they say, their commands and links lead somewhere."""

import ast
import contextlib
import io
import json
import linecache
import re
import shlex
import sys
import textwrap
from pathlib import Path

import pytest
import typer

from backlit import activations, names
from backlit.cli.app import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")],
    key=lambda path: path.relative_to(ROOT).as_posix(),
)
PAGES = [page for page in PAGES if "_build" not in page.parts]
#: run by tests of their own
ELSEWHERE = {
    "docs/backward_pass.md",
    "docs/checker.md",
    "docs/checker_findings.md",
    "docs/checker_findings_layers.md",
    "docs/checker_findings_state.md",
}
FENCE = re.compile(
    r"^(?P<before>[^\n]*)\n```(?P<language>[a-z]+)(?P<rest>[^\n]*)\n(?P<code>.*?)^```$"
    r"(?:\n\n```text\n(?P<output>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)
EACH = re.DOTALL | re.MULTILINE
#: the comment before a block of Python that cannot run; it says why
EXCUSE = re.compile(r"<!-- not run: .{10,} -->")


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page, *languages):
    text = "\n" + page.read_text(encoding="utf-8")
    return [match for match in FENCE.finditer(text) if match["language"] in languages]


WITH_PYTHON = [page for page in PAGES if name_of(page) not in ELSEWHERE and blocks(page, "python")]


@pytest.fixture
def registries():
    """What a page registers is gone after it."""
    kept = dict(activations.FUNCTIONS), dict(names.ACTIVATIONS)
    yield
    for registry, before in zip((activations.FUNCTIONS, names.ACTIVATIONS), kept, strict=True):
        registry.clear()
        registry.update(before)


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_the_python_of_a_page_runs_and_prints_what_it_says(page, tmp_path, monkeypatch, registries):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    names = {"__name__": "page"}
    ran = 0
    for number, block in enumerate(blocks(page, "python")):
        if EXCUSE.match(block["before"]):
            continue
        label = f"{name_of(page)}, block {number}"
        code = block["code"]
        linecache.cache[label] = (len(code), None, io.StringIO(code).readlines(), label)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, label, "exec"), names)
        if block["output"] is not None:
            assert printed.getvalue() == block["output"], label
        ran += 1
    assert ran


def test_no_page_has_python_that_neither_runs_nor_says_why():
    for page in PAGES:
        for block in blocks(page, "python"):
            assert not block["rest"].strip(), f"{name_of(page)}: say why in <!-- not run: ... -->"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_backlit_command_on_a_page_exists_with_its_options(page):
    commands = typer.main.get_command(app).commands
    for block in blocks(page, "sh", "console"):
        for line in block["code"].replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\||;", line.partition(" #")[0]):
                words = shlex.split(part)
                if not words or Path(words[0]).name != "backlit" or words[1:2] == ["--version"]:
                    continue
                assert words[1] in commands, f"{name_of(page)}: {part}"
                command = commands[words[1]]
                if hasattr(command, "commands"):
                    assert words[2] in command.commands, f"{name_of(page)}: {part}"
                    command = command.commands[words[2]]
                taken = {
                    option
                    for parameter in command.params
                    for option in (*parameter.opts, *parameter.secondary_opts)
                } | {"--help", "-h"}
                given = {
                    word.partition("=")[0]
                    for word in words[2:]
                    if word.startswith("-") and word != "-"
                }
                assert given <= taken, f"{name_of(page)}: {part} has no {given - taken}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_between_the_pages_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(\s*([^)#:\s]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), f"{name_of(page)} links to {target}"


def test_every_activation_and_loss_has_a_page_of_derivations():
    pages = {path.stem for path in (DOCS / "derivations").glob("*.md")}
    others = {"index", "linear", "layer", "model", "l2", "dropout", "weights"}
    others |= {"scaling", "ntp_linear", "parametric_activation", "mish", "periodic_embedding"}
    others |= {"embedding", "label_smoothing"}
    assert pages - others == {*names.ACTIVATIONS, *names.LOSSES}
    listed = (DOCS / "derivations" / "index.md").read_text().split()
    assert pages - {"index"} <= set(listed)


def test_the_excerpts_on_the_pages_are_there():
    """The pages show functions of the source by name: the site's build fails without them too."""
    count = 0
    for page in (DOCS / "derivations").glob("*.md"):
        for block in re.finditer(
            r"^```\{literalinclude\} (\S+)\n(.*?)^```", page.read_text(), EACH
        ):
            options = dict(re.findall(r"^:([a-z-]+): (.+)$", block[2], re.MULTILINE))
            source = (page.parent / block[1]).read_text()
            name = options.pop("pyobject")
            function = re.search(
                rf"^def {name}\(.*?(?=^\S|\Z)(?:\) ->.*?(?=^\S|\Z))?", source, EACH
            )
            assert function, f"{page.name}: {name}"
            for text in options.values():
                assert text in function[0], f"{page.name}: {name} has no {text!r}"
            count += 1
    assert count > 40


def test_the_styles_on_the_page_are_the_examples():
    """A clone shows the code, too; the examples are what is checked."""
    page = (DOCS / "recipes" / "own_backward.md").read_text(encoding="utf-8")
    shown = re.findall(r"^`([\w.]+)` of `(examples/\S+)`:\n\n```python\n(.*?)^```", page, EACH)
    for name, path, code in shown:
        source = (ROOT / path).read_text(encoding="utf-8")
        body = ast.parse(source).body
        for part in name.split("."):
            found = next(one for one in body if getattr(one, "name", None) == part)
            body = found.body
        lines = source.splitlines(keepends=True)[found.lineno - 1 : found.end_lineno]
        assert code == textwrap.dedent("".join(lines)), path
    styles = {path.name for path in (ROOT / "examples" / "styles").glob("*.py")}
    assert {Path(path).name for _, path, _ in shown} == styles
    assert "{literalinclude}" not in page


def test_every_benchmark_named_on_a_page_exists():
    found = {
        name
        for page in [*PAGES, ROOT / "SECURITY.md"]
        for name in re.findall(r"python -m benchmarks\.([a-z_]+)", page.read_text("utf-8"))
    }
    assert len(found) > 15
    assert found <= {path.stem for path in (ROOT / "benchmarks").glob("*.py")}


def test_every_recorded_result_is_shown_once_and_is_a_table():
    shown = [
        name
        for page in PAGES
        for name in re.findall(r"^```\{recorded\} (\S+)$", page.read_text("utf-8"), re.MULTILINE)
    ]
    assert sorted(shown) == sorted(path.stem for path in (DOCS / "data").iterdir())
    told = "".join(page.read_text("utf-8") for page in PAGES)  # those who read the source, too
    assert all(f"{{recorded}} {name}\nThe table of docs/data/{name}.json" in told for name in shown)
    for path in (DOCS / "data").iterdir():
        found = json.loads(path.read_text(encoding="utf-8"))
        named = set(found) - {"note"}
        assert named == {"command", "machine", "date", "columns", "rows"}, path.name
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", found["date"]), path.name
        assert {len(row) for row in found["rows"]} == {len(found["columns"])}, path.name
        module = re.match(r"python -m (benchmarks\.[a-z_]+)", found["command"])
        if module:  # it writes this file
            source = (ROOT / module[1].replace(".", "/")).with_suffix(".py").read_text()
            assert f'"{path.stem}"' in source, path.name


def test_what_a_benchmark_records_is_the_table_on_the_page(tmp_path, monkeypatch):
    sys.path.insert(0, str(ROOT))
    sys.path.insert(0, str(DOCS / "_extensions"))
    try:
        import results
        from benchmarks import _harness
    finally:
        del sys.path[:2]
    monkeypatch.setattr(_harness, "DATA", tmp_path / "data")
    monkeypatch.setattr(results, "DATA", tmp_path / "data")
    monkeypatch.setattr(_harness, "machine", lambda: "Some CPU, 2 cores, Linux, 2026-01-31")
    _harness.record("x", "python -m benchmarks.x", ("é", "files"), [("a", 20_000), ("b", 0.5)])
    table = "| é | files |\n| --- | --- |\n| a | 20,000 |\n| b | 0.5 |\n\n"
    under = "`python -m benchmarks.x`; Some CPU, 2 cores, Linux; 2026-01-31.\n"
    assert results.recorded_table("x") == table + under
    text = (DOCS / "reliability_results.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```\{bad-data\} (\S+)$", text, re.MULTILINE)
    assert shown == list(results.bad_data())
    for name in shown:
        assert "| read-only | =" in results.bad_data_table(name) or name == "files"
    assert "| **t** | " in results.bad_data_legend()


def test_a_wrong_output_and_a_missing_excuse_would_be_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("x\n\n```python\nprint(1)\n```\n\n```text\n2\n```\n\n```python no\ny\n```\n")
    first, second = blocks(page, "python")
    assert (first["code"], first["output"]) == ("print(1)\n", "2\n")
    assert second["rest"] == " no"
    assert not EXCUSE.match("<!-- not run: -->")
