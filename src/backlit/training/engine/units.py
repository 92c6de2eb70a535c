"""The parts of the engine that are compiled on their own, and how compiled code calls them.

Numba optimises and translates a function again inside every function that calls it. The parts with
many instructions would so be compiled five times over, which would take most of a minute. They are
compiled once instead, as C functions, and called through a table of their addresses.
"""

from backlit.training.machine_code.programs import Program

#: each unit's arguments, and after a colon what it returns; the letters are those of `programs`
ARGUMENTS = {
    "panel": "RnnRnnnnRnnnnnnRn",
    "dot_product": "RnnnRnnRInnnnnnnRnR",
    "gather_columns": "RnnRInnnn",
    "packed_product": "IRnnRnnnnnnnRnRnRRRR",
    "product": "IRnnRnnnRnnnnnnRnR",
    "weight_gradient": "IRnnRnnRnInnnnnnRnRRRR",
    "direct_gradient": "IRnnRnnRnInnnnnnRRRR",
    "sparse_product": "RnnRnnRIiInnnRn",
    "sparse_weight_gradient": "RnnRnnRIiInnnnn",
    "activate": "nRRn",
    "activate_rare": "nRRn",
    "differentiate": "nRRn",
    "differentiate_rare": "nRRn",
    "losses_of_logits": "RRRRnd",
    "losses_of_residuals": "nRRRRnd",
    "losses_of_classes": "RRnnnIR",
    "losses_of_shares": "RRRnnnR",
    "softmax": "Rnnn",
    "update": "nRRRRnR",
    "squared_norm": "RRnd:d",
}

ORDER = tuple(ARGUMENTS)

#: those that every network needs; the others are compiled when one does
ALWAYS = frozenset(
    ("panel", "packed_product", "product", "weight_gradient", "dot_product", "gather_columns")
)

#: the loop over batches, and the one over epochs
RUN, EPOCHS = "run", "run_epochs"
#: what draws orders of rows
SHUFFLE = "shuffle"

#: what networks for tables need besides; see `pieces`
PIECES = {
    "activate_units": "nRRRRhnnnR",
    "differentiate_units": "nRRRhnnnRRR",
    "embed_periodically": "RRRRRRRRnnnn",
    "differentiate_periodic": "RRRRRRRRRnnnn",
    "update_tensors": "RRRRInR",
}

_HERE = "backlit.training.engine"
PROGRAM = Program(
    name="engine",
    signatures={RUN: "nnIIR", EPOCHS: "nnIIIR", SHUFFLE: "nnInnI", **ARGUMENTS, **PIECES},
    types=("float32", "float64"),
    definitions=f"{_HERE}.definitions",
    sources=(
        "backlit.names",
        "backlit.training.stopping",
        *(
            f"{_HERE}.{module}"
            for module in (
                "calls", "codes", "definitions", "epochs", "functions", "orders", "pieces",
                "products", "reading", "records", "simd", "steps", "units", "updates",
            )
        ),
    ),
    place=f"{_HERE}.units:PROGRAM",
)  # fmt: skip
