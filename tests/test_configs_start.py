"""From a fresh clone each configuration starts, or says in one line what it needs."""

import re
from pathlib import Path

import numpy as np
import pytest
from configurations import CONFIGS, configurations

from cloud_jax.config import ConfigError, finetuning, load_config, pretraining
from cloud_jax.config import split_task as split
from cloud_jax.config_needs import refuse_missing
from cloud_jax.datasets import download
from cloud_jax.datasets.corpus import read_sources
from cloud_jax.finetuning.job import prepare
from cloud_jax.finetuning.rows import TableError, TableFile, open_table
from cloud_jax.structures.source import SourceError

PRETRAINING = ("bert", "bert12", "quickstart", "scaling")
STARTS = ("debye.py:textbook", "quickstart.py", "thermal.py:textbook")
RUN = re.compile(r"make it with `cloud-jax \w+ --config=([^`]+)`")
FILE = re.compile(r"make it with `(cloud-jax preprocess|python -m scripts\.)[^`]+`")
HASH = re.compile(r"with (SHA256 [0-9a-f]{64}|MD5 [0-9a-f]{32})|which gives its MD5")
ADDRESS = re.compile(r"cannot be downloaded from https://\S+")


@pytest.fixture(autouse=True)
def fresh_clone(tmp_path, monkeypatch):
    """Stand in an empty folder without a network."""

    def refuse(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr("requests.Session.request", refuse)
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    monkeypatch.chdir(tmp_path)


def load(name, *overrides):
    kind = pretraining if split(name)[0].stem in PRETRAINING else finetuning
    return load_config(name, overrides, kind=kind)


def refusal(name, *overrides):
    """Return what a configuration is refused with, empty if it is not."""
    try:
        refuse_missing(name, load(name, *overrides))
    except ConfigError as error:
        return str(error)
    return ""


def first_need(name):
    """Return the messages up to data that are there or that only a network gives."""
    said, overrides = [], []
    if found := refusal(name):
        said.append(found)
        if split(name)[0].stem in PRETRAINING:
            return said
        overrides = ["--config.model.checkpoint="]
        if found := refusal(name, *overrides):
            return [*said, found]
    config = load(name, *overrides)
    if split(name)[0].stem in PRETRAINING:
        assert config.data.build
        return said
    table = open_table(config.data.table, config.data.folder)
    if isinstance(table, TableFile):
        assert table.path.is_file()
        return said
    with pytest.raises(TableError) as error:
        next(table.rows([*config.targets.columns]))
    return [*said, str(error.value)]


@pytest.mark.parametrize("name", configurations(), ids=lambda name: Path(name).name)
def test_a_configuration_starts_or_says_what_it_needs(name):
    said = first_need(name)
    assert bool(said) != (Path(name).name in STARTS)
    for message in said:
        assert "\n" not in message
        if run := RUN.search(message):
            load(run[1])  # the command is that of a configuration
        elif not FILE.search(message):
            assert ADDRESS.search(message), message
            assert HASH.search(message), message
            assert "put it into data" in message


@pytest.mark.parametrize("name", ["corpus.toml", "discovery.toml"])
def test_a_corpus_says_which_file_from_where_with_which_hash(name):
    for source in read_sources([str(CONFIGS / name)]):
        if source.name == "embedded":
            source.fetch()
            continue
        with pytest.raises(SourceError) as error:
            source.fetch()
        assert "\n" not in str(error.value)
        assert re.search(r"found no file .*data/", str(error.value))
        assert re.search(r"published at \S+\.\S+", str(error.value))
        assert re.search(r"SHA256 [0-9a-f]{64}", str(error.value))


def test_labels_that_a_checkpoint_has_seen_are_not_offered_it():
    for task in ("log_gvrh", "log_kvrh", "mp_gap", "mp_e_form"):
        found = refusal(f"{CONFIGS}/matbench.py:{task}")
        assert "--config.model.checkpoint=encoder" not in found
        assert "begin from scratch: --config.model.checkpoint=" in found


def test_thermal_configurations_offer_the_table_in_the_package():
    for task in ("thermal.py", "debye.py:u"):
        found = refusal(f"{CONFIGS}/{task}")
        assert f"--config={CONFIGS}/{task.partition(':')[0]}:textbook" in found


def test_what_is_there_or_overridden_is_not_refused(tmp_path):
    (tmp_path / "runs" / "elastic").mkdir(parents=True)
    assert not refusal(f"{CONFIGS}/thermal.py")
    assert not refusal(f"{CONFIGS}/elastic.py", "--config.model.checkpoint=encoder")
    assert not refusal(f"{CONFIGS}/bert.py:3", "--config.data.path=mine")


@pytest.mark.parametrize(
    ("name", "n_labels"), [("debye.py", [104]), ("thermal.py", [104, 95, 104])]
)
def test_the_table_in_the_package_is_ready_to_train_on(name, n_labels):
    job = prepare(load(f"{CONFIGS}/{name}:textbook"))
    assert (~np.isnan(job.table.targets)).sum(axis=0).tolist() == n_labels
    assert not job.table.rejects
    assert sorted(len(fold.test) for fold in job.folds) == [20, 21, 21, 21, 21]
    assert job.start.model.description["kind"] == "encoder"
    # Labels are per mol of formula units: SiO2 has three atoms.
    assert job.amounts[job.table.ids.index("SiO2")][0] == pytest.approx(3)
