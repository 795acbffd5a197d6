"""The space group of a CIF, however it is written: right, or refused with a reason."""

import gemmi
import pytest

from cloud_jax.scope import Rejection, encode, sentence
from cloud_jax.structures.cif import read_cif
from cloud_jax.structures.settings import settings_of_name

CUBIC = 90, 90, 90
ROCK_SALT = (5.64, 5.64, 5.64, *CUBIC), "Na 0 0 0\nCl .5 .5 .5"
SPINEL = (
    (8.083, 8.083, 8.083, *CUBIC),
    ("Mg .125 .125 .125\nAl .5 .5 .5\nO .2626 .2626 .2626"),
)
DIAMOND = (3.567, 3.567, 3.567, *CUBIC), "C .125 .125 .125"
ARSENIC = (3.76, 3.76, 10.55, 90, 90, 120), "As 0 0 .227"
RHOMBOHEDRAL = (4.13, 4.13, 4.13, 54.1, 54.1, 54.1), "As .227 .227 .227"
CALCITE = (
    (6.36, 6.36, 6.36, 46.1, 46.1, 46.1),
    ("Ca 0 0 0\nC .25 .25 .25\nO .507 -.007 .25"),
)
ONE_ATOM = "Si .1 .2 .3"
UNIQUE_A = (5, 7, 9, 100, 90, 90), ONE_ATOM
UNIQUE_C = (5, 7, 9, 90, 90, 100), ONE_ATOM
ANATASE = (3.785, 3.785, 9.514, *CUBIC), "Ti 0 .75 .125\nO 0 .75 .3331"
NAME = "_symmetry_space_group_name_H-M"
NUMBER = "_symmetry_Int_Tables_number"
LIST = "loop_\n_symmetry_equiv_pos_as_xyz"


def cif(cell, atoms: str, *lines: str) -> str:
    names = ("length_a", "length_b", "length_c")
    names += ("angle_alpha", "angle_beta", "angle_gamma")
    text = "\n".join(f"_cell_{n} {v}" for n, v in zip(names, cell, strict=True))
    text = "\n".join(("data_x", text, *lines, "loop_", "_atom_site_label"))
    return f"{text}\n" + "".join(f"_atom_site_fract_{x}\n" for x in "xyz") + atoms


def listed(name: str) -> str:
    """Return the loop of operations of a setting, named as in gemmi's table."""
    operations = gemmi.SpaceGroup(name).operations()
    return "\n".join((LIST, *(operation.triplet() for operation in operations)))


def without_centrings(name: str) -> str:
    """Return the loop of a setting as SHELX lists it; it may be no group."""
    operations = gemmi.SpaceGroup(name).operations().sym_ops
    return "\n".join((LIST, *(operation.triplet() for operation in operations)))


def orbits(text: str) -> str:
    scope = encode(read_cif(text))
    return f"{scope.space_group} {sentence(scope, 'canonical').split(' | ')[1]}"


def refusal(text: str) -> str:
    with pytest.raises(Rejection) as caught:
        read_cif(text)
    assert caught.value.code == "bad_symmetry"
    return caught.value.message


