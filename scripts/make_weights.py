"""Make the model folders that the package ships: bfloat16, and only what is needed.

    python -m scripts.make_weights runs/thermal cloud_jax/weights/thermal
    python -m scripts.make_weights runs/volume cloud_jax/weights/encoder --encoder

With --encoder, the encoder of a fine-tuned model's first member, to begin with.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp

from cloud_jax.models.folder import load_model, save_model

FILLED_IN = ("format", "version", "dialect", "vocabulary_sha256", "weights_sha256")
OF_A_HEAD = ("head", "targets", "members", "calibration", "domain")


def main() -> None:
    """Read, round, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="model folder or work directory")
    parser.add_argument("target", type=Path)
    parser.add_argument("--encoder", action="store_true")
    arguments = parser.parse_args()
    model = load_model(arguments.source)
    description, params = dict(model.description), model.params
    for key in FILLED_IN:
        del description[key]
    if arguments.encoder and description["kind"] == "property":
        params = {"encoder": jax.tree.map(lambda leaf: leaf[0], params["encoder"])}
        for key in OF_A_HEAD:
            del description[key]
        description["kind"] = "encoder"
    save_model(
        arguments.target,
        description=description,
        vocabulary=model.vocabulary,
        params=jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), params),
    )
    size = sum(path.stat().st_size for path in arguments.target.iterdir())
    print(f"{arguments.target}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
