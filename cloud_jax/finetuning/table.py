"""A labelled table to sentences and targets; bad rows are set aside with their line.

The table is read twice: for ids, targets and other columns, which stay in memory, and
for the structures, which stream through worker processes.
"""

import csv
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from cloud_jax.cores import usable_cores
from cloud_jax.files import atomic_open
from cloud_jax.finetuning.crystals import encode_structures, join_dataset
from cloud_jax.finetuning.rows import LabelledTable, Row, TableError, open_table
from cloud_jax.scope import Rejection, Vocabulary, build_vocabulary
from cloud_jax.scope.options import Options
from cloud_jax.structures.columns import MISSING, plain_number


@dataclass(frozen=True)
class TableSpec:
    """Settings for reading a table: where it is, and what its columns mean.

    Exactly one of `structure_column`, `scope_column` and `dataset` says where the
    sentences come from.

    Attributes:
        path: of a CSV, JSON (MatBench's, or a list of objects), JSON lines (each also
            .gz, .bz2, .zip) or Parquet file; or the word of a public data set, such as
            `matbench:phonons`, with columns `id`, `structure`, `fold` and its targets.
        id_column: column with a different name in each row; empty: `line-N`.
        targets: columns with numbers, or with two classes.
        positives: one per target that is a class: the label that is 1, where the other
            one is 0; empty for numbers. Without any, all targets are numbers.
        structure_column: its cells are the path of a structure file, from the table's
            folder; CIF or POSCAR text; or the JSON of pymatgen, ASE or JARVIS.
        scope_column: its cells are sentences of the dialect.
        dataset: folder made by `cloud-jax preprocess`; its crystals are found by id,
            with or without the name of their source in front.
        n_atoms_column: atoms in the primitive cell; otherwise the structure says.
        split_column: for `folds_from_column`.
        group_column: for `folds_from_k`.
        options: dialect, symmetry search, longest sentence.
        cache: file for the outcome of reading structures, which are read once.
        data_dir: folder of public data sets: looked in first, downloaded to.

    Raises:
        TableError: not exactly one place where sentences come from.
    """

    path: str | Path
    id_column: str
    targets: tuple[str, ...]
    positives: tuple[str, ...] = ()
    structure_column: str | None = None
    scope_column: str | None = None
    dataset: str | Path | None = None
    n_atoms_column: str | None = None
    split_column: str | None = None
    group_column: str | None = None
    options: Options = field(default_factory=Options)
    cache: Path | None = None
    data_dir: str | Path = "data"

    def __post_init__(self):
        ways = filter(None, (self.structure_column, self.scope_column, self.dataset))
        if (n := len(list(ways))) != 1:
            raise TableError(
                f"{self.path}: found {n} of structure_column, scope_column and "
                "dataset, expected exactly one: where the crystals come from"
            )

    @property
    def label_columns(self) -> list[str]:
        """Return all columns but those of the crystals."""
        others = self.n_atoms_column, self.split_column, self.group_column
        return [*filter(None, (self.id_column, *self.targets, *others))]


class RowReject(NamedTuple):
    """A row that was set aside.

    Attributes:
        line: in the file, from 1.
        id: empty where the row has none.
        code: reason, for programs.
        message: reason, in words.
    """

    line: int
    id: str
    code: str
    message: str


class Table(NamedTuple):
    """The usable rows of a labelled table, in the order of the file.

    Attributes:
        ids: one per row, all different.
        sentences: in the dialect asked for.
        tokens: ids of each sentence, [CLS] and [SEP] included.
        n_atoms: atoms in the primitive cell, 0 where unknown.
        space_group: number, 0 where unknown.
        volume: of the primitive cell, angstrom^3, NaN where unknown.
        targets: in the units of the file, 0 or 1 for classes, NaN where a label is
            missing.
        split: values of the split column, or None.
        group: values of the group column, or None.
        rows: number of each row in the file, from 0, with rejects counted.
        rejects: the rows set aside, by line.
        sha256: of the file or files.
        classes: labels that are 0 and 1, by target that is a class.
    """

    ids: list[str]
    sentences: list[str]
    tokens: list[list[int]]
    n_atoms: Int[np.ndarray, " N"]
    space_group: Int[np.ndarray, " N"]
    volume: Float[np.ndarray, " N"]
    targets: Float[np.ndarray, "N P"]
    split: list[str] | None
    group: list[str] | None
    rows: Int[np.ndarray, " N"]
    rejects: list[RowReject]
    sha256: str
    classes: dict[str, tuple[str, str]] | None = None

    def summary(self) -> str:
        """Return a line with the number of usable rows and why others are not used."""
        n = len(self.ids) + len(self.rejects)
        text = f"{len(self.ids):,} of {n:,} rows are used"
        return text + (f"; set aside: {_reasons(self.rejects)}" if self.rejects else "")


