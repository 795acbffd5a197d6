"""One structure entry of an OPTIMADE server to a cell.

OPTIMADE v1 (specification.optimade.org, section "Structures Entries"): cartesian
positions, and at each site a species that may be a mixture, leave vacancies or carry
atoms of unknown position. What the entry leaves open is a `Rejection`.
"""

import json
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from cloud_jax.structures.cell import Cell
from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.species import Occupants

SITE_TOLERANCE = 1e-4  # fractional; partly occupied sites closer than this are one
_LONGEST = 1e5  # angstrom; no cell is that long, and products stay finite
_VACANCIES = frozenset(("vacancy", "vac", "va"))


def read_optimade(content: str | bytes | dict) -> Cell:
    """Read one entry, as text or parsed.

    Partial occupancies are kept: beside a vacancy the rest of the site, in an assembly
    the probability of each group of sites. A cell that the provider declares periodic
    in one or two directions is read with its vacuum, and flagged `low_dimensional`.

    Raises:
        Rejection: `unreadable` (no structure entry), `bad_lattice`, `bad_coordinates`,
            `not_periodic` (a molecule), `unknown_positions` (atoms that have no
            position), `unknown_species`, `occupancy` or `no_atoms`.
    """
    try:
        entry = content if isinstance(content, dict) else json.loads(content)
        return _read_entry(entry)
    except Rejection:
        raise
    except Exception as error:  # whatever a server may write into its JSON
        raise Rejection.of_error("an OPTIMADE structure", error) from None


def _read_entry(entry: Any) -> Cell:
    attributes = entry.get("attributes") if isinstance(entry, dict) else None
    if not isinstance(attributes, dict):
        raise Rejection(
            "unreadable", "expected an OPTIMADE entry, an object with attributes"
        )
    if entry.get("type", "structures") not in ("structures", "structure"):
        raise Rejection(
            "unreadable", f"found an entry of type {entry['type']!r}, not structures"
        )
    n_periodic, directions = _periodic_directions(attributes)
    lattice = _lattice(attributes.get("lattice_vectors"), directions)
    positions = _positions(attributes)
    sites = _sites(attributes, len(positions))
    _check_features(attributes)
    sites = _weigh_assemblies(attributes, sites)
    try:
        with np.errstate(all="ignore"):  # what is not finite is rejected below
            fractional = np.linalg.solve(lattice.T, positions.T).T
    except np.linalg.LinAlgError:
        raise Rejection("bad_lattice", "the cell vectors lie in one plane") from None
    occupied = [i for i, site in enumerate(sites) if site]
    fractional, sites = fractional[occupied], [sites[i] for i in occupied]
    if any(_total(site) < 0.995 for site in sites):
        fractional, sites = _merge(fractional, sites)
    cell = Cell.from_sites(lattice, fractional, sites)
    return cell if n_periodic == 3 else cell.flagged("low_dimensional")


def _total(site: Occupants) -> float:
    """Return the occupancy of a site, summed over its elements."""
    return sum(amount for _, amount in site)


def _periodic_directions(attributes: dict) -> tuple[int, list[int]]:
    """Return how many cell vectors repeat, and which (1 or 0 per vector).

    All do if the server does not say. If its two fields differ, the smaller count is
    returned.
    """
    types = attributes.get("dimension_types")
    if types is None:
        types = [1, 1, 1]
    elif not isinstance(types, list) or len(types) != 3 or not set(types) <= {0, 1}:
        raise Rejection(
            "bad_lattice", f"dimension_types: found {types!r}, expected three of 0 or 1"
        )
    count = attributes.get("nperiodic_dimensions")
    if count is None:
        count = 3
    elif count not in (0, 1, 2, 3):
        raise Rejection(
            "bad_lattice", f"nperiodic_dimensions: found {count!r}, expected 0 to 3"
        )
    count = min(count, sum(types))
    if not count:
        raise Rejection(
            "not_periodic", "found a molecule (no periodic direction), not a crystal"
        )
    return count, types


def _lattice(vectors: Any, directions: list[int]) -> Float[np.ndarray, "3 3"]:
    if not isinstance(vectors, list) or len(vectors) != 3:
        raise Rejection(
            "bad_lattice", f"lattice_vectors: found {str(vectors)[:80]}, expected three"
        )
    for i, vector in enumerate(vectors):
        known = isinstance(vector, list) and len(vector) == 3 and None not in vector
        if not known and not directions[i]:
            raise Rejection(
                "bad_lattice",
                f"cell vector {'abc'[i]} is left open because the structure does not "
                "repeat in that direction; a space group needs three vectors",
            )
        if not known:
            raise Rejection(
                "bad_lattice",
                f"cell vector {'abc'[i]}: found {str(vector)[:80]}, expected three "
                "numbers",
            )
    lattice = _numbers(vectors, "bad_lattice", "lattice_vectors")
    if not np.abs(lattice).max() < _LONGEST:  # also where it is not a number
        raise Rejection(
            "bad_lattice", f"found a cell vector entry of {np.abs(lattice).max()} A"
        )
    return lattice


def _positions(attributes: dict) -> Float[np.ndarray, "n 3"]:
    rows = attributes.get("cartesian_site_positions")
    if not isinstance(rows, list) or not rows:
        code = "no_atoms" if rows == [] else "unknown_positions"
        raise Rejection(
            code, f"cartesian_site_positions: found {str(rows)[:80]}, expected a list"
        )
    for i, row in enumerate(rows):
        if row is None or (isinstance(row, list) and None in row):
            raise Rejection("unknown_positions", f"site {i} has no position")
        if not isinstance(row, list) or len(row) != 3:
            raise Rejection(
                "bad_coordinates",
                f"site {i}: found {str(row)[:80]}, expected three numbers",
            )
    n_sites = attributes.get("nsites")
    if n_sites is not None and n_sites != len(rows):
        raise Rejection(
            "bad_coordinates", f"nsites is {n_sites}, but {len(rows)} sites are listed"
        )
    return _numbers(rows, "bad_coordinates", "cartesian_site_positions")


