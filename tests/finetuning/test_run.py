"""A run whose device is full says what to lower."""

import pytest
from jax.errors import JaxRuntimeError

from cloud_jax.finetuning.run import MemoryExhaustedError, memory_explained


def test_a_full_device_says_which_setting_to_lower():
    message = (
        r"lower config.members_at_once, or the batch \(RESOURCE_EXHAUSTED: 9 GiB\)"
    )
    with pytest.raises(MemoryExhaustedError, match=message), memory_explained():
        raise JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GiB\nand where")


def test_other_errors_of_the_device_stay_what_they_are():
    with pytest.raises(JaxRuntimeError, match="INTERNAL"), memory_explained():
        raise JaxRuntimeError("INTERNAL: a fault")
