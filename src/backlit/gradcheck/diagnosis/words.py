"""The sentences of a report: what is wrong and what to change, in a student's words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backlit.gradcheck.diagnosis.diagnose import Diagnosis
from backlit.gradcheck.probing.truth import Comparison


def factor_sentence(name: str, factor: str, convention: str | None, per_example: bool) -> str:
    """Say what a constant factor means for one gradient."""
    subject = f"d{name}"
    if factor == "1/m":
        if per_example:
            why = {
                "mean": "the mean is already taken in the parameters' gradients; drop the factor "
                "here.",
                "sum": "no other gradient carries 1/m; drop the factor here.",
            }.get(convention or "", "each example's own gradient carries no 1/m; drop the factor.")
            return f"{subject} is exactly 1/m of the right value: {why}"
        if convention == "mean":
            return (
                f"{subject} is exactly 1/m of the right value: the mean is taken twice; divide by "
                "m once."
            )
        return f"{subject} is exactly 1/m of the right value: drop the division by m."
    if factor == "m":
        if per_example:
            return f"{subject} is exactly m times the right value: drop the multiplication by m."
        return (
            f"{subject} is exactly m times the right value: the mean over the examples is "
            "missing; divide by m."
        )
    if factor.startswith("1/m**"):
        times = {"2": "twice", "3": "three times", "4": "four times", "5": "five times"}
        return (
            f"{subject} is exactly {factor} of the right value: it is divided by m "
            f"{times[factor[5:]]} too often; a 1/m in every layer's dA_prev adds up like this."
        )
    if factor == "-1":
        return (
            f"{subject} has the wrong sign: it is exactly -1 times the right value; turn a "
            "difference round (A - Y, not Y - A) or drop a minus."
        )
    if factor == "2":
        return (
            f"{subject} is exactly 2 times the right value: a term is counted twice, or the 1/2 of "
            "the cost is forgotten."
        )
    if factor == "1/2":
        return (
            f"{subject} is exactly half the right value: a factor 2 is missing, or a 1/2 too many."
        )
    if factor == "1/d_output":
        return f"{subject} does not use the incoming gradient: multiply by d_output."
    if factor == "d_output":
        return f"{subject} is multiplied by the incoming gradient once too often."
    if not any(c.isalpha() for c in factor.replace("e", "")):
        of = "of" if factor.startswith("1/") else "times"
        return (
            f"{subject} is exactly {factor} {of} the right value: undo this factor, or find where "
            "the forward pass has it."
        )
    if factor.startswith("1/") and "sqrt" not in factor and "(" not in factor:
        n = factor[2:]
        return (
            f"{subject} is exactly {factor} of the right value: it is averaged over {n}, and only "
            "the examples are averaged; drop the factor."
        )
    if ".shape[" in factor and "/" not in factor:
        array = factor.partition(".")[0]
        return (
            f"{subject} is exactly {factor} times the right value: the forward pass averages over "
            f"this axis as well, as np.mean does; divide by it too ({array}.size counts all)."
        )
    return (
        f"{subject} is exactly {factor} times the right value: undo this factor, or find where the "
        "forward pass has it."
    )


def sentence(
    name: str,
    diagnosis: Diagnosis,
    given_shape: tuple[int, ...],
    right_shape: tuple[int, ...],
    convention: str | None,
    per_example: bool,
) -> str:
    """Say what a diagnosis means."""
    main = diagnosis.relations[0]
    factor = diagnosis.factor.name if diagnosis.factor is not None else None
    if main == "scale":
        text = factor_sentence(name, factor or "1", convention, per_example)
        fitting = diagnosis.factor.unproved if diagnosis.factor is not None else ()
        if fitting:
            text += (
                f" With these sizes that may be {' or '.join(fitting)}: the sizes could not be "
                "varied to tell."
            )
        return text
    subject = f"d{name}"
    text = _main_sentence(subject, name, main, diagnosis, given_shape, right_shape)
    if main == "penalty" and "scale" not in diagnosis.relations:
        return text
    rest = [r for r in diagnosis.relations[1:] if r != "scale"]
    if "transpose" in rest:
        text += f" It is transposed as well: {subject} has the shape {right_shape} of {name}."
    if "shape" in rest:
        text += f" Its shape is {given_shape} besides, expected {right_shape}."
    if "scale" in diagnosis.relations and factor is not None:
        text += f" A factor {factor} is left besides."
        if factor == "m" and not per_example:
            text += " (Divide by m.)"
        elif factor == "1/m":
            text += " (Drop the division by m.)"
    return text


def _main_sentence(
    subject: str,
    name: str,
    main: str,
    diagnosis: Diagnosis,
    given_shape: tuple[int, ...],
    right_shape: tuple[int, ...],
) -> str:
    key, note = diagnosis.key, diagnosis.note
    if main == "transpose":
        if key[0] == "product":
            return (
                f"{subject} multiplies the right two arrays ({note}) with a .T missing or too "
                "many: for Z = W @ A_prev they are dW = dZ @ A_prev.T and dA_prev = W.T @ dZ."
            )
        if len(given_shape) > 2:
            return (
                f"{subject} holds the right numbers with its axes in another order, "
                f"{key[1]}: transpose them back."
            )
        return (
            f"{subject} is the right gradient transposed: swap the two factors of the product, or "
            "add .T."
        )
    if main == "shape":
        return (
            f"{subject} has the right numbers in shape {given_shape}, expected {right_shape}, the "
            f"shape of {name}: use keepdims=True or reshape({name}.shape)."
        )
    if main == "unsummed":
        return (
            f"{subject} has shape {given_shape}, expected {right_shape}: sum it over axis {note} "
            "(every example adds to this gradient; np.sum(..., keepdims=True) keeps the shape)."
        )
    if main == "swapped":
        return f"{subject} is the gradient of {note}: return the gradients in the inputs' order."
    if main == "repeated":
        return (
            f"{subject} counts only {note}: where an index comes up several times the "
            "contributions add up, as np.add.at does; = and += keep one of them."
        )
    if main == "logits":
        before = {"softmax": "z of softmax(z)", "sigmoid": "z of sigmoid(z)"}[note]
        return (
            f"{subject} is the gradient of the logits, {before}: p - y for the cross-entropy. "
            f"With respect to the probabilities {name} it is -y / p: return that, or let forward "
            "take the logits."
        )
    if main == "subset":
        if key[-1] == "some" or key[1] in ("position", "place"):
            return (
                f"{subject} counts only some of the contributions ({note}): where an index comes "
                "up several times they add up, as np.add.at does; = keeps the last one."
            )
        return (
            f"{subject} counts only {note} of the examples: sum over all of them."
            if note.startswith("all but")
            else f"{subject} counts only {note} example{'s' if 'half' in note else ''}: sum over "
            "all of them (is a result overwritten in a loop, or one column used?)."
        )
    if main == "activation":
        return _activation_sentence(subject, diagnosis)
    if main == "elementwise":
        if "softmax" in note:
            return (
                f"{subject} takes softmax's derivative for a diagonal one: every output depends on "
                "every input; use dZ = A * (dA - sum(dA * A)) along the softmax axis."
            )
        if key[0] == "elementwise" and key[1] == "diagonal":
            return (
                f"{subject} uses only the diagonal of the Jacobian: every output depends on "
                "several inputs; the other terms have to be summed in."
            )
        return (
            f"{subject} multiplies {note} element by element where a matrix product is meant: "
            "use @ (np.dot), not *."
        )
    c = f"{diagnosis.factor.value:.6g}" if diagnosis.factor is not None else "a constant"
    if "scale" in diagnosis.relations:
        return f"{subject} contains {note} times {name} too much: an L2 term is missing or doubled."
    if diagnosis.factor is not None and diagnosis.factor.value < 0:
        return (
            f"{subject} differs from the right value by {c} times {name}: the L2 penalty of the "
            "forward pass is missing."
        )
    return (
        f"{subject} differs from the right value by {c} times {name}: an L2 term is there twice, "
        "or the forward pass has none."
    )


def _activation_sentence(subject: str, diagnosis: Diagnosis) -> str:
    kind = diagnosis.key[1]
    note = diagnosis.note
    if kind == "missing":
        where = f" {note[note.index('(') :]}" if "(" in note else ""
        return (
            f"{subject} lacks the activation's derivative{where}: dZ = dA * g'(Z), and here dZ is "
            "dA itself."
        )
    if kind == "twice":
        where = f" {note[note.index('(') :]}" if "(" in note else ""
        return (
            f"{subject} has the activation's derivative twice{where}: dZ = dA * g'(Z) carries it "
            "already; multiply once."
        )
    if kind == "other":
        return (
            f"{subject} uses the derivative {note}, which is not the activation of the forward "
            "pass."
        )
    return (
        f"{subject} takes the activation's derivative {note}, the wrong place: g' of Z (or the "
        "form written for A, such as A * (1 - A), of A)."
    )


def repair_sentence(subject: str, kind: str, before: str) -> str | None:
    """Say what a repair of one kind means for a gradient; None where it has no name.

    Parameters
    ----------
    subject : str
        The gradient: dW.
    kind : str
        The kind of the edit.
    before : str
        The first line that changes.
    """
    target = before.partition("=")[0].strip().rstrip("+-*/ ").partition("[")[0]
    return {
        "transpose": f"{subject} goes through a product with a .T missing or too many.",
        "square": f"{subject} goes through a line where a square is forgotten, or one too many: "
        "the derivative of tanh is 1 - tanh(z)**2.",
        "order": f"{subject} is computed after an update: {target} is updated before it is used; "
        "compute all gradients first, or keep the old value.",
        "step": f"{subject} goes through a line that takes the neighbouring step: an index is off "
        "by one.",
        "path": f"{subject} lacks a path: what is added in the repair reaches the cost as well, "
        "as a state does through time.",
        "overwritten": f"{subject} is overwritten: contributions add up, += for =.",
        "last step": f"{subject} counts only the last step: sum over all of them, += in the loop.",
        "stride": f"{subject} leaves the stride out of account: step i begins at i * stride.",
        "repeated": f"{subject} keeps one contribution of each repeated index: they add up, as "
        "np.add.at does.",
        "output": f"{subject} takes the gradient of another layer: each layer's own dA is what "
        "came back through the layer behind it.",
        "activation": f"{subject} goes through a line that lacks the activation's derivative, or "
        "has another's.",
        "function": f"{subject} goes through the derivative of another activation.",
    }.get(kind)


def unknown_sentence(
    name: str, given: NDArray[np.float64], truth: NDArray[np.float64], seen: Comparison
) -> tuple[str, str]:
    """Describe a wrong gradient that no relation explains: a sentence, and the worst entries."""
    subject = f"d{name}"
    wrong = seen.wrong
    count = int(np.sum(wrong))
    if not np.any(given):
        return f"{subject} is zero everywhere, and the right gradient is not.", ""
    details = worst_entries(given, truth, wrong)
    total = given.size
    if count == 1:
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        return (
            f"{subject} is wrong in one entry only, {list(place)}: {_ratio(given, truth, place)}.",
            details,
        )
    pattern = shared_pattern(given, truth, wrong)
    return (
        f"{subject} is wrong in {count} of {total} entries, and no simple relation to the right "
        f"gradient was found{'; ' + pattern if pattern else ''}.",
        details,
    )


def _ratio(given: NDArray[np.float64], truth: NDArray[np.float64], place: tuple[int, ...]) -> str:
    right = float(truth[place])
    if right == 0:
        return f"{given[place]:.6g} instead of 0"
    off = 100 * (float(given[place]) / right - 1)
    return f"{abs(off):.3g} % too {'large' if off > 0 else 'small'}"


def shared_pattern(
    given: NDArray[np.float64], truth: NDArray[np.float64], wrong: NDArray[np.bool_]
) -> str:
    """Say what the wrong entries have in common: rows, columns, signs."""
    said = []
    if wrong.ndim == 2 and min(wrong.shape) > 1:
        for axis, word in ((0, "row"), (1, "column")):
            hit = np.flatnonzero(wrong.any(axis=1 - axis))
            if 0 < hit.size < wrong.shape[axis]:
                listed = ", ".join(str(i) for i in hit[:6]) + (", ..." if hit.size > 6 else "")
                said.append(f"all are in {word}{'s' if hit.size > 1 else ''} {listed}")
    if not wrong.all() and np.any(wrong):
        for sign, word in ((1, "positive"), (-1, "negative")):
            if np.array_equal(wrong, np.sign(truth) == sign):
                said.append(f"they are exactly those where the right value is {word}")
    if np.allclose(np.sort(given, axis=None), np.sort(truth, axis=None), rtol=1e-6, atol=0):
        said.append("the numbers are right but in another order (reshape where .T is meant?)")
    elif np.allclose(np.abs(given), np.abs(truth), rtol=1e-6, atol=1e-12):
        said.append("only signs differ")
    elif np.ptp(given) == 0 and given.size > 1:
        said.append("all its entries are the same")
    return "; ".join(said)


def apart(given: float, right: float) -> tuple[str, str]:
    """Write two numbers with as many digits as tell them apart, and at least six."""
    for digits in range(6, 18):
        texts = f"{given:.{digits}g}", f"{right:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts


def worst_entries(
    given: NDArray[np.float64],
    truth: NDArray[np.float64],
    wrong: NDArray[np.bool_],
    most: int = 3,
) -> str:
    """List the entries that are furthest off."""
    with np.errstate(invalid="ignore"):
        off = np.where(wrong, np.abs(given - truth), -1.0)
    off = np.where(np.isnan(off), np.inf, off)
    order = np.argsort(-off, axis=None, kind="stable")[: min(most, int(np.sum(wrong)))]
    lines = []
    for flat in order:
        place = [int(i) for i in np.unravel_index(int(flat), given.shape)]
        value, right = given.reshape(-1)[flat], truth.reshape(-1)[flat]
        yours, wanted = apart(value, right)
        lines.append(f"{place}: yours {yours}, right {wanted}")
    return "\n".join(lines)
