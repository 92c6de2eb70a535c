"""Code that ends, crashes or fills the process it runs in is a finding, never exit code 0."""

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backlit.gradcheck import check_backward
from backlit.gradcheck.reporting.report import from_data, to_data
from backlit.gradcheck.sources.isolation import Limits
from backlit.gradcheck.sources.target import check_targets

FILE = """
import ctypes, os, signal, sys, threading, time
import numpy as np

def affine_forward(x, w, b):
    return x @ w + b, (x, w)

def affine_backward(d, cache):
    x, w = cache
    {trouble}
    return d @ w.T, x.T @ d, d.sum(0)

def square_forward(x):
    return x * x, x

def square_backward(d, x):
    return d * {factor} * x
"""
LINE = 10  # of the trouble


def run(*paths: Path, seconds: float = 20.0, megabytes: float = 2000.0):
    out, err = io.StringIO(), io.StringIO()
    limits = Limits(seconds, megabytes)
    code = check_targets(
        [str(p) for p in paths], format="json", limits=limits, stdout=out, stderr=err
    )
    return code, json.loads(out.getvalue()) if out.getvalue() else {}, err.getvalue()


def written(folder, trouble, factor=2):
    path = folder / "mine.py"
    path.write_text(FILE.format(trouble=trouble, factor=factor))
    return path


TROUBLES = {
    "os._exit": ("os._exit(0)", "ends the program (os._exit(0))"),
    "killed": ("os.kill(os.getpid(), 9)", "ends the program (os.kill"),
    "raised signal": ("signal.raise_signal(signal.SIGTERM)", "crashes the program (SIGTERM)"),
    "abort": ("os.abort()", "crashes the program (SIGABRT)"),
    "segmentation fault": ("ctypes.string_at(0)", "crashes the program (SIGSEGV)"),
    "interrupt": ("raise KeyboardInterrupt", "interrupts the program"),
    "exec": ("os.execv(sys.executable, [sys.executable, '-c', '0'])", "replaces the program"),
    "process group": ("os.killpg(0, 9)", "ends the program (os.killpg"),
    "sys.exit": ("sys.exit(0)", "ends the program (SystemExit: 0)"),
    "exit": ("exit()", "ends the program (SystemExit: None)"),
}
if sys.platform == "win32":
    TROUBLES = {name: TROUBLES[name] for name in ("os._exit", "interrupt", "sys.exit", "exit")}


@pytest.mark.parametrize("name", TROUBLES)
def test_what_ends_the_process_is_a_finding_with_its_line(tmp_path, name):
    trouble, words = TROUBLES[name]
    code, data, _ = run(written(tmp_path, trouble))
    assert code == 1
    (problem,) = data["problems"]
    assert words in problem["message"]
    assert (problem["line"], problem["function"]) == (LINE, "affine_backward")
    assert problem["source"] == trouble
    right = [f for f in data["findings"] if f["function"] == "square_backward"]
    assert [f["relation"] for f in right] == ["correct"]


def test_another_wrong_function_is_found_behind_it(tmp_path):
    code, data, _ = run(written(tmp_path, "os._exit(0)", factor=3))
    assert code == 1
    found = {(p["function"], p["relation"]) for p in data["problems"]}
    assert found == {("affine_backward", "raises"), ("square_backward", "scale")}


def test_an_endless_loop_is_ended_and_named(tmp_path):
    begun = time.monotonic()
    code, data, _ = run(written(tmp_path, "while True: pass"), seconds=2.0)
    assert code == 1
    (problem,) = data["problems"]
    assert "was still running after 2 s" in problem["message"]
    assert problem["line"] == LINE
    assert time.monotonic() - begun < 30


@pytest.mark.skipif(sys.platform == "win32", reason="the system is not asked for memory there")
def test_a_loop_that_takes_all_memory_is_ended_and_named(tmp_path):
    trouble = "kept = [np.ones((1000, 1000)) for _ in range(100_000)]"
    code, data, _ = run(written(tmp_path, trouble), megabytes=600.0)
    assert code == 1
    (problem,) = data["problems"]
    assert "takes more than 600 MB of memory" in problem["message"]
    assert problem["line"] == LINE


