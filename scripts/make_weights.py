"""Make the model folders that the package ships (cloud_jax/weights/MODEL_CARD.md).

    python -m scripts.make_weights volumes datasets/corpus data/volume.csv
    python -m scripts.make_weights encoder runs/properties cloud_jax/weights/encoder
    python -m scripts.make_weights model runs/thermal cloud_jax/weights/thermal

`volumes` writes the table that configs/volume.py learns from: id, sentence, logarithm
of the volume per atom [angstrom^3], and split: all training rows and 3,000 validation
rows, called test. `encoder` takes the encoder of a fine-tuned model's first member,
`model` the whole model; both are rounded to bfloat16.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

TEST_ROWS = 3000
LONGEST = 64  # tokens; a batch then has short rows
VOLUMES = (3.0, 200.0)  # angstrom^3 per atom; beyond are errors and sparse frameworks
FILLED_IN = ("format", "version", "dialect", "vocabulary_sha256", "weights_sha256")
OF_A_HEAD = ("head", "targets", "members", "calibration", "domain")


def write_volumes(source: Path, target: Path, dialect: str) -> None:
    """Write the volumes per atom of a data set's records.parquet as a table."""
    columns = ["id", dialect, "volume_per_atom", "split", "n_tokens"]
    table = pd.read_parquet(source / "records.parquet", columns=columns)
    low, high = VOLUMES
    volume = table.volume_per_atom
    table = table[(table.n_tokens <= LONGEST) & (volume > low) & (volume < high)]
    table = table.assign(log_volume_per_atom=np.log(table.volume_per_atom))
    training = table.split == "train"
    others = table[~training]
    test = others.sample(min(TEST_ROWS, len(others)), random_state=0)
    table = pd.concat([table[training], test]).sample(frac=1, random_state=1)
    table["split"] = np.where(table.split == "train", "train", "test")
    columns = ["id", dialect, "log_volume_per_atom", "split"]
    table[columns].to_csv(target, index=False)
    print(f"{target}: {len(table):,} rows")


def write_model(source: Path, target: Path, encoder: bool) -> None:
    """Write a model, or the encoder of its first member, in bfloat16."""
    import jax
    import jax.numpy as jnp

    from cloud_jax.models.folder import load_model, save_model

    model = load_model(source)
    description, params = dict(model.description), model.params
    for key in FILLED_IN:
        del description[key]
    if encoder and description["kind"] == "property":
        params = {"encoder": jax.tree.map(lambda leaf: leaf[0], params["encoder"])}
        for key in OF_A_HEAD:
            description.pop(key, None)  # older models lack some
        description["kind"] = "encoder"
    save_model(
        target,
        description=description,
        vocabulary=model.vocabulary,
        params=jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), params),
        novelty=None if encoder else model.novelty,
    )
    size = sum(path.stat().st_size for path in target.iterdir())
    print(f"{target}: {size / 1e6:.2f} MB")


def main() -> None:
    """Write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("volumes", "encoder", "model"))
    parser.add_argument("source", type=Path, help="data set, work directory or model")
    parser.add_argument("target", type=Path)
    parser.add_argument(
        "--dialect", choices=("canonical", "paper"), default="canonical"
    )
    arguments = parser.parse_args()
    if arguments.what == "volumes":
        write_volumes(arguments.source, arguments.target, arguments.dialect)
    else:
        encoder = arguments.what == "encoder"
        write_model(arguments.source, arguments.target, encoder)


if __name__ == "__main__":
    main()
