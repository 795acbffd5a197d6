"""Read predictions and references of MatBench Discovery, as tables by crystal id."""

import zlib
from collections.abc import Sequence
from gzip import BadGzipFile
from itertools import takewhile
from lzma import LZMAError
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import pandas as pd

ID, E_FORM, E_HULL, UNIQUE = (
    "material_id", "e_form_per_atom", "e_above_hull", "unique_prototype",
)  # fmt: skip
# {column of the published summary of WBM: our name of it}
_PUBLISHED = {
    "e_form_per_atom_mp2020_corrected": E_FORM,
    "e_above_hull_mp2020_corrected_ppd_mp": E_HULL,
}
_RUN = ["fold", "id", "target", "unit", "true", "predicted"]
_TRUE = {"true": True, "1": True, "1.0": True}
_FALSE = {"false": False, "0": False, "0.0": False}
UNIT = "eV/atom"
_DAMAGE = (BadGzipFile, BadZipFile, EOFError, LZMAError, UnicodeError, zlib.error)


class Predictions(NamedTuple):
    """The predictions of a model.

    Attributes:
        energy: formation energy by id, eV/atom; NaN where there is none.
        true: labels of the same crystals; None where the file has none.
        column: target of the run, or column of the table.
    """

    energy: pd.Series
    true: pd.Series | None
    column: str


def read_predictions(path: Path, target: str = "") -> Predictions:
    """Read the predictions.csv of a finished run, or a CSV of ids and predictions.

    Args:
        path: folder of the run, or the file; .gz and the like are unpacked.
        target: target of the run, or column where there are several.

    Raises:
        OSError: there is no such file.
        ValueError: the table or the unit is another, an id occurs twice, or a
            prediction is not a number.
    """
    if path.is_dir():
        if not (path / "predictions.csv").exists():
            raise FileNotFoundError(
                f"{path}: holds no predictions.csv, so it is not a "
                "finished fine-tuning run; finish it, or give a CSV of material_id "
                "and prediction"
            )
        path = path / "predictions.csv"
    table = _read(path)
    if set(_RUN) <= set(table):
        table = _rows_of(table, target or E_FORM, path)
        energy, true = (
            _numbers(table, name, path).set_axis(table["id"])
            for name in ("predicted", "true")
        )
        return Predictions(energy, true, target or E_FORM)
    column = _prediction_column(table, target, path)
    return Predictions(_by_id(table, path)(_numbers(table, column, path)), None, column)


def read_reference(path: Path) -> pd.DataFrame:
    """Read the summary of WBM, or a user's table of the same.

    Returns:
        `e_above_hull` (eV/atom), and `e_form_per_atom` (eV/atom) and
        `unique_prototype` where the file has them, by id.

    Raises:
        OSError: there is no such file.
        ValueError: it has no hull distance, an id occurs twice, or a cell does not
            have the type of its column.
    """
    table = _read(path)
    if {*_PUBLISHED} & {*table}:  # whose columns of our names are other references
        table = table.drop(columns=[E_FORM, E_HULL], errors="ignore")
    table = table.rename(columns=_PUBLISHED)
    if E_HULL not in table:
        raise ValueError(
            f"{path}: found columns {', '.join(table)}; expected {ID} and {E_HULL} "
            f"(eV/atom), and if known {E_FORM} and {UNIQUE}; or the published summary, "
            f"whose columns are {' and '.join(_PUBLISHED)}"
        )
    by_id = _by_id(table, path)
    found = {
        name: by_id(_numbers(table, name, path))
        for name in (E_HULL, E_FORM)
        if name in table
    }
    if UNIQUE in table:
        words = table[UNIQUE].str.strip().str.lower()
        known = words.map(_TRUE | _FALSE)
        _refuse(known.isna(), table, UNIQUE, "True or False", path)
        found[UNIQUE] = by_id(known.astype(bool))
    return pd.DataFrame(found)


def read_note(path: Path) -> str:
    """Return the comment lines above the header; compressed files have none."""
    return " ".join(line.lstrip("# ").rstrip() for line in _comments(path))


