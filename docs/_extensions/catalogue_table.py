"""The catalogue of wrong functions, each with what the checker says of it."""

import re
from collections import defaultdict

from backlit.gradcheck import RELATIONS

#: one layer of each kind; the rest of the catalogue says the same of larger ones, and takes longer
SHOWN = (
    "dense",
    "activation",
    "dense_activation",
    "softmax_layer",
    "softmax_cross_entropy",
    "binary_cross_entropy",
    "squared_error",
    "batch_norm",
    "layer_norm",
    "embedding",
)


def faults_table() -> str:
    """Run the checker on the wrong functions; return a Markdown section a relation."""
    from gradcheck.catalogue import WRONG

    found: dict[str, list[str]] = defaultdict(list)
    seen = set()
    for entry in WRONG:
        layer, _, fault = entry.name.partition(": ")
        kind, *settings = re.split(r"[ ,]+", layer)
        key = (kind, fault)
        if kind not in SHOWN or key in seen:
            continue
        seen.add(key)
        report = entry.check(0)
        words = [kind.replace("_", " "), *(word.partition("=")[2] for word in settings)]
        words = [word for word in words if word not in ("True", "False")]
        for finding in report.problems[:1]:
            line = f"`{finding.source}`" if finding.source else ""
            found[finding.relation].append(
                f"| {' '.join(words)} | {line.replace('|', chr(92) + '|')} "
                f"| {_plain(finding.sentence)} |"
            )
    parts = []
    for relation in RELATIONS:
        if found[relation]:
            parts.append(
                f"## {relation}\n\n| layer | the line | what the checker says |\n|---|---|---|"
            )
            parts[-1] += "\n" + "\n".join(found[relation]) + "\n"
    return "\n".join(parts)


def _plain(sentence: str) -> str:
    """Keep Markdown from reading a product as emphasis."""
    return re.sub(r"([*_|<>\[\]])", r"\\\1", sentence)