def _numbers(rows: list, code: str, name: str) -> Float[np.ndarray, "n 3"]:
    for row in rows:
        if any(type(value) not in (int, float) for value in row):
            raise Rejection(code, f"{name}: found {str(row)[:80]}, expected numbers")
    return np.array(rows, dtype=float)


def _sites(attributes: dict, n_sites: int) -> list[Occupants]:
    """Return each site's (symbol, occupancy) pairs without vacancies."""
    names = attributes.get("species_at_sites")
    if not isinstance(names, list) or len(names) != n_sites:
        found = f"{len(names)} names" if isinstance(names, list) else str(names)[:80]
        raise Rejection(
            "unreadable", f"species_at_sites: found {found} for {n_sites} sites"
        )
    species: dict[Any, Occupants] = {}
    for one in attributes.get("species") or []:
        occupants = _occupants(one)
        if species.setdefault(one["name"], occupants) != occupants:
            raise Rejection("unreadable", f"two species are called {one['name']!r}")
    if not species:  # some servers give the names of the elements and no more
        return [((name, 1.0),) for name in names]
    missing = sorted({str(name) for name in names if name not in species})
    if missing:
        raise Rejection(
            "unknown_species",
            f"site species {', '.join(missing[:5])} is not in the list of species",
        )
    if unplaced := sorted(str(n) for n in species.keys() - set(names) if species[n]):
        raise Rejection(
            "unknown_positions",
            f"species {', '.join(unplaced[:5])} is part of the structure, but at none "
            "of its sites",
        )
    return [species[name] for name in names]


def _occupants(species: dict) -> Occupants:
    name, symbols = species["name"], species["chemical_symbols"]
    amounts = species.get("concentration")
    if amounts is None and len(symbols) == 1:
        amounts = [1.0]
    if not isinstance(amounts, list) or len(amounts) != len(symbols):
        raise Rejection(
            "occupancy",
            f"species {name!r}: found concentration {str(amounts)[:80]} for "
            f"{len(symbols)} chemical symbols",
        )
    attached = species.get("attached") or []
    numbers = species.get("nattached") or [1] * len(attached)
    hanging = [f"{n} {a}" for a, n in zip(attached, numbers, strict=True) if n]
    if hanging:
        raise Rejection(
            "unknown_positions",
            f"species {name!r} carries {' and '.join(hanging)} whose positions are "
            "not given",
        )
    for symbol, amount in zip(symbols, amounts, strict=True):
        if symbol == "X":
            raise Rejection(
                "unknown_species",
                f"species {name!r} is or contains X, which is not a chemical element",
            )
        if type(amount) not in (int, float) or not math.isfinite(amount):
            raise Rejection(
                "occupancy",
                f"species {name!r}: found concentration {amount!r}, expected a number",
            )
    return tuple(
        (symbol, float(amount))
        for symbol, amount in zip(symbols, amounts, strict=True)
        if symbol.lower() not in _VACANCIES
    )


def _check_features(attributes: dict) -> None:
    features = attributes.get("structure_features") or []
    if "implicit_atoms" in features:
        raise Rejection(
            "unknown_positions",
            "the structure has implicit atoms: part of its composition is at no site",
        )
    if "unknown_positions" in features:
        raise Rejection("unknown_positions", "some sites have no known position")
    if "assemblies" in features and not attributes.get("assemblies"):
        raise Rejection(
            "occupancy", "sites exclude each other, but the assemblies are not given"
        )


def _weigh_assemblies(attributes: dict, sites: list[Occupants]) -> list[Occupants]:
    """Multiply the occupancy of each site in a group by the group's probability."""
    weighed = list(sites)
    seen: set[int] = set()
    for assembly in attributes.get("assemblies") or []:
        groups, weights = assembly["sites_in_groups"], assembly["group_probabilities"]
        if not isinstance(weights, list) or len(weights) != len(groups):
            raise Rejection(
                "occupancy",
                f"assemblies: found group_probabilities {str(weights)[:80]}, expected "
                f"{len(groups)} numbers",
            )
        for group, weight in zip(groups, weights, strict=True):
            for site in group:
                if type(site) is not int or not 0 <= site < len(sites) or site in seen:
                    raise Rejection(
                        "occupancy",
                        f"assemblies: found site {site!r}, expected each of 0 to "
                        f"{len(sites) - 1} at most once",
                    )
                seen.add(site)
                weighed[site] = tuple(
                    (symbol, amount * weight) for symbol, amount in sites[site]
                )
    return weighed


def _merge(
    fractional: np.ndarray, sites: list[Occupants]
) -> tuple[np.ndarray, list[Occupants]]:
    """Return the sites, those at one point made one mixed site in the first's place."""
    points: list[int] = []
    merged: list[Occupants] = []
    for i, site in enumerate(sites):
        difference = fractional[points] - fractional[i]
        distance = np.abs(difference - np.rint(difference)).max(axis=1, initial=0.0)
        at = np.flatnonzero(distance < SITE_TOLERANCE)
        if len(at) and _total(merged[at[0]]) + _total(site) <= 1.005:
            merged[at[0]] += site
        else:
            points.append(i)
            merged.append(site)
    return fractional[points], merged
