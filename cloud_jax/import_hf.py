"""Convert a released Hugging Face BERT and its tokenizer to a model folder.

    cloud-jax import-hf RELEASE --output models/released --tokenizer TOKENIZER

Reads config.json and model.safetensors or pytorch_model.bin (whole or in shards), and
of the tokenizer tokenizer_config.json and either vocab.txt with added_tokens.json or
tokenizer.json. PyTorch is not needed, and no code named in a .bin file is run. The
result is an encoder to fine-tune or embed with; what was left out or changed is
printed. Nothing is written unless everything can be converted.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cloud_jax.cli import Exit, run_command
from cloud_jax.files import reason


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = __doc__
    add = parser.add_argument
    add("checkpoint", metavar="RELEASE", type=Path, help="Folder of the weights.")
    add(
        "--output",
        metavar="DIR",
        type=Path,
        required=True,
        help="New folder for the model.",
    )
    add(
        "--tokenizer",
        metavar="DIR",
        type=Path,
        help="Folder of the tokenizer's files (default: that of the weights).",
    )


def execute(arguments: argparse.Namespace) -> int:
    """Convert, print what was left out or changed, and return the exit code."""
    tokenizer = arguments.tokenizer or arguments.checkpoint
    try:
        notes = _import(arguments.checkpoint, tokenizer, arguments.output)
    except (OSError, ValueError) as error:
        raise ValueError(f"{reason(error)}\nnothing was written") from error
    print("\n".join(notes))
    return Exit.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run `cloud-jax import-hf`; return the exit code."""
    return run_command("import-hf", configure, execute, argv)


def _import(checkpoint: Path, tokenizer: Path, output: Path) -> list[str]:
    """Import the checkpoint and return the lines to print."""
    from dataclasses import asdict

    from cloud_jax.files import file_sha256
    from cloud_jax.hf.bert import import_bert
    from cloud_jax.hf.tokenizer import read_tokenizer
    from cloud_jax.models.folder import save_model
    from cloud_jax.scope import build_vocabulary

    if output.exists():
        raise FileExistsError(f"{output} exists: give another name, or remove it")
    vocabulary = read_tokenizer(tokenizer)
    model = import_bert(checkpoint, n_tokens=len(vocabulary))
    config, notes = model.config, model.notes
    if model.pad_id == vocabulary.cls_id:
        notes.append(
            f"id {model.pad_id} is [CLS] and also what config.json calls padding: as "
            "an input [CLS] got no gradient in pretraining; its row is kept as it is"
        )
    words = build_vocabulary("paper").tokens
    unknown = [word for word in words[4:] if word not in vocabulary.spelling]
    if unknown:
        notes.append(
            f"the tokenizer cannot spell {len(unknown)} words, and sentences with them "
            f"are rejected: {', '.join(unknown)}"
        )
    save_model(
        output,
        description={
            "kind": "encoder",
            # Defaults of pymatgen, which the reference pipeline does not change.
            "symprec": 0.01,
            "angle_tolerance": 5.0,
            "max_tokens": config.max_positions,
            "encoder": asdict(config),
            "provenance": {
                "imported_from": {path.name: file_sha256(path) for path in model.files},
                "notes": notes,
            },
        },
        vocabulary=vocabulary,
        params=model.params,
    )
    return [
        f"{output}: {config.layers} layers of width {config.width}, {config.heads} "
        f"heads, {config.max_positions} positions, from {model.files[1]}",
        f"dialect `{vocabulary.dialect}`, {len(vocabulary)} tokens; space groups 39, "
        "131 and 222 are looked up under the strings of the authors' table",
        *(f"note: {note}" for note in notes),
    ]


if __name__ == "__main__":
    sys.exit(main())
