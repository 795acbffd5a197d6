"""Tables of many formats give the sentence that the structure itself gives."""

import contextlib
import gzip
import hashlib
import json
import os
import sqlite3
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.db import connect
from ase.io import write
from crystals import LITHIUM_POSCAR, groups, items
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from cloud_jax.datasets.corpus import read_sources
from cloud_jax.scope import Cell
from cloud_jax.scope.pipeline import Options, Record, process
from cloud_jax.structures.ase_database import check_ase
from cloud_jax.structures.source import RawItem, SourceError
from cloud_jax.structures.table import TableSource

STRUCTURES = (
    Structure.from_spacegroup(
        221,
        Lattice.cubic(3.9),
        ["Ca", "Ti", "O"],
        [[0, 0, 0], [0.5] * 3, [0, 0.5, 0.5]],
    ),
    Structure.from_spacegroup(
        152,
        Lattice.hexagonal(4.91, 5.4),
        ["Si", "O"],
        [[0.47, 0, 1 / 3], [0.41, 0.27, 0.45]],
    ),
    Structure.from_spacegroup(
        62,
        Lattice.orthorhombic(5.4, 7.6, 5.3),
        ["Gd", "Fe", "O", "O"],
        [[0.06, 0.25, 0.98], [0, 0, 0.5], [0.47, 0.25, 0.1], [0.3, 0.05, 0.7]],
    ),
)


def sentence_of(item):
    record = process(item, "s", Options())
    return record.canonical if isinstance(record, Record) else record.message


WANTED = [
    sentence_of(RawItem("x", Cell.from_structure(structure), "cell"))
    for structure in STRUCTURES
]


def atoms_of(structure):
    return AseAtomsAdaptor.get_atoms(structure, msonable=False)


def columns(*names):
    """One value of each name a structure, as nested lists."""
    get = {
        "material_id": lambda s: s.formula,
        "lattice": lambda s: s.lattice.matrix.tolist(),
        "cell": lambda s: s.lattice.matrix.ravel().tolist(),
        "lattice_vectors": lambda s: s.lattice.matrix.tolist(),
        "positions": lambda s: s.cart_coords.tolist(),
        "cartesian_site_positions": lambda s: s.cart_coords.tolist(),
        "frac_coords": lambda s: s.frac_coords.tolist(),
        "numbers": lambda s: list(s.atomic_numbers),
        "symbols": lambda s: [site.specie.symbol for site in s],
        "species_at_sites": lambda s: [site.specie.symbol for site in s],
        "cif": lambda s: s.to(fmt="cif"),
        "poscar": lambda s: s.to(fmt="poscar"),
        "structure": lambda s: s.as_dict(),
        "json": lambda s: s.to_json(),
        "atoms": lambda s: {
            "lattice_mat": s.lattice.matrix.tolist(),
            "coords": s.frac_coords.tolist(),
            "elements": [site.specie.symbol for site in s],
            "cartesian": False,
        },
    }
    return {name: [get[name](s) for s in STRUCTURES] for name in names}


@pytest.mark.parametrize(
    "names",
    [
        ("material_id", "cif"),
        ("material_id", "poscar"),
        ("material_id", "structure"),
        ("material_id", "atoms"),
        ("material_id", "lattice", "positions", "numbers"),
        ("material_id", "cell", "frac_coords", "numbers"),
        ("material_id", "cell", "positions", "symbols"),
        ("lattice", "frac_coords", "symbols"),
    ],
    ids=" ".join,
)
def test_columns_of_parquet_and_of_json_lines(tmp_path, names):
    table = columns(*names)
    if "structure" in table:  # no Parquet column has entries of no type at all
        for value in table["structure"]:
            value.pop("properties")
            for site in value["sites"]:
                site.pop("properties")
    pq.write_table(pa.table(table | {"e": [1.0, None, 3.0]}), tmp_path / "t.parquet")
    rows = [
        dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=1)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("t.parquet", "t.jsonl.gz"):
        found = items(f"table:{tmp_path}/{name}")
        known = table.get("material_id", [f"{name}:{i}" for i in range(3)])
        assert [item.id for item in found] == known
        assert [sentence_of(item) for item in found] == WANTED


