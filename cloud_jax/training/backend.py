"""Choices that depend on the backend, in one place."""

import jax


def compute_dtype(name: str) -> str:
    """Return the compute type of a setting: `auto` is what suits the backend.

    Args:
        name: `auto`, or the type itself.
    """
    if name != "auto":
        return name
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"
