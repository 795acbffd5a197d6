"""`cloud-jax study potentials` on small files of both formats."""

import gzip
import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from cloud_jax.inference.inputs import object_items, parse
from cloud_jax.inference.predictor import load
from cloud_jax.models.seen import pack_sentences
from cloud_jax.studies.potentials import command
from cloud_jax.studies.potentials.run import measure, read_benchmark, run

SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
SILVER = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.09), ["Ag"], [[0, 0, 0]])
LABELS = {"mp-1": (SALT, 200.0), "mp-2": (SILVER.get_primitive_structure(), 25.0)}


@pytest.fixture
def published(tmp_path):
    """A file as MatCalc publishes it."""
    rows = [
        {"mp_id": name, "structure": structure.as_dict(), "heat_capacity": label}
        for name, (structure, label) in LABELS.items()
    ]
    path = tmp_path / "benchmark.json.gz"
    path.write_bytes(gzip.compress(json.dumps(rows).encode()))
    return path


@pytest.fixture
def lines(tmp_path):
    """The same crystals as lines of JSON."""
    path = tmp_path / "half.jsonl"
    rows = [
        {
            "id": name,
            "lattice": structure.lattice.matrix.tolist(),
            "frac": structure.frac_coords.tolist(),
            "Z": list(structure.atomic_numbers),
            "heat_capacity": label,
        }
        for name, (structure, label) in LABELS.items()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_both_formats_are_the_same_crystals(published, lines):
    one, other = map(read_benchmark, (published, lines))
    assert one.index.tolist() == other.index.tolist() == ["mp-1", "mp-2"]
    assert one["n_atoms"].tolist() == other["n_atoms"].tolist() == [8, 1]
    assert one["true"].tolist() == other["true"].tolist() == [200.0, 25.0]


def test_heat_capacities_are_those_of_the_cell_as_given(published, lines, capsys):
    found = run(load(), published)
    assert found["n"] == found["all"]["total"]["n"] == 2
    assert [*found["all"]["by_class"]] == ["elements", "halides"]
    assert [*found["all"]["by_size"]] == ["1 to 2 atoms", "5 to 8 atoms"]
    salt = found["all"]["by_class"]["halides"]
    assert salt["mae"] < 20  # of 200 J/(mol K), eight atoms, not two
    assert salt["mae_per_atom"] == pytest.approx(salt["mae"] / 8)
    output = published.with_name("out.json")
    assert command.main([str(lines), f"--output={output}"]) == 0
    assert json.loads(output.read_text())["all"] == found["all"]
    assert "TensorNet, OMat24" in capsys.readouterr().out


def test_crystals_that_the_model_has_learned_from_are_left_out(published):
    model = load()
    salt, silver = parse(object_items([SALT, SILVER]), model.options, workers=1)
    learned = {
        "heat_capacity": pack_sentences([salt.canonical]),
        "debye_temperature": pack_sentences([silver.canonical]),
    }
    model.model.description["domain"] = {"sentences": learned}
    found = run(model, published)
    assert found["all"]["total"]["n"] == 2
    assert [*found["no_heat_capacity_learned"]["by_class"]] == ["elements"]
    assert found["not_learned"]["total"] is None
    del model.model.description["domain"]
    assert "not_learned" not in run(model, published)


def test_errors_are_measured_per_cell_and_per_atom(published):
    table = read_benchmark(published)
    table["value"] = [210.0, 24.0]
    table["lower"], table["upper"] = [190.0, 23.0], [205.0, 24.5]
    assert measure(table) == pytest.approx(
        {
            "n": 2,
            "mae": 5.5,
            "mae_per_atom": (10 / 8 + 1) / 2,
            "median_relative_error": (0.05 + 0.04) / 2,
            "inside": 0.5,
            "mae_dulong_petit": np.abs(
                3 * 8.314462618 * np.array([8, 1]) - [200, 25]
            ).mean(),
        }
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heat_capacity": None}, "1 of 2 .* no heat_capacity above 0, .* mp-1:"),
        ({"heat_capacity": -3.0}, "no heat_capacity above 0"),
        ({"id": "mp-2"}, "the id of another crystal, the first is mp-2:"),
    ],
)
def test_a_crystal_without_a_label_or_twice_is_named(lines, change, message):
    first, second = map(json.loads, lines.read_text().splitlines())
    lines.write_text("\n".join(map(json.dumps, (first | change, second))))
    with pytest.raises(ValueError, match=message):
        read_benchmark(lines)


def test_an_id_of_digits_is_a_text(lines):
    lines.write_text(lines.read_text().replace("mp-1", "007").replace("mp-2", "8"))
    assert read_benchmark(lines).index.tolist() == ["007", "8"]


def test_a_file_without_a_readable_crystal_is_refused(lines):
    lines.write_text(lines.read_text().replace("[11, ", "[999, ").replace("47", "999"))
    with (
        pytest.warns(UserWarning, match="2 structures were rejected"),
        pytest.raises(ValueError, match="no crystal that can be predicted among 2"),
    ):
        run(load(), lines)


def test_a_damaged_file_is_refused(published, capsys):
    content = bytearray(published.read_bytes())
    content[40:60] = bytes(20)
    published.write_bytes(content)
    assert command.main([str(published)]) == 1
    assert "expected crystals with mp_id" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["[1, 2]", '[{"mp_id": "a"}]', "[{", ""])
def test_another_file_is_refused_with_what_is_expected(tmp_path, capsys, content):
    path = tmp_path / "other.json"
    path.write_text(content)
    assert command.main([str(path)]) == 1
    assert "expected crystals with mp_id" in capsys.readouterr().err
