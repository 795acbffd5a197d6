"""A labelled table of real crystals: AFLOW prototypes of pymatgen.

The labels are made up, but a function of the crystal, so that there is something to
learn: a Debye temperature of the composition, and a number.
"""

import csv
import json
import math
from functools import cache
from itertools import islice

import numpy as np

from cloud_jax.datasets.embedded import EmbeddedSource
from cloud_jax.scope.pipeline import Options, Record, process

CONFIG = '''
"""Small enough for a test."""
from cloud_jax import config


def get_config():
    c = config.finetuning()
    c.data.table = "table.csv"
    c.data.structure_column = ""
    c.data.scope_column = "scope"
    c.targets.columns = ("y",)
    c.targets.properties = ("",)
    c.targets.units = ("ln K",)
    c.targets.bases = ("",)
    c.targets.temperatures_k = (0.0,)
    c.folds.column = "split"
    c.members = 2
    c.model.preset = "bert1"
    c.optimizer.epochs = 4
    c.optimizer.learning_rate = 3e-3
    c.checkpoint.every_epochs = 2
    c.confidence = 0.75  # what four validation rows can give
    return c.lock()
'''
# Turns that regression into a physics head.
PHYSICS = (
    "--config.head.law=debye",
    "--config.data.n_atoms_column=n_atoms",
    "--config.targets.columns=('cv', 'u')",
    "--config.targets.properties=('heat_capacity', 'internal_energy')",
    "--config.targets.units=('J/(mol K)', 'kJ/mol')",
    "--config.targets.bases=('cell', 'cell')",
    "--config.targets.temperatures_k=(300.0, 300.0)",
)


@cache
def crystals(n: int) -> tuple[tuple[Record, dict], ...]:
    """Return records and structures of the first n prototypes with a sentence."""
    made = []
    for item in islice(EmbeddedSource("embedded").items(), 2 * n):
        record = process(item, "aflow", Options())
        if isinstance(record, Record):
            made.append((record, item.payload))
    return tuple(made[:n])


def debye_temperature(record: Record) -> float:
    """Return a temperature in kelvin that the composition alone decides."""
    words = record.canonical.rpartition("|")[2].split()
    return 150.0 + 700.0 / sum(map(len, words[::2])) + 20.0 * len(words)


def write_table(path, n=40, *, structures=False, **columns):
    """Write a CSV and return its rows; `columns` add columns or replace them."""
    from cloud_jax.physics import debye

    rows = []
    for i, (record, structure) in enumerate(crystals(n)):
        theta = debye_temperature(record)
        amount = theta, 300.0, float(record.n_atoms)
        rows.append(
            {
                "id": f"x-{i}",
                "scope": record.canonical,
                "paper": record.paper,
                "n_atoms": record.n_atoms,
                "split": "test" if i % 5 == 0 else "train",
                "cv": float(debye.heat_capacity(*amount)),
                "u": float(debye.internal_energy(*amount)) / 1000,
                "y": math.log(theta),
            }
            | ({"structure": json.dumps(structure)} if structures else {})
            | {name: of(i, record) for name, of in columns.items()}
        )
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return rows


def write_encoder(folder, dialect="canonical", *, dtype=np.float32, **description):
    """Write an encoder of random weights; return the folder."""
    import dataclasses

    import jax

    from cloud_jax.models.bert import Encoder, preset
    from cloud_jax.models.folder import save_model
    from cloud_jax.scope import build_vocabulary

    vocabulary = build_vocabulary(dialect)
    config = preset(
        "bert1",
        vocab_size=len(vocabulary),
        max_positions=64,
        token_features=vocabulary.features.shape[1],
    )
    tokens = np.ones((1, 4), np.int32)
    shapes = jax.eval_shape(
        lambda key: Encoder(config).init(
            key, *(tokens,) * 3, features=vocabulary.features, deterministic=True
        ),
        jax.random.key(0),
    )["params"]
    generator = np.random.default_rng(0)

    def draw(leaf):
        return (0.1 * generator.normal(size=leaf.shape)).astype(dtype)

    save_model(
        folder,
        description={
            "kind": "encoder",
            "encoder": dataclasses.asdict(config),
            "symprec": 0.01,
            "angle_tolerance": 5.0,
            "max_tokens": 64,
        }
        | description,
        vocabulary=vocabulary,
        params={"encoder": jax.tree.map(draw, shapes)},
    )
    return folder
