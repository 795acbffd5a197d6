"""CLOUD small: 3 layers, 4 heads, width 128, 0.7 M parameters, for a CPU.

    python -m cloud_jax.pretrain --config configs/small.py

The encoder of the model that the package ships. It reads datasets/corpus, made by
`python -m cloud_jax.preprocess configs/corpus.toml`, and writes runs/small.
"""

from cloud_jax import configuration


def get_config():
    """Return the locked configuration."""
    c = configuration.pretraining()
    c.model.preset = "small"
    c.model.dropout = c.model.attention_dropout = (
        0.0  # three epochs: nothing to overfit
    )
    c.data.batch_crystals = 64
    c.optimizer.learning_rate = 1e-3
    c.optimizer.epochs = 3
    c.evaluate.every_steps = 2000
    c.evaluate.max_batches = 100
    c.log.every_steps = 200
    c.checkpoint.every_steps = 1000
    return c.lock()
