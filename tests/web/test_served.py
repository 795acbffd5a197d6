"""Limits of what is read, the folder of uploads, and what is said of crystals."""

import importlib.util
import io
import json
import os
import signal
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import cloud_jax
from cloud_jax.inference.crystals import Crystal
from cloud_jax.inference.explanations import DOUBT, NOTE, explain_flag, explain_novelty
from cloud_jax.scope.pipeline import Record, Reject
from cloud_jax.structures.cell import Cell
from cloud_jax.structures.flags import FLAGS
from cloud_jax.web import reader
from cloud_jax.web.analysis import Analyst, example_files
from cloud_jax.web.known import KnownCrystals
from cloud_jax.web.reader import Readers, Upload, drawing
from cloud_jax.web.server import remove_old

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.usefixtures("compile_quickly")


@pytest.fixture(scope="module")
def predictor():
    return cloud_jax.load()


@pytest.fixture(scope="module")
def readers(predictor):
    readers = Readers(predictor.options, 1)
    yield readers
    readers.close()


def read(readers, upload):
    with readers.lend() as one:
        return list(one.read(upload))


def test_an_archive_a_text_and_a_file_without_an_ending_are_read(readers, tmp_path):
    quartz = (EXAMPLES / "quartz.cif").read_text()
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.cif", quartz)
        archive.writestr("../b.cif", quartz)
    inside, refused = read(readers, Upload("two.zip", tmp_path / "two.zip"))
    assert isinstance(inside.result, Record)
    assert refused.result.code == "unsafe_path"
    (tmp_path / "download").write_text(quartz)
    (plain,) = read(readers, Upload("download", tmp_path / "download"))
    (pasted,) = read(readers, Upload("pasted text", text=quartz))
    assert plain.result.canonical == pasted.result.canonical == inside.result.canonical
    # 9 atoms; each Si lies on a face and is drawn on the opposite one too.
    assert len(plain.cell["atoms"]) == 12


def test_what_takes_too_long_is_named_and_the_next_is_read(readers, monkeypatch):
    monkeypatch.setattr(reader, "SECONDS", 0.3)
    quartz = Upload("quartz.cif", EXAMPLES / "quartz.cif")
    with readers.lend() as one:
        one.start()
        os.kill(one._process.pid, signal.SIGSTOP)  # as a search that does not end
        (late,) = one.read(quartz)
    assert isinstance(late.result, Reject)
    assert late.result.code == "timeout"
    monkeypatch.undo()
    (again,) = read(readers, quartz)
    assert again.result.space_group == 152


def test_ctrl_c_in_a_terminal_is_left_to_the_server(readers):
    quartz = Upload("quartz.cif", EXAMPLES / "quartz.cif")
    with readers.lend() as one:
        one.start()
        os.kill(one._process.pid, signal.SIGINT)  # a terminal sends it to every process
        (reading,) = one.read(quartz)
    assert isinstance(reading.result, Record)


def test_a_process_that_ends_is_named_and_replaced(readers):
    quartz = Upload("quartz.cif", EXAMPLES / "quartz.cif")
    with readers.lend() as one:
        one.start()
        os.kill(one._process.pid, signal.SIGSTOP)
        answers = one.read(quartz)
        threading.Timer(0.3, one._process.kill).start()  # as one that takes all memory
        (ended,) = answers
        assert ended.result.code == "crashed"
    (again,) = read(readers, quartz)
    assert again.result.space_group == 152


def test_answers_say_what_was_not_read_and_nothing_of_the_machine(
    predictor, readers, tmp_path
):
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 not an archive")
    uploads = [
        Upload("gone.cif", tmp_path / "gone.cif"),
        Upload("x.zip", tmp_path / "x.zip"),
        Upload("halite.cif", EXAMPLES / "halite.cif"),
        Upload("halite.cif", EXAMPLES / "halite.cif"),
    ]
    with readers.lend() as one:
        answer = Analyst(predictor).answer(uploads, one)
    text = json.dumps(answer)
    assert str(tmp_path) not in text
    assert "Traceback" not in text
    assert [problem["id"] for problem in answer["problems"]] == ["gone.cif", "x.zip"]
    assert all(problem["message"] for problem in answer["problems"])
    one, other = answer["crystals"]
    assert (one["id"], other["id"]) == ("halite.cif", "halite.cif (2)")
    expected = predictor.predict(EXAMPLES / "halite.cif", temperature_k=[300.0])
    (capacity,) = expected.value[expected.property == "heat_capacity"]
    curve = next(c for c in one["curves"] if c["property"] == "heat_capacity")
    at = curve["temperature_k"].index(300.0)
    assert curve["value"][at] == pytest.approx(capacity, rel=1e-4)
    assert curve["measured"]["source"]
    # Attention of a layer is shared out among all tokens.
    layers = np.array([token["attention"] for token in one["tokens"]])
    np.testing.assert_allclose(layers.sum(axis=0), 1, atol=1e-3)
    assert one["neighbours"][0]["words"] == "the same sentence"


