import pytest

from cloud_jax.structures.element_classes import element_class, is_metal


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        ("Cu", "elements"),
        ("C", "elements"),
        ("Cu Zn", "intermetallics"),
        ("Al Ni", "intermetallics"),
        ("Li H", "hydrogen compounds"),
        ("Mg O H", "hydrogen compounds"),
        ("Ca Ti O", "oxides"),
        ("La O F", "oxides"),
        ("Na Cl", "halides"),
        ("Bi Te I", "halides"),
        ("Zn S", "chalcogenides"),
        ("Ga N", "pnictides"),
        ("Ga As", "pnictides"),
        ("Ti C", "other compounds"),
        ("Mg B", "other compounds"),
    ],
)
def test_the_class_of_a_crystal_follows_from_its_elements(symbols, expected):
    assert element_class(symbols.split()) == expected


def test_metalloids_are_not_metals():
    assert [is_metal(symbol) for symbol in ("Fe", "Bi", "Sb", "Si", "H")] == [
        True, True, False, False, False,
    ]  # fmt: skip
