"""Each source yields what its file holds, in order, and says what it cannot read."""

import gzip
import io
import json
import os
import tarfile
import zipfile

import numpy as np
import pytest
from crystals import (
    LITHIUM,
    LITHIUM_POSCAR,
    groups,
    items,
    manifest,
    records,
    rejects,
    rock_salt,
    run,
    write_rows,
)

from cloud_jax.datasets.corpus import read_sources
from cloud_jax.preprocess.command import main
from cloud_jax.scope.chunks import Position, pack
from cloud_jax.scope.pipeline import Options, process, read_cell
from cloud_jax.structures.source import RawItem, SourceError

LITHIUM_ASE = {
    "numbers": [3, 3],
    "positions": [[0.0, 0.0, 0.0], [1.75, 1.75, 1.75]],
    "cell": [[3.5, 0.0, 0.0], [0.0, 3.5, 0.0], [0.0, 0.0, 3.5]],
    "pbc": [True, True, True],
}
LITHIUM_JARVIS = {
    "lattice_mat": LITHIUM_ASE["cell"],
    "coords": [[0, 0, 0], [0.5, 0.5, 0.5]],
    "elements": ["Li", "Li"],
    "cartesian": False,
}
TABLE = "[[source]]\nkind='table'\nname='a'\n"


def test_embedded_yields_the_prototypes_and_the_minerals_once_each():
    found = items("embedded")
    assert len(found) == 288 + 1081
    assert len({item.id for item in found}) == len(found)
    assert found[0].id == "aflow-000-AB_hP6_154_a_b"
    assert groups(found[:1] + found[288:289]) == [154, 14]


@pytest.mark.parametrize(
    "cell",
    [
        json.dumps(LITHIUM),
        json.dumps(LITHIUM_ASE),
        repr(LITHIUM_ASE),  # True, not true: what pandas writes
        json.dumps(LITHIUM_JARVIS),
        LITHIUM_POSCAR,
        LITHIUM_POSCAR.replace("\n", "\\n"),
    ],
    ids=["pymatgen", "ase", "python", "jarvis", "poscar", "escaped-poscar"],
)
def test_a_table_cell_is_recognised_by_its_content(tmp_path, cell):
    path = write_rows(tmp_path / "t.csv", [{"mp_id": "mp-1", "structure": cell}])
    found = items(f"table:{path}")
    assert [item.id for item in found] == ["mp-1"]
    assert groups(found) == [229]


def test_csv_comments_pandas_index_and_bad_rows(tmp_path):
    path = tmp_path / "t.csv.gz"
    cif = rock_salt().replace('"', '""')
    text = f'# ref: somebody\nmaterial_id,cif\n0,a,"{cif}"\nb,"{cif}"\nc\n'
    path.write_bytes(gzip.compress(text.encode()))
    found = items(f"table:{path}")
    assert [item.id for item in found] == ["a", "b", "t.csv.gz:2"]
    assert groups(found) == [225, 225, "bad_row"]


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        ([LITHIUM, LITHIUM_ASE], ["t.json:0", "t.json:1"]),
        ([{"jid": "J1", "atoms": LITHIUM_JARVIS}], ["J1"]),
        ({"index": [0], "columns": ["structure", "y"], "data": [[LITHIUM, 1.0]]}, None),
        ({"train": {"x": LITHIUM_POSCAR}, "test": {"y": LITHIUM_POSCAR}}, ["x", "y"]),
        ({"x": LITHIUM, "y": LITHIUM_JARVIS}, ["x", "y"]),
    ],
    ids=["list", "rows", "pandas", "splits", "mapping"],
)
def test_json_layouts(tmp_path, content, ids):
    path = tmp_path / "t.json"
    path.write_text(json.dumps(content))
    found = items(f"table:{path}")
    assert [item.id for item in found] == (ids or ["t.json:0"])
    assert set(groups(found)) == {229}


