"""Measure what OPTIMADE pages weigh, as JSON lines.

    python -m scripts.bench_archive --limit 2000 table:wbm.npz table:mp.csv.gz

The crystals of any source become entries as an OPTIMADE server sends them, in pages as
`optimade:NAME` keeps them: `sent` is the JSON of an answer, `kept` the gzipped page.
`read` is the CPU time of reading the pages back and parsing their entries, to be
added to that of the symmetry search; `feed` is the part of it that falls to the one
process which hands out the work, and so says how many workers it can feed.
"""

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path

from cloud_jax.datasets.corpus import read_sources
from cloud_jax.datasets.optimade.pages import (
    Page,
    log_page,
    read_page,
    write_page,
)
from cloud_jax.datasets.optimade.source import OptimadeSource
from cloud_jax.scope import Cell, Rejection, pipeline
from cloud_jax.scope.chunks import chunks


def as_entry(identifier: str, cell: Cell) -> dict:
    """A crystal as an OPTIMADE server describes it; coordinates in ten digits."""
    kinds = {}
    for kind in cell.species:
        pairs = ((kind, 1.0),) if isinstance(kind, str) else kind
        kinds[kind] = {
            "name": "".join(element for element, _ in pairs),
            "chemical_symbols": [element for element, _ in pairs],
            "concentration": [amount for _, amount in pairs],
        }
    return {
        "id": identifier,
        "type": "structures",
        "attributes": {
            "lattice_vectors": cell.lattice.round(10).tolist(),
            "cartesian_site_positions": (cell.fractional @ cell.lattice)
            .round(10)
            .tolist(),
            "species": list(kinds.values()),
            "species_at_sites": [kinds[kind]["name"] for kind in cell.species],
            "nsites": len(cell.species),
            "dimension_types": [1, 1, 1],
            "nperiodic_dimensions": 3,
            "structure_features": [],
            "assemblies": None,
            "immutable_id": identifier,
            "last_modified": "2024-07-02T00:00:00Z",
        },
    }


def measure(word: str, limit: int, page_limit: int) -> dict:
    """Write the pages of a source, read them back, and weigh both."""
    (source,) = read_sources([word])
    entries = []
    for item in itertools.islice(source.items(), limit):
        try:
            entries.append(as_entry(item.id, pipeline.read_cell(item)))
        except Rejection:
            continue
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for number, start in enumerate(range(0, len(entries), page_limit)):
            page = entries[start : start + page_limit]
            sha256 = write_page(folder, number, page)
            log_page(folder, Page(number, "", len(page), sha256, "", None, None))
        files = sorted(folder.glob("page-*"))
        kept = sum(file.stat().st_size for file in files)
        clock = [time.process_time()]
        for file in files:
            for item in read_page(file, ""):
                pipeline.read_cell(item)
        clock.append(time.process_time())
        for _ in chunks([OptimadeSource("archive", archive=scratch)], ""):
            pass
        clock.append(time.process_time())
    return {
        "source": source.name,
        "structures": len(entries),
        "mean_sites": round(
            sum(e["attributes"]["nsites"] for e in entries) / len(entries), 1
        ),
        "page_limit": page_limit,
        "sent_bytes": round(sum(len(json.dumps(e)) for e in entries) / len(entries)),
        "kept_bytes": round(kept / len(entries)),
        "read_ms": round(1e3 * (clock[1] - clock[0]) / len(entries), 3),
        "feed_ms": round(1e3 * (clock[2] - clock[1]) / len(entries), 3),
    }


def main() -> None:
    """Parse the command line and print the measurements, each a structure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="*", default=["embedded"])
    parser.add_argument("--limit", type=int, default=5000, help="structures a source")
    parser.add_argument("--page-limit", type=int, default=500, help="a page")
    arguments = parser.parse_args()
    for word in arguments.sources:
        line = measure(word, arguments.limit, arguments.page_limit)
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
