"""A grid of small models on the corpus, for the scaling law; made for one CPU core.

    python -m cloud_jax.scaling run --config configs/scaling.py

It reads datasets/corpus, made by `python -m cloud_jax.preprocess configs/corpus.toml`,
and writes runs/scaling. Every cell sees its tokens once (the corpus has 7.4 M) and its
cosine schedule ends with them. The learning rate falls with the width, as in
configs/bert3_tuned.py and configs/small.py, otherwise large models lose to small ones
by their rate alone.
"""

from cloud_jax import configuration

# Non-embedding parameters from 15 k to 0.6 M.
WIDTHS = {"1x32": 32, "1x64": 64, "2x64": 64, "2x96": 96, "3x128": 128}
TOKENS = (300_000, 870_000, 2_500_000, 7_300_000)


def get_config():
    """Return the locked configuration."""
    c = configuration.pretraining()
    c.model.dropout = c.model.attention_dropout = 0.0  # nothing is seen twice
    c.data.batch_crystals = 32
    c.evaluate.every_steps = 100_000  # at the end only
    c.evaluate.max_batches = 400
    c.log.every_steps = 100
    c.checkpoint.every_steps = 500
    c.checkpoint.keep = 1
    return c.lock()


def get_grid():
    """Return the cells: tokens to see, and what differs from get_config()."""
    return [
        {
            "tokens": tokens,
            "model.preset": size,
            "optimizer.learning_rate": 0.2 / width,
        }
        for size, width in WIDTHS.items()
        for tokens in TOKENS
        # The largest model on all tokens would cost as much as all others together.
        if (size, tokens) != ("3x128", 7_300_000)
    ]
