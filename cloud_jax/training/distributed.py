"""Joining the processes of one run: TPU pods, Slurm jobs, or by hand."""

import glob
import importlib.util
import ipaddress
import os
import socket

import jax

MODES = ("auto", "manual", "off")


def n_hosts() -> int:
    """Hosts of this job as its launcher tells them (Slurm, TPU), otherwise 1."""
    slurm = os.environ.get("SLURM_STEP_NUM_NODES") or os.environ.get("SLURM_NNODES")
    tpu = os.environ.get("TPU_WORKER_HOSTNAMES", "").split(",")
    return max(int(slurm or 1), len(tpu))


def is_loopback(address: str) -> bool:
    """Whether `host:port` names this machine only, also through its hosts file."""
    host = address.rsplit(":", 1)[0].strip("[]")
    try:
        return ipaddress.ip_address(socket.gethostbyname(host)).is_loopback
    except (OSError, ValueError):
        return host in ("localhost", "::1")


def refuse_loopback(address: str | None) -> None:
    """Stop before a run on several hosts waits for a coordinator none can reach.

    Raises:
        ValueError: a loopback coordinator with more than one host.
    """
    hosts = n_hosts()
    if address and hosts > 1 and is_loopback(address):
        raise ValueError(
            f"coordinator {address} is a loopback address, but this job has {hosts} "
            "hosts: the others cannot reach it. Give the first host's network address"
        )


def in_slurm() -> bool:
    """Whether this is one of several tasks of a Slurm step."""
    return "SLURM_PROCID" in os.environ and int(os.environ.get("SLURM_NTASKS", 1)) > 1


def on_tpu() -> bool:
    """Whether this machine has TPU chips and the library to drive them."""
    chips = glob.glob("/dev/accel*") + glob.glob("/dev/vfio/[0-9]*")
    return bool(chips) and importlib.util.find_spec("libtpu") is not None


def initialize(
    mode: str,
    *,
    timeout_s: int,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Call `jax.distributed.initialize` where the run has several processes.

    Args:
        mode: `auto` joins when Slurm or a TPU is found, `manual` takes the three
            values below, `off` never joins.
        timeout_s: seconds to wait for the other processes.
        coordinator: `host:port` of process 0.
        num_processes: how many processes there are.
        process_id: number of this process, from 0.

    Raises:
        ValueError: an unknown mode, missing or superfluous values, or a loopback
            coordinator although there are several hosts.
        TimeoutError: the processes did not find each other in time.
    """
    manual = (coordinator, num_processes, process_id)
    if mode not in MODES:
        raise ValueError(f"--distributed={mode}: choose one of {', '.join(MODES)}")
    if mode == "manual" and None in manual:
        raise ValueError(
            "--distributed=manual needs --coordinator=HOST:PORT, --num_processes=N "
            f"and --process_id=I; found {manual}"
        )
    if mode != "manual" and manual != (None, None, None):
        raise ValueError(
            f"--distributed={mode} finds its own coordinator; --coordinator, "
            "--num_processes and --process_id go with --distributed=manual"
        )
    if mode == "off" or (mode == "auto" and not (in_slurm() or on_tpu())):
        return
    refuse_loopback(coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS"))
    # Only the CPU backend reads this: it is how several CPU processes can meet.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=timeout_s,
            cluster_detection_method="deactivate" if mode == "manual" else None,
        )
    except RuntimeError as error:
        where = coordinator or "the coordinator found by the launcher"
        raise TimeoutError(
            f"the processes did not meet at {where} within {timeout_s} s "
            "(config.distributed.timeout_s): check that all were started, that the "
            f"address and port are reachable and their number is right. {error}"
        ) from error
