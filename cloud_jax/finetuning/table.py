"""A labelled table to sentences and targets, bad rows set aside with their line.

The table is read twice: for ids, targets and columns, which stay in memory, and for
the structures, which stream through the worker processes of preprocessing.
"""

import csv
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from cloud_jax.files import atomic_open
from cloud_jax.finetuning.crystals import (
    encode_structures,
    join_dataset,
)
from cloud_jax.finetuning.rows import LabelledTable, Row, TableError, open_table
from cloud_jax.scope import Rejection, Vocabulary, build_vocabulary
from cloud_jax.scope.options import Options

_MISSING = frozenset(("", "nan", "na", "n/a", "null", "none", "-"))


class RowReject(NamedTuple):
    """A row set aside: line in the file, id, machine-readable reason, in words."""

    line: int
    id: str
    code: str
    message: str


class Table(NamedTuple):
    """The usable rows of a labelled table, in the order of the file.

    Attributes:
        ids: of each row, all different.
        sentences: in the dialect asked for.
        tokens: ids of each sentence, [CLS] and [SEP] included.
        n_atoms: atoms in the primitive cell, 0 where nothing says.
        space_group: numbers, 0 where nothing says.
        volume: of the primitive cell, angstrom^3, NaN where nothing says.
        targets: in the units of the file.
        target_names: their columns.
        split: values of the split column, or None.
        group: values of the group column, or None.
        rows: number of each row in the file, from 0; bad ones counted.
        rejects: the rows set aside, by line.
        sha256: of the file or files.
    """

    ids: list[str]
    sentences: list[str]
    tokens: list[list[int]]
    n_atoms: Int[np.ndarray, " N"]
    space_group: Int[np.ndarray, " N"]
    volume: Float[np.ndarray, " N"]
    targets: Float[np.ndarray, "N P"]
    target_names: tuple[str, ...]
    split: list[str] | None
    group: list[str] | None
    rows: Int[np.ndarray, " N"]
    rejects: list[RowReject]
    sha256: str

    def summary(self) -> str:
        """Say how many rows are used and why the others are not."""
        n = len(self.ids) + len(self.rejects)
        text = f"{len(self.ids):,} of {n:,} rows are used"
        return text + (f"; set aside: {_reasons(self.rejects)}" if self.rejects else "")


class _Columns(NamedTuple):
    id: str
    targets: tuple[str, ...]
    n_atoms: str | None
    split: str | None
    group: str | None


def read_table(
    path: str | Path,
    *,
    id_column: str,
    targets: Sequence[str],
    structure_column: str | None = None,
    scope_column: str | None = None,
    dataset: str | Path | None = None,
    n_atoms_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    dialect: str = "canonical",
    vocabulary: Vocabulary | None = None,
    symprec: float = 0.01,
    angle_tolerance: float = 5.0,
    symmetry: str = "spglib",
    max_tokens: int = 128,
    processes: int | None = None,
    keep_in: Path | None = None,
    data_dir: str | Path = "data",
) -> Table:
    """Read a table of labelled crystals.

    It is a CSV, JSON (MatBench's, or a list of objects) or JSON lines file (each also
    .gz, .bz2, .zip), a Parquet file, or a public data set by its word, such as
    `matbench:phonons`, which has the columns `id`, `structure`, `fold` and its targets.

    Exactly one of `structure_column`, `scope_column` and `dataset` says where the
    sentences come from.

    Args:
        path: of the table, or the word of a public data set.
        id_column: column with a different name for each row.
        targets: columns with numbers.
        structure_column: its cells are the path of a structure file, from the table's
            folder; CIF or POSCAR text; or the JSON of pymatgen, ASE or JARVIS.
        scope_column: its cells are sentences of the dialect.
        dataset: folder made by `cloud_jax.preprocess`; its crystals are found by id,
            with or without the name of their source in front.
        n_atoms_column: atoms in the primitive cell; otherwise the structure says.
        split_column: column for `folds_from_column`.
        group_column: column for `folds_from_k`.
        dialect: `paper` or `canonical`.
        vocabulary: of a model; the dialect's own by default.
        symprec: distance tolerance of the symmetry search, angstrom.
        angle_tolerance: degrees.
        symmetry: who searches, `spglib` or `moyopy`.
        max_tokens: longest sentence, [CLS] and [SEP] included.
        processes: that read structures; all cores by default.
        keep_in: file for what structures became, so that they are read once.
        data_dir: folder of public data sets: looked in first, downloaded to.

    Raises:
        TableError: the file or a column is missing, a target is constant, the dataset
            was made with another symmetry search, no row is left, or the processes
            that read structures cannot work.
    """
    ways = [way for way in (structure_column, scope_column, dataset) if way]
    if len(ways) != 1:
        raise TableError(
            f"{path}: found {len(ways)} of structure_column, scope_column and dataset, "
            "expected exactly one: where the crystals come from"
        )
    options = Options(
        dialect=dialect,
        symprec=symprec,
        angle_tolerance=angle_tolerance,
        symmetry=symmetry,
        max_tokens=max_tokens,
    )
    columns = _Columns(
        id_column, tuple(targets), n_atoms_column, split_column, group_column
    )
    table = open_table(path, data_dir)
    rows = _read_columns(table, columns, scope_column, structure_column)
    good = [row for row in rows if not row.problem]
    if structure_column:
        processes = processes or len(os.sched_getaffinity(0))
        encode_structures(
            table, structure_column, good, options, processes, keep_in=keep_in
        )
    elif dataset:
        join_dataset(Path(dataset), good, options)
    _tokenise(good, vocabulary or build_vocabulary(dialect), max_tokens)
    return _assemble(path, rows, columns, table.sha256(_names(columns)))


