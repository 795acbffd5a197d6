"""The atoms of a CIF: rounded special positions, labels, hydrogens, near atoms."""

import pytest

from cloud_jax.scope import Rejection, encode, sentence
from cloud_jax.structures.readers import read_cif


def cif(rows, *, columns="", cell=(3.2, 3.2, 5.2, 90, 90, 120), head=""):
    """Return a CIF of rows such as `Mg1 Mg 0.33 0.67 0.25`."""
    names = [f"_cell_length_{x}" for x in "abc"]
    names += [f"_cell_angle_{x}" for x in ("alpha", "beta", "gamma")]
    lines = ["data_x", *(f"{n} {v}" for n, v in zip(names, cell, strict=True))]
    columns = f"label type_symbol fract_x fract_y fract_z {columns}".split()
    lines += [head, "loop_", *(f"_atom_site_{name}" for name in columns)]
    return "\n".join([*lines, *rows.strip().split("\n"), ""])


def group(name):
    return f"_symmetry_space_group_name_H-M '{name}'"


CUBIC = (4, 4, 4, 90, 90, 90)
HCP = group("P 63/m m c")


def orbits(text):
    return [f"{o.element} {o.symbol}" for o in encode(read_cif(text)).orbits]


def rejection(text):
    with pytest.raises(Rejection) as caught:
        encode(read_cif(text))
    return caught.value


@pytest.mark.parametrize(
    "point",
    [
        "0.33 0.67 0.25",
        "0.33 0.66 0.25",  # cut off, not rounded
        "0.333 0.667 0.25",
        ".3333 .6667 .2500",
        "0.33300 0.66700 0.25000",  # printed with the width of a table
        "0.3333 0.667 0.25",
        "-0.667 -0.333 0.25",
        "0.333(1) 0.667(1) 0.2500(10)",
        "0.33329 0.66671 0.25",
    ],
)
@pytest.mark.parametrize("length", [3.2, 12.0])
def test_a_rounded_special_position_is_one_atom(point, length):
    cell = (length, length, 1.6 * length, 90, 90, 120)
    text = cif(f"Mg1 Mg {point}", cell=cell, head=HCP)
    assert len(read_cif(text).species) == 2
    assert orbits(text) == ["Mg 2c"]


@pytest.mark.parametrize(
    ("name", "cell", "point", "expected"),
    [
        # (x, 2x, z) of a long cell, four digits: CHA of the zeolites.
        (
            "R -3 m",
            (13.7, 13.7, 14.8, 90, 90, 120),
            "0.9767 0.3101 0.1667",
            "18g",
        ),
        ("P 63/m m c", (30, 30, 40, 90, 90, 120), "0.1233 0.2467 0.25", "6h"),
        ("I a -3 d", (12, 12, 12, 90, 90, 90), "0.125 0.0 0.25", "24c"),
        ("P -3 m 1", (10, 10, 10, 90, 90, 120), "0.17 0.34 0.2", "6i"),
        ("F d -3 m :1", (8, 8, 8, 90, 90, 90), "0.62 0.62 0.62", "16d"),
        ("P m -3 m", (20, 20, 20, 90, 90, 90), "0.123 0.124 0.2", "24m"),
    ],
)
def test_rounding_counts_in_each_system(name, cell, point, expected):
    assert orbits(cif(f"O1 O {point}", cell=cell, head=group(name))) == [
        f"O {expected}"
    ]


def test_mixed_rows_are_rounded_together():
    text = cif(
        "Si1 Si 0.333 0.667 0.25 0.88\nAl1 Al 0.3333 0.6667 0.25 0.12",
        columns="occupancy",
        head=HCP,
    )
    assert read_cif(text).species == ((("Al", 0.12), ("Si", 0.88)),) * 2


@pytest.mark.parametrize(
    ("row", "atoms"),
    [
        # Half-occupied images 0.2 A apart may be alternatives; the file can tell.
        ("O1 O 0.01 0.1 0.2 1.0 ?", 4),
        ("O1 O 0.01 0.1 0.2 0.5 ?", 8),
        ("O1 O 0.01 0.1 0.2 0.5 8", 8),
        ("O1 O 0.01 0.1 0.2 0.5 4", 4),
        ("O1 O 0.001 0.1 0.2 0.5 ?", 8),
        ("O1 O 0.001 0.1 0.2 0.5 4", 4),
        ("O1 O 0.0004 0.1 0.2 0.5 ?", 4),
        ("O1 O 0.001 0.1 0.2 0.5 8", 8),
        # Older files have the order of the site symmetry in this column.
        ("O1 O 0.0123456 0.1 0.2 1.0 2", 4),
        ("O1 O 0.01 0.1 0.2 0.5 1", 8),
        # Calculated, not rounded, but the file counts the atoms.
        ("O1 O 0.0123456 0.1 0.2 1.0 4", 4),
    ],
)
def test_occupancy_and_multiplicity_tell_split_sites_from_rounding(row, atoms):
    columns = "occupancy site_symmetry_multiplicity"
    head = group("P m m m")
    text = cif(row, columns=columns, cell=(10, 11, 12, 90, 90, 90), head=head)
    assert len(read_cif(text).species) == atoms


