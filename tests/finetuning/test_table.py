"""Labelled tables: every way a crystal may come, and every way a row may be bad."""

import csv
import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crystals import LITHIUM, LITHIUM_POSCAR, paper_string, rock_salt, run, write_rows

from cloud_jax.finetuning.rows import TableError, open_table
from cloud_jax.finetuning.table import TableSpec, read_table, write_rejects
from cloud_jax.scope.options import Options

SALT = "1 6 a O D D a D O D b O O O c O O O d O O O e O O O 0 | Na 4a Cl 4b | Na 1 Cl 1"
ASE = {
    "numbers": [3, 3],
    "positions": [[0, 0, 0], [1.75, 1.75, 1.75]],
    "cell": np.diag([3.5] * 3).tolist(),
    "pbc": [True] * 3,
}


STRUCTURES = {"id_column": "id", "structure_column": "s", "targets": ("y",)}


def strings(path, rows, columns=("id", "scope", "y")):
    """Write a CSV of sentences; return the settings of its `TableSpec`."""
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return {
        "path": path,
        "id_column": "id",
        "scope_column": "scope",
        "targets": ("y",),
        "dialect": "paper",
    }


def read(arguments, **others):
    """Read a table; some of the arguments belong to its options."""
    arguments = arguments | others
    names = ("dialect", "max_tokens", "symprec")
    options = {name: arguments.pop(name) for name in names if name in arguments}
    return read_table(TableSpec(**arguments, options=Options(**options)), processes=1)


def test_structures_are_paths_text_or_json_and_bad_ones_have_their_line(tmp_path):
    (tmp_path / "cifs").mkdir()
    (tmp_path / "cifs" / "salt.cif").write_text(rock_salt())
    (tmp_path / "structure.txt").write_text(LITHIUM_POSCAR)
    cells = {
        "path": "cifs/salt.cif",
        "cif": rock_salt(),
        "gone": "cifs/gone.cif",
        "pymatgen": json.dumps(LITHIUM),
        "broken": "data_x\n_cell_length_a 3\n",
        "ase": json.dumps(ASE),
        "other name": "structure.txt",
        "escaped": LITHIUM_POSCAR.replace("\n", "\\n"),
        "empty": " ",
    }
    rows = [{"id": k, "s": v, "y": i} for i, (k, v) in enumerate(cells.items())]
    path = write_rows(tmp_path / "t.csv", rows)
    table = read(STRUCTURES | {"path": path})
    assert table.ids == ["path", "cif", "pymatgen", "ase", "other name", "escaped"]
    assert table.sentences[:2] == [SALT, SALT]
    assert len(set(table.sentences[2:])) == 1
    assert table.n_atoms.tolist() == [2, 2, 1, 1, 1, 1]
    assert table.targets[:, 0].tolist() == [0, 1, 3, 5, 6, 7]
    assert table.rows.tolist() == [0, 1, 3, 5, 6, 7]
    # The CIF of line 3 has 23 lines, so what follows it begins on line 26.
    found = [(reject.line, reject.id, reject.code) for reject in table.rejects]
    lines = 3 + rock_salt().count("\n")
    assert found == [
        (lines + 1, "gone", "not_found"),
        (lines + 3, "broken", "no_atoms"),
        (lines + 9, "empty", "missing_structure"),
    ]


def test_a_parquet_table_may_hold_structures_as_objects(tmp_path):
    rows = [{"id": i, "s": LITHIUM, "y": y} for i, y in ((7, 1.0), (8, 2.0), (9, None))]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    table = read(STRUCTURES | {"path": tmp_path / "t.parquet"})
    assert table.ids == ["7", "8"]
    assert table.n_atoms.tolist() == [1, 1]
    assert [(r.line, r.code) for r in table.rejects] == [(3, "missing_target")]


