"""Make a model folder of a released Hugging Face BERT and its tokenizer.

    python -m cloud_jax.import_hf RELEASE models/released --tokenizer TOKENIZER

Reads config.json and model.safetensors or pytorch_model.bin (whole or in shards), and
vocab.txt, added_tokens.json and tokenizer_config.json of the tokenizer. PyTorch is not
needed, and nothing that a .bin file names is run. The result is an encoder to fine-tune
or embed with; what was left out or changed is printed. Nothing is written unless all
of it fits.
"""

import argparse
import sys
from pathlib import Path

EXIT_FAILED = 1


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m cloud_jax.import_hf",
        description=__doc__,
        epilog="Exit code: 0, or 1 if the checkpoint was refused.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", metavar="DIR", type=Path)
    parser.add_argument("output", metavar="OUT", type=Path, help="a new folder")
    parser.add_argument(
        "--tokenizer",
        metavar="DIR",
        type=Path,
        help="where the tokenizer's files are, if not beside the weights",
    )
    options = parser.parse_args(arguments)
    try:
        notes = _import(
            options.checkpoint,
            options.tokenizer or options.checkpoint,
            options.output,
        )
    except (OSError, ValueError) as error:
        print(f"error: {error}\nnothing was written", file=sys.stderr)
        return EXIT_FAILED
    print("\n".join(notes))
    return 0


def _import(checkpoint: Path, tokenizer: Path, output: Path) -> list[str]:
    """Import and return what to tell the user."""
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
            # What the reference pipeline leaves at pymatgen's defaults.
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
