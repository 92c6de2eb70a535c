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
        settings = getattr(entry.maker, "keywords", {})
        if "fault" not in settings:  # a function on its own
            continue
        fault, form = settings["fault"], settings.get("kind", "")
        layer = entry.maker.func.__name__
        if layer not in SHOWN or (layer, form, fault) in seen:
            continue
        seen.add((layer, form, fault))
        words = " ".join(word for word in (layer.replace("_", " "), form) if word)
        for finding in entry.check(0).problems[:1]:
            found[finding.relation].append(
                f"| {words} | `{fault}` | {_plain(finding.label)} | {_plain(finding.sentence)} |"
            )
    parts = []
    for relation in RELATIONS:
        if found[relation]:
            head = "| layer | the fault | relation | what the checker says |\n|---|---|---|---|"
            parts.append("\n".join([f"## {relation}\n", head, *found[relation], ""]))
    return "\n".join(parts)


def _plain(sentence: str) -> str:
    """Keep Markdown from reading a product as emphasis."""
    return re.sub(r"([*_|<>\[\]])", r"\\\1", sentence)
