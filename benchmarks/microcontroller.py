"""Exported networks on a Cortex-M4: flash, RAM, instructions, and the same outputs.

``python -m benchmarks.microcontroller`` trains three classifiers, exports them to C in float32,
int8 and q15, builds each for a Cortex-M4 with an FPU by ``arm-none-eabi-gcc -Os``, and runs it
under ``qemu-system-arm -machine mps2-an386``. Outputs in whole numbers have to be those of the
simulation bit for bit, and all of them within the stated bound; it exits with 1 otherwise. (On
Debian: ``apt install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm``.)

Flash is the code and the constants that the program is larger by than one without a network, RAM
the stack that one prediction touches; there is no other. QEMU counts instructions, not cycles.
"""

import argparse
import shutil
import struct
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from backlit import MLPClassifier
from backlit.formats.export.c_form import write_c
from backlit.formats.export.exporting import prepare
from backlit.formats.export.fixed_point import quantise, run, to_whole
from backlit.formats.export.job import Job
from backlit.formats.export.reference import as_inputs, every_step
from backlit.tables import RealMLPClassifier
from benchmarks import _harness

CPU = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
BUILD = ("-std=c99", "-Os", "-Wall", "-Wextra", "-Werror", "-ffunction-sections",
         "-fdata-sections", "-nostartfiles", "--specs=nano.specs", "--specs=nosys.specs",
         "-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments")  # fmt: skip
QEMU = ("-machine", "mps2-an386", "-nographic", "-semihosting-config", "enable=on,target=native",
        "-icount", "shift=0", "-monitor", "none", "-serial", "none")  # fmt: skip
#: SysTick counts 25 MHz of virtual time, of which an instruction takes a nanosecond
INSTRUCTIONS_A_TICK = 40
DTYPES = ("float32", "int8", "q15")

LINKER = """
MEMORY { flash (rx) : ORIGIN = 0, LENGTH = 4M
         ram (rwx) : ORIGIN = 0x20000000, LENGTH = 4M }
SECTIONS {
  .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) *(.ARM.ex*) } > flash
  .data : { *(.data*) } > ram AT > flash
  .bss : { *(.bss*) *(COMMON) end = .; } > ram
}
"""

PROGRAM = """
#include <stdint.h>
{include}
#define STACK_TOP 0x20100000u
#define PAINTED 16384
void reset(void);
__attribute__((section(".vectors"), used)) static const uintptr_t vectors[] = {{
  STACK_TOP, (uintptr_t)reset }};
#define SYSTICK ((volatile uint32_t *)0xE000E010u)

static int call(int operation, const void *argument) {{
  register int r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}}
static void word(uint32_t value) {{
  char text[10];
  for (int i = 0; i < 8; i++) text[i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15];
  text[8] = '\\n', text[9] = 0;
  call(4, text);
}}
{data}
static float outputs[{n_outputs}];
static uint32_t used(void) {{
  volatile uint8_t *low = (uint8_t *)(STACK_TOP - PAINTED);
  uint32_t i = 0;
  while (i < PAINTED && low[i] == 0xa5) i++;
  return PAINTED - i;
}}
static int main_(void) {{
  uint32_t here;
  __asm__ volatile("mov %0, sp" : "=r"(here));
  for (uint32_t p = STACK_TOP - PAINTED; p < here - 64; p++) *(volatile uint8_t *)p = 0xa5;
  uint32_t before = STACK_TOP - here;
  SYSTICK[1] = 0xffffff, SYSTICK[2] = 0, SYSTICK[0] = 5;
  uint32_t begin = SYSTICK[2];
  {predict_all}
  uint32_t ticks = (begin - SYSTICK[2]) & 0xffffff;
  word(ticks), word(used() - before);
  {print_all}
  {core_all}
  return 0;
}}
void reset(void) {{
  *(volatile uint32_t *)0xE000ED88u |= 0xf << 20; /* the FPU */
  __asm__ volatile("dsb\\n isb");
  main_();
  call(0x18, (void *)0x20026);
  for (;;) {{ }}
}}
"""


