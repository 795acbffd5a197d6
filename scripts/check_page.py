"""Compare the page without a server with Python, crystal by crystal.

    python -m scripts.check_page [--limit 200] [--symmetry moyopy]
    python -m scripts.check_page FILE.cif POSCAR ...

Crystals are embedded ones (AFLOW prototypes and minerals), evenly picked, each written
as a CIF of all its atoms, as a CIF with symmetry, and as a POSCAR, or the files given.
The engine inside the page runs in Node, `Predictor(symmetry=...)` beside it, on the
same texts. Every difference is printed, then the counts as JSON: `equal` are texts with
the same sentence, flags and numbers (to 1e-4 of themselves or of their interval's
width); `differ` those with other numbers from the same sentence, `sentence` those with
another sentence, `page_refuses` those that only Python reads, `python_refuses` those
that only the page reads.
"""

import argparse
import json
import math
import subprocess
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cloud_jax
from cloud_jax.inference.crystals import Crystal, to_crystals
from cloud_jax.inference.inputs import object_items, parse
from cloud_jax.inference.predictor import Predictor
from cloud_jax.inference.properties import make_request
from cloud_jax.inference.tables import rows
from cloud_jax.scope.pipeline import Reject
from cloud_jax.web.static_page import write_page

RUNNER = Path(__file__).with_name("run_page.mjs")
KELVIN = (0.0, 5.0, 20.0, 77.0, 300.0, 1000.0)
TOLERANCE = 1e-4  # of a number, or of the width of its interval


class Difference(NamedTuple):
    """What the page and Python say of one text.

    Attributes:
        id: of the crystal.
        kind: a key of the counts in this file's docstring.
        what: how they differ; empty where they are equal.
        error: largest relative difference of a number; NaN where none was compared.
    """

    id: str
    kind: str
    what: str
    error: float = math.nan


def embedded_texts(limit: int) -> dict[str, str]:
    """Return texts of `limit` embedded crystals, three of each, by name."""
    from pymatgen.core import Structure
    from pymatgen.io.cif import CifWriter
    from pymatgen.io.vasp import Poscar

    from cloud_jax.datasets.embedded import EmbeddedSource
    from cloud_jax.scope.pipeline import read_cell

    source = EmbeddedSource(name="embedded")
    items = [item for piece in source.pieces() for item in source.read(piece)]
    texts: dict[str, str] = {}
    for i in range(limit):
        item = items[i * len(items) // limit]
        cell = read_cell(item)
        crystal = Structure(cell.lattice, cell.species, cell.fractional)
        texts[f"{item.id}.atoms.cif"] = str(CifWriter(crystal))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            texts[f"{item.id}.symmetry.cif"] = str(CifWriter(crystal, symprec=0.01))
        texts[f"{item.id}.vasp"] = Poscar(crystal.get_sorted_structure()).get_str()
    return texts


def page_answers(
    page: Path, texts: dict[str, str], kelvin: Sequence[float] = KELVIN
) -> dict[str, dict[str, Any]]:
    """Return what the engine of a page answers to each text, by name.

    Args:
        page: HTML file.
        texts: of structure files, by name.
        kelvin: temperatures, K.
    """
    requests = "".join(
        json.dumps({"id": name, "text": text, "kelvin": kelvin}) + "\n"
        for name, text in texts.items()
    )
    done = subprocess.run(
        ["node", RUNNER, page],
        input=requests,
        capture_output=True,
        text=True,
        check=True,
    )
    answers = map(json.loads, done.stdout.splitlines())
    return {answer["id"]: answer for answer in answers}


def compare(
    predictor: Predictor, page: Path, texts: dict[str, str]
) -> Iterator[Difference]:
    """Yield how the page and Python differ, text by text."""
    answers = page_answers(page, texts)
    model = predictor.model
    items = object_items(list(texts.values()), list(texts))
    crystals, rejects = to_crystals(parse(items, predictor.options, workers=1), model)
    crystals, raw, lost = predictor.outputs(crystals)
    request = make_request(model.description, KELVIN, "formula")
    chunks = predictor.properties(crystals, raw, request)
    for crystal, values in _by_crystal(chunks):
        yield _difference(crystal, values, answers[crystal.id])
    for reject in rejects + lost:
        yield _refused(reject, answers[reject.id])


def _by_crystal(chunks) -> Iterator[tuple[Crystal, list[dict[str, Any]]]]:
    """Yield each crystal with its rows."""
    for crystals, properties in chunks:
        columns = rows(crystals, properties)
        each = [
            dict(zip(columns, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]
        step = len(each) // max(1, len(crystals))
        for i, crystal in enumerate(crystals):
            yield crystal, each[i * step : (i + 1) * step]


def _difference(crystal: Crystal, values: list[dict], answer: dict) -> Difference:
    if "result" not in answer:
        kind = "page_refuses" if answer["code"] != "unexpected" else "page_fails"
        return Difference(crystal.id, kind, f"{answer['code']}: {answer['message']}")
    found = answer["result"]
    if found["sentence"] != crystal.sentence:
        what = f"page {found['sentence']}, Python {crystal.sentence}"
        return Difference(crystal.id, "sentence", what)
    error, at = max(
        (
            (
                _error(mine, row, name),
                f"{row['property']} {row['temperature_k']} {name}",
            )
            for mine, row in zip(found["rows"], values, strict=True)
            for name in ("value", "spread", "lower", "upper")
        ),
        key=lambda pair: pair[0],
    )
    words = [
        (mine["property"], mine["unit"], mine["basis"])
        != (row["property"], row["unit"], row["basis"])
        for mine, row in zip(found["rows"], values, strict=True)
    ]
    if any(words) or found["formula"] != crystal.formula_text or not error < TOLERANCE:
        return Difference(crystal.id, "differ", f"{at}: {error:.2g}", error)
    if set(found["flags"]) != set(crystal.flags):
        what = f"page flags {found['flags']}, Python {list(crystal.flags)}"
        return Difference(crystal.id, "flags", what, error)
    return Difference(crystal.id, "equal", "", error)


def _error(mine: dict, row: dict, name: str) -> float:
    """Return the difference of one number over its size or its interval's width."""
    a, b = mine[name], row[name]
    if a is None or math.isnan(b):
        return 0.0 if (a is None) == math.isnan(b) else math.inf
    # Free energies pass through 0, where their own size says nothing.
    return abs(a - b) / max(abs(b), row["upper"] - row["lower"], 1e-9)


def _refused(reject: Reject, answer: dict) -> Difference:
    if "result" in answer:
        what = f"page {answer['result']['sentence']}, Python {reject.message}"
        return Difference(reject.id, "python_refuses", what)
    return Difference(reject.id, "both_refuse", "")


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, help="structure files")
    parser.add_argument("--limit", type=int, default=200, help="embedded crystals")
    parser.add_argument("--symmetry", default="moyopy", help="spglib or moyopy")
    args = parser.parse_args()
    texts = {str(path): path.read_text("utf-8", "replace") for path in args.files}
    texts = texts or embedded_texts(args.limit)
    predictor = cloud_jax.load(symmetry=args.symmetry)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        size = write_page(predictor.model, page)
        found = list(compare(predictor, page, texts))
    for one in found:
        if one.what:
            print(f"{one.id}: {one.kind}: {one.what}")
    errors = [one.error for one in found if not math.isnan(one.error)]
    print(
        json.dumps(
            {
                "texts": len(texts),
                **Counter(one.kind for one in found),
                "largest_relative_difference": max(errors, default=None),
                "page_mb": round(size / 1e6, 2),
                "seconds": round(time.perf_counter() - started, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
