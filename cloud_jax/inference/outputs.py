"""Files of a prediction, each whole or not there: CSV, rejects, vectors."""

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from cloud_jax.inference.crystals import Crystal
from cloud_jax.preprocess.pipeline import Reject


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes its name only when all went well.

    Raises:
        OSError: it cannot be written; with its name.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError) and error.filename is None and error.errno:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


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
    with whole_file(path) as binary:
        lines = csv.writer(_Utf8(binary), lineterminator="\n")
        lines.writerow(("id", "stage", "code", "message"))
        lines.writerows((r.id, r.stage, r.code, r.message) for r in rejects)


class _Utf8:
    """A text file on top of a binary one, for the csv module."""

    def __init__(self, file: IO[bytes]):
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(text.encode("utf-8", "replace"))


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