@pytest.mark.parametrize(
    ("crystal", "lines", "expected"),
    [
        (ROCK_SALT, f"{NAME} 'F 4/m -3 2/m'", "225 Na 4a Cl 4b"),
        (ROCK_SALT, f"{NAME} FM-3M", "225 Na 4a Cl 4b"),
        (ROCK_SALT, f"{NAME} 'F m 3 m'", "225 Na 4a Cl 4b"),
        (ROCK_SALT, f"{NAME} 'F m -3 m (No. 225)'", "225 Na 4a Cl 4b"),
        (ROCK_SALT, f"{NAME} 'F m -3 m, No. 225'", "225 Na 4a Cl 4b"),
        (ROCK_SALT, f"{NAME} Fm\N{MINUS SIGN}3m", "225 Na 4a Cl 4b"),
        (ROCK_SALT, f"{NAME} 'F m 3\N{COMBINING OVERLINE} m'", "225 Na 4a Cl 4b"),
        (ROCK_SALT, "_space_group_name 'F m -3 m'", "225 Na 4a Cl 4b"),
        (ROCK_SALT, "_space_group_name_H-M_full 'F 4/m -3 2/m'", "225 Na 4a Cl 4b"),
        (ROCK_SALT, "_space_group_name_H-M_alt 'F m -3 m'", "225 Na 4a Cl 4b"),
        (ROCK_SALT, "_space_group.name_H-M_alt 'F m -3 m'", "225 Na 4a Cl 4b"),
        (ROCK_SALT, "_space_group.IT_number 225", "225 Na 4a Cl 4b"),
        (ROCK_SALT, "_SPACE_GROUP.IT_NUMBER 225", "225 Na 4a Cl 4b"),
        (ROCK_SALT, "_space_group_IT_number 'No. 225'", "225 Na 4a Cl 4b"),
        (ROCK_SALT, "_symmetry.Int_Tables_number \"225\"", "225 Na 4a Cl 4b"),
        (ROCK_SALT, "_space_group_name_Hall '-F 4 2 3'", "225 Na 4a Cl 4b"),
        (ROCK_SALT, "_space_group_name_Schoenflies 'O_h^5'", "225 Na 4a Cl 4b"),
        (ROCK_SALT, f"{NAME} ?\n{NUMBER} 225", "225 Na 4a Cl 4b"),
        (ROCK_SALT, f"{LIST}\n?\n{NAME} 'F m -3 m'", "225 Na 4a Cl 4b"),
        (ROCK_SALT, f"{LIST}\n.\n.\n{NUMBER} 225", "225 Na 4a Cl 4b"),
        (SPINEL, f"{NAME} 'F 41/d -3 2/m (origin choice 2)'", "227 Mg 8a Al 16d O 32e"),
        (SPINEL, f"{NAME} 'F d -3 m Z'", "227 Mg 8a Al 16d O 32e"),
        (SPINEL, f"{NAME} Fd-3m:2", "227 Mg 8a Al 16d O 32e"),
        (SPINEL, f"{NUMBER} 227:2", "227 Mg 8a Al 16d O 32e"),
        (
            SPINEL,
            f"{NUMBER} 227\n_space_group_IT_coordinate_system_code 2",
            "227 Mg 8a Al 16d O 32e",
        ),
        (
            SPINEL,
            f"{NAME} 'F d -3 m'\n_space_group_name_H-M_full 'F 41/d -3 2/m :2'",
            "227 Mg 8a Al 16d O 32e",
        ),
        (ARSENIC, f"{NUMBER} '166'", "166 As 6c"),
        (ARSENIC, f"{NAME} 'R -3 m'", "166 As 6c"),
        (ARSENIC, "_space_group_name_Hall '-R 3 2\"'", "166 As 6c"),
        (ARSENIC, "_space_group_name_Hall '-R 3 2 \"'", "166 As 6c"),
        (ARSENIC, f"{NAME} 'R -3 m H'", "166 As 6c"),
        (ARSENIC, f"{NAME} 'H -3 m'", "166 As 6c"),
        (RHOMBOHEDRAL, f"{NUMBER} 166", "166 As 6c"),
        (RHOMBOHEDRAL, f"{NAME} R-3mR", "166 As 6c"),
        (RHOMBOHEDRAL, f"{NAME} 'R -3 2/m {{rhombohedral axes}}'", "166 As 6c"),
        (CALCITE, f"{NAME} 'R -3 c RS'", "167 Ca 6b C 6a O 18e"),
        (UNIQUE_C, f"{NAME} 'P 1 1 2/m'", "10 Si 4o"),
        (UNIQUE_C, f"{NAME} 'P 2/m'", "10 Si 4o"),
        (UNIQUE_C, f"{NAME} 'P 21/b'", "14 Si 4e"),
        (UNIQUE_A, f"{NUMBER} 11", "11 Si 4f"),
    ],
)  # fmt: skip
def test_a_group_is_read_however_it_is_stated(crystal, lines, expected):
    text = cif(*crystal, lines)
    assert orbits(text) == expected
    assert read_cif(text).flags == ()


def test_dotted_tags_are_read_throughout():
    lines = f"{LIST}\nx,y,z\n-x,-y,-z", "_chemical_formula_sum Si"
    text = cif((5, 6, 7, 80, 85, 95), ONE_ATOM, *lines)
    dotted = text
    for category in ("_cell", "_atom_site", "_symmetry_equiv", "_chemical_formula"):
        dotted = dotted.replace(f"{category}_", f"{category}.")
    assert dotted.count("_cell.") == 6
    assert orbits(dotted) == orbits(text) == "2 Si 2i"


@pytest.mark.parametrize(
    "line",
    [
        f"{NUMBER} ?",
        f"{NUMBER} '?'",
        f"{NUMBER} 0",
        f"{NUMBER} 1",
        f"{NAME} .",
        "_cell_modulation_dimension 0",
        "_space_group_magn.number_BNS 1.1",
        "_space_group_magn.name_BNS ?",
        f"{LIST}\nx,y,z\nx,y,z",
    ],
)
def test_a_file_that_states_no_group_holds_all_atoms(line):
    text = cif(*ROCK_SALT, line)
    assert orbits(text) == "221 Na 1a Cl 1b"
    assert read_cif(text).flags == ()


