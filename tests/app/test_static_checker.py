"""The checker on the static page: what is put together, what Python answers, what is shown.

The interpreter itself, WebAssembly, is not part of the tests: NumPy for it is no package that they
could install. What runs in it is run here as it has to run there: without processes and threads.
"""

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from app.browsing import TOO_WIDE, settled
from report.browser import CONTRASTS

ROOT = Path(__file__).parents[2]
WITHOUT = """
import os, socket, subprocess, sys, sysconfig, threading
sysconfig.get_config_vars()
import numpy  # before: it looks at the platform
sys.platform = "emscripten"
def none(*args, **kwargs): raise OSError("there is none in a browser")
os.fork = subprocess.Popen.__init__ = threading.Thread.start = socket.socket.connect = none
for name in ("scipy", "numba", "rich", "PIL", "typer", "sklearn", "threadpoolctl"):
    sys.modules[name] = None
sys.path.insert(0, sys.argv[1])
from check import check
print(check(open(sys.argv[2], encoding="utf-8").read()))
"""


def answer_to(source, tmp_path):
    """What the page's Python answers, in a process without processes, threads and extras."""
    path = tmp_path / "given.py"
    path.write_text(source)
    see = ROOT / "docs" / "see"
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(see), str(path)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The answer to the example that the page begins with."""
    source = (ROOT / "examples" / "dense.py").read_text()
    return answer_to(source, tmp_path_factory.mktemp("dense"))


def test_the_line_is_named_and_repaired_without_processes(found):
    assert found["verdict"].startswith("✗ Dense.backward: 1 problem")
    by_name = {one["gradient"]: one for one in found["findings"]}
    assert by_name["X"]["relation"] == "activation"
    assert by_name["X"]["line"] == 22
    assert by_name["W"]["level"] == by_name["b"]["level"] == "right"
    (repair,) = found["repairs"]
    assert repair["after"] == "return dZ @ self.W.T"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\n", "nothing in it looks like a backward pass"),
        ("def f(:\n", "left out"),
        ("import sys\nsys.exit(3)\n", "nothing in it"),
    ],
)
def test_what_is_no_backward_pass(source, said, tmp_path):
    answer = answer_to(source, tmp_path)
    assert said in answer.get("error", answer.get("verdict"))
    assert str(tmp_path) not in json.dumps(answer)


@pytest.fixture
def interpreter(see_page, tmp_path):
    """A folder as `--pyodide` takes it, with stand-ins for the interpreter and NumPy's wheel."""
    place = tmp_path / "node_modules" / "pyodide"
    place.mkdir(parents=True)
    wheel = tmp_path / "numpy-9-cp314-cp314-pyemscripten_2026_0_wasm32.whl"
    wheel.write_bytes(b"a wheel")
    lock = {"numpy": {"file_name": wheel.name, "sha256": hashlib.sha256(b"a wheel").hexdigest()}}
    for name in see_page.INTERPRETER:
        (place / name).write_text("")
    (place / "pyodide-lock.json").write_text(json.dumps({"packages": lock}))
    return tmp_path


def test_what_is_missing_or_another_wheel_is_refused(see_page, interpreter, tmp_path):
    place = interpreter / "node_modules" / "pyodide"
    wheel = next(interpreter.glob("*.whl"))
    wheel.write_bytes(b"another")
    with pytest.raises(ValueError, match="has the SHA-256"):
        see_page.write_checker(tmp_path / "one", interpreter)
    wheel.unlink()
    with pytest.raises(FileNotFoundError, match=f"lacks {wheel.name}"):
        see_page.write_checker(tmp_path / "two", interpreter)
    (place / "pyodide.asm.wasm").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks pyodide.asm.wasm: npm install --prefix"):
        see_page.write_checker(tmp_path / "three", interpreter)
    assert not (tmp_path / "three").exists()


@pytest.fixture
def checker_page(visit, see_page, interpreter, static_folder, static_address, found):
    """The page, with an interpreter that answers as Python has answered."""
    folder = static_folder / "checking"
    if not folder.exists():
        stand_in = f"""
const dense = {json.dumps(json.dumps(found))};
export const loadPyodide = async () => ({{
  unpackArchive() {{}}, runPython() {{}},
  globals: {{ get: () => (source) => {{
    if (source.includes("while True")) for (;;) {{}}
    return source.trim() ? dense : '{{"error": "The code is empty."}}';
  }} }},
}});
"""
        (interpreter / "node_modules" / "pyodide" / "pyodide.mjs").write_text(stand_in)
        see_page.write_see(folder, interpreter)
    return lambda *size, **more: visit(
        "/checking/see/check.html", *size, base=static_address, **more
    )


def test_the_wheel_holds_the_package(checker_page, static_folder):
    (wheel,) = (static_folder / "checking" / "see" / "pyodide").glob("backlit-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "backlit/gradcheck/check.py" in names
    assert not [name for name in names if name.startswith("/") or "__pycache__" in name]


def test_a_finding_is_shown_and_another_page_leads_here(checker_page, visit, static_address):
    page = checker_page()
    assert "class Dense" in page.input_value("#code")
    page.click("#run")
    page.locator("#result").wait_for()
    settled(page)
    assert page.text_content("#verdict").startswith("✗ Dense.backward: 1 problem")
    assert page.evaluate("document.activeElement.id") == "verdict"
    assert page.locator("#findings tr").count() == 3
    assert "lacks the activation's derivative" in page.text_content("#findings")
    assert "+     return dZ @ self.W.T" in page.text_content("#repairs")
    page.fill("#code", " ")
    page.click("#run")
    page.locator("#error:not([hidden])").wait_for()
    assert page.text_content("#error") == "The code is empty."
    assert page.locator("#result").is_hidden()
    page.fill("#code", "while True: pass")
    page.click("#run")
    page.locator("#stop[aria-disabled=false]").wait_for()
    page.click("#stop")
    page.locator("#error", has_text="Stopped.").wait_for()
    other = visit("/checking/see/steps.html", base=static_address)
    other.get_by_role("link", name="Check").click()
    other.locator("h1", has_text="What is wrong with it?").wait_for()


def test_without_it_no_page_leads_to_it(static_folder):
    see = static_folder / "some" / "where" / "see"
    assert not (see / "check.html").exists()
    assert not [path for path in see.rglob("*.html") if "check.html" in path.read_text("utf-8")]


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 900)])
def test_it_fits_and_can_be_read(checker_page, width, height):
    page = checker_page(width, height, color_scheme="light")
    page.click("#run")
    page.locator("#result").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [one for one in page.evaluate(TOO_WIDE, width) if "<pre" not in one] == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.wait_for_timeout(200)
        assert [one for one in page.evaluate(CONTRASTS) if one[2] < 4.5] == []
