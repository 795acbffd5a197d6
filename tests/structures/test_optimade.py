"""An OPTIMADE entry becomes the cell that it describes, or a reason that it names."""

import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_jax.scope import Rejection, encode
from cloud_jax.scope.pipeline import read_cell
from cloud_jax.structures.columns import value_item
from cloud_jax.structures.optimade import read_optimade
from cloud_jax.structures.source import RawItem
from cloud_jax.structures.structure_json import read_json

ROCK_SALT = {
    "id": "1",
    "type": "structures",
    "attributes": {
        "lattice_vectors": [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]],
        "cartesian_site_positions": [[0, 0, 0], [2.82, 2.82, 2.82]],
        "species_at_sites": ["Na", "chloride"],
        "species": [
            {"name": "Na", "chemical_symbols": ["Na"], "concentration": [1.0]},
            {"name": "chloride", "chemical_symbols": ["Cl"], "concentration": [1.0]},
        ],
        "nsites": 2,
        "dimension_types": [1, 1, 1],
        "structure_features": [],
        "assemblies": None,
    },
}


def entry(**attributes) -> dict:
    """Rock salt with other attributes."""
    changed = copy.deepcopy(ROCK_SALT)
    changed["attributes"] |= attributes
    return changed


def species(**values) -> dict:
    """Rock salt whose sodium has another species."""
    sodium = {"name": "Na", "chemical_symbols": ["Na"], "concentration": [1.0]} | values
    return entry(species=[sodium, ROCK_SALT["attributes"]["species"][1]])


