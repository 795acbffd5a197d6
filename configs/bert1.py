"""CLOUD bert1: 1 layer, 1 head, width 64, 0.1 M parameters.

    python -m cloud_jax.pretrain --config configs/bert1.py

The smallest of the scaling series, for a CPU. It reads datasets/corpus and writes
runs/bert1; other folders: --config.data.path=FOLDER and --workdir=FOLDER.

The paper's preset (Table S1): AdamW, learning rate 1e-4, 5 % warm-up and cosine, 2048
crystals a global batch, 50 epochs, gradient norm clipped at 1.

Measured on the corpus of RESULTS.md, 50 epochs on one NVIDIA H100: validation loss
1.251, accuracy 66.4 % (unigram 3.914, 24.0 %) in 59 s.
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.pretraining()
    c.model.preset = "bert1"
    return c.lock()