def write_rejects(path: str | Path, rejects: Sequence[RowReject]) -> None:
    """Write a CSV with the columns line, id, code, message."""
    with atomic_open(Path(path), "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(RowReject._fields)
        writer.writerows(rejects)


def _reasons(rejects: Sequence[RowReject]) -> str:
    """The most frequent codes, each with an example."""
    first = {reject.code: reject for reject in reversed(rejects)}
    counts = Counter(reject.code for reject in rejects)
    return "; ".join(
        f"{n:,} {code}, as line {first[code].line} ({first[code].message})"
        for code, n in counts.most_common(5)
    )


def _names(columns: _Columns) -> list[str]:
    named = [columns.id, *columns.targets, columns.n_atoms, columns.split]
    return list(filter(None, [*named, columns.group]))


def _read_columns(
    table: LabelledTable,
    columns: _Columns,
    scope_column: str | None,
    structure: str | None,
) -> list[Row]:
    """Read everything but structures; a bad row gets its problem."""
    named = [*_names(columns), *filter(None, (scope_column, structure))]
    rows: list[Row] = []
    lines: dict[str, int] = {}
    for number, (line, values) in enumerate(table.rows(named)):
        row = Row(number, line)
        rows.append(row)
        try:
            if isinstance(values, str):
                raise Rejection("bad_row", values)
            row.id = _text(values[columns.id], columns.id, "missing_id")
            earlier = lines.setdefault(row.id, line)
            if earlier != line:
                raise Rejection(
                    "duplicate_id", f"{row.id} is already the id of line {earlier}"
                )
            row.targets = [_number(values[name], name) for name in columns.targets]
            if columns.n_atoms:
                row.n_atoms = _count(values[columns.n_atoms], columns.n_atoms)
            if columns.split:
                row.split = _text(values[columns.split], columns.split, "missing_split")
            if columns.group:
                row.group = _text(values[columns.group], columns.group, "missing_group")
            if scope_column:
                text = _text(values[scope_column], scope_column, "missing_sentence")
                row.sentence = " ".join(text.split())
        except Rejection as rejection:
            row.problem = rejection.code, rejection.message
    return rows


def _text(value: Any, column: str, code: str) -> str:
    text = "" if value is None else str(value).strip()
    if not text:
        raise Rejection(code, f"{column} is empty")
    return text


def _number(value: Any, column: str) -> float:
    """Read a target.

    Raises:
        Rejection: `missing_target`, `bad_target` or `infinite_target`.
    """
    text = "" if value is None else str(value).strip()
    if text.lower() in _MISSING:
        raise Rejection("missing_target", f"{column}: found {text!r}")
    try:
        number = float(text)
    except ValueError:
        raise Rejection(
            "bad_target", f"{column}: found {text[:40]!r}, expected a number"
        ) from None
    if not math.isfinite(number):
        raise Rejection("infinite_target", f"{column}: found {text!r}")
    return number


def _count(value: Any, column: str) -> int:
    try:
        number = float(str(value))
    except ValueError:
        number = 0.0
    if number < 1 or number % 1:
        raise Rejection(
            "bad_n_atoms", f"{column}: found {str(value)[:40]!r}, expected 1, 2, ..."
        )
    return int(number)


def _tokenise(rows: list[Row], vocabulary: Vocabulary, max_tokens: int) -> None:
    for row in rows:
        if row.problem:
            continue
        try:
            row.tokens = vocabulary.encode(row.sentence)
        except Rejection as rejection:
            row.problem = rejection.code, rejection.message
            continue
        if (n := len(row.tokens)) > max_tokens:
            row.problem = "too_long", f"found {n} tokens, expected at most {max_tokens}"


def _assemble(
    path: str | Path, rows: list[Row], columns: _Columns, sha256: str
) -> Table:
    used = [row for row in rows if not row.problem]
    rejects = [
        RowReject(row.line, row.id, row.problem[0], " ".join(row.problem[1].split()))
        for row in rows
        if row.problem
    ]
    if not used:
        raise TableError(
            f"{path}: no usable row of {len(rows)}"
            + (f"; set aside: {_reasons(rejects)}" if rejects else "")
        )
    values = np.array([row.targets for row in used], dtype=float)
    for name, column in zip(columns.targets, values.T, strict=True):
        if np.ptp(column) == 0:
            raise TableError(
                f"{path}: target {name} is {column[0]:g} in all {len(used)} usable "
                "rows, expected more than one value"
            )
    return Table(
        ids=[row.id for row in used],
        sentences=[row.sentence for row in used],
        tokens=[row.tokens for row in used],
        n_atoms=np.array([row.n_atoms for row in used], dtype=np.int64),
        space_group=np.array([row.space_group for row in used], dtype=np.int64),
        volume=np.array([row.volume for row in used], dtype=float),
        targets=values,
        target_names=columns.targets,
        split=[row.split for row in used] if columns.split else None,
        group=[row.group for row in used] if columns.group else None,
        rows=np.array([row.number for row in used], dtype=np.int64),
        rejects=rejects,
        sha256=sha256,
    )
