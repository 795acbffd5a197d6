"""The check that a state is finite, on devices that share the threads of few cores."""

import os
import subprocess
import sys

CHECK = """
import os
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from cloud_jax.training.state import all_finite

rows = NamedSharding(jax.make_mesh((2,), ("member",)), PartitionSpec("member"))
leaves = [jax.device_put(np.ones((2, 1 + i), np.float32), rows) for i in range(100)]
assert all_finite(leaves)
assert not all_finite([*leaves, jax.device_put(np.full(2, np.nan), rows)])
"""


def test_many_arrays_split_over_two_devices_are_checked_without_a_deadlock():
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    subprocess.run(
        [sys.executable, "-c", CHECK],
        env=environment,
        timeout=120,  # the runtime gives up by itself after 60 s
        check=True,
    )