def test_known_crystals_are_those_of_the_table(predictor):
    known = KnownCrystals(predictor.model)
    sentence = "0 2 n O O C e O O O 0 | Si 3a O 6c | Si 1 O 2"
    from cloud_jax.models.network import cls_states

    states = cls_states(predictor.model, [predictor.model.vocabulary.encode(sentence)])
    (nearest,) = known.nearest(states, [sentence])
    assert nearest[0]["name"].startswith("quartz (alpha)")
    distances = [one["distance"] for one in nearest]
    assert distances == sorted(distances)
    assert distances[0] < 1e-3 < distances[1]


def test_old_uploads_are_removed_and_the_rest_is_bounded(tmp_path):
    now = time.time()
    for name, age in (("old", 700), ("middle", 300), ("new", 1)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "x.cif").write_bytes(b"x" * 2**20)
        for path in (folder / "x.cif", folder):
            os.utime(path, (now - age, now - age))
    remove_old(tmp_path, 600, 10 * 2**20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["middle", "new"]
    remove_old(tmp_path, 600, int(1.5 * 2**20))
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_large_cells_are_not_drawn():
    n = 500
    places = np.random.default_rng(0).uniform(size=(n, 3))
    cell = Cell(20 * np.eye(3), places, ("Si",) * n)
    assert not drawing(cell)["atoms"]
    assert "500 atoms" in drawing(cell)["note"]


def test_every_flag_has_words():
    flags = [
        *FLAGS, "unseen_space_group", "unseen_element:Pu", "unseen_wyckoff:3a",
        "unseen_count:7", "unseen_token:##x", "longer_than_trained",
        "not_calibrated:few_neighbours", "not_calibrated:elemental_crystal",
        "not_calibrated:Fe_in_metal",
    ]  # fmt: skip
    for flag in flags:
        level, words = explain_flag(flag)
        assert level == (NOTE if flag in FLAGS else DOUBT)
        assert words.endswith(".")
        assert "_" not in words or flag in FLAGS
    assert "iron" in explain_flag("not_calibrated:Fe_in_metal")[1]


def test_novelty_says_what_was_learned_and_how_far_it_is(predictor):
    description = predictor.model.description
    near = description["calibration"]["novelty"]["near"]
    far = description["calibration"]["novelty"]["far"]
    quartz = "0 2 n O O C e O O O 0 | Si 3a O 6c | Si 1 O 2"
    other = quartz.replace("Si", "Pu")
    crystals = [
        Crystal("", [], (("Si", 1),), 9, (), sentence, 152, distance)
        for sentence, distance in (
            (quartz, near / 2),
            (other, near * 2),
            (other, far * 2),
        )
    ]
    levels, words = zip(*explain_novelty(description, crystals), strict=True)
    assert levels == ("good", "note", "doubt")
    assert words[0].startswith("Known to the model")
    assert words[1].startswith("New to the model")
    assert "times as wide" in words[1]


def test_the_space_imports_without_serving():
    spec = importlib.util.spec_from_file_location("app", EXAMPLES / "space" / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert callable(module.main)
    assert (EXAMPLES / "space" / "requirements.txt").read_text().count("[web]") == 1
    assert "app_file: app.py" in (EXAMPLES / "space" / "README.md").read_text()


def test_examples_are_those_of_the_repository():
    names = [path.name for path in example_files()]
    assert names == sorted(path.name for path in EXAMPLES.glob("*.cif"))
    assert all(io.StringIO(path.read_text()).readline() for path in example_files())
