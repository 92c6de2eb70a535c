"""The site's build refuses links that lead nowhere, and pages that would ask another host."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "docs" / "build.py"


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("docs_build", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_interpreter_that_is_not_there_is_said_before_anything_is_built(build, tmp_path, capsys):
    output = tmp_path / "html"
    with pytest.raises(SystemExit):
        build.main([str(output), "--pyodide", str(tmp_path)])
    assert "lacks pyodide.mjs" in capsys.readouterr().err
    assert not output.exists()


def site(folder, body, style=""):
    (folder / "page.html").write_text(f"<h1 id='top'>x</h1>{body}")
    (folder / "other.html").write_text("<h2 id='there'>y</h2>")
    (folder / "own.css").write_text(style)
    return folder


@pytest.mark.parametrize(
    "body",
    [
        "<a href='other.html#there'>a</a>",
        "<a href='#top'>a</a>",
        "<a href='https://example.org/'>a reader may follow it</a>",
        "<link rel='stylesheet' href='own.css'>",
        "<img src='data:image/png;base64,AA=='>",
    ],
)
def test_what_is_fine(build, tmp_path, body):
    assert build.problems(site(tmp_path, body, "a { background: url(own.css) }")) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<a href='gone.html'>a</a>", "links to gone.html, which is not there"),
        ("<a href='other.html#gone'>a</a>", "there is no such place on that page"),
        ("<a href='#gone'>a</a>", "there is no such place on that page"),
        ("<img src='gone.png'>", "links to gone.png"),
        ("<script src='https://example.org/x.js'></script>", "fetches https://example.org/x.js"),
        ("<img src='//example.org/x.png'>", "fetches //example.org/x.png"),
        ("<link rel='stylesheet' href='https://example.org/x.css'>", "fetches https://example"),
    ],
)
def test_what_is_refused(build, tmp_path, body, said):
    (problem,) = build.problems(site(tmp_path, body))
    assert said in problem


def test_a_style_sheet_that_fetches_is_refused(build, tmp_path):
    (problem,) = build.problems(site(tmp_path, "", "@font-face { src: url('https://x.org/f') }"))
    assert problem == "own.css fetches https://x.org/f"
