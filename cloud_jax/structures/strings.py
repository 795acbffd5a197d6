"""Ready SCOPE strings of the paper dialect: one column of a CSV."""

from collections.abc import Iterator
from dataclasses import dataclass

from cloud_jax.structures.columns import column_index
from cloud_jax.structures.csv_table import csv_rows, csv_size
from cloud_jax.structures.source import Piece, RawItem
from cloud_jax.structures.table import FileSource

_COLUMNS = ("cloud", "scope", "scope_paper", "sentence", "string")


@dataclass(frozen=True)
class StringsSource(FileSource):
    """A source of strings made elsewhere: without volume and space group.

    Attributes:
        column: the column with the strings; the first known name by default.
        id_column: the column with the ids; the row number by default.
    """

    column: str = ""
    id_column: str = ""

    def count(self) -> int:
        """Return the number of rows."""
        return sum(csv_size(piece.path) for piece in self.pieces())

    def read(self, piece: Piece) -> Iterator[RawItem]:
        """Yield one string per row."""
        path = piece.path
        with csv_rows(path) as (header, rows):
            column = column_index(header, self.column, _COLUMNS, path)
            id_at = (
                column_index(header, self.id_column, (), path) if self.id_column else -1
            )
            for number, (_, row) in enumerate(rows):
                name = f"{path.name}:{number}"
                if len(row) != len(header):
                    problem = f"found {len(row)} fields, expected {len(header)}"
                    yield RawItem(name, ("bad_row", problem), "reject")
                else:
                    name = name if id_at < 0 else row[id_at]
                    yield RawItem(name, row[column], "sentence")
