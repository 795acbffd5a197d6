"""The crystals of table rows: structures through the worker processes, or a dataset."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tqdm import tqdm

from cloud_jax.preprocess import local
from cloud_jax.preprocess.chunks import CHUNK_ITEMS, chunks, read_part
from cloud_jax.preprocess.pipeline import Options
from cloud_jax.preprocess.rows import Row, TableError, read_rows
from cloud_jax.preprocess.sources.source import MAX_ITEM_BYTES, RawItem, Source
from cloud_jax.preprocess.sources.structures import kind_of

TIME_LIMIT_S = 60.0  # for one structure


@dataclass(frozen=True)
class _Structures(Source):
    """The structure column of the rows that are good so far, named by row number."""

    path: Path = Path()
    column: str = ""
    wanted: frozenset[int] = frozenset()

    def items(self) -> Iterator[RawItem]:
        for number, (_, values) in enumerate(read_rows(self.path, [self.column])):
            if number in self.wanted:
                yield _raw_item(str(number), values[self.column], self.path.parent)


def _raw_item(name: str, value: Any, folder: Path) -> RawItem:
    """Tell a path from text; read the file that a path leads to."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return RawItem(name, ("missing_structure", "the cell is empty"), "reject")
    if not isinstance(value, str) or "\n" in value or value.lstrip().startswith("{"):
        return RawItem(name, value, "auto")
    path = folder / value.strip()
    if not _is_file(path):
        if "\\n" in value:  # line breaks as two characters
            return RawItem(name, value.replace("\\n", "\n"), "auto")
        problem = f"found {value[:80]!r}, which is no file beside the table and no text"
        return RawItem(name, ("not_found", problem), "reject")
    try:
        if (size := path.stat().st_size) > MAX_ITEM_BYTES:
            problem = f"{path}: {size} bytes, expected at most {MAX_ITEM_BYTES}"
            return RawItem(name, ("too_large", problem), "reject")
        return RawItem(name, path.read_bytes(), kind_of(path.name) or "auto")
    except OSError as error:
        return RawItem(name, ("unreadable", f"{path}: {error.strerror}"), "reject")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # text: too long for a name, or with a zero byte
        return False


def encode_structures(
    path: Path, column: str, rows: list[Row], options: Options, processes: int
) -> None:
    """Fill in sentence, n_atoms or problem of each row by worker processes."""
    wanted = frozenset(row.number for row in rows)
    source = _Structures(path.stem, path=path, column=column, wanted=wanted)
    by_number = {row.number: row for row in rows}
    with (
        tempfile.TemporaryDirectory(prefix="cloud_jax-") as directory,
        tqdm(total=len(rows), desc="reading structures", unit=" crystals") as bar,
    ):
        parts = local.run(
            chunks([source], ""),
            directory=Path(directory),
            source_names=[source.name],
            options=options,
            workers=max(1, min(processes, -(-len(rows) // CHUNK_ITEMS))),
            time_limit_s=TIME_LIMIT_S,
            progress=lambda n, done_before: bar.update(n),
        )
        names = ["id", "n_atoms", options.dialect, "code", "message"]
        for part in parts:
            for found in read_part(Path(directory) / part, names).to_pylist():
                row = by_number[int(found["id"].rpartition("/")[2])]
                if found["code"]:
                    row.problem = found["code"], found["message"]
                else:
                    row.sentence = found[options.dialect]
                    row.n_atoms = row.n_atoms or found["n_atoms"]


def join_dataset(folder: Path, rows: list[Row], options: Options) -> None:
    """Fill in sentence, n_atoms or problem of each row from a prepared dataset."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        made = {name: manifest[name] for name in ("symprec", "angle_tolerance")}
    except (OSError, ValueError, KeyError) as error:
        raise TableError(
            f"{folder}: is no dataset of `python -m cloud_jax.preprocess` ({error})"
        ) from None
    asked = {name: getattr(options, name) for name in made}
    if made != asked:
        raise TableError(f"{folder}: was made with {made}, this run has {asked}")
    wanted: dict[str, list[dict]] = {row.id: [] for row in rows}
    names = ["id", "n_atoms", options.dialect, "merged_ids"]
    with pq.ParquetFile(folder / "records.parquet") as file:
        for batch in file.iter_batches(columns=names):
            for record in batch.to_pylist():
                for name in (record["id"], *record["merged_ids"]):
                    for key in (name, name.partition("/")[2]):
                        if key in wanted:
                            wanted[key].append(record)
    # Twins of equal canonical sentence were merged; no other rule makes them equal.
    exact = manifest["deduplicate"] == options.dialect == "canonical"
    for row in rows:
        _take_record(row, wanted[row.id], options.dialect, exact)


def _take_record(row: Row, found: list[dict], dialect: str, exact: bool) -> None:
    if not found:
        row.problem = "not_in_dataset", f"the dataset has no crystal {row.id}"
    elif len({record["id"] for record in found}) > 1:
        names = ", ".join(record["id"] for record in found)
        row.problem = "ambiguous_id", f"{row.id} may be {names}: write one of them"
    elif row.id not in _names(found[0]["id"]) and not exact:
        row.problem = "merged", f"the dataset keeps only its twin {found[0]['id']}"
    elif found[0][dialect] is None:
        row.problem = "no_sentence", f"the dataset has no {dialect} sentence of it"
    else:
        row.sentence = found[0][dialect]
        row.n_atoms = row.n_atoms or found[0]["n_atoms"] or 0


def _names(record_id: str) -> tuple[str, str]:
    """A record's id, and the same without the name of its source."""
    return record_id, record_id.partition("/")[2]
