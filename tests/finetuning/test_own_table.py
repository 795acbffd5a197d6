"""A table of one's own: what is found in it, what is refused, what is written down."""

import csv

import pytest
from crystal_table import crystals
from crystals import rock_salt

from cloud_jax.config import ENCODER, ConfigError, finetuning, flatten, load_config
from cloud_jax.finetuning import own_config
from cloud_jax.finetuning.own_table import Asked, looks_like, survey
from cloud_jax.finetuning.rows import TableError


def write(folder, rows=20, **columns):
    """Write table.csv; a column is a function of the number of the row."""
    columns = {
        "name": lambda i: f"x{i}",
        "cif": lambda i: rock_salt(a=5 + i / 100),
        "gap": lambda i: i / 2,
    } | columns
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([of(i) for of in columns.values()] for i in range(rows))
    return str(folder / "table.csv")


def test_cells_are_known_by_what_they_look_like(tmp_path):
    (tmp_path / "a.cif").write_text(rock_salt())
    poscar = "Cu\n1.0\n0 1.8 1.8\n1.8 0 1.8\n1.8 1.8 0\nCu\n1\nDirect\n0 0 0\n"
    cells = {
        rock_salt(): "CIF text",
        poscar: "POSCAR text",
        poscar.replace("\n", "\\n"): "POSCAR text",
        '{"lattice": {}}': "structures",
        crystals(1)[0][0].canonical: "sentences",
        crystals(1)[0][0].paper: "sentences of another dialect",
        "a.cif": "files",
        "b.cif": "files that are not there",
        "-1.5e3": "numbers",
        "True": "true or false",
        "n/a": "",
        "a remark": "text",
    }
    assert {cell: looks_like(cell, tmp_path) for cell in cells} == cells


def test_columns_are_found(tmp_path):
    path = write(
        tmp_path,
        material_id=lambda i: f"m{i // 2}",
        metal=lambda i: "yes" if i % 3 else "no",
        hole=lambda i: "" if i % 2 else i,
    )
    found = survey(path, Asked(["gap,metal", "hole"]))
    assert (found.crystals.name, found.crystals.look) == ("cif", "CIF text")
    assert (found.id_column, found.group_column, found.fold_column) == ("name", "", "")
    (note,) = found.notes
    assert note.startswith("column material_id has 'm0' in lines 2 and ")
    assert [(t.name, t.n, t.positive) for t in found.targets] == [
        ("gap", 20, ""),
        ("metal", 20, "yes"),
        ("hole", 10, ""),
    ]


@pytest.mark.parametrize(
    ("columns", "asked", "message"),
    [
        ({}, {"targets": ["band_gap"]}, "no column 'band_gap'; did you mean gap?"),
        ({}, {"targets": []}, "Give --target COLUMN; columns of numbers: gap"),
        ({}, {"structure": "cfi"}, "no column 'cfi'; did you mean cif? Columns: name,"),
        (
            {"cif": lambda i: f"{i}.cif"},
            {},
            "no column holds crystals. Found: name (",
        ),
        (
            {"cif": lambda i: f"{i}.cif"},
            {},
            "cif (files that are not there, as in 0",
        ),
        ({}, {"structure": "name"}, "column name holds no crystals. Found: name (text"),
        ({"gap": lambda i: f"{i} eV"}, {}, "found 20 different labels: '0 ev' (1), "),
        (
            {"gap": lambda i: f"{i} eV" if i % 5 == 1 else i},
            {},
            "4 of 20 labels are no numbers: '1 ev' in line ",
        ),
        (
            {"gap": lambda i: i if i < 7 else ""},
            {},
            "found 7 labels in 20 rows",
        ),
        ({"gap": lambda i: 3}, {}, "all 20 labels are 3"),
        ({"gap": lambda i: i % 3}, {"classify": True}, "found 3 different labels: '0'"),
        ({"gap": lambda i: i == 3}, {}, "'true' (1); expected at least 5 rows of each"),
        ({"name": lambda i: i // 2}, {"id": "name"}, "column name has '0' in lines 2 "),
    ],
)
def test_what_cannot_be_learned_is_refused(tmp_path, columns, asked, message):
    asked = Asked(**{"targets": ["gap"]} | asked)
    with pytest.raises(TableError) as error:
        survey(write(tmp_path, **columns), asked)
    assert message in str(error.value)


def test_two_numbers_are_classes_when_asked(tmp_path):
    path = write(tmp_path, gap=lambda i: float(i % 2))
    (numbers,) = survey(path, Asked(["gap"])).targets
    assert numbers.positive == ""
    assert "--classify makes classes of them" in numbers.said
    (classes,) = survey(path, Asked(["gap"], classify=True)).targets
    assert (classes.positive, classes.counts) == ("1", {"0": 10, "1": 10})


@pytest.mark.parametrize(
    ("first", "second", "positive"),
    [
        ("no", "yes", "yes"),
        ("Metal", "non-metal", "metal"),
        ("unstable", "stable", "stable"),
        ("10", "2", "10"),
        ("-1", "-3", "-1"),
        ("cubic", "hexagonal", "hexagonal"),
    ],
)
def test_the_class_that_is_learned(tmp_path, first, second, positive):
    path = write(tmp_path, kind=lambda i: (first, second)[i % 2])
    (labels,) = survey(path, Asked(["kind"], classify=True)).targets
    assert labels.positive == positive


def test_the_written_file_gives_the_same_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = Asked(["gap"], units=["eV"])
    found = survey(write(tmp_path), asked)
    choices = own_config.choose(found, asked)
    workdir = own_config.default_workdir(found.path, ["gap"])
    assert workdir == "runs/table_gap"
    config = own_config.configure(choices, workdir, ["--config.members=7"])
    path = tmp_path / workdir / own_config.NAME
    own_config.write_config(path, config, choices, "cloud-jax finetune table.csv")
    again = load_config(str(path), [], kind=finetuning)
    assert flatten(again) == flatten(config)
    assert again.members == 7
    assert again.folds.group == "formula"
    assert again.targets.units == ("eV",)
    assert ENCODER not in path.read_text()  # no path of this machine
    said = own_config.explain(found, choices, config)
    assert "gap: 20 labels, numbers from 0 to 9.5" in said
    assert "given on the command line" in said
    with pytest.raises(ConfigError, match="did you mean"):
        own_config.configure(choices, workdir, ["--config.member=7"])


def test_the_configuration_is_python_whatever_was_typed(tmp_path):
    asked = Asked(targets=["gap"], units=[r"\Units"])
    found = survey(write(tmp_path), asked)
    choices = own_config.choose(found, asked)
    config = own_config.configure(choices, str(tmp_path / "run"), [])
    path = tmp_path / "config.py"
    typed = r"cloud-jax finetune C:\Users\me\new.csv --unit '\Units' --id " + '"""\\'
    own_config.write_config(path, config, choices, typed)
    assert flatten(load_config(str(path), [], kind=finetuning)) == flatten(config)
