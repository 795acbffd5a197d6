"""Read from compiled programs what a training step would send, and model its time.

    python -m scripts.bench_sharding [--preset bert12] [--devices 8 16 32 64]
        [--meshes data fsdp tensor] [--crystals 2048]

Compiles the pretraining step on abstract arguments for simulated CPU devices, one
process per number of them, and prints a JSON line per mesh: bytes of every kind of
collective on one device, and the step on two machines by `step_time`. Nothing runs, so
any size fits this computer. A CPU's compiler sums the gradients of a sharded parameter
whole, where those of GPU and TPU may scatter them: half the bytes on the mesh `fsdp`.

The model: products at a share of the published peak, the optimizer at the speed of the
memory, collectives as rings at the published bandwidth, without latency. `serial` adds
the three; `overlapped` lets collectives run behind the products.
"""

import argparse
import json
import math
import os
import re
import subprocess
import sys
import time
from typing import NamedTuple

ROW_LENGTH = 128  # tokens of a row of packed crystals
CRYSTALS_A_ROW = 2048 / 480  # at the paper's batch, sentences of 30 tokens
TOKENS_A_CRYSTAL = 30
# Of the published peak: 297 TFLOP/s as measured on an H100 (RESULTS.md), and half of
# the 875 that a large product reached there.
SHARES = (0.30, 0.44)

TENSOR = 4  # devices that share a layer on the mesh `tensor`; divides 12 heads


class Machine(NamedTuple):
    """Published numbers of an accelerator, in FLOP/s (bfloat16) and bytes/s.

    Attributes:
        peak: of one device.
        memory: of one device.
        link: that a device sends to others of its node.
        node: devices of a node.
        network: that a device sends to other nodes.
    """

    peak: float
    memory: float
    link: float
    node: int
    network: float


MACHINES = {
    # NVIDIA's data sheets of the H100 SXM and the DGX H100: NVLink 900 GB/s both ways,
    # 3.35 TB/s of HBM3, one ConnectX-7 of 400 Gb/s a GPU.
    "H100": Machine(989e12, 3.35e12, 450e9, 8, 50e9),
    # docs.cloud.google.com/tpu/docs/v5p: 1,200 GB/s of ICI both ways. v5p-256 has 128
    # chips, each one device; in one slice there is no slower network.
    "v5p": Machine(459e12, 2.765e12, 600e9, 8960, 600e9),
}

_BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s64": 8, "f64": 8}
_KINDS = (
    "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
    "|collective-broadcast"
)
_COLLECTIVE = re.compile(rf"= (\S.*?) ({_KINDS})(?:-start)?\(")
_ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")
# Three notations: ids; [groups,size]<=[shape]T(order); axes of a mesh.
_LISTED = re.compile(r"replica_groups=\{\{([\d,]*)\}")
_IOTA = re.compile(r"replica_groups=\[\d+,(\d+)\]<=\[([\d,]+)\](T?)")
_AXES = re.compile(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}")


class Collective(NamedTuple):
    """One collective of a compiled program.

    Attributes:
        kind: such as `all-reduce`.
        n_bytes: of its result on one device; of `reduce-scatter`, of what is scattered.
        size: devices of a group.
        stride: between neighbours of a group.
    """

    kind: str
    n_bytes: int
    size: int
    stride: int

    @property
    def sent(self) -> float:
        """Return the bytes that a device sends in a ring."""
        if self.kind == "collective-permute":
            return self.n_bytes
        times = 2 if self.kind == "all-reduce" else 1
        return times * (self.size - 1) / self.size * self.n_bytes


def collectives(hlo: str, n_devices: int) -> list[Collective]:
    """Return the collectives in the text of a compiled program.

    A program calls each of them once: a step has no loop around one.

    Args:
        hlo: text of the program of one device.
        n_devices: on which it runs.
    """
    found = []
    for line in hlo.splitlines():
        match = _COLLECTIVE.search(line)
        if not match:
            continue
        result, kind = match.groups()
        n_bytes = sum(
            _BYTES.get(dtype, 4) * math.prod(int(n) for n in shape.split(",") if n)
            for dtype, shape in _ARRAY.findall(result)
        )
        size, stride = group_of(line, n_devices)
        if kind == "reduce-scatter":
            n_bytes *= size
        if "_promoted" in line:  # bfloat16, which a CPU sums as float32
            n_bytes //= 2
        if size > 1:
            found.append(Collective(kind, n_bytes, size, stride))
    return found


