"""Files of a prediction, each whole or not there: CSV, rejects, vectors."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from cloud_jax.files import atomic_open
from cloud_jax.inference.crystals import Crystal
from cloud_jax.scope.pipeline import Reject


def write_header(file: IO[bytes], names: Sequence[str]) -> None:
    """Write the names of the columns."""
    file.write((",".join(names) + "\n").encode())


def write_rows(file: IO[bytes], columns: dict[str, np.ndarray]) -> None:
    """Append rows to a CSV file; NaN is an empty field.

    Numbers have the digits of float32, which is what the network computes in.
    """
    arrays = {
        name: pa.array(values.astype(np.float32), from_pandas=True)
        if values.dtype == float
        else pa.array(values, pa.string())
        for name, values in columns.items()
    }
    # "needed" quotes every text, so it is taken where a name needs it.
    style = (
        "needed" if any(set(name) & set('",\r\n') for name in columns["id"]) else "none"
    )
    options = arrow_csv.WriteOptions(include_header=False, quoting_style=style)
    arrow_csv.write_csv(pa.table(arrays), file, options)


def write_rejects(path: Path, rejects: Sequence[Reject]) -> None:
    """Write what was set aside and why; without rejects the header alone.

    A file of an earlier run would otherwise be read as this run's.
    """
    as_text = {"newline": "", "encoding": "utf-8", "errors": "replace"}
    with atomic_open(path, "w", **as_text) as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("id", "stage", "code", "message"))
        lines.writerows((r.id, r.stage, r.code, r.message) for r in rejects)


def write_vectors(
    file: IO[bytes], crystals: Sequence[Crystal], states: Float[np.ndarray, "N D"]
) -> None:
    """Write [CLS] vectors as Parquet: id, sentence, space group, flags, embedding."""
    width = states.shape[1]
    table = pa.table(
        {
            "id": pa.array([c.id for c in crystals], pa.string()),
            "sentence": pa.array([c.sentence for c in crystals], pa.string()),
            "space_group": pa.array([c.space_group for c in crystals], pa.int16()),
            "flags": pa.array([";".join(c.flags) for c in crystals], pa.string()),
            "embedding": pa.FixedSizeListArray.from_arrays(
                pa.array(states.astype(np.float32).ravel()), width
            ),
        }
    )
    parquet.write_table(table, file)