@pytest.mark.parametrize(
    ("rows", "head", "words"),
    [
        ("Si1 Si 0.0123 0.1 0.2", group("P m m m"), "Si1: an image under the space"),
        ("Si1 Si 0 0 0\nO2 O 0.09 0 0", "", r"(Si1 and O2 of the file) are 0.3600 A"),
        ("H1 H 0 0 0\nO2 O 0 0.1 0", "", r"(H1 and O2 of the file) are 0.4000 A"),
        (
            "O2 O 0 0 0\nO2 O 0 0 0",
            group("P m m m"),
            "(O2 and O2 of the file) are 0.0000 A",
        ),
        (
            "O1 O .2 .3 0\nO2 O .8 .3 0\nO3 O 0 0 0",
            group("P m m m"),
            "rows O1, O2 fall on one point",
        ),
        (
            "O1 O .2 .3 0\nO2 O 0 0 0\nO3 O 0 0 0",
            group("P m m m"),
            "rows O2, O3: found occupancies {'O': 2.0} on one site",
        ),
    ],
)
def test_atoms_nearer_than_any_bond_are_refused_by_their_rows(rows, head, words):
    found = rejection(cif(rows, cell=CUBIC, head=head))
    assert found.code in ("overlapping_sites", "occupancy")
    assert words in found.message


def test_hydrogen_molecules_and_alternatives_may_be_near():
    encode(read_cif(cif("H1 H 0 0 0\nH2 H 0.185 0 0", cell=CUBIC)))
    rows = "O1 O 0 0 0 0.5\nO2 O 0.09 0 0 0.5"
    encode(read_cif(cif(rows, columns="occupancy", cell=CUBIC)))


@pytest.mark.parametrize(
    ("name", "formula", "element"),
    [
        ("? WatX1", "", "O"),
        ("? Wat", "", "O"),
        ("? Ob1", "", "O"),
        ("? OH1", "", "O"),
        ("? O1W", "", "O"),
        ("H2O Wat", "", "O"),
        ("? H2O3w", "", "H"),
        ("? Cx", "C H4", "C"),
        ("? Ca1", "C12 H22 O11", "C"),
        ("? Ca1", "Ca O", "Ca"),
        ("? Os", "O2 S", "O"),
        ("? NO3", "K N O3", "N"),
        ("? SiT1m", "Si O2", "Si"),
        ("? Fe3+M1", "Fe2 O3", "Fe"),
        ("? CL-", "", "Cl"),
        ("? fe2", "", "Fe"),
        (". Na1", "", "Na"),
        ("FE3+ X1", "", "Fe"),
        ("O2- X1", "", "O"),
        ("Ti+4 X1", "", "Ti"),
        ("D D1", "", "H"),
        ("? Dw", "", "H"),
        ("? D1", "", "H"),
        ("2H H1", "", "H"),
        ("T H1", "", "H"),
        ("Dy D1", "", "Dy"),
    ],
)
def test_a_name_stands_for_an_element(name, formula, element):
    kind, label = name.split()
    head = f"_chemical_formula_sum '{formula}'" if formula else ""
    assert read_cif(cif(f"{label} {kind} 0 0 0", head=head)).species == (element,)


@pytest.mark.parametrize(
    "name",
    [
        *("'Nb,Zr' M1", "Nb/Zr M1", "NbZr M1", "Nb0.5Zr0.5 M1", "'Si / Al' T1"),
        "Na0.5K0.5 M1",
        *(
            "? NbZr1",
            "? T1",
            "? Cx",
            "? Cent",
            "Du X1",
            "? Bq1",
            "? M1",
            "? Q1",
            "X C1",
        ),
    ],
)
def test_a_name_of_no_or_several_elements_is_refused_with_its_row(name):
    kind, label = name.rsplit(" ", 1)
    found = rejection(cif(f"O1 O 0.5 0 0\n{label} {kind} 0 0 0", cell=CUBIC))
    assert found.code == "unknown_species"
    assert found.message.startswith(f"row 2 ({label}): found ")