def _comments(path: Path) -> list[str]:
    if path.suffix != ".csv":
        return []
    with path.open(encoding="utf-8", errors="replace") as file:
        return list(takewhile(lambda line: line.startswith("#"), file))


def read_arrays(path: Path) -> pd.Series:
    """Read the formation energies of wbm_initial_structures.npz by id, eV/atom.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged or has other arrays.
    """
    try:
        with path.open("rb") as file, np.load(file) as data:
            energy = data["e_form_per_atom_mp2020_corrected"].astype(float)
            return pd.Series(energy, index=data[ID].tolist())
    except (KeyError, TypeError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path}: {error}: expected the arrays of WBM; the file is damaged, or "
            "another one"
        ) from error


def _read(path: Path) -> pd.DataFrame:
    """Read a CSV; all cells are text, empty ones too."""
    try:
        return pd.read_csv(
            path, dtype=str, keep_default_na=False, skiprows=len(_comments(path))
        )
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{path}: is empty, expected a line of column names") from (
            error
        )
    except (*_DAMAGE, pd.errors.ParserError) as error:
        raise ValueError(f"{path}: not a CSV, or damaged ({error})") from error


def _rows_of(table: pd.DataFrame, target: str, path: Path) -> pd.DataFrame:
    """Return the rows of one target of a run."""
    rows = table[table.target == target].reset_index(drop=True)
    if rows.empty:
        found = ", ".join(dict.fromkeys(table.target)) or "none"
        raise ValueError(
            f"{path}: found the targets {found}; expected {target}, the formation "
            "energy per atom: name yours with --target"
        )
    if units := sorted({*rows.unit} - {UNIT}):
        raise ValueError(
            f"{path}: target {target}: found the unit {units[0] or '(none)'}, expected "
            f"{UNIT}, in which the hull is"
        )
    _refuse_twins(rows["id"], path)
    return rows


def _prediction_column(table: pd.DataFrame, wanted: str, path: Path) -> str:
    """Return the name of the column that holds the predictions of a plain table."""
    others = [name for name in table if name != ID]
    likely = [name for name in others if name.startswith(E_FORM)]
    names: Sequence[str] = [wanted] if wanted else likely or others
    if E_FORM in names:
        names = [E_FORM]
    if ID not in table or len(names) != 1 or names[0] not in table:
        raise ValueError(
            f"{path}: found columns {', '.join(table)}; expected those of a run's "
            f"predictions.csv ({','.join(_RUN)}), or {ID} and "
            f"{wanted or 'one column of predictions: name it with --target'}"
        )
    return names[0]


def _by_id(table: pd.DataFrame, path: Path):
    """Return a function that indexes a column of the table by id."""
    if ID not in table:
        raise ValueError(f"{path}: found columns {', '.join(table)}; expected {ID}")
    _refuse_twins(table[ID], path)
    return lambda column: column.set_axis(table[ID])


def _refuse_twins(ids: pd.Series, path: Path) -> None:
    twins = ids[ids.duplicated()].unique()
    if len(twins):
        raise ValueError(
            f"{path}: {len(twins):,} ids occur more than once, {', '.join(twins[:3])}; "
            "expected one row per crystal (average several folds first)"
        )


def _numbers(table: pd.DataFrame, column: str, path: Path) -> pd.Series:
    """Return a column as numbers; empty cells are NaN."""
    words = table[column].str.strip()
    numbers = pd.to_numeric(words, errors="coerce").astype(float)
    empty = words.str.lower().isin(["", "nan", "none", "null"])
    _refuse(
        ~np.isfinite(numbers) & ~empty,
        table,
        column,
        "a number, or an empty cell",
        path,
    )
    return numbers


def _refuse(
    bad: pd.Series, table: pd.DataFrame, column: str, expected: str, path: Path
) -> None:
    """Raise ValueError with the first bad cell of a column, if there is any."""
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        name = table[ID if ID in table else "id"].iloc[first]
        raise ValueError(
            f"{path}: column {column}, {name}: found {table[column].iloc[first]!r} "
            f"(and {int(bad.sum()) - 1:,} more), expected {expected}"
        )
