"""A table of one's own: which columns hold crystals, ids and labels, and what labels.

Nothing is parsed here: a column is known by what its first cells look like, and labels
are counted. `own_config` then chooses the settings.
"""

import difflib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from cloud_jax.finetuning.crystals import is_file
from cloud_jax.finetuning.rows import LabelledTable, TableError, open_table
from cloud_jax.finetuning.table import class_word
from cloud_jax.finetuning.targets import TRUE_WORDS
from cloud_jax.scope import Rejection, build_vocabulary
from cloud_jax.structures.columns import (
    ID_COLUMNS,
    MISSING,
    STRUCTURE_COLUMNS,
    plain_number,
)

_SAMPLE = 100  # rows that show what a column holds
_FEWEST_LABELS = 10
_MOST_BAD = 0.1  # share of labels that may be no numbers; more are no accident
_IDS = (*ID_COLUMNS, "name", "identifier", "compound", "mineral")
_NEGATIONS = ("non", "not", "un", "in", "no")  # non-metal, unstable
_GROUPS = ("group", "groups", "group_id", "cluster")
_FOLDS = ("fold", "split")
# What a column of crystals looks like, the surest first.
_CIF, _POSCAR, _JSON, _FILE = "CIF text", "POSCAR text", "structures", "files"
SENTENCE = "sentences"
_CRYSTALS = (_CIF, _POSCAR, _JSON, _FILE, SENTENCE)


class Asked(NamedTuple):
    """What the command line says of a table.

    Attributes:
        targets: columns to learn.
        structure: column of crystals; empty: the one that looks like it.
        id: column of ids; empty: the first that is known and has no repeats.
        group: column of groups that folds keep together; empty: by name, or formulas.
        folds: number of random folds; 0: a column, or five.
        units: one per target, or none.
        classify: whether labels of two numbers are classes.
    """

    targets: Sequence[str]
    structure: str = ""
    id: str = ""
    group: str = ""
    folds: int = 0
    units: Sequence[str] = ()
    classify: bool = False


class Column(NamedTuple):
    """A column: its name, what its first cells look like, and one of them."""

    name: str
    look: str
    example: str

    def __str__(self) -> str:
        return f"{self.name} ({self.look}{self.example and ', as in ' + self.example})"


class Labels(NamedTuple):
    """The labels of one target.

    Attributes:
        name: of the column.
        n: how many there are.
        counts: of classes, by word; empty for numbers.
        positive: the class whose probability is learned; empty for numbers.
        said: what was found, for people.
    """

    name: str
    n: int
    counts: dict[str, int]
    positive: str
    said: str


class OwnTable(NamedTuple):
    """What a table holds.

    Attributes:
        path: as it was given.
        n_rows: all rows.
        crystals: the column of crystals.
        id_column: empty where rows are known by their line.
        group_column: empty: none.
        fold_column: empty: none.
        targets: labels of each target.
        notes: what was found beside these, for people.
    """

    path: str
    n_rows: int
    crystals: Column
    id_column: str
    group_column: str
    fold_column: str
    targets: list[Labels]
    notes: list[str]


def survey(path: str, asked: Asked, data_dir: str = "data") -> OwnTable:
    """Return what a table holds of what is asked for.

    Raises:
        TableError: a column is missing, or does not hold what it must; the message
            lists what the columns look like.
    """
    table = open_table(path, data_dir)
    names = table.columns()
    asked = asked._replace(targets=_split(asked.targets, names))
    columns = look_at(table, names)
    for name in (*asked.targets, asked.structure, asked.id, asked.group):
        _check_column(path, name, columns)
    if not asked.targets:
        numbers = [c.name for c in columns if c.look in ("numbers", "true or false")]
        raise TableError(
            f"{path}: which column is to be learned? Give --target COLUMN; "
            f"columns of numbers: {', '.join(numbers) or 'none'}"
        )
    crystals = choose_crystals(path, columns, asked)
    ids = [asked.id] if asked.id else _named(names, _IDS, asked.targets)
    group = asked.group or next(iter(_named(names, _GROUPS, asked.targets)), "")
    folds = [] if asked.folds else _named(names, _FOLDS, asked.targets)
    read = list(dict.fromkeys([*asked.targets, *ids]))
    cells: dict[str, list[tuple[int, Any]]] = {name: [] for name in read}
    n_rows = 0
    for line, values in table.rows(read):
        n_rows += 1
        for name in read if isinstance(values, dict) else ():
            cells[name].append((line, values[name]))
    id_column, notes = choose_id(path, ids, cells, required=bool(asked.id))
    targets = [
        count_labels(path, name, cells[name], classify=asked.classify)
        for name in asked.targets
    ]
    return OwnTable(
        path, n_rows, crystals, id_column, group, next(iter(folds), ""), targets, notes
    )


