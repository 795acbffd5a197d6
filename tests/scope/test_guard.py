"""The time limit of the symmetry search: real processes."""

import numpy as np
import pytest

from cloud_jax.scope import Cell, Rejection, encode, guard
from cloud_jax.scope.pipeline import Options, process
from cloud_jax.scope.search import Search, find_sites
from cloud_jax.structures.source import RawItem


def rock_salt(repeats: int, *, without: int = 0, noise: float = 0.0) -> Cell:
    """Return a supercell of rock salt with some atoms left out, or displaced."""
    grid = np.indices((2 * repeats,) * 3).reshape(3, -1).T[without:]
    species = tuple("Na" if total % 2 == 0 else "Cl" for total in grid.sum(axis=1))
    edge = 5.64 * repeats
    moved = np.random.default_rng(0).normal(scale=noise, size=grid.shape) / edge
    return Cell(np.eye(3) * edge, grid / (2 * repeats) + moved, species)


def test_a_large_cell_with_a_vacancy_is_searched():
    scope = encode(rock_salt(6, without=1))
    assert (scope.space_group, scope.n_atoms) == (221, 1727)
    perfect = encode(rock_salt(6))
    assert (perfect.space_group, perfect.n_atoms) == (225, 2)


def test_another_process_finds_the_same():
    cell = rock_salt(2, without=1)
    kinds = np.array([1 if kind == "Na" else 2 for kind in cell.species])
    search = Search("spglib", 0.01, 5.0, False)
    here = find_sites(cell.lattice, cell.fractional, kinds, search)
    there = guard.find_elsewhere(cell.lattice, cell.fractional, kinds, search)
    assert (there.space_group, there.n_primitive) == (here.space_group, 63)
    assert list(there.letters) == list(here.letters)


def test_a_search_that_takes_too_long_is_a_reject_with_its_reason(monkeypatch):
    monkeypatch.setattr(guard, "SECONDS", 0.5)
    monkeypatch.setattr(guard, "GUARDED_FROM", 500)
    noisy = rock_salt(6, noise=0.003)
    with pytest.raises(Rejection, match="1,728 atoms took longer") as found:
        encode(noisy)
    assert found.value.code == "timeout"
    reject = process(RawItem("x", noisy, "cell"), "s", Options())
    assert (reject.stage, reject.code) == ("encode", "timeout")


def test_a_process_that_ends_early_is_a_reject(monkeypatch):
    monkeypatch.setattr(guard, "GUARDED_FROM", 1)
    monkeypatch.setattr(guard.sys, "executable", "false")
    with pytest.raises(Rejection, match="8 atoms ended with exit code 1"):
        encode(rock_salt(1))