def test_a_named_column_of_json_text_in_parquet(tmp_path):
    table = columns("json", "lattice", "positions", "numbers")
    table["name"] = [7, 8, 9]
    pq.write_table(pa.table(table), tmp_path / "t.pq")
    (tmp_path / "c.toml").write_text(
        "[[source]]\nkind='table'\nname='a'\npath='t.pq'\ncolumn='json'\n"
        "id_column='name'"
    )
    found = items(str(tmp_path / "c.toml"))
    assert [item.id for item in found] == ["7", "8", "9"]
    assert [sentence_of(item) for item in found] == WANTED


def test_rows_of_optimade_columns_go_to_its_reader(tmp_path):
    names = ("lattice_vectors", "cartesian_site_positions", "species_at_sites")
    pq.write_table(pa.table(columns(*names)), tmp_path / "t.parquet")
    found = items(f"table:{tmp_path}/t.parquet")
    assert {item.kind for item in found} == {"optimade"}
    assert found[0].payload["attributes"].keys() == set(names)


def test_missing_cells_and_files_that_are_no_parquet(tmp_path):
    pq.write_table(pa.table({"cif": [None, ""]}), tmp_path / "t.parquet")
    assert groups(items(f"table:{tmp_path}/t.parquet")) == ["missing_structure"] * 2
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(SourceError, match="found columns a; expected cif or structure"):
        items(f"table:{tmp_path}/other.parquet")
    (tmp_path / "no.parquet").write_bytes(b"PAR1")
    with pytest.raises(SourceError, match=r"no\.parquet: not a Parquet file"):
        items(f"table:{tmp_path}/no.parquet")
    os.truncate(tmp_path / "t.parquet", 30)
    with pytest.raises(SourceError, match=r"t\.parquet: not a Parquet file"):
        items(f"table:{tmp_path}/t.parquet")


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
@pytest.mark.parametrize("empty", [0, 1])
def test_a_row_without_a_lattice_costs_itself_alone(tmp_path, kind, empty):
    table = columns("material_id", "lattice", "positions", "numbers")
    table["lattice"][empty] = None
    if kind == "parquet":
        pq.write_table(pa.table(table), tmp_path / "t.parquet")
    else:
        rows = [
            dict(zip(table, r, strict=True)) for r in zip(*table.values(), strict=1)
        ]
        (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = items(f"table:{tmp_path}/t.{kind}")
    assert [item.id for item in found] == table["material_id"]
    bad = found.pop(empty)
    assert bad.payload == ("missing_structure", "lattice: the cell is empty")
    wanted = [sentence for i, sentence in enumerate(WANTED) if i != empty]
    assert [sentence_of(item) for item in found] == wanted


def test_ase_databases_of_sqlite_and_json(tmp_path):
    for name in ("t.db", "t.json"):
        with connect(tmp_path / name) as database:
            for i, structure in enumerate(STRUCTURES):
                keys = {"mp_id": f"mp-{i}"} if i else {}
                database.write(atoms_of(structure), **keys)
        (source,) = read_sources([f"table:{tmp_path}/{name}"])
        found = list(source.items())
        first = {"t.db": "t.db:1", "t.json": "1"}[name]
        assert [item.id for item in found] == [first, "mp-1", "mp-2"]
        assert [sentence_of(item) for item in found] == WANTED
        assert source.count() == (3 if name == "t.db" else None)


def test_a_database_is_read_in_pages_after_deletions(tmp_path, monkeypatch):
    monkeypatch.setattr("cloud_jax.structures.ase_database._PAGE", 2)
    with connect(tmp_path / "t.db") as database:
        for number in range(3, 10):
            database.write(Atoms(numbers=[number], cell=[3, 3, 3], pbc=True))
        database.write(Atoms("H2", positions=[[0, 0, 0], [0, 0, 1]]))  # a molecule
        database.delete([3, 4])
    found = items(f"table:{tmp_path}/t.db")
    assert [item.id for item in found] == [f"t.db:{i}" for i in (1, 2, 5, 6, 7, 8)]
    assert groups(found) == [221] * 5 + ["not_periodic"]


def test_a_damaged_row_of_a_database_costs_itself_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("cloud_jax.structures.ase_database._PAGE", 3)
    with connect(tmp_path / "t.db") as database:
        for number in range(3, 10):
            database.write(Atoms(numbers=[number], cell=[3, 3, 3], pbc=True))
    with contextlib.closing(sqlite3.connect(tmp_path / "t.db")) as connection:
        connection.execute("UPDATE systems SET positions = x'00' WHERE id = 2")
        connection.execute("UPDATE systems SET key_value_pairs = '{' WHERE id = 7")
        connection.commit()
    found = items(f"table:{tmp_path}/t.db")
    assert [item.id for item in found] == [f"t.db:{i}" for i in range(1, 8)]
    assert groups(found) == [221, "bad_row", 221, 221, 221, 221, "bad_row"]


def test_what_is_not_a_database_says_so(tmp_path):
    (tmp_path / "t.db").write_text("no database")
    with pytest.raises(SourceError, match=r"t\.db: not an SQLite database"):
        items(f"table:{tmp_path}/t.db")
    (tmp_path / "t.db").write_bytes(b"SQLite format 3\0" + b"?" * 5000)
    with pytest.raises(SourceError, match=r"t\.db: damaged after row 0"):
        items(f"table:{tmp_path}/t.db")


@pytest.mark.parametrize("name", ["t.xyz", "t.extxyz", "t.xyz.gz"])
def test_extended_xyz(tmp_path, name):
    frames = [atoms_of(structure) for structure in STRUCTURES]
    frames[1].info["mp_id"] = "mp-1"
    frames[2].info["id"] = "two words"
    write(tmp_path / "plain", frames, format="extxyz")
    data = (tmp_path / "plain").read_bytes()
    data = gzip.compress(data) if name.endswith(".gz") else data
    (tmp_path / name).write_bytes(data)
    found = items(f"table:{tmp_path}/{name}")
    assert [item.id for item in found] == [f"{name}:0", "mp-1", "two words"]
    assert [sentence_of(item) for item in found] == WANTED


def test_frames_that_are_damaged(tmp_path):
    good = '1\nLattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3\nCu 0 0 0\n'
    path = tmp_path / "t.xyz"
    bad = [good.replace("Cu", "Qq"), "1\nno cell\nCu 0 0 0\n", "9\n\nCu 0 0 0\n"]
    bad.insert(1, good.replace("Cu 0 0", "Cu 0 a"))
    path.write_text(good + "\n".join(bad))
    found = groups(items(f"table:{path}"))
    assert found == [221, "unknown_species", "unreadable", "not_periodic", "bad_row"]
    path.write_text(good + "what is this\n")
    assert groups([RawItem("a", "99999999999\n\n", "extxyz")]) == ["too_many_sites"]
    with pytest.raises(SourceError, match="line 4: found 'what is this', expected the"):
        items(f"table:{path}")
    vectors = "1\nslab\nCu 0 0 0\nVEC1 3 0 0\nVEC2 0 3 0\nVEC3 0 0 3\n"
    path.write_text(vectors + good)
    assert groups(items(f"table:{path}")) == [221, 221]


def test_without_ase_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SourceError, match="needs the ase package: pip install ase"):
        check_ase(tmp_path / "t.db")