@pytest.mark.parametrize(
    ("cell", "lines", "words"),
    [
        ((5, 7, 9, 90, 90, 100), f"{NAME} 'P 21/c'", "-x,y,-z does not fit the cell 5"),
        ((5, 6, 9, *CUBIC), f"{LIST}\nx,y,z\n-y,x,z\n-x,-y,z\ny,-x,z", "-y,x,z"),
        (
            (5, 5, 9, *CUBIC),
            f"{NUMBER} 194",
            "does not fit the cell 5 5 9 90 90 90",
        ),
        (
            (5, 5, 5.2, *CUBIC),
            f"{NAME} 'P m -3 m'",
            "does not fit the cell 5 5 5.2",
        ),
        ((5, 5, 5, *CUBIC), f"{NAME} 'P m -3 m'\n{NUMBER} 225", "not one space"),
        ((5, 5, 5, *CUBIC), f"{NAME} 'X4bm'", "'X4bm', which is no space group"),
        (
            (5, 5, 5, *CUBIC),
            "_space_group_magn.number_BNS 14.80",
            "_space_group_magn_number_BNS: found '14.80' without operations",
        ),
        (
            (5, 5, 5, *CUBIC),
            f"_parent_space_group.IT_number 225\n{NAME} 'F m -3 m'",
            "_parent_space_group.IT_number: found '225' without operations",
        ),
        (
            (5, 5, 5, *CUBIC),
            f"{LIST}\nx,y,z\n_space_group_magn.name_OG \"P_2c m'm2'\"",
            "without operations",
        ),
        (
            (5, 5, 9, *CUBIC),
            without_centrings("I 41/a m d:2"),
            "the 16 operations are no group",
        ),
        ((5, 5, 5, *CUBIC), "_cell_modulation_dimension 1", "modulated"),
        ((5, 5, 5, *CUBIC), "_space_group.ssg_name 'Pnma(0b0)'", "modulated"),
        ((5, 5, 5, *CUBIC), "_atom_site_Fourier_wave_vector_x 0.3", "modulated"),
    ],
)
def test_symmetry_that_cannot_be_right_is_refused(cell, lines, words):
    assert words in refusal(cif(cell, ONE_ATOM, lines))


def test_the_name_is_blamed_for_the_atoms_that_it_doubles():
    cell = (3.2064, 3.2064, 4.5318, 110.7177, 110.7177, 90)  # primitive, all atoms
    atoms = "Mo 0 0 0\nSi .3353 .3353 .6706\nSi .6647 .6647 .3294"
    assert "'I4/mmm': -y,x,z does not fit" in refusal(
        cif(cell, atoms, f"{NAME} I4/mmm")
    )


def test_a_rounded_cell_keeps_its_symmetry():
    text = cif((5.0, 5.0, 5.02, 90, 90, 90.2), "Po 0 0 0", f"{NAME} 'P m -3 m'")
    assert read_cif(text).flags == ()


@pytest.mark.parametrize(
    ("crystal", "lines", "n_atoms"),
    [
        (DIAMOND, f"{NUMBER} 227\n_chemical_formula_sum C\n_cell_formula_units_Z 8", 8),
        (SPINEL, f"{NAME} 'F d -3 m'\n_chemical_formula_sum 'Al2 Mg O4'", 56),
        (
            ROCK_SALT,
            f"{NAME} 'F m -3 m'\n_chemical_formula_sum 'Na4 Cl4'\n"
            "_cell_formula_units_Z 4",
            8,
        ),
    ],
)
def test_formula_and_z_decide_what_the_name_leaves_open(crystal, lines, n_atoms):
    cell = read_cif(cif(*crystal, lines))
    assert (len(cell.species), cell.flags) == (n_atoms, ())


