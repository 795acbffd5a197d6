"""The part of an array that one device computes: what a kernel must know of the mesh.

The compiler splits plain operations over devices by itself, a kernel only if told how.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import PartitionSpec

ROW_AXES = ("data", "fsdp")  # axes of the mesh that split the rows of a batch
HEAD_AXIS = "tensor"  # the axis that splits attention heads
ROWS = PartitionSpec(ROW_AXES)
WHOLE = PartitionSpec()


def is_interpreted() -> bool:
    """Return whether kernels are interpreted: on a CPU, which has no Triton."""
    return jax.default_backend() == "cpu"


def mesh_parts() -> tuple[int, int] | None:
    """Return into how many parts the mesh splits rows and heads.

    Returns:
        1 and 1 on a single device. None where several devices share the work in a way
        that is not known here, such as members of an ensemble: the compiler would make
        each of them compute all of a kernel.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return (1, 1) if jax.device_count() == 1 else None
    if mesh.size == 1:
        return 1, 1
    if set(mesh.axis_names) != {*ROW_AXES, HEAD_AXIS}:
        return None
    return mesh.shape["data"] * mesh.shape["fsdp"], mesh.shape[HEAD_AXIS]


def on_mesh(function: Callable, *, in_specs: Any, out_specs: Any) -> Callable:
    """Return a function of global arrays that runs on each device's part of them.

    Args:
        function: Takes the parts, and the index of the device along rows and along
            heads as two further arguments.
        in_specs: Partition of each array.
        out_specs: Partition of the results.
    """
    if mesh_parts() == (1, 1):
        return lambda *arrays: function(*arrays, 0, 0)

    def local(*arrays):
        row, head = jax.lax.axis_index(ROW_AXES), jax.lax.axis_index(HEAD_AXIS)
        return function(*arrays, row, head)

    # check_vma: a kernel does not say along which axes its results are equal.
    return jax.shard_map(local, in_specs=in_specs, out_specs=out_specs, check_vma=False)