def test_overlong_lines_and_text_after_the_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("cloud_jax.structures.json_stream.MAX_ITEM_BYTES", 2000)
    row = json.dumps({"id": "a", "poscar": LITHIUM_POSCAR})
    (tmp_path / "t.jsonl").write_text(f'{row}\n"{"x" * 5000}"\n{row}\n')
    found = items(f"table:{tmp_path}/t.jsonl")
    assert groups(found) == [229, "bad_row", 229]
    assert found[1].payload[1] == "line 2 is longer than 2000 characters"
    (tmp_path / "t.json").write_text(f"[{row}] more")
    with pytest.raises(SourceError, match="found text after the end of the JSON value"):
        items(f"table:{tmp_path}/t.json")


@pytest.mark.parametrize("kind", ["parquet", "json", "jsonl", "xyz"])
def test_a_long_table_is_streamed(tmp_path, kind):
    n, path = 12_000, tmp_path / f"t.{kind}"
    if kind == "parquet":
        cell, positions = np.eye(3).ravel().tolist(), [[0.0] * 3] * 2
        table = {"cell": [cell], "positions": [positions], "numbers": [[1, 1]]}
        pq.write_table(pa.table({k: v * n for k, v in table.items()}), path)
    elif kind == "xyz":
        frame = f'1\nLattice="3 0 0 0 3 0 0 0 3" note={"x" * 400}\nCu 0 0 0\n'
        path.write_text(frame * n)
    else:
        row = json.dumps({"poscar": LITHIUM_POSCAR, "e": 1})
        path.write_text(
            f"[{','.join([row] * n)}]" if kind == "json" else f"{row}\n" * n
        )
    (source,) = read_sources([f"table:{path}"])
    rows = source.items()
    for _ in range(1000):
        next(rows)
    tracemalloc.start()
    count = 1000 + sum(1 for _ in rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == n
    assert peak < 3e6  # all of them take more


def test_a_table_of_csv_knows_its_size(tmp_path):
    text = 'id,cif\n1,"a\nb\n""c"""\n\n2,x\n3,y'
    (tmp_path / "t.csv").write_text(text)
    (tmp_path / "u.csv.gz").write_bytes(gzip.compress(text.encode()))
    (source,) = read_sources([f"table:{tmp_path}/*.csv*"])
    assert source.count() == len(list(source.items())) == 6


def test_a_table_of_npz_knows_its_size_and_its_damage(tmp_path):
    sizes = {"n_sites": np.array([1, 2]), "Z": 1, "frac": 1, "lattice": 1}
    np.savez(tmp_path / "t.npz", **sizes)
    (source,) = read_sources([f"table:{tmp_path}/t.npz"])
    assert source.count() == 2
    np.savez(tmp_path / "t.npz", Z=1)
    with pytest.raises(SourceError, match=r"expected the arrays n_sites, Z, frac"):
        source.count()
    (tmp_path / "t.npz").write_bytes(b"PK\3\4")
    with pytest.raises(SourceError, match=r"expected the arrays n_sites, Z, frac"):
        items(f"table:{tmp_path}/t.npz")


def test_files_are_checked_against_their_hashes(tmp_path):
    plain, packed = tmp_path / "a.csv", tmp_path / "b.csv.gz"
    plain.write_bytes(b"one")
    packed.write_bytes(gzip.compress(b"two", mtime=1))
    digests = [hashlib.sha256(text).hexdigest() for text in (b"one", b"two")]
    paths, page = (str(plain), str(packed)), "example.org"
    TableSource("t", paths=paths, page=page, hashes=(*digests,)).fetch()
    swapped = TableSource("t", paths=paths, page=page, hashes=(*digests[::-1],))
    with pytest.raises(SourceError, match=rf"a.csv has SHA256 {digests[0]}, expected"):
        swapped.fetch()
    with pytest.raises(SourceError, match="found 1 hashes of 2 files"):
        TableSource("t", paths=paths, hashes=(digests[0],)).fetch()
    packed.unlink()
    said = rf"at example.org \(SHA256 {digests[1]} unpacked\): .* --without t"
    with pytest.raises(SourceError, match=said):
        TableSource("t", paths=paths, page=page, hashes=(*digests,)).fetch()