def test_forged_and_partial_answers_are_findings(tmp_path):
    for forged in ('b"{}\\n"', "b'{\"report\": {}}\\n'", 'b"no json\\n"', 'b"[1]\\n"'):
        trouble = f"[os.write(n, {forged}) for n in (3, 4, 5) if os.isatty(n) is False]"
        path = written(tmp_path, f"\n    try: {trouble}\n    except OSError: pass\n    os._exit(0)")
        assert run(path)[0] == 1


def test_what_the_code_prints_and_reads_disturbs_nothing(tmp_path):
    trouble = "print('n\\x1b[2Joise'); os.write(1, b'{\"done\": 1}'); assert not sys.stdin.read()"
    code, data, err = run(written(tmp_path, trouble))
    assert (code, data["problems"]) == (0, [])
    assert "noise" not in json.dumps(data)
    assert "\\x1b[2J" in err
    assert "\x1b" not in err
    flood = "sys.stdout.write('x' * 3_000_000)"
    assert run(written(tmp_path, flood))[0] == 0


def test_an_installed_package_that_ends_the_program_while_it_is_imported(tmp_path, monkeypatch):
    library = tmp_path / "library"
    library.mkdir()
    (library / "quits_at_once.py").write_text("import os\nos._exit(0)\n")
    monkeypatch.setenv("PYTHONPATH", str(library))
    path = written(tmp_path, "quits_at_once")
    path.write_text("import quits_at_once\n" + path.read_text())
    code, data, _ = run(path)
    assert code == 1
    assert "ends the program (os._exit(0))" in data["problems"][0]["message"]


def test_several_files_do_not_disturb_each_other(tmp_path):
    paths = []
    for name, trouble in (("a", "os._exit(0)"), ("b", "np.dot = None"), ("c", "pass")):
        folder = tmp_path / name
        folder.mkdir()
        paths.append(written(folder, trouble))
    code, data, _ = run(*paths)
    assert code == 1
    assert [t["exit_code"] for t in data["targets"]] == [1, 0, 0]


def test_the_command_runs_code_apart(tmp_path):
    path = written(tmp_path, "os._exit(0)")
    command = [sys.executable, "-m", "backlit", "check", path.name, "--time-limit", "20"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert done.returncode == 1, done.stderr
    assert "line 10" in done.stdout
    assert "os._exit(0)" in done.stdout


ASKING = """
import sys, time
from backlit.gradcheck.sources.isolation import Child, Limits

child = Child(Limits(600, 2000))
child.ask({"target": sys.argv[1], "without": [], "seconds": 600, "budget": 10})
print(child._process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's list of processes")
def test_code_that_does_not_end_goes_with_the_command_that_is_killed(tmp_path):
    path = written(tmp_path, "while True: pass")
    with subprocess.Popen(
        [sys.executable, "-c", ASKING, str(path)], stdout=subprocess.PIPE, text=True
    ) as command:
        pid = int(command.stdout.readline())
        time.sleep(1.0)
        command.kill()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and running(pid):
        time.sleep(0.2)
    assert not running(pid)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_here_an_exit_is_a_finding_and_an_interrupt_is_not():
    import numpy as np

    def forward(x):
        return x * 2, x

    def leaving(d, cache):
        sys.exit(0)

    def interrupted(d, cache):
        raise KeyboardInterrupt

    report = check_backward(forward, leaving, {"x": np.ones(3)})
    (problem,) = report.problems
    assert problem.relation == "raises"
    assert "ends the program (SystemExit: 0)" in problem.message
    assert problem.source == "sys.exit(0)"
    with pytest.raises(KeyboardInterrupt):
        check_backward(forward, interrupted, {"x": np.ones(3)})


def test_a_report_comes_through_as_it_was():
    import numpy as np

    report = check_backward(
        lambda x, w: (x @ w, (x, w)),
        lambda d, c: (d @ c[1].T, 2 * c[0].T @ d),
        {"x": np.ones((4, 3)), "w": np.ones((3, 2))},
    )
    assert from_data(json.loads(json.dumps(to_data(report)))) == report
    for broken in ({"kind": "Path"}, {"kind": "Finding"}, {"kind": "Report", "a": 1}):
        with pytest.raises(ValueError, match=r"report|argument"):
            from_data(broken)
