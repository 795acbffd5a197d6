"""The crystals of table rows: their structures read, or found in a prepared data set.

Structures are read by worker processes, and the outcome is cached in a file. Where
there are none to read, nothing that parses them is imported.
"""

import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cloud_jax.files import atomic_write
from cloud_jax.finetuning.rows import LabelledTable, Row, TableError
from cloud_jax.progress import progress
from cloud_jax.scope.options import Options
from cloud_jax.structures.compressed import decompressed
from cloud_jax.structures.items import kind_of
from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.source import (
    MAX_ITEM_BYTES,
    Piece,
    RawItem,
    Source,
    SourceError,
)


@dataclass(frozen=True)
class _StructureColumn(Source):
    """A source of the structures of some rows, with row numbers as ids.

    Attributes:
        table: where the rows come from.
        column: with the structures.
        wanted: numbers of the rows.
    """

    table: LabelledTable | None = None
    column: str = ""
    wanted: frozenset[int] = frozenset()

    def pieces(self) -> list[Piece]:
        return [Piece(self.table.name, self.table.folder)]

    def read(self, piece: Piece) -> Iterator[RawItem]:
        for number, (_, values) in enumerate(self.table.rows([self.column])):
            if number in self.wanted:
                yield _raw_item(str(number), values[self.column], self.table.folder)


def _raw_item(name: str, value: Any, folder: Path) -> RawItem:
    """Return the structure of a cell, which may be one, or the path of a file.

    Args:
        name: id of the item.
        value: of the cell.
        folder: that paths start from.
    """
    if isinstance(value, RawItem):
        return value._replace(id=name)
    if value is None or (isinstance(value, str) and not value.strip()):
        return RawItem(name, ("missing_structure", "the cell is empty"), "reject")
    if not isinstance(value, str) or "\n" in value or value.lstrip().startswith("{"):
        return RawItem(name, value, "auto")
    path = folder / value.strip()
    if not is_file(path):
        # Some tables write a line break as a backslash and an n.
        if "\\n" in value:
            return RawItem(name, value.replace("\\n", "\n"), "auto")
        problem = f"found {value[:80]!r}, neither a file beside the table nor text"
        return RawItem(name, ("not_found", problem), "reject")
    try:
        if (size := path.stat().st_size) > MAX_ITEM_BYTES:
            problem = f"{path}: {size} bytes, expected at most {MAX_ITEM_BYTES}"
            return RawItem(name, ("too_large", problem), "reject")
        data = decompressed(path.name, path.read_bytes())
        return RawItem(name, data, kind_of(path.name) or "auto")
    except OSError as error:
        return RawItem(name, ("unreadable", f"{path}: {error.strerror}"), "reject")
    except Rejection as rejection:
        return RawItem(name, (rejection.code, rejection.message), "reject")


def is_file(path: Path) -> bool:
    """Return whether a path leads to a file; text may be no path at all."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a name, or with a zero byte
        return False


# Facts of a crystal beside its sentence, and of a reject.
_FACTS = ("n_atoms", "space_group", "volume_per_atom")
_PROBLEM = ("code", "message")


def _take(row: Row, crystal: dict[str, Any], dialect: str) -> None:
    """Fill in the sentence and the facts of a row's crystal."""
    n_atoms, space_group, volume_per_atom = (crystal[name] or 0 for name in _FACTS)
    row.sentence = crystal[dialect]
    row.n_atoms = row.n_atoms or n_atoms
    row.space_group = space_group
    row.volume = n_atoms * volume_per_atom or math.nan


def encode_structures(
    table: LabelledTable,
    column: str,
    rows: list[Row],
    options: Options,
    processes: int,
    *,
    cache: Path | None = None,
) -> None:
    """Read structures, and fill in the crystal of each row or its problem.

    Args:
        table: where the rows come from.
        column: with the structures.
        rows: to fill in.
        options: dialect and tolerances.
        processes: that read structures.
        cache: file for the outcome. While the table and the options stay the same it
            is read instead; structures that are files of their own may then change or
            be gone.

    Raises:
        TableError: the workers cannot work.
        OSError: no space for what they pass on.
    """
    key = {"table": table.sha256([column]), "column": column, **asdict(options)}
    found = read_cache(cache, key) if cache else {}
    if found:
        print(
            f"crystals are those that {cache} holds since this run began; if structure "
            "files have changed, begin another --workdir"
        )
    if any(str(row.number) not in found for row in rows):
        found = read_structures(table, column, rows, options, processes)
        if cache:
            write_cache(cache, key, found)
    for row in rows:
        crystal, problem = found[str(row.number)]
        if problem:
            row.problem = tuple(problem)
        else:
            _take(row, crystal, options.dialect)


