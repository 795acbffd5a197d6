"""A batch is no larger than the data that fill it."""

from types import SimpleNamespace

import numpy as np

from cloud_jax.data.member_batches import Sentences
from cloud_jax.training.run import make_batches

SENTENCES = Sentences.pack([[1] * 30] * 37, [str(i) for i in range(37)])


def batches(batch_crystals, capsys):
    data = SimpleNamespace(row_length=128, batch_crystals=batch_crystals)
    config = SimpleNamespace(data=data, seed=0)
    train, _ = make_batches(config, SENTENCES, SENTENCES, n_parts=1)
    return train, capsys.readouterr().out


def test_few_crystals_shrink_the_batch_with_a_notice(capsys):
    train, said = batches(2048, capsys)
    assert (train.rows, train.steps_per_epoch) == (16, 1)  # four of 30 tokens in 128
    assert "the batch shrinks from 2,048 to 37 crystals" in said
    assert np.count_nonzero(train(0)["tokens"]) == 37 * 30


def test_a_batch_that_is_filled_stays_as_it_is(capsys):
    train, said = batches(32, capsys)
    assert (train.rows, said) == (8, "")