@pytest.mark.parametrize(
    ("crystal", "lines", "formula", "n_atoms"),
    [
        (DIAMOND, f"{NAME} 'F d -3 m :1'", ("C", 8), 8),
        (SPINEL, f"{NAME} 'F d -3 m S'", ("Al2 Mg O4", 8), 56),
        (ROCK_SALT, f"{LIST}\nx,y,z\n{NAME} 'F m -3 m'", ("Cl Na", 4), 8),
        (ROCK_SALT, f"{LIST}\nx,y,z\n-x,-y,-z\n{NUMBER} 225", ("Cl Na", 4), 8),
        (ROCK_SALT, f"{NAME} 'F m -3 m'\n{NUMBER} 14", ("Cl Na", 4), 8),
        (ROCK_SALT, f"{LIST}\nx,y,z\n{NAME} 'F m -3 m'", ("?", "?"), 8),
        (ROCK_SALT, listed("P m -3 m") + f"\n{NUMBER} 225", ("?", "?"), 8),
        (SPINEL, listed("F d -3 m:1") + f"\n{NAME} 'F d -3 m'", ("?", "?"), 56),
        (
            ANATASE,
            f"{without_centrings('I 41/a m d:2')}\n{NAME} 'I 41/a m d'",
            ("?", "?"),
            12,
        ),
        (RHOMBOHEDRAL, f"{NAME} 'R -3 m H'", ("?", "?"), 2),
        (UNIQUE_C, f"{NAME} 'P 1 2/m 1'", ("?", "?"), 4),
    ],
)
def test_the_only_reading_without_contradiction_is_used_and_flagged(
    crystal, lines, formula, n_atoms
):
    said = f"_chemical_formula_sum '{formula[0]}'\n_cell_formula_units_Z {formula[1]}"
    cell = read_cif(cif(*crystal, lines, said))
    assert (len(cell.species), cell.flags) == (n_atoms, ("symmetry_repaired",))


def all_atoms(noise: float = 0.0) -> str:
    corners = (0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)
    rows = [("Na", *corner) for corner in corners]
    rows += [("Cl", x + 0.5, y, z) for x, y, z in corners]
    rows[5] = ("Cl", 0.5, 0.5 + noise, 0.5)
    return "\n".join(" ".join(map(str, row)) for row in rows)


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize(
    ("lines", "flags"),
    [
        (f"{LIST}\nx,y,z\n{NAME} 'F m -3 m'", ()),
        (f"{NAME} 'F m -3 m'", ("symmetry_repaired",)),
        (f"{NAME} 'P 1'\n{NUMBER} 225", ()),
        (listed("F m -3 m"), ("symmetry_repaired",)),
    ],
)
def test_all_atoms_of_the_cell_are_not_multiplied(lines, flags, noise):
    cell = read_cif(cif(ROCK_SALT[0], all_atoms(noise), lines))
    assert (len(cell.species), cell.flags) == (8, flags)


def test_listed_operations_go_before_a_name_of_another_group():
    cell = read_cif(cif(*ROCK_SALT, listed("P m -3 m"), f"{NAME} 'I 41/a m d'"))
    assert (len(cell.species), cell.flags) == (2, ())


def test_a_wrong_z_is_flagged():
    lines = (
        f"{NAME} 'F m -3 m'",
        "_chemical_formula_sum NaCl",
        "_cell_formula_units_Z 3",
    )
    cell = read_cif(cif(*ROCK_SALT, *lines))
    assert (len(cell.species), cell.flags) == (8, ("formula_units_differ",))


@pytest.mark.parametrize("lines", [f"{NAME} 'F d -3 m'", f"{NUMBER} 227"])
def test_an_origin_that_nothing_decides_is_assumed_and_flagged(lines):
    cell = read_cif(cif(*DIAMOND, lines))
    assert (len(cell.species), cell.flags) == (16, ("setting_assumed",))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("P 21/c", ["P 1 21/c 1", "P 21/c 1 1"]),
        ("P2(1)/c", ["P 1 21/c 1", "P 21/c 1 1"]),
        ("P 1 21/n 1 (unique axis b, cell choice 2)", ["P 1 21/n 1"]),
        ("P 21/n 21/m 21/a", ["P n m a"]),
        ("P 4/m 21/n 2/c", ["P 4/m n c"]),
        ("C 2/m 2/c 21/a", ["C m c a"]),
        ("F 4/m -3 2/m", ["F m -3 m"]),
        ("P -3 2/m 1", ["P -3 m 1"]),
        ("Pbnm", ["P b n m"]),
        ("D6h.4", ["P 63/m m c"]),
        ("P n m a:cab", ["P b n m"]),
        ("C c c e", ["C c c a:1", "C c c a:2"]),
        ("P n n n O2", ["P n n n:2"]),
        ("I 4_1/a m d Z", ["I 41/a m d:2"]),
        ("R32", ["R 3 2:H", "R 3 2:R"]),
        ("P 32 1 2", ["P 32 1 2"]),
        ("Q 7/m", []),
        ("F m -3 m :1", ["F m -3 m"]),
        ("P 6/m c c S", []),
        ("R -3 m HR", []),
        ("P 42/m m c (a,b+1/2,c)", []),
    ],
)
def test_a_name_gives_the_settings_that_it_may_mean(name, expected):
    assert [setting.xhm() for setting in settings_of_name(name)] == expected