def test_zipped_json_and_json_lines(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.json.zip", "w") as archive:
        archive.writestr("t.json", json.dumps([LITHIUM]))
    (tmp_path / "t.jsonl").write_text(f"{json.dumps(LITHIUM)}\n" * 2)
    assert groups(items(f"table:{tmp_path}/t.json.zip")) == [229]
    assert groups(items(f"table:{tmp_path}/t.jsonl")) == [229, 229]


def test_npz_of_flat_arrays(tmp_path):
    path = tmp_path / "t.npz"
    arrays = {
        "material_id": np.array(["w-1", "w-2"]),
        "n_sites": np.array([2, 1], np.uint16),
        "Z": np.array([3, 3, 29], np.uint8),
        "frac": np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0, 0, 0]], np.float32),
        "lattice": np.stack([np.eye(3) * 3.5, np.eye(3) * 2.6]).astype(np.float32),
    }
    np.savez(path, **arrays)
    found = items(f"table:{path}")
    assert [item.id for item in found] == ["w-1", "w-2"]
    assert groups(found) == [229, 221]
    np.savez(path, **arrays | {"Z": np.array(["Li", "Li", "Cu"])})
    with pytest.raises(SourceError, match="Z: found <U2, expected integer"):
        items(f"table:{path}")
    np.savez(path, **arrays | {"n_sites": np.array([2, 2])})
    with pytest.raises(SourceError, match="n_sites sums to 4"):
        items(f"table:{path}")