def read_table(
    spec: TableSpec,
    vocabulary: Vocabulary | None = None,
    *,
    processes: int | None = None,
) -> Table:
    """Read a table of labelled crystals.

    Args:
        spec: which table, and what its columns mean.
        vocabulary: of a model; the dialect's own by default.
        processes: that read structures; one per core by default.

    Raises:
        TableError: the file or a column is missing, a target is constant or has no
            label, the data set was made with another symmetry search, no row is left,
            or the processes that read structures cannot work.
    """
    table = open_table(spec.path, spec.data_dir)
    rows = read_labels(table, spec)
    classes = number_classes(spec, rows)

    # Rows that are bad by now are not worth a symmetry search.
    good = [row for row in rows if not row.problem]
    if spec.structure_column:
        encode_structures(
            table,
            spec.structure_column,
            good,
            spec.options,
            processes or usable_cores(),
            cache=spec.cache,
        )
    elif spec.dataset:
        join_dataset(Path(spec.dataset), good, spec.options)
    vocabulary = vocabulary or build_vocabulary(spec.options.dialect)
    tokenise(good, vocabulary, spec.options.max_tokens)

    made = assemble(spec, rows, table.sha256(spec.label_columns))
    return made._replace(classes=classes)


def write_rejects(path: str | Path, rejects: Sequence[RowReject]) -> None:
    """Write a CSV with the columns line, id, code, message."""
    with atomic_open(Path(path), "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(RowReject._fields)
        writer.writerows(rejects)


def _reasons(rejects: Sequence[RowReject]) -> str:
    """Return the most frequent codes, each with an example."""
    first = {reject.code: reject for reject in reversed(rejects)}
    counts = Counter(reject.code for reject in rejects)
    return "; ".join(
        f"{n:,} {code}, as line {first[code].line} ({first[code].message})"
        for code, n in counts.most_common(5)
    )


def read_labels(table: LabelledTable, spec: TableSpec) -> list[Row]:
    """Return all rows with everything but structures; a bad row gets its problem."""
    structure = filter(None, (spec.scope_column, spec.structure_column))
    rows: list[Row] = []
    lines: dict[str, int] = {}
    columns = [*spec.label_columns, *structure]
    for number, (line, values) in enumerate(table.rows(columns)):
        row = Row(number, line)
        rows.append(row)
        try:
            if isinstance(values, str):
                raise Rejection("bad_row", values)
            row.id = f"line-{line}"
            if name := spec.id_column:
                row.id = _text(values[name], name, "missing_id")
            # Before the labels, so that a row without labels also claims its id.
            if (earlier := lines.setdefault(row.id, line)) != line:
                raise Rejection(
                    "duplicate_id", f"{row.id} is already the id of line {earlier}"
                )
            _take_labels(row, values, spec)
        except Rejection as rejection:
            row.problem = rejection.code, rejection.message
    return rows


def _take_labels(row: Row, values: dict[str, Any], spec: TableSpec) -> None:
    """Fill in the labels of a row and the other columns.

    Raises:
        Rejection: all labels are missing, another cell is empty, or a cell is not what
            its column holds.
    """
    positives = spec.positives or ("",) * len(spec.targets)
    row.targets = [
        class_word(values[name]) if positive else _label(values[name], name)
        for name, positive in zip(spec.targets, positives, strict=True)
    ]
    if all(_is_missing(label) for label in row.targets):
        raise Rejection("missing_target", f"{', '.join(spec.targets)}: no label")
    if name := spec.n_atoms_column:
        row.n_atoms = _count(values[name], name)
    if name := spec.split_column:
        row.split = _text(values[name], name, "missing_split")
        if row.split.lower() in MISSING:
            raise Rejection("missing_split", f"{name}: found {row.split!r}")
    if name := spec.group_column:
        row.group = _text(values[name], name, "missing_group")
    if name := spec.scope_column:
        row.sentence = " ".join(_text(values[name], name, "missing_sentence").split())


def _text(value: Any, column: str, code: str) -> str:
    """Return the text of a cell; raise Rejection with the code if it is empty."""
    empty = value is None or value != value  # NaN, as Parquet has it
    text = "" if empty else str(value).strip()
    if not text:
        raise Rejection(code, f"{column} is empty")
    return text


def _label(value: Any, column: str) -> float:
    """Return a label, NaN where it is missing.

    Raises:
        Rejection: `bad_target` or `infinite_target`.
    """
    text = "" if value is None else str(value).strip()
    if text.lower() in MISSING:
        return math.nan
    number = plain_number(text)
    if number is None:
        raise Rejection(
            "bad_target",
            f"{column}: found {text[:40]!r}, expected a number such as -1234.5 or 1e-3",
        )
    if math.isinf(number):
        raise Rejection("infinite_target", f"{column}: found {text[:40]!r}")
    return number


def class_word(value: Any) -> str:
    """Return the label of a class: in lower case, and 1 rather than 1.0."""
    text = "" if value is None else str(value).strip().lower()
    number = plain_number(text)
    return text if number is None else f"{number:.15g}"


def _is_missing(label: float | str) -> bool:
    """Return whether a number is NaN, or the word of a class stands for none."""
    return label in MISSING if isinstance(label, str) else math.isnan(label)


def number_classes(spec: TableSpec, rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """Replace the words of classes by 0, 1 or NaN; return the words, by target.

    Raises:
        TableError: a target does not have two classes, of which one is the expected.
    """
    found = {}
    labelled = [row for row in rows if row.targets]
    for i, (name, positive) in enumerate(
        zip(spec.targets, spec.positives, strict=False)
    ):
        if not positive:
            continue
        counts = Counter(row.targets[i] for row in labelled if not row.problem)
        counts = {word: n for word, n in counts.items() if word not in MISSING}
        wanted = class_word(positive)
        if len(counts) != 2 or wanted not in counts:
            words = ", ".join(f"{word[:20]!r} ({n})" for word, n in counts.items())
            raise TableError(
                f"{spec.path}: target {name}: found the labels {words or 'none'}, "
                f"expected {positive!r} (config.targets.positives) and one other"
            )
        (other,) = counts.keys() - {wanted}
        number = {other: 0.0, wanted: 1.0}
        for row in labelled:
            row.targets[i] = number.get(row.targets[i], math.nan)
        found[name] = other, wanted
    return found


def _count(value: Any, column: str) -> int:
    """Return a whole number from 1; raise Rejection for anything else."""
    number = plain_number(str(value).strip())
    if number is None or not 1 <= number < math.inf or number % 1:
        raise Rejection(
            "bad_n_atoms", f"{column}: found {str(value)[:40]!r}, expected 1, 2, ..."
        )
    return int(number)


def tokenise(rows: list[Row], vocabulary: Vocabulary, max_tokens: int) -> None:
    """Fill in the tokens of each good row; too many of them are a problem."""
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


def assemble(spec: TableSpec, rows: list[Row], sha256: str) -> Table:
    """Return the good rows as a table, with the others as its rejects.

    Raises:
        TableError: no row is left, or a target has no label or the same in all rows.
    """
    used = [row for row in rows if not row.problem]
    rejects = [
        RowReject(row.line, row.id, row.problem[0], " ".join(row.problem[1].split()))
        for row in rows
        if row.problem
    ]
    if not used:
        raise TableError(
            f"{spec.path}: no usable row of {len(rows)}"
            + (f"; set aside: {_reasons(rejects)}" if rejects else "")
        )
    targets = np.array([row.targets for row in used], dtype=float)
    for name, column in zip(spec.targets, targets.T, strict=True):
        labels = column[~np.isnan(column)]
        if not len(labels):
            raise TableError(
                f"{spec.path}: target {name} has no label in {len(used)} usable rows"
            )
        if np.ptp(labels) == 0:
            raise TableError(
                f"{spec.path}: target {name} is {labels[0]:g} in all {len(labels)} "
                "usable rows with a label, expected more than one value"
            )
    return Table(
        ids=[row.id for row in used],
        sentences=[row.sentence for row in used],
        tokens=[row.tokens for row in used],
        n_atoms=np.array([row.n_atoms for row in used], dtype=np.int64),
        space_group=np.array([row.space_group for row in used], dtype=np.int64),
        volume=np.array([row.volume for row in used], dtype=float),
        targets=targets,
        split=[row.split for row in used] if spec.split_column else None,
        group=[row.group for row in used] if spec.group_column else None,
        rows=np.array([row.number for row in used], dtype=np.int64),
        rejects=rejects,
        sha256=sha256,
    )
