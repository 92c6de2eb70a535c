"""The first wrong layer going backward, and which problems follow from it."""

from __future__ import annotations

from dataclasses import replace

from backlit.gradcheck.finding import Finding
from backlit.gradcheck.network.gathering import State
from backlit.gradcheck.network.points import LAYERS


def renamed(finding: Finding) -> Finding:
    """Say dA0 for the gradient of X, and where a quotient at the output comes to 0/0."""
    if finding.gradient == "X":
        message = finding.message.replace("dX ", "dA0 ")
        return replace(finding, gradient="A0", message=message)
    if finding.relation == "nonfinite" and finding.gradient is not None:
        text = (
            f"d{finding.gradient} is NaN where the sigmoid reaches 0 or 1: dAL = -(Y/AL - "
            "(1-Y)/(1-AL)) is 0/0 there; use dZ = AL - Y at the output."
        )
        return replace(finding, message=text)
    return finding


def _layer_of(finding: Finding) -> int:
    name = finding.gradient or ""
    digits = "".join(c for c in name if c.isdigit())
    if not digits:
        return 10_000
    return int(digits) + (1 if name.startswith("A") else 0)


def keep_first_layer(state: State, mark: int) -> None:
    """Keep the problems of the first wrong layer: those of earlier layers follow from it."""
    own = state.found[mark:]
    wrong = [f for f in own if not f.ok]
    if not wrong:
        return
    last = len(LAYERS) - 1
    first = max(_layer_of(f) for f in wrong)
    kept = [f for f in wrong if _layer_of(f) in (first, 10_000)]
    follow = sorted({f"d{f.gradient}" for f in wrong if f not in kept})
    at_output = [f for f in kept if f.gradient in (f"W{last}", f"b{last}", f"A{last - 1}")]
    kinds = {(f.relation, f.factor_name) for f in at_output}
    if (
        len(kinds) == 1
        and len(at_output) >= 2
        and kinds <= {("nonfinite", None)} | {k for k in kinds if k[0] == "scale"}
    ):
        # all that the last layer returns is wrong in the same way: so is what goes into it
        kept = [f for f in kept if f not in at_output]
        kept.insert(0, _of_output(at_output))
        follow = sorted({*follow, *(f"d{f.gradient}" for f in at_output)})
    if follow:
        state.notes.append(f"Wrong as well, and likely from the same cause: {', '.join(follow)}.")
    state.found[mark:] = kept + [f for f in own if f.ok]


def _of_output(findings: list[Finding]) -> Finding:
    """Turn one fault in all gradients of the last layer into one of dAL."""
    finding = findings[0]
    message = finding.sentence.replace(f"d{finding.gradient} ", "dAL ")
    return replace(finding, gradient="AL", message=message, details="", line=None, source=None)