def test_corpus_file_names_columns_licences_splits_and_exclusions(tmp_path):
    rows = [{"name": f"r{i}", "blob": rock_salt()} for i in range(3)]
    write_rows(tmp_path / "t.csv", rows)
    splits = {"train": {"x": LITHIUM_POSCAR}, "test": {"y": LITHIUM_POSCAR}}
    (tmp_path / "p.json").write_text(json.dumps(splits))
    (tmp_path / "ids.txt").write_text("r0\nr2\n")
    (tmp_path / "corpus.toml").write_text(
        """
        [[source]]
        kind = "table"
        name = "mine"
        path = "t.csv"
        column = "blob"
        id_column = "name"
        licence = "CC0"
        exclude_ids = "ids.txt"
        [[source]]
        kind = "table"
        name = "perovskites"
        path = ["p.json"]
        splits = ["test"]
        reserved = true
        """
    )
    mine, perovskites = read_sources([str(tmp_path / "corpus.toml")])
    assert (mine.licence, mine.location) == ("CC0", "t.csv")
    assert [item.kind for item in mine.items()] == ["reject", "auto", "reject"]
    assert [item.id for item in perovskites.items()] == ["y"]
    assert perovskites.reserved


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[source]]\nkind='nope'", "found kind 'nope', expected embedded"),
        ("[[source]]\nkind='table'\nname='a'\npath='x'\nlicense='MIT'", "license;"),
        ("[[source]]\nkind='table'\nname='a'", "expected name and path"),
        ("sources = 1", r"found \['sources'\], expected only \[\[source\]\]"),
        ("][", "cannot be read as TOML"),
        ("source = [1]", r"expected only \[\[source\]\]"),
        ("[[source]]\nkind=['cif']", r"found kind \['cif'\]"),
        (TABLE + "path=3", "1: path: found 3, expected a string or a list"),
        (TABLE + "path=[]", r"path: found \[\], expected a string or a list"),
        (TABLE + "path='x'\nexclude_ids=5", "exclude_ids: found 5, expected a string"),
        (TABLE + "path='x'\nsplits=[1]", r"splits: found \[1\], expected a string"),
        (TABLE + "path='x'\nreserved='false'", "found 'false', expected true or false"),
        (TABLE + "path='x'\nlicence=3", "licence: found 3, expected a string"),
        (
            "[[source]]\nkind='embedded'\nname=['x']",
            r"found \['x'\], expected a string",
        ),
    ],
)
def test_a_wrong_corpus_file_says_what_was_expected(tmp_path, text, message):
    path = tmp_path / "corpus.toml"
    path.write_text(text)
    with pytest.raises(SourceError, match=message):
        read_sources([str(path)])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("nonsense", "expected embedded, textbook, cif, strings"),
        ("table:{}/none.csv", "found no file"),
        ("cif:{}/none", "leads to no structure file"),
        ("table:{}/text.csv", "found columns a, b; expected cif or structure"),
        ("table:{}/empty.csv", "empty, expected a line of column names"),
        ("table:{}/damaged.json", "is damaged"),
        ("table:{}/deep.json", "is nested too deeply"),
        ("table:{}/damaged.csv.gz", "cannot be read"),
        ("table:{}/what.doc", "found suffix '.doc'"),
        ("strings:{}/text.csv", "expected cloud or scope"),
        ("cif:{}/cut.tar", "cannot be read to its end"),
        ("cif:{}/cut.zip", "cannot be read to its end"),
    ],
)
def test_an_unusable_source_says_why(tmp_path, word, message):
    (tmp_path / "text.csv").write_text("a,b\n1,2\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "damaged.json").write_text("[1, ")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "damaged.csv.gz").write_bytes(b"not gzip")
    (tmp_path / "what.doc").write_text("2")
    (tmp_path / "cut.zip").write_bytes(b"PK\3\4")
    with tarfile.open(tmp_path / "cut.tar", "w") as archive:
        data = tarfile.TarInfo("a.cif")
        data.size = 5000
        archive.addfile(data, io.BytesIO(b" " * 5000))
    os.truncate(tmp_path / "cut.tar", 2000)
    with pytest.raises(SourceError, match=message):
        items(word.format(tmp_path))


def test_two_sources_of_one_name_are_refused(tmp_path):
    with pytest.raises(SourceError, match="two sources are called embedded"):
        read_sources(["embedded", "embedded"])


def test_a_source_is_left_out_by_its_name(tmp_path):
    words = ["embedded", f"cif:{tmp_path}"]
    (source,) = read_sources(words, without=["embedded"])
    assert source.name == tmp_path.name
    with pytest.raises(SourceError, match="found wbm; expected some of embedded, "):
        read_sources(words, without=["wbm"])


def test_all_readers_agree_on_one_crystal(tmp_path):
    path = tmp_path / "t.json"
    path.write_text(json.dumps([LITHIUM, LITHIUM_ASE, LITHIUM_JARVIS, LITHIUM_POSCAR]))
    cells = [read_cell(item) for item in items(f"table:{path}")]
    for cell in cells:
        np.testing.assert_allclose(cell.lattice, np.eye(3) * 3.5)
        assert cell.species == ("Li", "Li")


def test_excluded_ids_are_listed_and_those_not_there_are_an_error(tmp_path, capsys):
    write_rows(tmp_path / "t.csv", [{"id": f"r{i}", "cif": rock_salt()} for i in "012"])
    ids = [f"no-{i}" for i in range(7)]
    corpus = tmp_path / "corpus.toml"
    corpus.write_text(TABLE + f"path='t.csv'\nexclude_ids={['r1', *ids]}")
    assert run(tmp_path / "out", corpus) == 1
    message = "source a: exclude_ids: 7 not found in it: no-0, no-1"
    assert message in capsys.readouterr().err
    (tmp_path / "ids.txt").write_text("\ufeffr1\n\n")
    corpus.write_text("\ufeff" + TABLE + "path='t.csv'\nexclude_ids='ids.txt'")
    assert run(tmp_path / "out", corpus) == 0
    assert rejects(tmp_path / "out") == {"a/r1": "excluded"}
    (source,) = manifest(tmp_path / "out")["sources"]
    assert (source["n_read"], source["n_excluded"], source["n_rejected"]) == (2, 1, 0)


def test_a_byte_order_mark_changes_nothing(tmp_path):
    path = write_rows(tmp_path / "t.csv", [{"cif": "\ufeff" + rock_salt()}])
    path.write_text("\ufeff" + path.read_text())
    (tmp_path / "t.json").write_text("\ufeff" + json.dumps([LITHIUM]))
    (tmp_path / "x.cif").write_text("\ufeff" + rock_salt())
    assert groups(items(f"table:{tmp_path}/t.csv")) == [225]
    assert groups(items(f"table:{tmp_path}/t.json")) == [229]
    assert groups(items(f"cif:{tmp_path}/x.cif")) == [225]


def test_a_bad_row_of_json_costs_that_row_alone(tmp_path):
    good = json.dumps({"id": "a", "structure": LITHIUM})
    lines = [good, '{"id": ', "", "[" * 100_000, '{"id": "b"}', good]
    (tmp_path / "t.jsonl").write_text("\n".join(lines) + "\n\n")
    found = items(f"table:{tmp_path}/t.jsonl")
    assert groups(found) == [229, "bad_row", "bad_row", "bad_row", 229]
    assert found[1].payload[1].startswith("line 2 is not JSON: ")
    assert found[2].payload[1].startswith("line 4 is not JSON: ")
    table = {"columns": ["id", "structure"], "data": [["a", LITHIUM], ["b"], 3]}
    (tmp_path / "t.json").write_text(json.dumps(table))
    found = items(f"table:{tmp_path}/t.json")
    assert groups(found) == [229, "bad_row", "bad_row"]
    assert found[1].payload[1] == "found ['b'], expected 2 values"


def test_a_value_too_deep_to_be_handed_to_a_worker_names_its_rows():
    value = LITHIUM
    for _ in range(2000):
        value = {"lattice": value}
    group = [(Position(0, 0, 0), RawItem("deep", value, "auto"))]
    with pytest.raises(SourceError, match="one of deep to deep is nested too deeply"):
        pack(group, "t", "salt", 0)


def test_the_list_of_public_sets_says_what_is_here(tmp_path, capsys):
    assert main(["--list-sources", "--data-dir", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "embedded  [in the installed packages]" in text
    assert "matbench:phonons  [not here]" in text
    (tmp_path / "any").mkdir()
    (tmp_path / "any" / "matbench_phonons.json.gz").touch()
    assert main(["--list-sources", "--data-dir", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    file = tmp_path / "any" / "matbench_phonons.json.gz"
    assert f"matbench:phonons  [{file}: found SHA" in text


def test_names_that_are_no_unicode_are_written_out(tmp_path):
    (tmp_path / "in").mkdir()
    name = os.fsdecode(b"caf\xe9.cif")
    (tmp_path / "in" / name).write_text(rock_salt())
    row = {"id": "\ud800", "structure": LITHIUM}
    (tmp_path / "t.json").write_text(json.dumps([row]))
    assert run(tmp_path / "out", f"cif:{tmp_path}/in", f"table:{tmp_path}/t.json") == 0
    ids = {row["id"] for row in records(tmp_path / "out")}
    assert ids == {r"in/caf\udce9.cif", r"t/\ud800"}


def test_files_that_are_not_read_are_named(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.cif").write_text(rock_salt())
    (tmp_path / "in" / "table.csv").write_text("id,cif\n")
    assert run(tmp_path / "out", f"cif:{tmp_path}/in") == 0
    line = "in: skipped 1 file that is not a structure file: table.csv\n"
    assert line in capsys.readouterr().err


def test_equal_ids_are_pointed_out(tmp_path, capsys):
    rows = [{"id": "a", "cif": rock_salt()}, {"id": "a", "cif": rock_salt("K", "Br")}]
    write_rows(tmp_path / "t.csv", rows)
    assert run(tmp_path / "out", f"table:{tmp_path}/t.csv") == 0
    assert "t gives 1 kept crystals the id of another" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [("3.5", "found '3.5', expected CIF, POSCAR or JSON"), ("data_x y", "not a CIF")],
)
def test_a_cell_that_is_no_structure_says_so(tmp_path, text, message):
    write_rows(tmp_path / "t.csv", [{"cif": text}])
    (item,) = items(f"table:{tmp_path}/t.csv")
    assert message in process(item, "s", Options()).message


def test_a_pipe_or_a_folder_is_no_table(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    for name in ("t.csv", "."):
        with pytest.raises(SourceError, match="is a folder, pipe or device, expected"):
            items(f"table:{tmp_path / name}")
    (tmp_path / "t.npz").touch()
    with pytest.raises(SourceError, match="expected the arrays n_sites"):
        items(f"table:{tmp_path}/t.npz")
