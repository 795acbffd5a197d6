"""The page without a server: its engine against Python, and what it refuses."""

import gzip
import json
import os
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from browser import open_browser, outside
from damage import DAMAGES, HEAVY
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

import cloud_jax
from cloud_jax.inference.inputs import parse, path_items
from cloud_jax.physics.laws import constrain, evaluate_all, get_law
from cloud_jax.structures.cif import read_cif
from cloud_jax.web import known
from cloud_jax.web.analysis import TEMPERATURES_K, Analyst
from cloud_jax.web.command import main
from cloud_jax.web.reader import Reading, drawing
from cloud_jax.web.static_data import LAWS, PageError
from cloud_jax.web.static_page import engine_source, write_page
from scripts.check_page import compare, embedded_texts, page_answers

NODE = shutil.which("node")
MUST_RUN = os.environ.get("CI") or os.environ.get("CLOUD_JAX_BROWSER")
pytestmark = pytest.mark.skipif(
    NODE is None and not MUST_RUN, reason="no node on the PATH: apt-get install nodejs"
)
QUARTZ = (Path(__file__).parents[2] / "examples" / "quartz.cif").read_text()
SALT = """data_salt
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
_chemical_formula_sum 'Na Cl'
_cell_formula_units_Z 4
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na1 Na 0 0 0 1
Cl1 Cl 0.5 0.5 0.5 1
"""
SALT_OF_PYMATGEN = str(
    CifWriter(
        Structure.from_spacegroup(
            225, Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
        ),
        symprec=0.01,
    )
)
SOUND = {"equal", "page_refuses", "both_refuse"}
POSCAR = "salt\n1\n3 0 0\n0 3 0\n0 0 3\nCs Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"


@pytest.fixture(scope="module")
def predictor():
    return cloud_jax.load(symmetry="moyopy")


