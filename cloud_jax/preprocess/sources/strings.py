"""Ready SCOPE strings of the paper dialect: one column of a CSV."""

from collections.abc import Iterator
from dataclasses import dataclass

from cloud_jax.preprocess.sources.source import RawItem
from cloud_jax.preprocess.sources.table import FileSource, csv_rows, pick

_COLUMNS = ("cloud", "scope", "scope_paper", "sentence", "string")


@dataclass(frozen=True)
class StringsSource(FileSource):
    """Strings that were made elsewhere: no structure, so no volume and no group.

    Attributes:
        column: the column with the strings; the first known name by default.
        id_column: the column with the ids; the row number by default.
    """

    column: str = ""
    id_column: str = ""

    def items(self) -> Iterator[RawItem]:
        """Yield one string a row."""
        for path in self.files:
            header, rows = csv_rows(path)
            column = pick(header, self.column, _COLUMNS, path)
            id_at = pick(header, self.id_column, (), path) if self.id_column else None
            for number, row in enumerate(rows):
                name = f"{path.name}:{number}" if id_at is None else row[id_at]
                if len(row) <= column:
                    problem = ("short_row", f"{len(row)} fields, {len(header)} columns")
                    yield RawItem(name, problem, "reject")
                else:
                    yield RawItem(name, row[column], "sentence")