class Measured(NamedTuple):
    """What one build came to."""

    flash: int
    stack: int
    instructions: int
    outputs: np.ndarray
    statuses: np.ndarray
    core: np.ndarray


def tool(name: str) -> str:
    """Return a program's path, or leave with a sentence."""
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not installed: nothing was measured")
    return found


def program(job: Job | None, numbers: np.ndarray, q: np.ndarray | None = None) -> str:
    """Write the program that predicts some examples; without a network where there is none."""
    m, n = numbers.shape
    values = ", ".join(f"{value:.9g}f" if "." in f"{value:.9g}" or "e" in f"{value:.9g}"
                       else f"{value:.9g}.0f" for value in numbers.ravel().tolist())  # fmt: skip
    data = f"static const float examples[{m * n}] = {{{values}}};"
    n_outputs = 1 if job is None else job.model.n_outputs
    predict = "outputs[0] = examples[i]"
    if job is not None:
        predict = f"(void)m_predict(examples + i * {n}, outputs)"
    call = "(0)" if job is None else f"m_predict(examples + i * {n}, outputs)"
    show = (
        f"for (int i = 0; i < {m}; i++) {{ outputs[0] = examples[i]; word((uint32_t){call});"
        f" for (int j = 0; j < {n_outputs}; j++) {{ union {{ float f; uint32_t u; }} v;"
        " v.f = outputs[j]; word(v.u); } }"
    )
    core = ""
    if job is not None and q is not None:
        whole = ", ".join(map(str, q.ravel().tolist()))
        data += f"\nstatic const int16_t wholes[{q.size}] = {{{whole}}};"
        last = len(job.model.dense[-1].b)
        core = (
            f"for (int i = 0; i < {len(q)}; i++) {{ int16_t out[{last}]; int status = 0;"
            f" m_core(wholes + i * {q.shape[1]}, out, &status); word((uint32_t)status);"
            f" for (int j = 0; j < {last}; j++) word((uint32_t)out[j]); }}"
        )
    return PROGRAM.format(
        include='#include "m.h"' if job is not None else "", data=data, n_outputs=n_outputs,
        core_all=core, predict_all=f"for (int i = 0; i < {m}; i++) {predict};", print_all=show,
    )  # fmt: skip


def build(source: str, folder: Path) -> tuple[Path, int]:
    """Build a program; returns it and its bytes in flash."""
    (folder / "main.c").write_text(source)
    (folder / "link.ld").write_text(LINKER)
    elf = folder / "main.elf"
    subprocess.run(
        [tool("arm-none-eabi-gcc"), *CPU, *BUILD, "-T", "link.ld", "main.c", "-o", elf, "-lm"],
        cwd=folder, check=True,
    )  # fmt: skip
    sizes = subprocess.run(
        [tool("arm-none-eabi-size"), elf], capture_output=True, text=True, check=True
    ).stdout.splitlines()[1].split()  # fmt: skip
    return elf, int(sizes[0]) + int(sizes[1])


