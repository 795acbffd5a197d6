"""Choices that depend on the backend."""

import jax


def compute_dtype(name: str) -> str:
    """Return the type to compute in.

    Args:
        name: the type itself; or `auto`: bfloat16 on GPU and TPU, which multiply it
            faster, and float32 on the CPU.
    """
    if name != "auto":
        return name
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"
