import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fuzzing.calls import Finding, Sequence, attempt


def test_sequences_of_calls():
    """What `python -m benchmarks.fuzz_calls` does with thousands, in a process of their own."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from fuzzing.calls import attempt\n"
        "print({attempt(1, index) for index in range(120)})"
    )
    code = [sys.executable, "-c", program, str(Path(__file__).parent / "support")]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "accepted" in done.stdout
    assert "refused" in done.stdout


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_sequence_is_always_the_same():
    first, second = Sequence(1, 7), Sequence(1, 7)
    for sequence in (first, second):
        for _ in range(4):
            sequence.step()
    assert first.log == second.log


def test_the_fuzzer_sees_what_does_not_fit(monkeypatch):
    sequence = Sequence(1, 3)
    sequence.log.append("")
    sequence.model = type("Model", (), {})()
    sequence.model.coefs_, sequence.model.intercepts_ = [np.ones((3, 2))], [np.ones(3)]
    with pytest.raises(Finding, match="do not follow"):
        sequence.examine(np.ones((2, 3)), np.ones(2), 2)

    def broken(self):
        return [][0]

    monkeypatch.setattr(Sequence, "step", broken)
    with pytest.raises(Finding, match="IndexError"):
        attempt(1, 0)
