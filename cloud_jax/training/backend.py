"""Choices that depend on the backend and on this process.

jax is imported when a function needs it: `use_all_cores` comes first.
"""

import os

from cloud_jax.cores import usable_cores


def use_all_cores() -> None:
    """Make each core a device of JAX's CPU backend, one per model side by side.

    It is called before jax looks for devices, so before it is known how many models
    there are; other backends ignore it. A user's own XLA_FLAGS stay.
    """
    cores = usable_cores()
    if cores > 1 and "XLA_FLAGS" not in os.environ:
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={cores}"


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
