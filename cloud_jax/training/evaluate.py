"""Validation means of a set of parameters."""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing

import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from cloud_jax.data.batches import PackedBatches
from cloud_jax.data.prefetch import prefetch
from cloud_jax.training.metrics_log import summarise, zero_sums
from cloud_jax.training.sharding import to_host
from cloud_jax.training.steps import Steps


def evaluate(
    params: PyTree,
    batches: PackedBatches,
    *,
    steps: Steps,
    key: PRNGKeyArray,
    n_batches: int,
    ahead: int,
) -> dict[str, float]:
    """Return the means over the first `n_batches` of `batches`.

    Args:
        params: of the model.
        batches: of the validation split.
        steps: compiled functions.
        key: of the masks, the same at every evaluation.
        n_batches: how many batches to see.
        ahead: how many of them may be in flight.
    """
    with closing(
        prefetch(batches, start=0, stop=n_batches, sharding=steps.batch_sharding)
    ) as feed:
        sums_of_batches = (
            steps.evaluate(params, batch, np.int32(index), key)
            for index, batch in enumerate(feed)
        )
        total = zero_sums()
        for sums in lagging(sums_of_batches, ahead):
            for name, value in sums.items():
                total[name] += value
    return summarise(total)


def lagging(results: Iterable[PyTree], ahead: int) -> Iterator[PyTree]:
    """Yield host copies of device results, each fetched `ahead` results later.

    To fetch a result is to wait for it. Fetched late, the device always has work queued
    while the host waits.
    """
    waiting: deque[PyTree] = deque()
    for result in results:
        waiting.append(result)
        if len(waiting) > ahead:
            yield to_host(waiting.popleft())
    while waiting:
        yield to_host(waiting.popleft())