def test_json_lines_and_lists_are_tables_too(tmp_path):
    rows = [{"id": i, "s": LITHIUM, "y": i, "z": None} for i in range(3)]
    lines = [json.dumps(row) for row in rows]
    lines[1:1] = ["", "{broken", '{"id": 7}', "[1]", '"text"']
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    (tmp_path / "t.json").write_text(json.dumps([*rows, 5]))
    table = read(STRUCTURES | {"path": tmp_path / "t.jsonl"})
    assert table.ids == ["0", "1", "2"]
    assert table.n_atoms.tolist() == [1, 1, 1]
    assert [(r.line, r.code) for r in table.rejects] == [
        (3, "bad_row"),
        (4, "missing_target"),
        (5, "bad_row"),
        (6, "bad_row"),
    ]
    assert table.rejects[1].message == "y: no label"
    assert "found 'text', expected an object" in table.rejects[3].message
    found = list(open_table(tmp_path / "t.json").rows(["id", "y"]))
    assert found[1] == (2, {"id": 1, "y": 1})
    assert found[3] == (4, "found '5', expected an object")
    with pytest.raises(
        TableError, match=r"t\.json: found columns id, s, y, z; expected"
    ):
        list(open_table(tmp_path / "t.json").rows(["cv"]))
    (tmp_path / "t.json").write_text('{"columns": ["y"], "data": [[1], [2')
    with pytest.raises(TableError, match=r"t\.json: is damaged"):
        list(open_table(tmp_path / "t.json").rows(["y"]))


def test_a_line_of_json_without_end_costs_itself_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("cloud_jax.structures.json_stream.MAX_ITEM_BYTES", 99)
    good = '{"y": 1}\n'
    (tmp_path / "t.jsonl").write_text(good + f'{{"y": "{"x" * 500}"}}\n' + good)
    found = list(open_table(tmp_path / "t.jsonl").rows(["y"]))
    long = "line 2 is longer than 99 characters"
    assert found == [(1, {"y": 1}), (2, long), (3, {"y": 1})]


def test_every_bad_row_is_listed_and_the_others_are_used(tmp_path):
    good = paper_string("Na", "Cl")
    rows = [
        ("a", good, 1.5),
        ("b", good, ""),
        ("c", good, "nan"),
        ("d", good, "-inf"),
        ("e", good, "1,2"),
        ("f", good, "high"),
        ("a", good, 9),
        ("", good, 9),
        ("g", "1 3 n O O O | 4a | Na 0.5", 9),
        ("h", paper_string("Na", "Xx"), 9),
        ("i", "", 9),
        ("j", f"  {good}  ", 2.5),
    ]
    arguments = strings(tmp_path / "t.csv", rows)
    table = read(arguments)
    assert table.ids == ["a", "j"]
    assert table.sentences == [good, good]
    assert table.targets.tolist() == [[1.5], [2.5]]
    assert table.n_atoms.tolist() == [0, 0]
    assert {reject.line: reject.code for reject in table.rejects} == {
        3: "missing_target",
        4: "missing_target",
        5: "infinite_target",
        6: "bad_row",
        7: "bad_target",
        8: "duplicate_id",
        9: "missing_id",
        10: "vocabulary",
        11: "vocabulary",
        12: "missing_sentence",
    }
    assert "line 2" in table.rejects[5].message
    assert table.summary().startswith("2 of 12 rows are used; set aside: ")
    write_rejects(tmp_path / "rejects.csv", table.rejects)
    with open(tmp_path / "rejects.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["line"] for row in found] == [str(line) for line in range(3, 13)]


NUMBERS = {
    "1.5": 1.5,
    " -2e-3 ": -0.002,
    "+7": 7.0,
    ".5": 0.5,
    **dict.fromkeys(["", "NaN", "-nan", "NA", "N/A", "#N/A", "<NA>", "null", "None"]),
    **dict.fromkeys(["1_000", "\u0661\u0662", "\uff11", "\u22121.5"], "bad_target"),
    **dict.fromkeys(["1,234.5", "1,5", "1 000", "1.5 eV", "0x10"], "bad_target"),
    **dict.fromkeys(["True", "false", "yes", "1.2.3", "high"], "bad_target"),
    **dict.fromkeys(["inf", "-Infinity", "1e999"], "infinite_target"),
}


@pytest.mark.parametrize(("text", "expected"), NUMBERS.items())
def test_a_label_is_a_plain_number_or_missing_or_a_reject(tmp_path, text, expected):
    good = paper_string("Na", "Cl")
    rows = [("a", good, 1, 1), ("b", good, 2, 2), ("c", good, f'"{text}"', 3)]
    arguments = strings(tmp_path / "t.csv", rows, ("id", "scope", "y", "z"))
    table = read(arguments, targets=("y", "z"))
    if isinstance(expected, str):
        assert [reject.code for reject in table.rejects] == [expected]
        assert text.strip() in table.rejects[0].message
    else:
        found = table.targets[2].tolist()
        assert found == pytest.approx([expected or np.nan, 3.0], nan_ok=True)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "parquet"])
