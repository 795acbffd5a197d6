"""CLOUD bert12, the paper's model: 12 layers, 12 heads, width 768, 86 M parameters.

    cloud-jax preprocess configs/corpus.toml --output datasets/corpus
    cloud-jax pretrain --config=configs/bert12.py

The paper's preset (Table S1): AdamW, learning rate 1e-4, 5 % warm-up and cosine, 2048
crystals per global batch, 50 epochs, gradient norm clipped at 1. Another folder of
crystals: --config.data.path=FOLDER. configs/bert.py has the smaller sizes.

Cost: 753 s on one NVIDIA H100. Expected on the corpus of RESULTS.md: validation loss
0.077, accuracy 97.7 % (unigram 3.925, 23.8 %).
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.pretraining()
    c.model.preset = "bert12"
    return c.lock()
