"""CLOUD small: 3 layers, 4 heads, width 128, 0.7 M parameters, for a CPU.

    python -m cloud_jax.pretrain --config configs/small.py

The encoder of the model that the package ships, before configs/volume.py. It reads
datasets/corpus, made by `python -m cloud_jax.preprocess configs/corpus.toml`, and
writes runs/small.

Measured on the corpus of RESULTS.md, two shared CPU cores as two devices
(XLA_FLAGS=--xla_force_host_platform_device_count=2): validation loss 0.172, accuracy
95.2 % (unigram 3.944, 23.7 %; capped evaluation) in 1,660 s.
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.pretraining()
    c.model.preset = "small"
    # Three epochs: nothing to overfit.
    c.model.dropout = c.model.attention_dropout = 0.0
    c.data.batch_crystals = 64
    c.optimizer.learning_rate = 1e-3
    c.optimizer.epochs = 3
    c.evaluate.every_steps = 2000
    c.evaluate.max_batches = 100
    c.log.every_steps = 200
    c.checkpoint.every_steps = 1000
    return c.lock()