def test_a_missing_label_costs_the_label_and_not_the_row(tmp_path, kind):
    good = paper_string("Na", "Cl")
    labels = [(1.0, None), (None, None), (None, 2.0), (3.0, 4.0), (5.0, None)]
    rows = [
        {"id": f"c{i}", "scope": good, "y": y, "z": z}
        for i, (y, z) in enumerate(labels)
    ]
    path = tmp_path / f"t.{kind}"
    if kind == "csv":
        write_rows(path, rows)
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:  # objects without the keys of what is missing, the first one too
        rows = [{k: v for k, v in row.items() if v is not None} for row in rows]
        lines = [json.dumps(row) for row in rows]
        path.write_text("\n".join(lines) if kind == "jsonl" else json.dumps(rows))
    table = read(strings(tmp_path / "_", []), path=path, targets=("y", "z"))
    assert table.ids == ["c0", "c2", "c3", "c4"]
    expected = [[1.0, np.nan], [np.nan, 2.0], [3.0, 4.0], [5.0, np.nan]]
    np.testing.assert_array_equal(table.targets, expected)
    (reject,) = table.rejects
    assert (reject.id, reject.code) == ("c1", "missing_target")
    assert reject.message == "y, z: no label"


def test_a_target_without_two_different_labels_is_refused(tmp_path):
    good = paper_string("Na", "Cl")
    rows = [("a", good, 1, ""), ("b", good, 2, ""), ("c", good, 3, "")]
    arguments = strings(tmp_path / "t.csv", rows, ("id", "scope", "y", "z"))
    with pytest.raises(TableError, match="target z has no label in 3 usable rows"):
        read(arguments, targets=("y", "z"))
    rows[1] = ("b", good, 2, 7)
    arguments = strings(tmp_path / "t.csv", rows, ("id", "scope", "y", "z"))
    with pytest.raises(TableError, match="target z is 7 in all 1 usable rows with a"):
        read(arguments, targets=("y", "z"))


def test_a_column_that_is_there_twice_is_refused_if_it_is_used(tmp_path):
    good = paper_string("Na", "Cl")
    rows = [("a", good, 1, 2, 0, 0), ("b", good, 2, 3, 0, 0)]
    columns = ("id", "scope", "y", "y", "x", "x")
    with pytest.raises(TableError, match=r"t\.csv: 2 columns are called 'y', expected"):
        read(strings(tmp_path / "t.csv", rows, columns))
    columns = ("id", "scope", "y", "z", "x", "x")
    assert read(strings(tmp_path / "t.csv", rows, columns)).ids == ["a", "b"]
    text = json.dumps(
        {"columns": ["id", "scope", "y", "y"], "data": [["a", good, 1, 2]]}
    )
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(TableError, match=r"t\.json: 2 columns are called 'y'"):
        read(strings(tmp_path / "_", []), path=tmp_path / "t.json")
    two = pa.table([["a", "b"], [good] * 2, [1, 2], [3, 4]], ["id", "scope", "y", "y"])
    pq.write_table(two, tmp_path / "t.parquet")
    with pytest.raises(TableError, match=r"t\.parquet: 2 columns are called 'y'"):
        read(strings(tmp_path / "_", []), path=tmp_path / "t.parquet")


def test_an_unclosed_quote_is_an_error_with_its_line(tmp_path):
    good = paper_string("Na", "Cl")
    rows = [(f"c{i}", good, i) for i in range(9)]
    rows[4] = ('"c4', good, 4)
    with pytest.raises(TableError, match=r"t\.csv, line 6: a quote .* to line 10"):
        read(strings(tmp_path / "t.csv", rows))


