"""A grid of small models on the corpus, for the scaling law; made for one CPU core.

    cloud-jax preprocess configs/corpus.toml --output datasets/corpus
    cloud-jax study scaling run --config=configs/scaling.py

Every model sees its tokens once (the
corpus has 7.4 M) and its cosine schedule ends with them. All have two layers: one or
three move the loss off the curve by more than a doubling of N does.

Cost: 2,200 s on a share of two busy cores. Expected: alpha 0.30 (0.17 to 1.35), beta
0.71 (0.50 to 0.90), E at most 0.28.
"""

from cloud_jax import config

WIDTHS = (24, 48, 64, 96, 128)
TOKENS = (300_000, 750_000, 1_900_000, 4_700_000)


def get_config():
    """Return the locked configuration."""
    c = config.pretraining()
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
            "model.preset": f"2x{width}",
            "optimizer.learning_rate": 0.4 / width,
        }
        for tokens in TOKENS
        for width in WIDTHS
        # More of the largest would cost as much as all others together.
        if width < 128 or tokens < 1_000_000
    ]
