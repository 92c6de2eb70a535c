"""Exported models run by what their languages have, and inputs that are hard on them."""

import json
import shutil
import subprocess
import types

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from backlit.formats.export import c_source
from backlit.formats.export.c_form import write_c
from backlit.formats.export.fixed_point import quantise, run, to_whole
from backlit.formats.export.javascript_form import write_javascript
from backlit.formats.export.onnx_form import input_names, session, write_onnx
from backlit.formats.export.python_form import write_python
from backlit.formats.export.reference import Inputs, as_inputs, every_step

#: what every header has to get through
WARNINGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror")
SANITIZED = ("-O0", "-fsanitize=undefined", "-fno-sanitize-recover=all")


def tool(name):
    """Return a program's path, or skip and say that it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} on this machine")
    return found


def as_module(job):
    """The Python form, imported."""
    module = types.ModuleType("exported")
    exec(compile(write_python(job), "exported.py", "exec"), module.__dict__)
    return module


def by_python(job, X):
    module = as_module(job)
    function = "predict_proba" if job.model.output.decides else "predict"
    return getattr(module, function)(X)


def by_onnx(job, X, dtype):
    """Outputs for a matrix of numbers, by onnxruntime."""
    return session(write_onnx(job, dtype)).run(None, {"X": X.astype(dtype)})[-1]


def by_node(jobs, X, folder):
    """Outputs of several models, each for its own matrix, in one process."""
    node = tool("node")
    lines = []
    for number, job in enumerate(jobs):
        (folder / f"m{number}.mjs").write_bytes(write_javascript(job))
        lines.append(f"import * as m{number} from './m{number}.mjs';")
    lines.append("import { readFileSync } from 'node:fs';")
    lines.append("const all = JSON.parse(readFileSync('inputs.json')), found = [];")
    for number, job in enumerate(jobs):
        function = "predictProba" if job.model.output.decides else "predict"
        lines.append(f"found.push(all[{number}].map((row) => m{number}.{function}(row)));")
    lines.append("console.log(JSON.stringify(found));")
    (folder / "main.mjs").write_text("\n".join(lines))
    (folder / "inputs.json").write_text(json.dumps([one.tolist() for one in X]))
    done = subprocess.run(
        [node, "main.mjs"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [np.array(one) for one in json.loads(done.stdout)]


def compile_c(compiler, source, folder, *options):
    """Compile a program with the headers of a folder; returns its path."""
    (folder / "main.c").write_text(source)
    command = [compiler, *WARNINGS, *(options or SANITIZED), "main.c", "-o", "main", "-lm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:3000]
    return folder / "main"


def by_c(jobs, X, folder, dtype, compiler="gcc"):
    """Statuses and outputs of several models of numbers alone, compiled into one program."""
    compiler = tool(compiler)
    real, scan = ("double", "%lf") if dtype == "float64" else ("float", "%f")
    source = ["#include <stdio.h>"]
    body = []
    for number, (job, rows) in enumerate(zip(jobs, X, strict=True)):
        name = f"m{number}"
        (folder / f"{name}.h").write_bytes(write_c(renamed(job, name), dtype))
        source.append(f'#include "{name}.h"')
        n, outputs = len(job.model.numbers), job.model.n_outputs
        body.append(
            f"for (int r = 0; r < {len(rows)}; r++) {{ {real} x[{n}], y[{outputs}] = {{0}};"
            f'for (int i = 0; i < {n}; i++) if (scanf("{scan}", x + i) != 1) return 1;'
            f'printf("%d", {name}_predict(x, y));'
            f'for (int i = 0; i < {outputs}; i++) printf(" %.17g", (double)y[i]); puts(""); }}'
        )
    source.append("int main(void) {\n" + "\n".join(body) + "\nreturn 0; }\n")
    program = compile_c(compiler, "\n".join(source), folder)
    text = "\n".join(" ".join(map(repr, row)) for rows in X for row in rows.tolist())
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:3000]
    lines = iter(done.stdout.splitlines())
    found = []
    for rows in X:
        table = np.array([[float(one) for one in next(lines).split()] for _ in rows])
        found.append((table[:, 0].astype(int), table[:, 1:]))
    return found


def renamed(job, name):
    return type(job)(job.model, name, job.ranges, job.vectors, job.given)


def hard_inputs(job, network=None, count=40, seed=0):
    """Inputs within the ranges on which a form's error is large.

    Corners and random points, and points next to a unit's kink; with a network in whole numbers,
    those of many that it is furthest off at, and neighbours of them.
    """
    generator = np.random.default_rng(seed)
    low, high = job.ranges.inputs
    n = len(low)
    corners = np.where(generator.random((count, n)) < 0.5, low, high)
    inside = generator.uniform(low, high, (count, n))
    first = job.model.dense[0]
    kinks = inside[: len(first.b)].copy()
    if first.W.shape[1] == n:  # moved along one unit's weights until its Z is 0
        for row, W, b in zip(kinks, first.W, first.b, strict=False):
            row -= W * (W @ row + b) / max(float(W @ W), 1e-12)
    found = np.clip(np.vstack([corners, inside, kinks]), low, high)
    if network is None:
        return found
    for _ in range(4):
        error = whole_error(job, network, found)
        worst = found[np.argsort(error)[-count:]]
        steps = generator.normal(0, 0.2, (4, *worst.shape)) * (high - low)
        flips = np.where(generator.random((4, *worst.shape)) < 0.2, low + high - worst, worst)
        near = np.clip(np.concatenate([worst + steps, flips]), low, high).reshape(-1, n)
        found = np.vstack([worst, near])
    return found[np.argsort(whole_error(job, network, found))[-count:]]


def whole_error(job, network, X):
    """How far a network in whole numbers is off, where it does not say that it clamped."""
    values = every_step(job.model, Inputs(X, np.empty((len(X), 0), object)))
    q, outside = to_whole(network, values[job.model.dense[0].source])
    outputs, clamped = run(network, q)
    error = np.abs(outputs * network.layers[-1].a_step - values[job.model.steps[-1].name])
    return np.where(clamped | outside, -1.0, error.max(axis=1))


def rows_by_c(job, inputs, folder, dtype="float32", compiler="gcc"):
    """Statuses and outputs of one model, whose columns may hold texts."""
    compiler = tool(compiler)
    real = "double" if dtype == "float64" else "float"
    (folder / "m.h").write_bytes(write_c(renamed(job, "m"), dtype))
    numbers = [
        "NAN" if value != value else ("INFINITY" if value == np.inf else c_source.real(value, real))
        for value in inputs.numbers.ravel().tolist()
    ]
    texts = ["NULL" if one is None else c_source.text(one) for one in inputs.texts.ravel().tolist()]
    n, t, outputs = len(job.model.numbers), len(job.model.texts), job.model.n_outputs
    argument = f", texts + i * {t}" if t else ""
    source = [
        "#include <stdio.h>", '#include "m.h"',
        c_source.array(f"{real} numbers[{max(len(numbers), 1)}]", numbers),
        c_source.array(f"char *const texts[{len(texts)}]", texts) if texts else "",
        "int main(void) {", f"  for (int i = 0; i < {len(inputs)}; i++) {{",
        f"    {real} y[{outputs}] = {{0}};",
        f'    printf("%d", m_predict(numbers + i * {n}{argument}, y));',
        f'    for (int j = 0; j < {outputs}; j++) printf(" %.17g", (double)y[j]);', '    puts("");',
        "  }", "  return 0;", "}", "",
    ]  # fmt: skip
    program = compile_c(compiler, "\n".join(source), folder)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:3000]
    table = np.array([[float(one) for one in line.split()] for line in done.stdout.splitlines()])
    return table[:, 0].astype(int), table[:, 1:]


def rows_by_node(job, rows, folder):
    """Outputs of one model for rows of JSON values; None where a row is refused."""
    node = tool("node")
    (folder / "m.mjs").write_bytes(write_javascript(job))
    function = "predictProba" if job.model.output.decides else "predict"
    (folder / "main.mjs").write_text(
        f"import {{ {function} as f }} from './m.mjs';\n"
        f"const rows = {json.dumps(rows)};\n"
        "console.log(JSON.stringify(rows.map((row) => {\n"
        "  try { return f(row); }\n"
        "  catch (error) { return error instanceof RangeError ? null : 1; }\n"
        "})));\n"
    )
    done = subprocess.run(
        [node, "main.mjs"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def rows_by_onnx(job, inputs, dtype="float32"):
    """Outputs of onnxruntime and of the reference evaluator, whose columns may hold texts."""
    data = write_onnx(job, dtype)
    names = input_names(job.model)
    feed = {"X": inputs.numbers.astype(dtype)}
    if names is not None:
        feed = {}
        for place, name in names.items():
            if job.model.columns[place].kind == "number":
                column = inputs.numbers[:, job.model.numbers.index(place)].astype(dtype)
            else:
                column = inputs.texts[:, job.model.texts.index(place)]
                column = np.array(["" if one is None else one for one in column], object)
            feed[name] = column[:, None]
    model = onnx.load_from_string(data)
    with np.errstate(invalid="ignore"):  # infinity less infinity, for the rows that are refused
        return session(data).run(None, feed), ReferenceEvaluator(model).run(None, feed)


def cores_by_c(jobs, wholes, folder, kind, compiler="gcc"):
    """Statuses and outputs of the whole-number cores, for inputs in whole numbers."""
    compiler = tool(compiler)
    source, body = ["#include <stdio.h>"], []
    for number, (job, q) in enumerate(zip(jobs, wholes, strict=True)):
        name = f"m{number}"
        (folder / f"{name}.h").write_bytes(write_c(renamed(job, name), kind))
        values = [str(one) for one in q.ravel().tolist()]
        source.append(f'#include "{name}.h"')
        source.append(c_source.array(f"int16_t {name}_q[{len(values)}]", values))
        last = len(job.model.dense[-1].b)
        body.append(
            f"for (int r = 0; r < {len(q)}; r++) {{ int16_t out[{last}]; int status = 0;"
            f" {name}_core({name}_q + r * {q.shape[1]}, out, &status);"
            f' printf("%d", status); for (int i = 0; i < {last}; i++) printf(" %d", out[i]);'
            ' puts(""); }'
        )
    source.append("int main(void) {\n" + "\n".join(body) + "\nreturn 0; }\n")
    program = compile_c(compiler, "\n".join(source), folder)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:3000]
    lines = iter(done.stdout.splitlines())
    tables = [np.array([[int(one) for one in next(lines).split()] for _ in q]) for q in wholes]
    return [(table[:, 0], table[:, 1:]) for table in tables]


def in_every_form(job, X, expected, folder, whole=True):
    """Hold each form's outputs against what the pipeline says."""
    inputs = as_inputs(job.model, X)
    bound32, bound64 = job.bound("float32").error, job.bound("float64").error
    rows = [[None if one != one else one for one in row] for row in np.asarray(X, object).tolist()]
    module = as_module(job)
    name = "predict_proba" if job.model.output.decides else "predict"
    for given in (rows, X):  # rows, and columns by their names
        np.testing.assert_allclose(getattr(module, name)(given), expected, rtol=0, atol=bound64)
    np.testing.assert_allclose(rows_by_node(job, rows, folder), expected, rtol=0, atol=bound64)
    for dtype, bound in (("float32", bound32), ("float64", bound64)):
        for outputs in rows_by_onnx(job, inputs, dtype):
            np.testing.assert_allclose(outputs[-1], expected, rtol=0, atol=bound)
        status, found = rows_by_c(job, inputs, folder, dtype)
        assert (status == 0).all()
        np.testing.assert_allclose(found, expected, rtol=0, atol=bound)
    for kind in ("int8", "q15") if whole else ():
        status, found = rows_by_c(job, inputs, folder, kind)
        fine = status == 0
        assert fine.mean() > 0.9
        bound = quantise(job, kind).error + 1e-6
        np.testing.assert_allclose(found[fine], expected[fine], rtol=0, atol=bound)