def test_the_other_columns_are_checked_too(tmp_path):
    good = paper_string("Na", "Cl")
    columns = ("id", "scope", "y", "n", "split", "group", "z")
    rows = [
        ("a", good, 1, 2, "train", "u", 5),
        ("b", good, 2, "2.0", "test", "v", 4),
        ("c", good, 3, 0, "test", "v", 4),
        ("d", good, 3, "two", "test", "v", 4),
        ("e", good, 3, 2, "", "v", 4),
        ("f", good, 3, 2, "test", "", 4),
        ("g", good, 3, 2, "test", "v", "inf"),
        ("h", good, 3, 2, "NaN", "v", 4),
        ("i", good, 3, "1_0", "test", "v", 4),
        ("j", good, 3, "inf", "test", "v", 4),
    ]
    table = read(
        strings(tmp_path / "t.csv", rows, columns),
        targets=("y", "z"),
        n_atoms_column="n",
        split_column="split",
        group_column="group",
    )
    assert table.targets.tolist() == [[1, 5], [2, 4]]
    assert table.n_atoms.tolist() == [2, 2]
    assert (table.split, table.group) == (["train", "test"], ["u", "v"])
    codes = ["bad_n_atoms", "bad_n_atoms", "missing_split", "missing_group"]
    codes += ["infinite_target", "missing_split", "bad_n_atoms", "bad_n_atoms"]
    assert [r.code for r in table.rejects] == codes


def test_comment_lines_blank_lines_and_compression_do_not_shift_lines(tmp_path):
    good = paper_string("Na", "Cl")
    text = f"# made by hand\nid,scope,y\n\na,{good},1\n\nb,{good},x\nc,{good},2\n"
    with gzip.open(tmp_path / "t.csv.gz", "wt") as file:
        file.write(text)
    table = read(strings(tmp_path / "t.csv", []), path=tmp_path / "t.csv.gz")
    assert table.ids == ["a", "c"]
    assert [reject.line for reject in table.rejects] == [6]


def test_a_sentence_longer_than_the_limit_is_set_aside(tmp_path):
    rows = [("a", paper_string("Na", "Cl"), 1), ("b", paper_string("K", "F"), 2)]
    rows += [("c", paper_string("K", "F", "4a 4b 8c"), 2)]
    table = read(strings(tmp_path / "t.csv", rows), max_tokens=25)
    assert [(r.id, r.code) for r in table.rejects] == [("c", "too_long")]


def test_a_table_that_cannot_be_used_says_why(tmp_path):
    good = paper_string("Na", "Cl")
    arguments = strings(tmp_path / "t.csv", [("a", good, 1), ("b", good, 1)])
    with pytest.raises(TableError, match="target y is 1 in all 2 usable rows"):
        read(arguments)
    with pytest.raises(TableError, match="found columns id, scope, y; expected cv too"):
        read(arguments, targets=("cv",))
    with pytest.raises(TableError, match="expected exactly one"):
        read(arguments, structure_column="cif")
    with pytest.raises(TableError, match=r"expected \.csv"):
        read(arguments, path=tmp_path / "t.xlsx")
    with pytest.raises(TableError, match="cannot be read"):
        read(arguments, path=tmp_path / "gone.csv")
    with pytest.raises(TableError, match="no usable row of 1; set aside: 1 bad_target"):
        read(strings(tmp_path / "t.csv", [("a", good, "x")]))
    (tmp_path / "t.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(TableError, match="cannot be read"):
        read(arguments, path=tmp_path / "t.parquet")


def test_a_prepared_dataset_is_joined_by_id(tmp_path):
    (tmp_path / "cifs").mkdir()
    for name, text in (("a", rock_salt()), ("b", rock_salt("K")), ("c", rock_salt())):
        (tmp_path / "cifs" / f"{name}.cif").write_text(text)
    folder = tmp_path / "dataset"
    assert run(folder, f"cif:{tmp_path}/cifs", "--validation-fraction", 0) == 0
    ids = ("a.cif", "cifs/b.cif", "c.cif", "d.cif")
    arguments = strings(
        tmp_path / "t.csv", [(name, "", i) for i, name in enumerate(ids)]
    )
    arguments |= {"scope_column": None, "dataset": folder}
    table = read(arguments, dialect="canonical")
    assert table.ids == ["a.cif", "cifs/b.cif", "c.cif"]
    assert table.sentences[0] == table.sentences[2] == SALT  # twins, one of them kept
    assert table.n_atoms.tolist() == [2, 2, 2]
    assert [r.code for r in table.rejects] == ["not_in_dataset"]
    # Equal in the canonical dialect is not always equal in the other.
    assert {r.code for r in read(arguments).rejects} == {"merged", "not_in_dataset"}
    with pytest.raises(TableError, match=r"made with .*0\.01.* this run has .*0\.1"):
        read(arguments, symprec=0.1)
    with pytest.raises(TableError, match="not a data set"):
        read(arguments, dataset=tmp_path)
