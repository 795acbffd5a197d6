"""A fine-tuning run that cannot start: a message, an exit code, no work directory."""

import dataclasses
import json

import numpy as np
import pytest
from crystal_table import CONFIG, PHYSICS, crystals, write_encoder, write_table

from cloud_jax import finetune
from cloud_jax.cli import Exit
from cloud_jax.models.folder import load_model, save_model


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refusals")
    write_table(folder / "table.csv")
    write_table(folder / "constant.csv", y=lambda i, _: 3.5)
    # Varies in the table, but not in what the members train on.
    write_table(folder / "flat.csv", y=lambda i, _: i if i % 5 == 0 else 3.5)
    write_table(folder / "alone.csv", split=lambda i, _: "a" if i == 3 else "b")
    write_table(folder / "three.csv", split=lambda i, _: ("x", "test", "train")[i % 3])
    write_table(folder / "few.csv", z=lambda i, _: i if i in (1, 2) else "")
    one = crystals(1)[0][0].canonical
    write_table(folder / "twins.csv", scope=lambda i, _: one)
    write_table(folder / "bad.csv", 12, scope=lambda i, _: "no sentence")
    (folder / "folds.json").write_text('{"one": ["x-1", "y-2"]}')
    (folder / "tiny.py").write_text(CONFIG)
    write_encoder(folder / "encoder")
    write_encoder(folder / "paper", "paper")
    damage(write_encoder(folder / "damaged"))
    misfit(folder / "encoder", folder / "misfit")
    return folder


def damage(folder):
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def misfit(good, folder):
    """Weights with the right hash that are not those of the encoder described."""
    model = load_model(good)
    params = model.params["encoder"] | {"position_embedding": np.zeros((9, 64), "f4")}
    save_model(
        folder,
        description=model.description,
        vocabulary=model.vocabulary,
        params={"encoder": params},
    )


@pytest.fixture
def command(files, monkeypatch, tmp_path):
    monkeypatch.chdir(files)
    # None of these may come so far.
    monkeypatch.setattr("cloud_jax.finetuning.run.train", None)
    workdir = f"--workdir={tmp_path / 'run'}"
    return lambda *arguments: finetune.main(["--config=tiny.py", workdir, *arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.checkpoint=paper"], "trained on the paper dialect"),
        (["model.checkpoint=damaged"], "weights.safetensors is damaged"),
        (["model.checkpoint=misfit"], "another shape: position_embedding"),
        (["model.checkpoint=nowhere"], "nowhere is not a model folder"),
        (["model.preset=bert99"], "unknown model preset 'bert99'"),
        (["data.table="], "config.data.table is empty"),
        (["data.table=none.csv"], "none.csv: cannot be read"),
        (["data.table=constant.csv"], "target y is 3.5 in all 40 usable rows"),
        (["data.table=flat.csv"], "target y: found 3.5 in all 29 training rows"),
        (["data.table=bad.csv"], "no usable row of 12; set aside: 12 vocabulary"),
        (["data.scope_column=sentence"], "found columns id, scope, paper"),
        (["data.dataset=encoder"], "not a data set of"),
        (["folds.column="], "give exactly one of column, file and random"),
        (["folds.random=3"], "give exactly one of column, file and random"),
        (["data.table=alone.csv"], "fold a: found 1 test rows, expected at least 2"),
        (["data.table=three.csv"], "expected train and test"),
        (["folds.column=", "folds.random=30"], "found 1 test rows"),
        (["folds.column=", "folds.file=folds.json"], "'y-2'"),
        (["folds.only=('other',)"], "there is no fold other; found split"),
        (["folds.validation_fraction=0.01"], "leaves 0 validation rows of 32"),
        (
            ["data.table=twins.csv", "folds.exclude_twins=True"],
            "fold split: 32 of 32 training rows have the sentence of one of 8 held-out",
        ),
        (
            [
                "data.table=few.csv",
                "targets.columns=('y', 'z')",
                "targets.properties=('', '')",
                "targets.units=('', '')",
                "targets.bases=('', '')",
                "targets.temperatures_k=(0, 0)",
                "targets.weights=(0, 1)",
            ],
            "no label of a target with a weight above 0 in 3 validation rows",
        ),
        (["targets.columns=()"], "expected one entry per target in each list"),
        (["targets.bases=('mol',)"], "config.targets.bases: found 'mol'"),
        (["head.law=newton"], "law 'newton' is neither"),
        (["head.law=debye"], "a law predicts one of"),
        ([*PHYSICS, "data.n_atoms_column="], "config.data.n_atoms_column"),
        ([*PHYSICS, "targets.bases=('cell', '')"], "what a mol of it counts"),
        ([*PHYSICS, "targets.units=('J/mol', 'J/mol')"], "kJ/(mol K) for heat_cap"),
        ([*PHYSICS, "targets.temperatures_k=(0.0, 300.0)"], "needs the temperature"),
        ([*PHYSICS, "targets.columns=('u', 'u')"], "a column is named twice"),
    ],
    ids=lambda value: None if isinstance(value, str) else value[-1],
)
def test_the_message_says_what_to_correct(
    command, capsys, tmp_path, arguments, message
):
    arguments = [f"--config.{a.removeprefix('--config.')}" for a in arguments]
    assert command(*arguments) == Exit.FAILED
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert not (tmp_path / "run").exists()


