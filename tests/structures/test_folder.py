"""CIF, POSCAR and JSON files by name, in folders, and in archives that mean harm."""

import io
import json
import os
import tarfile
import zipfile

import pytest
from crystals import LITHIUM, LITHIUM_POSCAR, groups, items, rock_salt

from cloud_jax.datasets.corpus import read_sources
from cloud_jax.scope.pipeline import read_cell
from cloud_jax.structures import source as source_module


def test_cif_files_folders_and_patterns(tmp_path):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    for name in ("a/x.cif", "a/b/y.CIF", "a/b/z.txt"):
        (tmp_path / name).write_text(rock_salt())
    assert [i.id for i in items(f"cif:{tmp_path}/a")] == ["b/y.CIF", "x.cif"]
    assert [i.id for i in items(f"cif:{tmp_path}/**/x.cif")] == ["a/x.cif"]
    assert [i.id for i in items(f"cif:{tmp_path}/a/x.cif")] == ["x.cif"]
    os.mkfifo(tmp_path / "a" / "pipe.cif")  # opening it would wait for ever
    assert groups(items(f"cif:{tmp_path}/a")) == [225, "not_a_file", 225]


def test_latin1_and_binary_cifs(tmp_path):
    text = "# Schr\xf6dinger\n" + rock_salt()
    (tmp_path / "a.cif").write_bytes(text.encode("latin-1"))
    (tmp_path / "b.cif").write_bytes(b"\x7fELF\0\0\0")
    (tmp_path / "c.cif").write_bytes(os.urandom(3000).replace(b"\0", b""))
    (tmp_path / "d.cif").write_text("")
    assert groups(items(f"cif:{tmp_path}"))[:2] == [225, "binary"]
    assert all(isinstance(code, str) for code in groups(items(f"cif:{tmp_path}"))[2:])


def test_each_data_block_with_atoms_is_a_crystal(tmp_path):
    comment = "data_global\n_note\n;\ndata_fake\n_atom_site_fract_x\n;\n"
    two = comment + rock_salt() + rock_salt("K", "Cl", 6.3).replace("NaCl", "KCl")
    (tmp_path / "one.cif").write_text(comment + rock_salt())
    (tmp_path / "same.cif").write_text(rock_salt() * 2)
    (tmp_path / "two.cif").write_text(two)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("two.cif", two)
        archive.writestr("__MACOSX/._two.cif", b"\0\5\x16\7")  # macOS adds these
    found = items(f"cif:{tmp_path}")
    ids = ["one.cif", "same.cif#NaCl", "same.cif#NaCl.2", "two.cif#NaCl", "two.cif#KCl"]
    assert [i.id for i in found] == ids
    assert groups(found) == [225] * 5
    assert [read_cell(i).species[0] for i in found[3:]] == ["Na", "K"]
    names = [i.id for i in items(f"cif:{tmp_path}/a.zip")]
    assert names == ["a.zip/two.cif#NaCl", "a.zip/two.cif#KCl"]


def test_poscar_and_json_files_are_read_like_cifs(tmp_path):
    files = {"CONTCAR": LITHIUM_POSCAR, "POSCAR_1": LITHIUM_POSCAR}
    files |= {"a.vasp": LITHIUM_POSCAR, "b.poscar": "{x}\n" + LITHIUM_POSCAR[4:]}
    files |= {"c.json": json.dumps(LITHIUM), "d.json": "[1]", "e.cif": rock_salt()}
    (tmp_path / "POSCARs").mkdir()
    for name, text in files.items():
        (tmp_path / "POSCARs" / name).write_text(text)
    (tmp_path / "POSCARs" / "notes.txt").write_text("not a crystal")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, text in files.items():
            archive.writestr(f"deep/{name}", text)
    expected = [229] * 5 + ["unreadable", 225]
    found = items(f"cif:{tmp_path}")
    assert [item.id for item in found] == [f"POSCARs/{name}" for name in sorted(files)]
    assert groups(found) == expected
    assert groups(items(f"cif:{tmp_path}/a.zip")) == expected
    assert groups(items(f"cif:{tmp_path}/POSCARs/CONTCAR")) == [229]
    assert groups(items(f"cif:{tmp_path}/POSCARs/notes.txt")) == ["unreadable"]


def test_linked_folders_are_read_once_and_loops_end(tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "sub" / "a.cif").write_text(rock_salt())
    (tmp_path / "far" / "deep" / "b.cif").write_text(rock_salt())
    links = {"linked": "far", "again": "far/deep", "alias": "in/sub", "sub/up": "in"}
    for name, target in links.items():
        (tmp_path / "in" / name).symlink_to(tmp_path / target)
    (tmp_path / "in" / "broken.cif").symlink_to(tmp_path / "gone")
    (tmp_path / "in" / "b.cif").symlink_to(tmp_path / "far" / "deep" / "b.cif")
    found = items(f"cif:{tmp_path}/in")
    expected = {"sub/a.cif": 225, "b.cif": 225, "broken.cif": "not_a_file"}
    expected |= {"again/b.cif": 225}  # of links to one folder the first in order
    codes = dict(zip((i.id for i in found), groups(found), strict=True))
    assert codes == expected
    names = [item.id for item in items(f"cif:{tmp_path}/in/**/?.cif")]
    assert names == ["again/b.cif", "b.cif", "sub/a.cif"]


