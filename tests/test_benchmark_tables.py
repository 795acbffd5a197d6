"""Tables of benchmarks from other files: which crystal a row gets, and its energy."""

import numpy as np
import pandas as pd
import pytest

from cloud_jax.scope.pipeline import Record
from scripts.make_benchmark_tables import match, more_energies

OFFICIAL = pd.DataFrame(
    {
        "id": ["row-1", "row-2", "row-3"],
        "composition": ["Na4 Cl4", "Si2", "Si2"],
        "spg_num": [225, 227, 96],
    }
)


def record(formula: str, group: int, n_atoms: int, sentence: str) -> Record:
    return Record("", formula, group, n_atoms, 20.0, [], "", sentence, [])


def matches(crystals: dict) -> dict[str, str]:
    rows, _ = match(OFFICIAL, crystals)
    return dict(zip(rows.id, rows.canonical, strict=True))


def test_a_row_gets_the_crystal_of_its_formula_group_and_atoms():
    crystals = {
        "agl/1": record("Cl1 Na1", 225, 8, "salt"),
        "agl/2": record("Si1", 227, 8, "more atoms"),
        "agl/3": record("Si1", 92, 2, "the other hand"),
    }
    assert matches(crystals) == {"row-1": "salt", "row-3": "the other hand"}


def test_a_row_with_two_sentences_gets_none_unless_one_is_of_materials_project():
    crystals = {
        "wbm/1": record("Cl1 Na1", 225, 8, "one"),
        "wbm/2": record("Cl1 Na1", 225, 8, "other"),
        "wbm/3": record("Si1", 227, 2, "one"),
        "mp-40/3": record("Si1", 227, 2, "other"),
    }
    assert matches(crystals) == {"row-2": "other"}


def test_energies_with_other_corrections_are_shifted_by_what_both_have():
    shifts = {"Na": 0.0, "O": 0.3, "S": -0.4}
    formulas = ["Na2 O1", "Na1 O1", "Na2 S1", "Na1 S1", "O2 S1", "O3 S1", "Na1 O2"]
    counts = [{w[:-1]: int(w[-1]) for w in f.split()} for f in formulas]
    shift = [sum(c[e] * shifts[e] for e in c) / sum(c.values()) for c in counts]
    legacy = pd.DataFrame(
        {"id": formulas, "canonical": formulas, "n_atoms": 3, "formula": formulas}
    ).assign(e_form=np.linspace(-2, -1, len(formulas)), fold="fold_0")
    ours = legacy[:-1].drop(columns="e_form").assign(fold="train")
    ours["e_form_per_atom"] = legacy.e_form + shift
    more = more_energies(ours, legacy)
    assert more.id.tolist() == formulas
    assert more.e_form_per_atom.iloc[-1] == pytest.approx(-1 + shift[-1], abs=2e-3)
    assert more.fold.iloc[-1] == "train"