def group_of(line: str, n_devices: int) -> tuple[int, int]:
    """Return how many devices a group of a collective has, and their distance."""
    if match := _LISTED.search(line):
        first = [int(n) for n in match[1].split(",")]
        return len(first), first[1] - first[0] if len(first) > 1 else 1
    if match := _IOTA.search(line):
        size, shape, transposed = match.groups()
        # Transposed, a group runs along a slow axis.
        return int(size), int(shape.split(",")[-1]) if transposed else 1
    if match := _AXES.search(line):
        axes = dict(axis.replace("'", "").split("=") for axis in match[1].split(","))
        chosen = [axis.strip(" '") for axis in match[2].split(",")]
        if not axes.keys() >= set(chosen):
            raise ValueError(f"replica_groups={match[0]}: expected names of axes")
        sizes = {name: int(size) for name, size in axes.items()}
        names = list(sizes)
        faster = names[names.index(chosen[-1]) + 1 :]
        return (
            math.prod(sizes[name] for name in chosen),
            math.prod(sizes[name] for name in faster),
        )
    return n_devices, 1  # none are named: all devices


def seconds_of(collective: Collective, machine: Machine) -> float:
    """Return the time of one collective at the slowest link of its ring."""
    inside = max(1, machine.node // collective.stride)
    if collective.size <= inside:
        return collective.sent / machine.link
    # Each device of a node has a network card of its own, and a ring crosses by all
    # that its members have.
    return collective.sent / min(machine.link, inside * machine.network)


def step_time(
    found: list[Collective],
    machine: Machine,
    *,
    flops: float,
    parameters: float,
    share: float,
) -> dict[str, float]:
    """Return the parts of a step's time, and both sums, in ms.

    Args:
        found: collectives of one device.
        machine: that runs it.
        flops: of the matrix products of one device.
        parameters: held by one device, float32. AdamW reads and writes 28 bytes each.
        share: of the peak that the products reach.
    """
    compute = flops / (machine.peak * share) * 1e3
    update = 28 * parameters / machine.memory * 1e3
    send = sum(seconds_of(c, machine) for c in found) * 1e3
    return {
        "compute_ms": compute,
        "update_ms": update,
        "send_ms": send,
        "serial_ms": compute + update + send,
        "overlapped_ms": max(compute, send) + update,
    }


def compile_step(preset_name: str, rows: int, mesh_sizes: dict[str, int]) -> dict:
    """Return the text of the compiled step on a mesh, and sizes of its parts.

    Args:
        preset_name: of the model.
        rows: of the global batch.
        mesh_sizes: of the axes `data`, `fsdp` and `tensor`.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from cloud_jax.config import pretraining
    from cloud_jax.models.bert import preset
    from cloud_jax.models.heads import MaskedLanguageModel
    from cloud_jax.training import sharding
    from cloud_jax.training.run import make_steps
    from scripts.bench_pretrain import PADDED_LENGTH, VOCAB_SIZE, matmul_flops

    # The machine's own code is not of interest, and is most of the compile time.
    jax.config.update("jax_disable_most_optimizations", True)
    config = pretraining()
    encoder = preset(
        preset_name,
        vocab_size=VOCAB_SIZE,
        max_positions=PADDED_LENGTH,
        dtype="bfloat16",
    )
    mesh = sharding.make_mesh(**mesh_sizes, heads=encoder.heads)
    with jax.set_mesh(mesh):
        model = MaskedLanguageModel(encoder)
        steps, _ = make_steps(config, model, None, mesh, total_steps=10_000)
        batch = {
            name: jax.ShapeDtypeStruct((rows, ROW_LENGTH), jnp.int32)
            for name in ("tokens", "positions", "crystal")
        }
        compiled = steps.train.lower(steps.abstract, batch, jax.random.key(0)).compile()
    leaves = jax.tree.leaves(steps.abstract.params)
    queries = int(np.ceil(config.mask_fraction * ROW_LENGTH))
    return {
        "hlo": compiled.as_text(),
        "parameters": sum(leaf.size for leaf in leaves),
        "parameters_of_a_device": sum(
            math.prod(leaf.sharding.shard_shape(leaf.shape)) for leaf in leaves
        ),
        "flops": matmul_flops(encoder, rows, ROW_LENGTH, queries),
    }


def measure(arguments: argparse.Namespace, mesh: str, n_devices: int) -> dict:
    """Return the line of one mesh."""
    sizes = {"data": 1, "fsdp": 1, "tensor": 1, mesh: n_devices}
    if mesh == "tensor":
        sizes |= {"data": n_devices // TENSOR, "tensor": TENSOR}
    parts = sizes["data"] * sizes["fsdp"]
    rows = max(1, round(arguments.crystals / CRYSTALS_A_ROW / parts)) * parts
    begun = time.process_time()
    step = compile_step(arguments.preset, rows, sizes)
    found = collectives(step["hlo"], n_devices)
    crystals = rows * CRYSTALS_A_ROW
    line = {
        "benchmark": "sharding",
        "preset": arguments.preset,
        "devices": n_devices,
        "mesh": sizes,
        "rows": rows,
        "crystals": round(crystals),
        "parameters": step["parameters"],
        "compile_cpu_s": round(time.process_time() - begun, 1),
        "collectives": {
            kind: {
                "count": len(chosen),
                "mbytes": round(sum(c.n_bytes for c in chosen) / 1e6, 3),
                "sent_mbytes": round(sum(c.sent for c in chosen) / 1e6, 3),
            }
            for kind in _KINDS.split("|")
            if (chosen := [c for c in found if c.kind == kind])
        },
    }
    for name, machine in MACHINES.items():
        for share in SHARES:
            times = step_time(
                found,
                machine,
                flops=step["flops"] / n_devices,
                parameters=step["parameters_of_a_device"],
                share=share,
            )
            found_times = summary(times, crystals)
            if mesh == "tensor":  # activations are sent too, more for a larger batch
                del found_times["crystals_for_half"]
            line[f"{name}_{share:.0%}"] = found_times
    return line


def summary(times: dict[str, float], crystals: float) -> dict[str, float]:
    """Return times, speed, efficiency and the batch that keeps half of it.

    Efficiency is the time of the products over that of the step. The products grow with
    the batch; update and gradients do not, so that half is kept where both are equal.
    """
    fixed = times["update_ms"] + times["send_ms"]
    return {name: round(value, 3) for name, value in times.items()} | {
        "mtokens_per_second": round(
            crystals * TOKENS_A_CRYSTAL / times["serial_ms"] / 1e3, 2
        ),
        "efficiency": round(times["compute_ms"] / times["serial_ms"], 3),
        "efficiency_overlapped": round(times["compute_ms"] / times["overlapped_ms"], 3),
        "crystals_for_half": round(crystals * fixed / times["compute_ms"]),
    }


def parse() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="bert12")
    parser.add_argument("--devices", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument(
        "--meshes",
        nargs="+",
        default=["data", "fsdp", "tensor"],
        choices=["data", "fsdp", "tensor"],
    )
    parser.add_argument("--crystals", type=int, default=2048, help="of a batch")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Start a process per number of devices, or be one of them."""
    arguments = parse()
    if arguments.here:
        for mesh in arguments.meshes:
            line = measure(arguments, mesh, arguments.devices[0])
            print(json.dumps(line), flush=True)
        return
    for n_devices in arguments.devices:
        flag = f"--xla_force_host_platform_device_count={n_devices}"
        subprocess.run(
            [
                *(sys.executable, "-m", "scripts.bench_sharding", "--here"),
                *("--preset", arguments.preset, "--devices", str(n_devices)),
                *("--crystals", str(arguments.crystals)),
                *("--meshes", *arguments.meshes),
            ],
            env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flag},
            check=True,
        )


if __name__ == "__main__":
    main()
