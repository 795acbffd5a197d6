"""Layout of arrays on the devices: the mesh, and one table of rules for parameters.

Rows of a batch are split over `data` and `fsdp`; parameters and optimizer moments over
`fsdp` (gathered when used) and `tensor` (each device computes its part of every layer).
Modules carry no sharding: `jax.jit` derives that of everything between from these.
"""

import math
import re

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from cloud_jax.models.device_parts import HEAD_AXIS, ROW_AXES, ROWS

AXES = (*ROW_AXES, HEAD_AXIS)

# The first rule whose pattern is found in the path applies; without one, an array is
# replicated. The paths of AdamW's moments end with those of their parameters, so the
# same rules apply to them.
RULES = (
    (r"token_embedding$", ("tensor", "fsdp")),
    (r"position_embedding$", (None, "fsdp")),
    (r"feature_kernel$", (None, "fsdp")),
    (r"attention/qkv_kernel$", ("fsdp", None, "tensor")),
    (r"attention/qkv_bias$", (None, "tensor")),
    (r"attention/output/kernel$", ("tensor", "fsdp")),
    (r"mlp/in/kernel$", ("fsdp", "tensor")),
    (r"mlp/in/bias$", ("tensor",)),
    (r"mlp/out/kernel$", ("tensor", "fsdp")),
    (r"mlm_head/dense/kernel$", ("fsdp", "tensor")),
)


def make_mesh(*, data: int, fsdp: int, tensor: int, heads: int) -> Mesh:
    """Return a mesh over all devices; one size may be -1, for what remains.

    Raises:
        ValueError: sizes that do not multiply to the number of devices, or a `tensor`
            axis that does not divide the attention heads.
    """
    sizes = {"data": data, "fsdp": fsdp, "tensor": tensor}
    n_devices = jax.device_count()
    wildcard = [name for name, size in sizes.items() if size == -1]
    fixed = math.prod(size for size in sizes.values() if size != -1)
    if len(wildcard) == 1 and fixed > 0 and n_devices % fixed == 0:
        sizes[wildcard[0]] = n_devices // fixed
    if math.prod(sizes.values()) != n_devices or min(sizes.values()) < 1:
        raise ValueError(
            f"mesh: {data=} {fsdp=} {tensor=} does not fit {n_devices} devices; "
            "the sizes must multiply to that, and one may be -1 for what remains"
        )
    if heads % sizes["tensor"]:
        raise ValueError(
            f"mesh: tensor={sizes['tensor']} does not divide the model's {heads} "
            "attention heads; choose a divisor"
        )
    # Auto: the compiler places what lies between the given shardings. By default, axes
    # are Explicit: every operation states its own, which Linen's modules do not.
    return jax.make_mesh(
        tuple(sizes.values()), AXES, axis_types=(AxisType.Auto,) * len(AXES)
    )


def spec_of(
    path: str, shape: tuple[int, ...], mesh: Mesh, *, gathered: bool = False
) -> PartitionSpec:
    """Return the partition of one array, by the path of its leaf.

    An axis that the mesh does not divide evenly is not split.

    Args:
        path: of the leaf.
        shape: of the array.
        mesh: over which it is split.
        gathered: not split over `fsdp`, as where a step uses it.
    """
    for pattern, axes in RULES:
        if re.search(pattern, path):
            return PartitionSpec(
                *(
                    axis
                    if axis
                    and size % mesh.shape[axis] == 0
                    and not (gathered and axis == "fsdp")
                    else None
                    for axis, size in zip(axes, shape, strict=True)
                )
            )
    return PartitionSpec()


def gather(params: PyTree, mesh: Mesh) -> PyTree:
    """Return the parameters as a step uses them, whole over `fsdp`.

    Left alone, the compiler would split activations like the parameters that they are
    multiplied with, and sum them in every layer: 50 times the bytes for bert12.
    """
    if mesh.shape["fsdp"] == 1:
        return params
    return jax.lax.with_sharding_constraint(
        params, shard_tree(params, mesh, gathered=True)
    )


def shard_tree(abstract: PyTree, mesh: Mesh, *, gathered: bool = False) -> PyTree:
    """Return the sharding of every leaf of a tree of arrays or their shapes."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: NamedSharding(
            mesh,
            spec_of(
                jax.tree_util.keystr(path, simple=True, separator="/"),
                leaf.shape,
                mesh,
                gathered=gathered,
            ),
        ),
        abstract,
    )


def row_sharding(mesh: Mesh) -> NamedSharding:
    """Return the sharding of a batch's arrays [B, ...]."""
    return NamedSharding(mesh, ROWS)


def row_devices(mesh: Mesh) -> int:
    """Return the number of parts into which the rows of a batch are split."""
    return mesh.shape["data"] * mesh.shape["fsdp"]


def to_host(tree: PyTree) -> PyTree:
    """Return replicated device arrays as NumPy arrays, on every process."""
    return jax.tree.map(lambda leaf: np.asarray(leaf.addressable_data(0)), tree)