def test_a_row_without_a_name_is_refused_by_its_number():
    found = rejection(cif("O1 O 0.5 0 0\n? . 0 0 0", cell=CUBIC))
    assert found.message.startswith("row 2 (atom in row 2): found ''")


@pytest.mark.parametrize("flag", ["dum", "Dum", "'dum'"])
def test_dummies_are_not_atoms(flag):
    rows = f"C1 C 0.1 0.2 0.3 d\nCent C 0.5 0.5 0.5 {flag}\nX1 X 0 0 0 {flag}"
    assert read_cif(cif(rows, columns="calc_flag", cell=CUBIC)).species == ("C",)


@pytest.mark.parametrize(
    ("rows", "columns", "flags"),
    [
        ("Ca Ca 0 0 0 0\nOw O .5 .5 .5 2", "attached_hydrogens", ["hydrogens_missing"]),
        ("Ca Ca 0 0 0 .\nOw O .5 .5 .5 1", "attached_hydrogens", ["hydrogens_missing"]),
        ("Ca Ca 0 0 0 0\nO1 O .5 .5 .5 ?", "attached_hydrogens", []),
        ("Ca Ca 0 0 0\nO-H1 O .5 .5 .5", "", ["hydrogens_missing"]),
        ("Ca Ca 0 0 0\nWat2 ? .5 .5 .5", "", ["hydrogens_missing"]),
        ("Ca Ca 0 0 0\nO1W O .5 .5 .5", "", ["hydrogens_missing"]),
        ("Ca Ca 0 0 0\nOw O .5 .5 .5\nHw H .5 .5 .75", "", []),
        ("O1 O .5 .5 .5\nH1 H ? ? ?", "", ["hydrogens_missing"]),
        ("O1 O .5 .5 .5\nD1 D . . .", "", ["hydrogens_missing", "isotope"]),
    ],
)
def test_hydrogens_without_a_position_are_flagged(rows, columns, flags):
    cell = read_cif(cif(rows, columns=columns, cell=CUBIC))
    assert [flag for flag in cell.flags if flag != "decorated"] == flags


@pytest.mark.parametrize(
    ("formula", "missing"),
    [("Ca O2 H2", True), ("Ca D2 O2", True), ("Ca O2", False), ("Hg O2", False)],
)
def test_a_formula_tells_of_hydrogens(formula, missing):
    head = f"_chemical_formula_sum '{formula}'"
    cell = read_cif(
        cif("Ca Ca 0 0 0\nO1 O .5 .5 0\nO2 O .5 0 .5", cell=CUBIC, head=head)
    )
    assert ("hydrogens_missing" in cell.flags) == missing


def test_occupancies_that_pass_one_a_little_are_scaled():
    rows = "V1 V 0 0 0 0.549\nW1 W 0 0 0 0.463\nO1 O .5 .5 .5 1.02"
    cell = read_cif(cif(rows, columns="occupancy", cell=CUBIC))
    assert cell.species == ((("V", 0.54249), ("W", 0.45751)), "O")
    assert cell.flags == ("occupancies_scaled",)
    more = rows.replace("0.549", "0.649")
    assert rejection(cif(more, columns="occupancy", cell=CUBIC)).code == "occupancy"


def test_rows_without_any_coordinates_are_not_atoms():
    found = rejection(cif("Na1 Na ? ? ?\nCl1 Cl . . ."))
    assert (found.code, found.message[:13]) == ("no_atoms", "found rows of")


def test_split_sites_are_not_merged_beyond_rounding():
    # 0.462 would be twice 0.231, but it is 0.464: two of the last digit.
    head = group("P 63 m c")
    rows = "O1 O 0.23100 0.46400 0.703 0.07"
    text = cif(rows, columns="occupancy", cell=(5.3, 5.3, 12.8, 90, 90, 120), head=head)
    assert len(read_cif(text).species) == 12
    assert len(read_cif(text.replace("0.46400", "0.46100")).species) == 6


def test_an_atom_without_a_position_is_refused():
    assert rejection(cif("O1 O 0 0 0\nHf1 Hf ? ? ?")).code == "bad_coordinates"
    assert rejection(cif("H1 H ? ? ?")).code == "no_atoms"


def test_the_sentence_of_a_rounded_crystal_is_that_of_the_exact_one():
    exact = cif(f"Mg1 Mg {1 / 3:.8f} {2 / 3:.8f} 0.25", head=HCP)
    rounded = cif("Mg1 Mg 0.33 0.67 0.25", head=HCP)
    words = {sentence(encode(read_cif(text)), "canonical") for text in (exact, rounded)}
    assert len(words) == 1
