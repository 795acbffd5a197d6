"""Choices that depend on the backend and on this process.

jax is imported when a function needs it: `use_all_cores` comes first.
"""

import os
from collections.abc import Sequence

from cloud_jax.cores import usable_cores

# Numbers of devices that may share a batch of pretraining: its rows are a multiple of
# each, so that their number does not depend on the machine.
ROW_SHARES = (1, 2, 4, 8)

# XLA ends a process one of whose devices waits a minute for another, as on a busy
# machine, or on a laptop that wakes up. Eleven days instead, in seconds:
DEVICE_WAIT_S = 1_000_000


def use_all_cores(numbers: Sequence[int] = ()) -> None:
    """Make each core a device of JAX's CPU backend.

    One device of all cores computes only large products on several of them. Devices
    compute everything side by side, on rows or models that fit their caches better.
    It is called before jax looks for devices, so before it is known what they will
    share; other backends ignore it. A user's own XLA_FLAGS stay.

    Args:
        numbers: of devices to choose from, the largest that the cores allow; empty: one
            per core.
    """
    cores = usable_cores()
    n_devices = max((n for n in numbers if n <= cores), default=cores)
    if n_devices > 1 and "XLA_FLAGS" not in os.environ:
        os.environ["XLA_FLAGS"] = (
            f"--xla_force_host_platform_device_count={n_devices} "
            f"--xla_cpu_collective_call_terminate_timeout_seconds={DEVICE_WAIT_S}"
        )


def refuse_several_processes(what: str) -> None:
    """Raise ValueError in all but the first of several Slurm tasks.

    Args:
        what: runs in one process, for the message.
    """
    task = os.environ.get("SLURM_PROCID", "0")
    if task != "0":
        raise ValueError(
            f"{what} runs in one process, and this is task {task} of a Slurm step: "
            "start it with srun --ntasks=1"
        )


def compute_dtype(name: str) -> str:
    """Return the type to compute in.

    Args:
        name: the type itself; or `auto`: bfloat16 on GPU and TPU, which multiply it
            faster, and float32 on the CPU.
    """
    import jax

    if name != "auto":
        return name
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def steps_ahead() -> int:
    """Return how many steps the host may queue before it waits for the oldest one.

    The CPU backend gains nothing from steps in flight, and its devices, which share the
    threads of a few cores, may wait for each other in two of them for ever.
    """
    import jax

    return 0 if jax.default_backend() == "cpu" else 2