def _split(texts: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return columns given one by one, or several in a text, separated by commas."""
    found: list[str] = []
    for text in texts:
        parts = [text] if text in names else [part.strip() for part in text.split(",")]
        found += filter(None, parts)
    return list(dict.fromkeys(found))


def look_at(table: LabelledTable, names: Sequence[str]) -> list[Column]:
    """Return what each column looks like, from its first cells."""
    looks: dict[str, Counter] = {name: Counter() for name in names}
    examples: dict[tuple[str, str], str] = {}
    for _, values in islice(table.rows(names), _SAMPLE):
        for name in names if isinstance(values, dict) else ():
            if found := looks_like(values[name], table.folder):
                looks[name][found] += 1
                text = " ".join(str(values[name]).split())
                text = text if len(text) <= 24 else f"{text[:21]}..."
                examples.setdefault((name, found), text)
    columns = []
    for name, counts in looks.items():
        look = counts.most_common(1)[0][0] if counts else "empty"
        columns.append(Column(name, look, examples.get((name, look), "")))
    return columns


def looks_like(value: Any, folder: Path) -> str:
    """Return what a cell looks like; empty where it is missing.

    Args:
        value: of the cell.
        folder: that paths start from.
    """
    if not isinstance(value, str | bool | int | float | None):
        return _JSON
    text = "" if value is None else str(value).strip().replace("\\n", "\n")
    if text.lower() in MISSING:
        return ""
    if plain_number(text) is not None:
        return "numbers"
    if text.lower() in ("true", "false"):
        return "true or false"
    if "_cell_length_a" in text or text.startswith("data_"):
        return _CIF
    if text.startswith("{"):
        return _JSON
    lines = text.split("\n")
    if len(lines) > 5 and all(_are_numbers(line.split()) for line in lines[1:5]):
        return _POSCAR
    if text.count("|") == 2:
        try:
            build_vocabulary("canonical").encode(" ".join(text.split()))
            return SENTENCE
        except Rejection:
            return "sentences of another dialect"
    if len(lines) == 1 and is_file(folder / text):
        return _FILE
    if Path(text).suffix.lower() in (".cif", ".vasp", ".poscar", ".xyz"):
        return "files that are not there"
    return "text"


def _is_number(text: str) -> bool:
    """Return whether a text is a finite number."""
    number = plain_number(text)
    return number is not None and math.isfinite(number)


def _are_numbers(words: Iterable[str]) -> bool:
    return all(plain_number(word) is not None for word in words)


def _check_column(path: str, name: str, columns: Sequence[Column]) -> None:
    """Raise TableError for a column that is not there."""
    names = [column.name for column in columns]
    if not name or name in names:
        return
    near = difflib.get_close_matches(name.lower(), [n.lower() for n in names], 1, 0.5)
    near = [n for n in names if n.lower() in near]
    hint = f"did you mean {near[0]}? " if near else ""
    raise TableError(
        f"{path}: no column {name!r}; {hint}Columns: {', '.join(names) or 'none'}"
    )


def _named(
    names: Sequence[str], known: Sequence[str], targets: Sequence[str]
) -> list[str]:
    """Return the columns with known names, in the order of these."""
    lower = {name.lower(): name for name in names if name not in targets}
    return [lower[name] for name in known if name in lower]


def choose_crystals(path: str, columns: Sequence[Column], asked: Asked) -> Column:
    """Return the column of crystals.

    Raises:
        TableError: none looks like it; the message says what the columns look like.
    """
    known = [c for c in columns if c.look in _CRYSTALS and c.name not in asked.targets]
    if asked.structure:
        found = [column for column in known if column.name == asked.structure]
    else:
        found = sorted(
            known,
            key=lambda c: (_CRYSTALS.index(c.look), c.name not in STRUCTURE_COLUMNS),
        )
    if found:
        return found[0]
    which = f"column {asked.structure} holds" if asked.structure else "no column holds"
    no = "no " if asked.structure else ""
    raise TableError(
        f"{path}: {which} {no}crystals. Found: {'; '.join(map(str, columns))}. "
        "Expected CIF or POSCAR text, paths of such files from the table's folder, "
        "structures of pymatgen, ASE or JARVIS in JSON, or sentences of `cloud-jax "
        "scope`: name the column with --structure"
    )


def choose_id(
    path: str,
    names: Sequence[str],
    cells: dict[str, list[tuple[int, Any]]],
    *,
    required: bool,
) -> tuple[str, list[str]]:
    """Return the first column without repeats, empty if none, and notes on others.

    Raises:
        TableError: the required column has repeats.
    """
    notes = []
    for name in names:
        lines: dict[str, int] = {}
        for line, value in cells[name]:
            earlier = lines.setdefault(str(value).strip(), line)
            if earlier != line:
                break
        else:
            return name, notes
        where = f"{str(value).strip()!r} in lines {earlier} and {line}"
        if required:
            raise TableError(
                f"{path}: column {name} has {where}; expected another id in every "
                "row: correct them, or leave --id out, which counts lines"
            )
        notes.append(f"column {name} has {where}: it is not taken as the id")
    return "", notes


def count_labels(
    path: str, name: str, cells: Sequence[tuple[int, Any]], *, classify: bool
) -> Labels:
    """Return the labels of a target.

    Args:
        path: of the table.
        name: of the target.
        cells: line and value of each row.
        classify: whether two numbers are two classes.

    Raises:
        TableError: neither numbers nor two classes, or too few of them.
    """
    words = [(line, class_word(value)) for line, value in cells]
    words = [(line, word) for line, word in words if word not in MISSING]
    counts = Counter(word for _, word in words)
    texts = [(line, word) for line, word in words if not _is_number(word)]
    where, n = f"{path}: target {name}", len(words)
    if classify or (len(texts) == n and n):
        return _classes(where, name, counts)
    if len(texts) > _MOST_BAD * n:
        examples = ", ".join(
            f"{word[:20]!r} in line {line}" for line, word in texts[:3]
        )
        raise TableError(
            f"{where}: {len(texts)} of {n} labels are no numbers: {examples}. Write "
            "numbers alone, without units, or nothing where a label is missing"
        )
    numbers = [float(word) for _, word in words if _is_number(word)]
    if len(numbers) < _FEWEST_LABELS:
        raise TableError(
            f"{where}: found {len(numbers)} labels in {len(cells)} rows, expected at "
            f"least {_FEWEST_LABELS}: two in each of five folds"
        )
    if len(set(numbers)) == 1:
        raise TableError(
            f"{where}: all {len(numbers)} labels are {numbers[0]:g}: there is nothing "
            "to learn; choose another column"
        )
    said = f"numbers from {min(numbers):g} to {max(numbers):g}"
    if len(counts) == 2:
        said += "; of two values alone: --classify makes classes of them"
    if texts:
        line, word = texts[0]
        said += f"; {len(texts)} set aside, as {word[:20]!r} in line {line}"
    return Labels(name, len(numbers), {}, "", said)


def _classes(where: str, name: str, counts: Counter) -> Labels:
    """Return labels of two classes.

    Raises:
        TableError: there are not two, or one has too few rows.
    """
    found = ", ".join(f"{word[:20]!r} ({n})" for word, n in counts.most_common(5))
    if len(counts) != 2:
        raise TableError(
            f"{where}: found {len(counts)} different labels: {found or 'none'}; "
            "expected numbers (1.5 rather than 1,5 or 1.5 eV), or two classes such as "
            "true and false"
        )
    if min(counts.values()) < _FEWEST_LABELS // 2:
        raise TableError(
            f"{where}: found {found}; expected at least {_FEWEST_LABELS // 2} rows of "
            "each class, one in each of five folds"
        )
    positive = _positive(*counts)
    said = f"two classes, {found}: learns the probability of {positive!r}"
    return Labels(name, counts.total(), dict(counts), positive, said)


def _positive(first: str, second: str) -> str:
    """Return the class of two whose probability is learned.

    That is the word for true, the one that the other negates (`stable` beside
    `unstable`), the larger number, or the last by alphabet.
    """
    for one, other in ((first, second), (second, first)):
        prefix = other.removesuffix(one).rstrip(" -_")
        if one in TRUE_WORDS or prefix in _NEGATIONS:
            return one
    numbers = plain_number(first), plain_number(second)
    if None not in numbers:
        return first if numbers[0] > numbers[1] else second
    return max(first, second)
