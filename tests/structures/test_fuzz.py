"""Whatever a file holds, it becomes a record or a reject with a reason."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import pytest
from crystals import LITHIUM, LITHIUM_POSCAR, rock_salt
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from cloud_jax.preprocess.parts import rows
from cloud_jax.scope.chunks import Position
from cloud_jax.scope.pipeline import Options, Record, process
from cloud_jax.structures.items import file_items
from cloud_jax.structures.source import Piece, RawItem, Source

EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
QUARTZ = Structure.from_spacegroup(
    152,
    Lattice.hexagonal(4.91, 5.4),
    ["Si", "O"],
    [[0.47, 0, 1 / 3], [0.41, 0.27, 0.45]],
)
TEXTS = (str(CifWriter(QUARTZ, symprec=0.01)), rock_salt(), LITHIUM_POSCAR)
# What files hold where a number, a symbol or a tag is expected.
HOSTILE = (
    *("0", "-1", "1e300", "-1e-300", "nan", "inf", "?", ".", "1/3", "0.5(3)", "0,5"),
    *(
        "(",
        "",
        "Si",
        "O",
        "Fe3+",
        "X",
        "D",
        "Wat",
        "Og",
        "'",
        '"',
        ";",
        "\n;",
        "#",
        "[",
    ),
    *("\x01", "loop_", "data_", "data_x", "save_", "stop_", "global_", "$x", "180"),
    *("'x,y,z'", "'-x,-y,-z'", "'x+1/2,y,z'", "'F m -3 m'", "P1", "\r", "\t", "µ"),
    *("_atom_site_fract_x", "_atom_site_occupancy", "_symmetry_equiv_pos_as_xyz"),
    *("_symmetry_space_group_name_Hall", "_space_group_IT_number", "_cell_length_a"),
    *("99999999999", "\ufeff"),
)


def check(item):
    result = process(item, "s", Options())
    (row,) = rows([Position(0, 0, 0)], [result], "canonical").to_pylist()
    assert row["id"] == result.id
    if isinstance(result, Record):
        assert result.tokens
        assert 1 <= result.space_group <= 230
        assert math.isfinite(result.volume_per_atom)
    else:
        assert result.code != "unexpected", result.message
        assert 10 < len(result.message) <= 400


@st.composite
def mutated(draw):
    """A sound text with words exchanged, lines moved, or parts gone."""
    lines = draw(st.sampled_from(TEXTS)).split("\n")
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        kind = draw(
            st.sampled_from(("word", "word", "word", "drop", "copy", "cut", "add"))
        )
        words = lines[at].split(" ")
        if kind == "word":
            words[draw(st.integers(0, len(words) - 1))] = draw(st.sampled_from(HOSTILE))
            lines[at] = " ".join(words)
        elif kind == "add":
            lines.insert(at, draw(st.sampled_from(HOSTILE)))
        elif kind == "copy":
            lines.insert(at, draw(st.sampled_from(lines)))
        elif kind == "drop" and len(lines) > 1:
            del lines[at : at + draw(st.integers(1, 3))]
            lines = lines or [""]
        else:
            lines = lines[: at + 1]
    return "\n".join(lines)


@EXAMPLES
@given(mutated(), st.sampled_from(("cif", "poscar", "auto")))
def test_mutated_files(text, kind):
    for item in file_items("a.cif", text.encode()):
        check(item._replace(kind=kind))


@EXAMPLES
@given(st.lists(st.sampled_from(HOSTILE), max_size=12), st.binary(max_size=20))
def test_pieces_of_cif_in_any_order(words, data):
    cell = "data_a\n" + "\n".join(TEXTS[1].split("\n")[1:8]) + "\n"
    for text in (
        " ".join(words),
        cell + "loop_\n_atom_site_fract_x\n" + " ".join(words),
    ):
        for item in file_items("a.cif", text.encode() + data):
            check(item)


NUMBERS = st.one_of(
    st.floats(), st.integers(), st.integers(-2, 120), st.floats(-1, 5), st.booleans()
)
# Any code point, half pairs of UTF-16 too: as JSON and names of files may hold them.
TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=3)
SCALARS = st.one_of(NUMBERS, st.none(), st.sampled_from(HOSTILE), TEXT)
ROWS = st.lists(st.lists(NUMBERS, max_size=4), max_size=4)
VALUES = st.recursive(
    st.one_of(SCALARS, ROWS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(("matrix", "array", "__ndarray__", "a")), inner
        ),
    ),
    max_leaves=8,
)
KEYS = (
    *("lattice", "sites", "lattice_mat", "coords", "elements", "cartesian", "numbers"),
    *("positions", "scaled_positions", "symbols", "cell", "pbc", "ids", "1", "charge"),
)
POINT = st.lists(NUMBERS, min_size=3, max_size=3)
SITES = st.lists(
    st.fixed_dictionaries(
        {"abc": POINT},
        optional={
            "species": st.lists(
                st.fixed_dictionaries({"element": SCALARS}, optional={"occu": SCALARS}),
                max_size=2,
            )
        },
    ),
    max_size=3,
)


@EXAMPLES
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6), st.data())
def test_objects_like_structures(values, data):
    given_values = dict(values)
    for base in (LITHIUM, {"cell": 1, "positions": 1, "numbers": 1}, {}):
        values = {**base, **given_values}
        if "sites" in base:
            values["sites"] = data.draw(SITES)
        elif base:
            n = data.draw(st.integers(0, 3))
            values["cell"] = data.draw(st.lists(POINT, min_size=3, max_size=3))
            values["positions"] = data.draw(st.lists(POINT, max_size=n))
            values["numbers"] = data.draw(st.lists(NUMBERS, max_size=n))
        for kind in ("auto", "json"):
            check(RawItem("a", values, kind))
            check(RawItem("a", json.dumps(values), kind))


@EXAMPLES
@given(st.lists(st.sampled_from((*HOSTILE, "Cu", "1", "2", "\n", "\n", "pbc=F"))))
def test_frames_of_extended_xyz(words):
    head = '1\nLattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3 '
    check(RawItem("a", " ".join(words), "extxyz"))
    check(RawItem("a", head + " ".join(words) + "\nCu 0 0 0\n", "extxyz"))
    check(RawItem("a", head + "\nCu 0 0 " + " ".join(words), "extxyz"))


@pytest.mark.parametrize("kind", ["cif", "poscar", "json", "auto", "extxyz"])
@EXAMPLES
@given(data=st.binary(max_size=200))
def test_any_bytes(kind, data):
    check(RawItem("a", data, kind))


@dataclass(frozen=True)
class One(Source):
    """A source of one item."""

    item: RawItem | None = None

    def pieces(self):
        return [Piece("only", Path("only"))]

    def read(self, piece):
        yield self.item


@EXAMPLES
@given(
    st.one_of(TEXT, st.sampled_from(("\0", "\r\n", "/", "a" * 100_000))),
    st.one_of(st.none(), TEXT),
)
@example("\udcff", "\ud800")
@example("\udcff", None)
def test_any_id_and_any_reason(name, reason):
    item = RawItem(name, LITHIUM_POSCAR, "poscar")
    if reason is not None:
        item = RawItem(name, ("broken", reason + ": expected a crystal"), "reject")
    source = One("s", item=item)
    (item,) = source.kept(*source.pieces())
    check(item)
    assert item.id == name or "\\" in item.id
