"""A run that memory does not hold says what to lower."""

import numpy as np
import pytest
from jax.errors import JaxRuntimeError

from cloud_jax.training.errors import MemoryExhaustedError, memory_explained


@pytest.mark.parametrize(
    "error",
    [
        JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GiB\nand where"),
        MemoryError("RESOURCE_EXHAUSTED: 9 GiB"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_full_memory_says_which_setting_to_lower(error):
    message = r"memory does not hold this run: lower x \(RESOURCE_EXHAUSTED: 9 GiB\)$"
    with pytest.raises(MemoryExhaustedError, match=message), memory_explained("x"):
        raise error


def test_an_array_that_numpy_cannot_allocate_is_explained():
    with (
        pytest.raises(MemoryExhaustedError, match="Unable to allocate"),
        memory_explained("x"),
    ):
        np.empty((10**9, 10**9))


def test_other_errors_of_the_device_stay_what_they_are():
    with pytest.raises(JaxRuntimeError, match="INTERNAL"), memory_explained("x"):
        raise JaxRuntimeError("INTERNAL: a fault")