@pytest.fixture(scope="module")
def few_known(tmp_path_factory):
    """Every twentieth of the known crystals: all take seconds."""
    rows = json.loads(gzip.decompress(known.TABLE.read_bytes()))
    path = tmp_path_factory.mktemp("known") / "known.json.gz"
    path.write_bytes(gzip.compress(json.dumps(rows[::20]).encode()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known, "TABLE", path)
        yield


@pytest.fixture(scope="module")
def page(predictor, few_known, compile_quickly, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    assert write_page(predictor.model, path) == path.stat().st_size < 12e6
    return path


@pytest.fixture(scope="module")
def found(predictor, page):
    """How the page and Python differ, by name, in sound texts and in damaged ones."""
    damaged = {
        name: damage(SALT_OF_PYMATGEN).decode("utf-8", "replace")
        for name, damage in DAMAGES.items()
        # Python takes a text of one line, as it is on old Macs, for a path.
        if name not in HEAVY | {"old_mac_lines"}
    }
    texts = {**damaged, **embedded_texts(2), "quartz": QUARTZ, "named": SALT}
    return {one.id: one for one in compare(predictor, page, texts | {"POSCAR": POSCAR})}


def test_sentences_flags_and_numbers_are_those_of_python(found):
    sound = [found[name] for name in found if name not in DAMAGES]
    assert [one for one in sound if one.kind != "equal"] == []
    assert len(sound) == 9
    assert max(one.error for one in sound) < 1e-4


def test_a_damaged_file_is_read_as_python_reads_it_or_not_at_all(found):
    damaged = {name: one for name, one in found.items() if name in DAMAGES}
    assert [one for one in damaged.values() if one.kind not in SOUND] == []
    kinds = Counter(one.kind for one in damaged.values())
    assert kinds["equal"] > 10
    assert kinds["page_refuses"] < 8
    assert damaged["windows_lines"].kind == damaged["name_only"].kind == "equal"


_ASK_LAWS = """
const { constrain, solidsOf, evaluate, debyeTemperatureOf } = engine.law;
const laws = %s, temperatures = %s;
console.log(JSON.stringify(laws.map((law) => temperatures.map((t) => {
  const solids = solidsOf(law, constrain(law, law.outputs), 1);
  return { ...evaluate(solids, t), debye_temperature: debyeTemperatureOf(solids, t) };
}))));
"""


def test_what_the_page_shows_is_what_the_server_shows(predictor, page, tmp_path):
    path = tmp_path / "quartz.cif"
    path.write_text(QUARTZ)
    record = parse(path_items([str(path)]), predictor.options, workers=1)[0]
    reading = Reading(replace(record, id="quartz"), drawing(read_cif(QUARTZ)))
    (expected,), _ = Analyst(predictor).describe([reading])
    (answer,) = page_answers(page, {"quartz": QUARTZ}, TEMPERATURES_K).values()
    assert _close(answer["crystal"], expected) == ""


def _close(mine, other, at="") -> str:
    """Where two trees of plain data differ; numbers to 1e-4; empty if nowhere."""
    if (
        isinstance(other, dict)
        and isinstance(mine, dict)
        and mine.keys() == other.keys()
    ):
        parts = [_close(mine[key], other[key], f"{at}.{key}") for key in other]
    elif isinstance(other, list | tuple) and len(mine) == len(other):
        pairs = enumerate(zip(mine, other, strict=True))
        parts = [_close(a, b, f"{at}[{i}]") for i, (a, b) in pairs]
    elif isinstance(other, float) and mine is not None:
        same = mine == pytest.approx(other, rel=1e-4, abs=2e-4)
        parts = ["" if same else f"{at}: {mine} and {other}"]
    else:
        parts = ["" if mine == other else f"{at}: {mine} and {other}"]
    return next(filter(None, parts), "")


def test_the_page_predicts_from_a_disk_and_asks_nothing_of_any_host(page, tmp_path):
    path = tmp_path / "quartz.cif"
    path.write_text(QUARTZ)
    wrong = tmp_path / "wrong.cif"
    wrong.write_text("data_\n")
    with open_browser(viewport={"width": 390, "height": 844}) as context:
        tab = context.pages[0]
        errors = []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(page.as_uri())
        tab.set_input_files("#files", [str(path), str(wrong)])
        tab.wait_for_selector("#answer h2", timeout=60_000)
        assert tab.inner_text("#answer h2").replace("\n", "") == "SiO2"
        assert "no data block" in tab.inner_text(".cj-problems")
        assert "44.95" in tab.inner_text(".cj-charts")
        tab.click("text=halite")
        tab.wait_for_selector("#answer h2:has-text('NaCl')", timeout=60_000)
        # Asked at once: the last one is answered, and its own answer it is.
        buttons = "document.querySelectorAll('#examples button')"
        tab.evaluate(f"{buttons}.forEach((button) => button.click())")
        tab.wait_for_selector("#answer h2:has-text('TiO2')", timeout=60_000)
        tab.wait_for_selector("#status:has-text('1 crystal predicted')")
        assert tab.inner_text(".cj-id") == "rutile"
        assert tab.input_value("#files") == ""  # the same file can be given again
        with tab.expect_download() as download:
            tab.click("text=CSV")
        rows = download.value.path().read_text().splitlines()
        assert rows[0].startswith("id,formula,property,temperature_k,value,unit")
        width = tab.evaluate("document.documentElement.scrollWidth")
        assert errors == []
        assert outside(context.asked, page.as_uri()) == []
    assert width <= 390


LISTED = "loop_\n_symmetry_equiv_pos_as_xyz\n"
REFUSED = {
    "": "unreadable",
    "data_empty\n_cell_length_a 5\n": "no_atoms",
    "<html><body>data_</body></html>": "unreadable",
    '{"lattice": []}': "needs_program",
    "2\nLattice=\"1 0 0 0 1 0 0 0 1\"\nNa 0 0 0\n" + "\n" * 9: "needs_program",
    SALT.replace("_cell_length_a 5.64\n", ""): "bad_lattice",
    SALT.replace("0.5 0.5 0.5 1", "0.5 0.5 0.5 0.7"): "needs_program",
    SALT.replace("0.5 0.5 0.5 1", "0.5 0.5 ? 1"): "needs_program",
    SALT.replace("Cl1 Cl", "Wat1 Wat"): "needs_program",
    SALT.replace("'Na Cl'", "'Na2 Cl'"): "needs_program",
    SALT.replace("Z 4", "Z 2"): "needs_program",
    SALT.replace("F m -3 m", "F z z z"): "needs_program",
    SALT.replace("F m -3 m", "R -3 m :H"): "needs_program",
    SALT + "_space_group_IT_number 221\n": "needs_program",
    SALT + "_space_group_IT_coordinate_system_code 2\n": "needs_program",
    SALT.replace("0.5 0.5 0.5 1", "0.5 0.5 0.5"): "needs_program",
    SALT.replace("0.5 0.5 0.5 1", "0.5 0.5 1e300 1"): "needs_program",
    SALT.replace("0.5 0.5 0.5 1", "0.02 0 0 1"): "needs_program",
    SALT + LISTED + "x,y,z\n-x,-y,-z\n": "needs_program",  # fewer than the name says
    SALT + LISTED + "x,y,z\nx+1/2,y,z\n-x,y,z\n": "needs_program",  # no group
    SALT + "_atom_site_moment_label Na1\n": "needs_program",
    SALT + "_cell_modulation_dimension 1\n": "needs_program",
    SALT + "_cell_length_a 5.65\n": "ambiguous",
    # Two capitals may be one symbol, here chlorine.
    SALT.replace("Cl1 Cl", "Cl1 CL").replace("_chemical_formula_sum 'Na Cl'", ""):
        "needs_program",
    SALT.replace("F m -3 m", "constructor"): "needs_program",
    POSCAR.replace("Cs Cl\n", ""): "needs_program",
    POSCAR.replace(".5 .5 .5", ".5,.5,.5"): "needs_program",
    POSCAR.replace("\n3 0 0", "\n0x3 0 0"): "unreadable",
    POSCAR.replace(".5 .5 .5", "0 0 .1"): "overlapping_sites",
    POSCAR.replace("1 1\n", "1 2\n"): "unreadable",
    "\n".join("abcdefghij"): "unreadable",
    "data_\0": "binary",
    "PK\3\4\0": "needs_program",
}  # fmt: skip


def test_what_it_cannot_read_is_refused_with_a_reason(page):
    texts = {str(i): text for i, text in enumerate(REFUSED)}
    answers = page_answers(page, texts)
    assert [answers[i].get("code") for i in texts] == [*REFUSED.values()]
    for answer in answers.values():
        assert not answer["broken"]
        advised = "cloud-jax predict FILE" in answer["message"]
        assert advised == (answer["code"] == "needs_program")


def test_every_law_of_the_page_is_that_of_python(tmp_path):
    kelvin = [0.0, 30.0, 300.0]
    rng = np.random.default_rng(0)
    laws = [get_law(name) for name in LAWS]
    outputs = [rng.normal(size=len(law.variables)) for law in laws]
    requests = [
        {
            "name": law.name,
            "variables": [v._asdict() for v in law.variables],
            "outputs": out.tolist(),
        }
        for law, out in zip(laws, outputs, strict=True)
    ]
    script = tmp_path / "laws.cjs"
    script.write_text(
        engine_source() + _ASK_LAWS % tuple(map(json.dumps, (requests, kelvin)))
    )
    answers = json.loads(subprocess.check_output([NODE, script]))
    for law, out, found in zip(laws, outputs, answers, strict=True):
        with jax.enable_x64(True):
            variables = constrain(law, out)
            expected = {
                "gibbs_energy": law.free_energy(variables, jnp.array(kelvin)),
                "zero_point_energy": [float(law.zero_point_energy(variables))] * 3,
            }
            if law.name == "debye_einstein":  # both solids
                expected = evaluate_all(law, variables, np.array(kelvin))
        for name, values in expected.items():
            mine = [row[name] for row in found]
            # float64 in both; the Debye temperature is a root of C_v.
            assert mine == pytest.approx(np.asarray(values), rel=1e-7, abs=1e-9)


def test_the_command_writes_the_same_file_each_time(page, tmp_path, capsys):
    path = tmp_path / "page.html"
    assert main(["--static", str(path)]) == 0
    assert "opens in any browser" in capsys.readouterr().out
    assert path.read_bytes() == page.read_bytes()


def test_a_model_without_a_law_is_refused_by_name(predictor, tmp_path):
    description = predictor.model.description | {"kind": "encoder"}
    model = predictor.model._replace(description=description)
    with pytest.raises(PageError, match="expected one with a physics head"):
        write_page(model, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())
