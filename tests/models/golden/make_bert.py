"""Write the golden folder that encoder and importer are tested against.

A tiny Hugging Face BERT with random weights, published as the CLOUD authors publish
theirs: `config.json`, the weights in both formats, and a tokenizer folder with word
pieces, 101 added fraction tokens, [CLS] at id 0 (which the model calls padding) and
embedding rows that no token uses. Beside it `expected.npz`: the ids of three sentences,
the hidden states of every layer, and MLM logits. Needs torch and transformers, which
the project itself does not use; an environment of its own will do:

    python -m venv golden && golden/bin/pip install torch transformers
    golden/bin/python tests/models/golden/make_bert.py tests/models/golden/bert_tiny
"""

import argparse
import json
import string
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertForMaskedLM, BertTokenizer

SPECIAL = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
WORDS = ["Na", "Cl", "Fe", "Si", "Al", "1a", "2a", "4a", "12", "48", "19", "192", "8A"]
SENTENCES = [
    "0 2 n O O C e O O O 0 | 3a 6c | Si 0.33 O 0.67",
    # Words of two and three pieces, a fraction of 0.0 and the origin shift.
    "0 1 b O O O 1 Y Y Y | 12e 48i 192l 8A | Fe 0.12 Np 0.0 S 0.88",
    "0 1 a O O O 0 | 1a | Po 1.0",
]
UNUSED_ROWS = 14
LOGITS_EVERY = 8  # positions, to keep the file small


def main() -> None:
    """Build tokenizer and model, run them and save everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to write")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = write_tokenizer(folder)

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer) + UNUSED_ROWS,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    model = BertForMaskedLM(config).eval()
    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        # Larger than the initialiser's 0.02, and no LayerNorm at its identity: so that
        # a wrong GELU, epsilon, scale or bias moves the outputs visibly.
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.3)
        output = model(
            batch["input_ids"],
            attention_mask=batch["attention_mask"],
            output_hidden_states=True,
        )
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    states = {f"hidden/{i}": h.numpy() for i, h in enumerate(output.hidden_states)}
    np.savez_compressed(
        folder / "expected.npz",
        sentences=np.array(SENTENCES),
        tokens=batch["input_ids"].numpy(),
        lengths=batch["attention_mask"].sum(axis=1).numpy(),
        logits=output.logits[:, ::LOGITS_EVERY, : len(tokenizer)].numpy(),
        **states,
    )


def write_tokenizer(folder: Path) -> BertTokenizer:
    """Write the three files by hand, as older transformers wrote them."""
    letters = string.digits + string.ascii_letters
    words = [*SPECIAL, ".", *letters, "|", *(f"##{x}" for x in letters[:36]), *WORDS]
    fractions = [str(round(i / 100, 2)) for i in range(101)]
    added = {word: len(words) + i for i, word in enumerate(fractions)}
    flags = {"lstrip": False, "rstrip": False, "single_word": False}
    decoder = {
        str(i): {"content": word, "normalized": i > 4, "special": i < 5, **flags}
        for word, i in [*zip(SPECIAL, range(5), strict=True), *added.items()]
    }
    settings = {f"{word[1:-1].lower()}_token": word for word in SPECIAL} | {
        "added_tokens_decoder": decoder,
        "do_basic_tokenize": True,
        "do_lower_case": False,
        "never_split": None,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "tokenizer_class": "BertTokenizer",
    }
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "added_tokens.json").write_text(json.dumps(added) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings) + "\n")
    return BertTokenizer.from_pretrained(folder)


if __name__ == "__main__":
    main()