def measure(job: Job, dtype: str, numbers: np.ndarray) -> Measured:
    """Build and run one network."""
    q = None if dtype == "float32" else whole_inputs(job, dtype, numbers)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, empty = build(program(None, numbers), folder)
        named = Job(job.model, "m", job.ranges, job.vectors, job.given)
        (folder / "m.h").write_bytes(write_c(named, dtype))
        _, whole = build(program(named, numbers), folder)
        elf, _ = build(program(named, numbers, q), folder)
        done = subprocess.run(
            [tool("qemu-system-arm"), *QEMU, "-kernel", elf],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
    words = [int(line, 16) for line in (done.stdout + done.stderr).split()]
    ticks, stack = words[:2]
    end = 2 + len(numbers) * (1 + job.model.n_outputs)
    table = np.array(words[2:end], np.uint32).reshape(len(numbers), 1 + job.model.n_outputs)
    core = np.array(words[end:], np.uint32).view(np.int32).reshape(len(numbers), -1)
    outputs = np.array([struct.unpack("<f", struct.pack("<I", one))[0]
                        for one in table[:, 1:].ravel().tolist()])  # fmt: skip
    return Measured(
        whole - empty, stack, ticks * INSTRUCTIONS_A_TICK // len(numbers),
        outputs.reshape(len(numbers), -1), table[:, 0].astype(int), core,
    )  # fmt: skip


def whole_inputs(job: Job, dtype: str, X: Any) -> np.ndarray:
    """Return examples as the network's whole numbers."""
    values = every_step(job.model, as_inputs(job.model, X))[job.model.dense[0].source]
    return to_whole(quantise(job, dtype), values)[0]


def stated(job: Job, dtype: str) -> float:
    """Return the bound that the header states."""
    text = write_c(job, dtype).decode()
    return float(text.split("ERROR_BOUND ")[1].split()[0])


def check(job: Job, dtype: str, X: Any, measured: Measured, expected: np.ndarray) -> float:
    """Leave where an output is another; returns the largest error."""
    fine = measured.statuses == 0
    error = float(np.abs(measured.outputs - expected)[fine].max())
    if not fine.any() or not error <= stated(job, dtype):
        raise SystemExit(f"{dtype}: an output is off by {error}, more than {stated(job, dtype)}")
    if dtype != "float32":
        network = quantise(job, dtype)
        simulated, clamped = run(network, whole_inputs(job, dtype, X))
        if not np.array_equal(measured.core, np.column_stack([3 * clamped, simulated])):
            raise SystemExit(f"{dtype}: the outputs are not those of the simulation")
    return error


def networks() -> dict[str, tuple[Any, np.ndarray]]:
    """Train the classifiers that are measured."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    X, y = load_digits(return_X_y=True)
    digits = MLPClassifier((32,), max_iter=60, random_state=0).fit(X / 16, y)
    X_cancer, y_cancer = load_breast_cancer(return_X_y=True)
    cancer = make_pipeline(
        StandardScaler(),
        MLPClassifier((20, 10), activation="tanh", max_iter=200, random_state=0),
    ).fit(X_cancer, y_cancer)
    X_wine, y_wine = load_wine(return_X_y=True)
    table = RealMLPClassifier(n_epochs=30, hidden_layer_sizes=(16, 16), random_state=0)
    return {"digits, 64-32-10, relu": (digits, X / 16),
            "breast cancer, 30-20-10-1, tanh": (cancer, X_cancer),
            "wine, RealMLP, 16-16": (table.fit(X_wine, y_wine), X_wine)}  # fmt: skip


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=40)
    parser.add_argument("--write", action="store_true", help="the table that the pages show")
    options = parser.parse_args()
    rows = []
    for name, (model, X) in networks().items():
        job = prepare(model, inputs=X)
        chosen = X[np.linspace(0, len(X) - 1, options.examples).astype(int)]
        chosen = chosen.astype(np.float32).astype(np.float64)
        chosen = np.clip(chosen, *job.ranges.inputs)
        expected = model.predict_proba(chosen)
        right = model.predict(chosen)
        for dtype in DTYPES:
            measured = measure(job, dtype, chosen)
            error = check(job, dtype, chosen, measured, expected)
            labels = model.classes_[measured.outputs.argmax(axis=1)]
            rows.append(
                (name, dtype, measured.flash, measured.stack, measured.instructions,
                 f"{error:.1g}", f"{stated(job, dtype):.1g}",
                 f"{(labels == right).mean():.0%}")
            )  # fmt: skip
    columns = ["network", "in", "flash, bytes", "stack, bytes", "instructions", "largest error",
               "bound", "same class"]  # fmt: skip
    print(_harness.machine())
    compiler = subprocess.run([tool("arm-none-eabi-gcc"), "--version"], capture_output=True,
                              text=True, check=True).stdout.splitlines()[0]  # fmt: skip
    print(compiler)
    print(_harness.markdown(columns, rows))
    if options.write:
        _harness.record("microcontroller", "python -m benchmarks.microcontroller", columns, rows)


if __name__ == "__main__":
    sys.exit(main())
