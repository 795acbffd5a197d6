"""Compressed structure files are read as their content, in folders and archives too."""

import bz2
import gzip
import json
import lzma
import tarfile
import zipfile

import pytest
from crystals import LITHIUM, LITHIUM_POSCAR, groups, items, rock_salt

from cloud_jax.structures.readers import read_file
from cloud_jax.structures.rejection import Rejection

COMPRESS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
XYZ = '1\nLattice="3 0 0 0 3 0 0 0 3"\nCu 0 0 0\n'
FILES = {  # name to text and space group
    "POSCAR": (LITHIUM_POSCAR, 229),
    "CONTCAR_a": (LITHIUM_POSCAR, 229),
    "a.vasp": (LITHIUM_POSCAR, 229),
    "b.cif": (rock_salt(), 225),
    "c.json": (json.dumps(LITHIUM), 229),
    "d.xyz": (XYZ, 221),
}


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("name", FILES)
def test_each_format_is_read_compressed(tmp_path, name, suffix):
    text, group = FILES[name]
    data = COMPRESS[suffix](text.encode())
    file = tmp_path / (name + suffix)
    file.write_bytes(data)
    assert groups(items(f"cif:{tmp_path}")) == [group]
    assert groups(items(f"cif:{file}")) == [group]
    assert read_file(data, file.name).species == read_file(text.encode(), name).species
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(file, file.name)
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        archive.add(file, file.name)
    assert groups(items(f"cif:{tmp_path}/z.zip")) == [group]
    assert groups(items(f"cif:{tmp_path}/t.tar")) == [group]


def test_upper_case_and_files_that_a_browser_unpacked(tmp_path):
    (tmp_path / "A.CIF.GZ").write_bytes(gzip.compress(rock_salt().encode()))
    (tmp_path / "b.cif.gz").write_text(rock_salt())
    assert groups(items(f"cif:{tmp_path}")) == [225, 225]


def test_several_crystals_in_a_compressed_file_are_items_each(tmp_path):
    two = rock_salt() + rock_salt("K", "Cl", 6.3).replace("NaCl", "KCl")
    (tmp_path / "a.cif.gz").write_bytes(gzip.compress(two.encode()))
    frames = XYZ + XYZ.replace('"\n', '" id=mp-1\n') + "9\n\nCu 0 0 0\n"
    (tmp_path / "b.xyz.xz").write_bytes(lzma.compress(frames.encode()))
    found = items(f"cif:{tmp_path}")
    assert [item.id for item in found] == [
        "a.cif.gz#NaCl",
        "a.cif.gz#KCl",
        "b.xyz.xz#0",
        "b.xyz.xz#mp-1",
        "b.xyz.xz#2",
    ]
    assert groups(found) == [225, 225, 221, 221, "bad_row"]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_damaged_compressed_file_is_a_reject(tmp_path, suffix):
    data = COMPRESS[suffix](rock_salt().encode() * 20)
    (tmp_path / f"cut.cif{suffix}").write_bytes(data[: len(data) // 2])
    (tmp_path / f"good.cif{suffix}").write_bytes(data)
    first, *_ = items(f"cif:{tmp_path}")
    assert first.payload[0] == "unreadable"
    assert f"the {suffix} file is damaged or cut short" in first.payload[1]
    changed = data[:20] + bytes(20) + data[40:]
    (tmp_path / f"cut.cif{suffix}").write_bytes(changed)
    assert items(f"cif:{tmp_path}")[0].payload[0] == "unreadable"


def test_a_small_file_that_unpacks_to_much_is_refused(monkeypatch):
    monkeypatch.setattr("cloud_jax.structures.compressed.MAX_ITEM_BYTES", 3000)
    with pytest.raises(Rejection, match="too_large: unpacks to more than 3000 bytes"):
        read_file(gzip.compress(b" " * 10_000), "a.cif.gz")


def test_compressed_tables_are_read(tmp_path):
    text = json.dumps({"id": "a", "poscar": LITHIUM_POSCAR}) + "\n"
    (tmp_path / "t.jsonl.xz").write_bytes(lzma.compress(text.encode()))
    (tmp_path / "t.xyz.bz2").write_bytes(bz2.compress(XYZ.encode() * 2))
    assert groups(items(f"table:{tmp_path}/t.jsonl.xz")) == [229]
    assert groups(items(f"table:{tmp_path}/t.xyz.bz2")) == [221, 221]