def test_files_of_other_kinds_are_named(tmp_path):
    for name in ("a.cif", "README.md", "x/data.db", "x/b.zip", "x/.hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(rock_salt())
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        for name in ("a.cif", "README.md", "x/data.db"):
            archive.add(tmp_path / name, f"deep/{name}")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("deep/", "")
        archive.writestr("deep/notes.txt", "")
    (source,) = read_sources([f"cif:{tmp_path}"])
    skipped = ["README.md", "t.tar", "x/.hidden", "x/b.zip", "x/data.db", "z.zip"]
    assert source.skipped() == skipped
    read = [item.id for item in source.items()]
    assert sorted([*read, *skipped]) == sorted(
        path.relative_to(tmp_path).as_posix()
        for path in tmp_path.rglob("*")
        if path.is_file()
    )
    (archive,) = read_sources([f"cif:{tmp_path}/*.[tz][ai][rp]"])
    names = ["t.tar/deep/README.md", "t.tar/deep/x/data.db", "z.zip/deep/notes.txt"]
    assert archive.skipped() == names
    line = source_module.skipped_line(names * 4)
    assert line.startswith("skipped 12 files that are not a structure file: t.tar/deep")
    assert line.endswith(" and 2 more")


def test_the_size_is_known_of_files_and_zips_and_not_of_what_must_be_read(tmp_path):
    (tmp_path / "cifs").mkdir()
    for i in range(3):
        (tmp_path / "cifs" / f"{i}.cif").write_text(rock_salt())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("good.cif", "../bad.cif", "notes.txt", "folder/"):
            archive.writestr(name, rock_salt())
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        archive.add(tmp_path / "cifs" / "0.cif", "0.cif")

    def count(path):
        (source,) = read_sources([f"cif:{tmp_path}/{path}"])
        assert source.count() in (None, len(list(source.items())))
        return source.count()

    assert count("cifs") == 3
    assert count("a.zip") == 2  # one is a reject
    assert count("b.tar") is None
    (tmp_path / "cifs" / "0.cif").write_text(rock_salt() * 5000)
    assert count("cifs") is None
    (tmp_path / "a.zip").write_bytes(b"PK\3\4")
    (source,) = read_sources([f"cif:{tmp_path}/a.zip"])
    assert source.count() is None


def test_members_without_a_name_become_reject_rows(tmp_path):
    data = rock_salt().encode()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("", ".", "good.cif"):
            archive.writestr(zipfile.ZipInfo(name), data)
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        for name in (".", "good.cif"):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    assert groups(items(f"cif:{tmp_path}/a.zip")) == ["no_name", "no_name", 225]
    assert groups(items(f"cif:{tmp_path}/b.tar")) == ["no_name", 225]


def hostile_members():
    return {
        "good.cif": rock_salt().encode(),
        "../../escape.cif": rock_salt().encode(),
        "/absolute.cif": rock_salt().encode(),
        "inner.zip": b"PK",
        "deep/inner.tar.gz": b"",
        "huge.cif": b" " * 4000,
        "readme.md": b"not a crystal",
    }


EXPECTED = {
    "good.cif": 225,
    "../../escape.cif": "unsafe_path",
    "/absolute.cif": "unsafe_path",
    "inner.zip": "nested_archive",
    "deep/inner.tar.gz": "nested_archive",
    "huge.cif": "too_large",
}


@pytest.fixture
def small_limit(monkeypatch):
    """The same rules with a limit of 3,000 bytes instead of 16 MiB."""
    from cloud_jax.structures import archive
    from cloud_jax.structures import folder as cif

    for module in (source_module, archive, cif):
        monkeypatch.setattr(module, "MAX_ITEM_BYTES", 3000)


@pytest.mark.usefixtures("small_limit")
def test_hostile_zip_members_become_reject_rows(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in hostile_members().items():
            archive.writestr(zipfile.ZipInfo(name), data)
    monkeypatch.chdir(tmp_path)
    found = items(f"cif:{path}")
    codes = dict(zip((i.id for i in found), groups(found), strict=True))
    assert codes == {f"a.zip/{name}": code for name, code in EXPECTED.items()}
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]  # nothing was extracted


@pytest.mark.usefixtures("small_limit")
def test_hostile_tar_members_become_reject_rows(tmp_path):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, data in hostile_members().items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for kind, name in ((tarfile.SYMTYPE, "link.cif"), (tarfile.CHRTYPE, "dev.cif")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    found = items(f"cif:{path}")
    codes = dict(zip((i.id for i in found), groups(found), strict=True))
    links = {"link.cif": "not_a_file", "dev.cif": "not_a_file"}
    expected = {f"a.tar.gz/{name}": c for name, c in (EXPECTED | links).items()}
    assert codes == expected


@pytest.mark.usefixtures("small_limit")
def test_a_zip_header_that_lies_about_the_size_is_not_believed(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.cif", b" " * 100_000)
    data = path.read_bytes()
    true_size = (100_000).to_bytes(4, "little")
    path.write_bytes(data.replace(true_size, (200).to_bytes(4, "little")))
    assert groups(items(f"cif:{path}"))[0] in ("too_large", "bad_member")


@pytest.mark.usefixtures("small_limit")
def test_a_large_file_is_rejected_unread(tmp_path):
    (tmp_path / "a.cif").write_bytes(b" " * 4000)
    assert groups(items(f"cif:{tmp_path}")) == ["too_large"]
