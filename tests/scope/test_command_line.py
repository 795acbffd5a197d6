import json
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from cloud_jax.scope.command import main

SALT = Structure.from_spacegroup(
    225, Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


@pytest.fixture
def files(tmp_path):
    good, bad = tmp_path / "salt.cif", tmp_path / "broken.cif"
    SALT.to(filename=str(good))
    bad.write_bytes(b"\x80\x81 not a cif")
    return [str(good), str(bad), str(tmp_path / "missing.cif")]


def test_json_has_one_object_per_file_in_order(files, capsys):
    assert main(["--json", "--dialect", "paper", *files]) == 1
    good, bad, missing = map(json.loads, capsys.readouterr().out.splitlines())
    assert good["file"] == files[0]
    assert good["scope"].endswith("| 4a 4b | Na 0.5 Cl 0.5")
    assert (good["space_group"], good["n_atoms"]) == (225, 2)
    assert good["tokens"][0] == "[CLS]"
    assert good["record"]["composition"] == [["Na", 1], ["Cl", 1]]
    assert len(good["tokens"]) == len(good["ids"])
    assert set(bad) == set(missing) == {"file", "error", "code"}
    assert good["flags"] == []
    assert (bad["code"], missing["code"]) == ("unreadable", "unreadable")
    assert bad["error"].startswith("unreadable: not a CIF")


def test_the_page_reads_the_sentence_in_words(files, capsys):
    assert main(files[:1]) == 0
    page = capsys.readouterr().out
    assert "space group 225 (Fm-3m), point group m-3m" in page
    assert "Na on 4a: 4 equivalent atoms" in page
    assert "Na Cl: 2 atoms in the primitive cell" in page


@pytest.mark.parametrize("tolerance", ["0", "-1", "nan"])
def test_a_tolerance_that_is_not_a_length_is_refused(files, tolerance, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--symprec", tolerance, files[0]])
    assert stop.value.code == 2
    assert "expected a length above 0" in capsys.readouterr().err


def test_a_file_whose_formula_names_other_atoms_gets_a_note(files, capsys):
    path = Path(files[0])
    path.write_text(path.read_text().replace("'Na4 Cl4'", "'Na4 Cl5'"))
    assert main(files[:1]) == 0
    assert "note: the atoms are not those of the file's" in capsys.readouterr().out
