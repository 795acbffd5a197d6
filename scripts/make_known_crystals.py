"""Write the table of known crystals that the page compares with.

    python -m scripts.make_known_crystals

Sentences, names and formulas of the 1,369 crystals that are installed with pymatgen and
with this package become cloud_jax/web/known_crystals.json.gz. States of [CLS] are not
in it: they depend on the model, which computes them at the first use.
"""

import gzip
import json
import sys
from importlib.resources import files
from pathlib import Path

from cloud_jax.datasets.embedded import EmbeddedSource
from cloud_jax.inference.crystals import to_crystals
from cloud_jax.inference.inputs import parse
from cloud_jax.inference.predictor import load

OUTPUT = Path(str(files("cloud_jax") / "web" / "known_crystals.json.gz"))

_NAMES = 3  # of one sentence


def prototype_names() -> list[str]:
    """Return the name of each of pymatgen's prototypes, in its order."""
    with gzip.open(EmbeddedSource("embedded").pieces()[0].path) as file:
        tags = [row["tags"] for row in json.load(file)]
    return [
        f"{tag['mineral']}, prototype {tag['aflow']}"
        if tag["mineral"] not in ("", "None", None)
        else f"prototype {tag['aflow']}"
        for tag in tags
    ]


def name_of(identifier: str, prototypes: list[str]) -> str:
    """Return a name for people from the id of an embedded crystal.

    `aflow-000-A_cF4_225_a` is a prototype, `mineral-PROTOTYPE-MINERAL-ID` a mineral.
    """
    kind, _, rest = identifier.partition("-")
    if kind == "aflow":
        return prototypes[int(rest.partition("-")[0])]
    # Ids such as mp-1234 and JVASP-1234 follow the last name.
    return rest.split("-", 1)[1].rsplit("-", 2)[0].replace("_", " ")


def main() -> int:
    """Write the table; return the exit code."""
    model = load().model
    items, prototypes = list(EmbeddedSource("embedded").items()), prototype_names()
    results = parse(items, load().options, workers=1)
    crystals, rejects = to_crystals(results, model)
    by_sentence: dict[str, list[str]] = {}
    formulas = {}
    for crystal in crystals:
        names = by_sentence.setdefault(crystal.sentence, [])
        formulas[crystal.sentence] = crystal.formula_text
        name = name_of(crystal.id, prototypes)
        # A mineral that is also a prototype is named once.
        if not any(name.lower() in other.lower() for other in names):
            names.append(name)
    rows = [
        (" / ".join(names[:_NAMES]), formulas[sentence], sentence)
        for sentence, names in by_sentence.items()
    ]
    content = json.dumps(rows, separators=(",", ":")).encode()
    OUTPUT.write_bytes(gzip.compress(content, 9, mtime=0))
    print(
        f"{len(rows)} different sentences of {len(items)} crystals, "
        f"{len(rejects)} rejected, {OUTPUT.stat().st_size} bytes"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
