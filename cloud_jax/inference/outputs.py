"""Output files of a prediction: CSV or JSON lines, rejects, [CLS] vectors."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Float

from cloud_jax.files import atomic_open
from cloud_jax.inference.crystals import Crystal
from cloud_jax.inference.properties import PropertyValues
from cloud_jax.inference.tables import objects, rounded, rows
from cloud_jax.scope.pipeline import Reject


class CsvWriter:
    """Writes predictions as rows of a CSV file; NaN is an empty field."""

    def __init__(self, file: IO[bytes], table: Callable[..., dict] = rows):
        self._file = file
        self._table = table
        self._has_header = False

    def write(
        self, crystals: Sequence[Crystal], properties: Sequence[PropertyValues]
    ) -> None:
        """Append the rows of some crystals."""
        columns = self._table(crystals, [rounded(one) for one in properties])
        texts = [
            _texts(values) if values.dtype == float else values.tolist()
            for values in columns.values()
        ]
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        if not self._has_header:
            writer.writerow(columns)
            self._has_header = True
        writer.writerows(zip(*texts, strict=True))
        self._file.write(lines.getvalue().encode())


class JsonWriter:
    """Writes predictions as JSON lines, one object per crystal."""

    def __init__(self, file: IO[bytes]):
        self._file = file

    def write(
        self, crystals: Sequence[Crystal], properties: Sequence[PropertyValues]
    ) -> None:
        """Append the objects of some crystals."""
        for value in objects(crystals, [rounded(one) for one in properties]):
            self._file.write((json.dumps(value) + "\n").encode())


def _texts(values: Float[np.ndarray, " n"]) -> list[str]:
    """Return each number as text, empty for NaN; 15 digits hide binary fractions."""
    return ["" if value != value else f"{value:.15g}" for value in values.tolist()]


def write_rejects(path: Path, rejects: Sequence[Reject]) -> None:
    """Write the rejected crystals as CSV, with the reason for each.

    Without rejects the header alone is written, so that a file of an earlier run is
    not taken for this run's.
    """
    as_text = {"newline": "", "encoding": "utf-8", "errors": "replace"}
    with atomic_open(path, "w", **as_text) as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("id", "stage", "code", "message"))
        lines.writerows((r.id, r.stage, r.code, r.message) for r in rejects)


def write_vectors(
    file: IO[bytes], crystals: Sequence[Crystal], states: Float[np.ndarray, "N D"]
) -> None:
    """Write [CLS] vectors as Parquet: id, sentence, space group, notes, embedding."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise OSError(
            f"--embed writes Parquet and needs {error.name}, which is not installed: "
            'pip install "cloud-jax[preprocess]"'
        ) from None
    width = states.shape[1]
    table = pa.table(
        {
            "id": pa.array([c.id for c in crystals], pa.string()),
            "sentence": pa.array([c.sentence for c in crystals], pa.string()),
            "space_group": pa.array([c.space_group for c in crystals], pa.int16()),
            "notes": pa.array([";".join(c.flags) for c in crystals], pa.string()),
            "embedding": pa.FixedSizeListArray.from_arrays(
                pa.array(states.astype(np.float32).ravel()), width
            ),
        }
    )
    parquet.write_table(table, file)