def test_an_entry_is_the_cell_that_it_describes():
    cell = read_optimade(json.dumps(ROCK_SALT))
    assert cell.species == ("Na", "Cl")
    assert cell.flags == ()
    np.testing.assert_allclose(cell.fractional, [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert encode(cell).space_group == 225
    item = RawItem("1", json.dumps(ROCK_SALT).encode(), "optimade")
    assert read_cell(item).species == cell.species


@pytest.mark.parametrize(
    ("symbols", "concentration", "expected"),
    [
        (["Na", "K"], [0.75, 0.25], (("K", 0.25), ("Na", 0.75))),
        (["Na", "vacancy"], [0.9, 0.1], (("Na", 0.9),)),
        (["vacancy", "Na", "K"], [0.2, 0.5, 0.3], (("K", 0.3), ("Na", 0.5))),
        (["Na", "K"], [0.6666667, 0.3333334], (("K", 0.333333), ("Na", 0.666667))),
        (["Na"], None, "Na"),
    ],
)
def test_mixtures_and_vacancies_are_partial_occupancies(
    symbols, concentration, expected
):
    cell = read_optimade(species(chemical_symbols=symbols, concentration=concentration))
    assert cell.species[0] == expected
    assert cell.species[1] == "Cl"


def test_a_site_that_is_always_vacant_is_none():
    cell = read_optimade(species(chemical_symbols=["vacancy"]))
    assert cell.species == ("Cl",)


def test_the_two_ways_to_write_a_virtual_alloy_are_one():
    """The specification's example: 30 % Si, 50 % Ge, 20 % vacancy at the origin."""
    alloy = {"name": "a", "chemical_symbols": ["Si", "Ge", "vacancy"]}
    one = entry(
        cartesian_site_positions=[[0, 0, 0]],
        species_at_sites=["a"],
        species=[alloy | {"concentration": [0.3, 0.5, 0.2]}],
        nsites=1,
    )
    names = ("Si", "Ge", "vacancy")
    three = entry(
        cartesian_site_positions=[[0, 0, 0]] * 3,
        species_at_sites=names,
        species=[
            {"name": n, "chemical_symbols": [n], "concentration": [1.0]} for n in names
        ],
        nsites=3,
        structure_features=["assemblies"],
        assemblies=[
            {
                "sites_in_groups": [[0], [1], [2]],
                "group_probabilities": [0.3, 0.5, 0.2],
            }
        ],
    )
    three["attributes"]["species_at_sites"] = list(names)
    assert read_optimade(one).species == ((("Ge", 0.5), ("Si", 0.3)),)
    assert read_optimade(three).species == read_optimade(one).species


def test_species_may_be_left_to_the_names_of_the_sites():
    cell = read_optimade(entry(species=None, species_at_sites=["Na", "Cl"]))
    assert cell.species == ("Na", "Cl")


@pytest.mark.parametrize(
    "attributes",
    [
        {"dimension_types": [1, 1, 0]},
        {"dimension_types": [0, 1, 0], "nperiodic_dimensions": 1},
        {"dimension_types": None, "nperiodic_dimensions": 2},
        {"dimension_types": None, "nperiodic_dimensions": 1},
        {"dimension_types": [1, 1, 1], "nperiodic_dimensions": 2},
        {"dimension_types": [True, True, False], "nperiodic_dimensions": 3},
    ],
)
def test_a_layer_keeps_its_vacuum_and_is_flagged(attributes):
    cell = read_optimade(entry(**attributes))
    assert cell.flags == ("low_dimensional",)
    row = entry(**attributes)["attributes"]
    assert read_cell(value_item("1", row)).flags == ("low_dimensional",)
    assert read_json(entry(**attributes)).flags == ("low_dimensional",)


def test_a_crystal_is_not_flagged():
    for types, count in (([1, 1, 1], 3), (None, 3), ([1, 1, 1], None), (None, None)):
        changed = entry(dimension_types=types, nperiodic_dimensions=count)
        assert read_optimade(changed).flags == ()


def test_the_answer_of_a_server_is_read_as_json():
    answer = {"data": ROCK_SALT, "meta": {"api_version": "1.2.0"}}
    assert read_json(json.dumps(answer)).flags == ()
    answer["data"] = [ROCK_SALT, ROCK_SALT]
    assert read_json(json.dumps(answer)).flags == ("first_of_several",)


NULL_ROW = [[0, 0, 0], [None, None, None]]


@pytest.mark.parametrize(
    ("changed", "code", "word"),
    [
        (entry(lattice_vectors=None), "bad_lattice", "lattice_vectors"),
        (entry(lattice_vectors=[[1, 0, 0], [0, 1, 0]]), "bad_lattice", "three"),
        (
            entry(
                lattice_vectors=[[3, 0, 0], [0, 3, 0], [None, None, None]],
                dimension_types=[1, 1, 0],
            ),
            "bad_lattice",
            "does not repeat",
        ),
        (
            entry(lattice_vectors=[[3, 0, 0], [0, 3, 0], None]),
            "bad_lattice",
            "vector c",
        ),
        (
            entry(lattice_vectors=[[1, 0, 0], [0, 1, 0], [1, 1, 0]]),
            "bad_lattice",
            "plane",
        ),
        (entry(lattice_vectors=[[1e9, 0, 0]] * 3), "bad_lattice", "entry of"),
        (entry(lattice_vectors=[["3", 0, 0]] * 3), "bad_lattice", "numbers"),
        (entry(dimension_types=[0, 0, 0]), "not_periodic", "molecule"),
        (entry(nperiodic_dimensions=0), "not_periodic", "molecule"),
        (entry(nperiodic_dimensions="2"), "bad_lattice", "expected 0 to 3"),
        (entry(nperiodic_dimensions=4), "bad_lattice", "expected 0 to 3"),
        (entry(dimension_types=[1, 1]), "bad_lattice", "dimension_types"),
        (entry(cartesian_site_positions=None), "unknown_positions", "None"),
        (entry(cartesian_site_positions=[]), "no_atoms", "list"),
        (entry(cartesian_site_positions=NULL_ROW), "unknown_positions", "site 1"),
        (entry(cartesian_site_positions=[[0, 0], [1, 1]]), "bad_coordinates", "three"),
        (
            entry(cartesian_site_positions=[[0, 0, 0], [0, 0, float("nan")]]),
            "bad_coordinates",
            "nan",
        ),
        (entry(nsites=3), "bad_coordinates", "nsites is 3"),
        (entry(species_at_sites=["Na"]), "unreadable", "1 names"),
        (entry(species_at_sites=["Na", "Br"]), "unknown_species", "Br"),
        (species(chemical_symbols=["X"]), "unknown_species", "not a chemical element"),
        (species(chemical_symbols=["Bq"]), "unknown_species", "Bq"),
        (species(chemical_symbols=["Na", "K"]), "occupancy", "2 chemical symbols"),
        (species(concentration=[1.4]), "occupancy", "1.4"),
        (species(concentration=[None]), "occupancy", "expected a number"),
        (species(concentration=[float("nan")]), "occupancy", "nan"),
        (species(attached=["H"], nattached=[3]), "unknown_positions", "3 H"),
        (entry(structure_features=["implicit_atoms"]), "unknown_positions", "implicit"),
        (entry(structure_features=["assemblies"]), "occupancy", "assemblies"),
        (
            entry(
                assemblies=[{"sites_in_groups": [[0, 9]], "group_probabilities": [1]}]
            ),
            "occupancy",
            "site 9",
        ),
        (
            entry(assemblies=[{"sites_in_groups": [[0]], "group_probabilities": None}]),
            "occupancy",
            "group_probabilities None, expected 1 numbers",
        ),
        (entry(type="references") | {"type": "references"}, "unreadable", "references"),
        ({"id": "1", "attributes": None}, "unreadable", "attributes"),
        ("[1, 2", "unreadable", "JSON"),
        ("[" * 100_000, "unreadable", "not an OPTIMADE structure"),
    ],
)
def test_what_an_entry_leaves_open_is_named(changed, code, word):
    with pytest.raises(Rejection) as caught:
        read_optimade(changed)
    assert (caught.value.code, word in caught.value.message) == (code, True), str(
        caught.value
    )


def test_atoms_at_no_site_are_named():
    water = {"name": "H2O", "chemical_symbols": ["O"], "concentration": [1.0]}
    changed = entry(species=[*ROCK_SALT["attributes"]["species"], water])
    with pytest.raises(Rejection, match="H2O is part of the structure"):
        read_optimade(changed)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 10**30)
    | st.floats()
    | st.sampled_from(["Na", "X", "vacancy", "", "Cl", "structures"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "attributes", "href"]), inner)
    ),
    max_leaves=6,
)


def places(value, path=()):
    """Yield the path of every value in an object."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)):
        if isinstance(value[key], dict | list):
            yield from places(value[key], (*path, key))
        else:
            yield (*path, key)


PLACES = sorted(places(ROCK_SALT), key=str)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(PLACES), JSON), min_size=1, max_size=3))
def test_whatever_a_server_writes_gives_a_cell_or_a_reason(changes):
    changed = {"entry": copy.deepcopy(ROCK_SALT)}
    for path, value in changes:
        holder, key = changed, "entry"
        try:
            for step in path:
                holder, key = holder[key], step
            holder[key] = value
        except (LookupError, TypeError):  # an earlier change took the place away
            continue
    try:
        cell = read_optimade(json.dumps(changed["entry"]))
    except Rejection:
        return
    assert np.isfinite(cell.fractional).all()
    assert cell.volume > 0