def read_structures(
    table: LabelledTable,
    column: str,
    rows: list[Row],
    options: Options,
    processes: int,
) -> dict[str, list]:
    """Return {row number: [crystal, None or [code, message]]}, numbers as text."""
    from cloud_jax.scope.chunks import CHUNK_ITEMS, chunks, read_results
    from cloud_jax.scope.pipeline import Reject
    from cloud_jax.scope.pool import EngineError, Limits, Pool

    wanted = frozenset(row.number for row in rows)
    source = _StructureColumn(table.name, table=table, column=column, wanted=wanted)
    names = [options.dialect, *_FACTS]
    results = {}
    with (
        tempfile.TemporaryDirectory(prefix="cloud_jax-") as directory,
        progress("reading structures", total=len(rows), unit="crystals") as bar,
        Pool(
            max(1, min(processes, -(-len(rows) // CHUNK_ITEMS))),
            directory=Path(directory),
            source_names=[source.name],
            options=options,
            limits=Limits(),
        ) as pool,
    ):
        try:
            parts = pool.run(chunks([source], ""), lambda n, _: bar.update(n))
        except (EngineError, SourceError) as error:
            raise TableError(f"{table.name}, column {column}: {error}") from error
        for part in parts:
            for found in read_results(part):
                problem = None
                if isinstance(found, Reject):
                    problem = [getattr(found, name) for name in _PROBLEM]
                crystal = {name: getattr(found, name, None) for name in names}
                results[found.id.rpartition("/")[2]] = [crystal, problem]
    return results


def read_cache(file: Path, key: dict[str, Any]) -> dict[str, list]:
    """Return what `write_cache` wrote under the same key; empty without such a file."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return content["rows"] if content["key"] == key else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def write_cache(file: Path, key: dict[str, Any], rows: dict[str, list]) -> None:
    """Write the outcome of reading structures, with the key that it depends on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(file, json.dumps({"key": key, "rows": rows}))


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a prepared data set.

    Raises:
        TableError: the folder holds none.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        for name in ("dialect", "deduplicate", "symprec", "angle_tolerance"):
            manifest[name]
        manifest.setdefault("symmetry", "spglib")  # before there was a choice
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TableError(
            f"{folder}: not a data set of `cloud-jax preprocess` ({error})"
        ) from None
    return manifest


def join_dataset(folder: Path, rows: list[Row], options: Options) -> None:
    """Find each row's crystal in a prepared data set, and fill it or its problem in.

    Args:
        folder: of the data set.
        rows: to fill in, known by their ids.
        options: dialect, and the symmetry search that the data set must share.

    Raises:
        TableError: the data set cannot be read, or has another symmetry search.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds

    manifest = read_manifest(folder)
    search = ("symprec", "angle_tolerance", "symmetry")
    made = {name: manifest[name] for name in search}
    asked = {name: getattr(options, name) for name in made}
    if made != asked:
        raise TableError(f"{folder}: made with {made}, this run has {asked}")
    # A record is found by its id with or without its source, or by that of a twin.
    wanted: dict[str, list[dict]] = {row.id: [] for row in rows}
    names = ["id", *_FACTS, options.dialect, "merged_ids"]
    try:
        records = ds.dataset(folder / "records.parquet")
        for batch in records.to_batches(columns=names):
            for record in batch.to_pylist():
                for name in (record["id"], *record["merged_ids"]):
                    for key in (name, name.partition("/")[2]):
                        if key in wanted:
                            wanted[key].append(record)
    except (OSError, pa.ArrowInvalid) as error:
        raise TableError(f"{folder}: cannot be read ({error})") from error
    # A merged twin has an equal sentence only if equal sentences were merged.
    exact = manifest["deduplicate"] == options.dialect == "canonical"
    for row in rows:
        _take_record(row, wanted[row.id], options.dialect, exact)


def _take_record(row: Row, found: list[dict], dialect: str, exact: bool) -> None:
    """Fill in a row's crystal from the records that may be it.

    Args:
        row: to fill in.
        found: records of its id.
        dialect: of the sentence.
        exact: whether merged twins have equal sentences.
    """
    if not found:
        row.problem = "not_in_dataset", f"the data set has no crystal {row.id}"
    elif len({record["id"] for record in found}) > 1:
        names = ", ".join(record["id"] for record in found)
        row.problem = "ambiguous_id", f"{row.id} may be {names}: write one of them"
    elif row.id not in _names(found[0]["id"]) and not exact:
        row.problem = "merged", f"the data set keeps only its twin {found[0]['id']}"
    elif found[0][dialect] is None:
        row.problem = "no_sentence", f"the data set has no {dialect} sentence of it"
    else:
        # Of a twin the volume is not known: it may be smaller or larger.
        twin = row.id not in _names(found[0]["id"])
        _take(row, found[0] | ({"volume_per_atom": None} if twin else {}), dialect)


def _names(record_id: str) -> tuple[str, str]:
    """Return a record's id, with and without the name of its source."""
    return record_id, record_id.partition("/")[2]
