"""The one place that chooses how layers are computed, by backend and by shape.

Without a choice a layer is plain jax.numpy, the reference: the numbers of a CPU. Names
in ``EncoderConfig.kernels`` replace parts of it where they fit; parameters, dropout
masks and, up to rounding, results stay the same:

    one_pass_norm  LayerNorm's variance as E[x^2] - E[x]^2: mean and variance take one
                   pass over memory; float32 statistics as before
    split_qkv      query, key and value are three products, so that no slice of one is
                   copied
    attention      attention within packed rows is one kernel (``packed_attention``)
    fused_norm     residual, dropout and LayerNorm are one kernel (``add_norm``)

The last two are Pallas kernels for Triton, a backend that jax deprecates from 0.11 on
in favour of Mosaic GPU; a CPU interprets them, for tests. No GPU has run them or
split_qkv yet, so no backend has them by default: ``scripts/bench_accelerator.py``
measures all on a device, and says which names to put into ``BY_BACKEND``.
"""

from collections.abc import Callable
from typing import Any

import jax

NAMES = ("one_pass_norm", "split_qkv", "attention", "fused_norm")
TRITON = ("attention", "fused_norm")
# What an empty setting means. With one_pass_norm, a step of bert12 took 94.9 ms on an
# H100 instead of 102.3 (RESULTS.md).
BY_BACKEND = {"cpu": (), "gpu": ("one_pass_norm",), "tpu": ("one_pass_norm",)}


def choose_kernels(setting: str) -> tuple[str, ...]:
    """Return the names that a setting stands for on this backend.

    Args:
        setting: Empty for those of the backend, ``none``, or names joined by commas.

    Raises:
        ValueError: An unknown name, or one that this backend cannot run.
    """
    backend = jax.default_backend()
    if not setting:
        return BY_BACKEND.get(backend, ())
    names = () if setting == "none" else tuple(setting.split(","))
    if unknown := [name for name in names if name not in NAMES]:
        raise ValueError(
            f"config.model.kernels: unknown name {unknown[0]!r} in {setting!r}; give "
            f"none, or some of {', '.join(NAMES)}, joined by commas, or leave it empty"
        )
    if backend == "tpu" and (triton := [name for name in names if name in TRITON]):
        raise ValueError(
            f"config.model.kernels: {triton[0]} needs a GPU, found a TPU; "
            f"leave out {' and '.join(TRITON)}"
        )
    return names


# Both import when asked: few programs use Pallas, which every start would pay for.


def attention_kernel(config: Any, n_rows: int, length: int) -> Callable | None:
    """Return ``packed_attention``; None where the reference is to be computed.

    Args:
        config: The ``EncoderConfig``.
        n_rows: Rows of the batch, on all devices.
        length: Tokens of a row.
    """
    if "attention" not in config.kernels:
        return None
    from cloud_jax.models import packed_attention as module

    fits = module.fits_attention(n_rows, length, config.width, config.heads)
    return module.packed_attention if fits else None


def norm_kernel(config: Any, n_rows: int, length: int) -> Callable | None:
    """Return ``add_norm``; None where the reference is to be computed.

    Args:
        config: The ``EncoderConfig``.
        n_rows: Rows of the batch, on all devices.
        length: Positions of a row.
    """
    if "fused_norm" not in config.kernels:
        return None
    from cloud_jax.models import add_norm as module

    fits = module.fits_norm(n_rows, length, config.width)
    return module.add_norm if fits else None
