"""The seven crystal systems, by the number of the space group."""

# The number of the last space group of each system (International Tables A).
LAST_GROUP = {
    "triclinic": 2,
    "monoclinic": 15,
    "orthorhombic": 74,
    "tetragonal": 142,
    "trigonal": 167,
    "hexagonal": 194,
    "cubic": 230,
}


def crystal_system(space_group: int) -> str:
    """Return the system of a space group, 1 to 230; empty where it is 0."""
    if space_group == 0:
        return ""
    return next(name for name, last in LAST_GROUP.items() if space_group <= last)