def test_rounded_fractions_are_no_formula(command, capsys):
    arguments = (
        *PHYSICS,
        "--config.data.dialect=paper",
        "--config.data.scope_column=paper",
        "--config.targets.bases=('formula', 'gram')",
        "--config.targets.units=('J/(mol K)', 'kJ/g')",
    )
    assert command(*arguments) == Exit.FAILED
    assert "use the canonical dialect" in capsys.readouterr().err


def test_a_task_that_is_one_of_several_is_refused(command, capsys, monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "3")
    assert command() == Exit.FAILED
    assert "srun --ntasks=1" in capsys.readouterr().err


def test_ctrl_c_while_the_table_is_read_keeps_nothing(
    command, capsys, tmp_path, monkeypatch
):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("cloud_jax.finetuning.job.read_table", stop)
    assert command() == Exit.STOPPED
    assert not (tmp_path / "run").exists()


def test_workers_that_cannot_work_are_an_error(command, capsys, monkeypatch):
    from cloud_jax.scope import pool as workers

    def fail(*_, **__):
        raise workers.EngineError("a worker died 3 times before its first record")

    monkeypatch.setattr(workers.Pool, "run", fail)
    arguments = ("--config.data.scope_column=", "--config.data.structure_column=scope")
    assert command(*arguments) == Exit.FAILED
    assert "column scope: a worker died 3 times" in capsys.readouterr().err


def test_without_pymatgen_structures_and_a_new_vocabulary_say_what_is_missing(
    command, capsys, monkeypatch
):
    def missing(_):
        raise ModuleNotFoundError("No module named 'pymatgen'")

    monkeypatch.setattr("cloud_jax.finetuning.start.build_vocabulary", missing)
    assert command() == Exit.FAILED
    assert "No module named 'pymatgen'" in capsys.readouterr().err


def test_a_prepared_dataset_brings_vocabulary_tolerances_and_sentences(
    files, tmp_path, monkeypatch
):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from cloud_jax.config import finetuning, load_config
    from cloud_jax.finetuning.job import prepare

    dataset = tmp_path / "dataset"
    dataset.mkdir()
    load_model(files / "encoder").vocabulary.save(dataset / "vocabulary.json")
    manifest = {
        "dialect": "canonical",
        "deduplicate": "canonical",
        "symprec": 0.1,
        "angle_tolerance": 5.0,
        "symmetry": "moyopy",
    }
    (dataset / "manifest.json").write_text(json.dumps(manifest))
    records = [
        dataclasses.asdict(record) | {"id": f"mine/x-{i}", "merged_ids": []}
        for i, (record, _) in enumerate(crystals(40))
    ]
    pq.write_table(pa.Table.from_pylist(records), dataset / "records.parquet")
    monkeypatch.chdir(files)
    monkeypatch.setattr("cloud_jax.finetuning.start.build_vocabulary", None)
    config = load_config(
        "tiny.py",
        [f"--config.data.dataset={dataset}", "--config.data.scope_column="],
        kind=finetuning,
    )
    job = prepare(config)
    search = {"symprec": 0.1, "angle_tolerance": 5.0, "symmetry": "moyopy"}
    assert job.start.origin == search | {"max_tokens": 128}
    assert job.table.sentences == [record.canonical for record, _ in crystals(40)]
    assert job.table.n_atoms.tolist() == [record.n_atoms for record, _ in crystals(40)]
