"""CLOUD bert6: 6 layers, 12 heads, width 768, 44 M parameters.

    python -m cloud_jax.pretrain --config configs/bert6.py

Half the depth of the paper's model, for a GPU or TPU. It reads datasets/corpus and
writes runs/bert6; other folders: --config.data.path=FOLDER and --workdir=FOLDER.

The paper's preset (Table S1): AdamW, learning rate 1e-4, 5 % warm-up and cosine, 2048
crystals a global batch, 50 epochs, gradient norm clipped at 1.
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.pretraining()
    c.model.preset = "bert6"
    return c.lock()
