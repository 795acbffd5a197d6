"""Write the golden arrays that the encoder is tested against.

A tiny Hugging Face BERT with random weights: its state dict, three sentences of
different lengths, the hidden states of every layer and the MLM logits. Needs torch and
transformers, which the project itself does not use; an environment of its own will do:

    python -m venv golden && golden/bin/pip install torch transformers
    golden/bin/python -m scripts.make_bert_golden tests/models/golden/bert_tiny.npz
"""

import argparse

import numpy as np
import torch
from transformers import BertConfig, BertForMaskedLM

LENGTHS = (5, 12, 8)


def main() -> None:
    """Build the model, run it in evaluation mode and save everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="the .npz file to write")
    path = parser.parse_args().path

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    model = BertForMaskedLM(config).eval()
    with torch.no_grad():
        # Larger than the initialiser's 0.02, and no LayerNorm at its identity: so that
        # a wrong GELU, epsilon, scale or bias moves the outputs visibly.
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.3)
        tokens = torch.randint(1, config.vocab_size, (len(LENGTHS), max(LENGTHS)))
        mask = torch.arange(max(LENGTHS))[None] < torch.tensor(LENGTHS)[:, None]
        tokens = tokens * mask
        output = model(tokens, attention_mask=mask.long(), output_hidden_states=True)

    weights = {
        f"weight/{name}": weight.numpy()
        for name, weight in model.state_dict().items()
        if "decoder" not in name  # tied: the same arrays a second time
    }
    states = {f"hidden/{i}": h.numpy() for i, h in enumerate(output.hidden_states)}
    np.savez_compressed(
        path,
        tokens=tokens.numpy(),
        lengths=np.array(LENGTHS),
        logits=output.logits.numpy(),
        **states,
        **weights,
    )


if __name__ == "__main__":
    main()
