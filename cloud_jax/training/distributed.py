"""Joins the processes of one run: of a TPU pod, of a Slurm job, or started by hand."""

import glob
import importlib.util
import ipaddress
import os
import socket
import sys
import time

import jax

MODES = ("auto", "manual", "off")
# After this silence of a process, killed for instance, jax ends the others.
HEARTBEAT_S = 30


def n_hosts() -> int:
    """Return the number of hosts that the launcher (Slurm, TPU) states, otherwise 1."""
    slurm = os.environ.get("SLURM_STEP_NUM_NODES") or os.environ.get("SLURM_NNODES")
    tpu = os.environ.get("TPU_WORKER_HOSTNAMES", "").split(",")
    return max(int(slurm or 1), len(tpu))


def is_loopback(address: str) -> bool:
    """Return whether `host:port` means this machine, also by its hosts file."""
    host = address.rsplit(":", 1)[0].strip("[]")
    try:
        return ipaddress.ip_address(socket.gethostbyname(host)).is_loopback
    except (OSError, ValueError):
        return host in ("localhost", "::1")


def refuse_loopback(address: str | None) -> None:
    """Raise ValueError for a coordinator that the other hosts cannot reach."""
    hosts = n_hosts()
    if address and hosts > 1 and is_loopback(address):
        raise ValueError(
            f"coordinator {address} is a loopback address, but this job has {hosts} "
            "hosts: the others cannot reach it. Give the first host's network address"
        )


def in_slurm() -> bool:
    """Return whether this is one of several tasks of a Slurm step."""
    return "SLURM_PROCID" in os.environ and int(os.environ.get("SLURM_NTASKS", 1)) > 1


def on_tpu() -> bool:
    """Return whether this machine has TPU chips and the library that drives them."""
    chips = glob.glob("/dev/accel*") + glob.glob("/dev/vfio/[0-9]*")
    return bool(chips) and importlib.util.find_spec("libtpu") is not None


def await_coordinator(address: str, *, timeout_s: float) -> None:
    """Wait until process 0 listens; without it, jax would abort this process.

    Raises:
        TimeoutError: it does not listen in time.
    """
    host, port = address.rsplit(":", 1)
    deadline = time.monotonic() + timeout_s
    while True:
        left = max(deadline - time.monotonic(), 0.1)
        try:
            socket.create_connection((host.strip("[]"), int(port)), left).close()
            return
        except OSError as error:
            if time.monotonic() + 0.2 > deadline:
                raise TimeoutError(
                    f"no process 0 at {address} within {timeout_s} s "
                    f"(config.distributed.timeout_s): {error}. Check that it was "
                    "started and that this machine reaches that address and port"
                ) from error
        time.sleep(0.2)


def check_port(address: str) -> None:
    """Raise OSError if process 0 cannot listen where the others will look for it."""
    port = int(address.rsplit(":", 1)[1])
    try:
        socket.create_server(("", port)).close()
    except OSError as error:
        raise OSError(
            f"coordinator {address}: process 0 cannot listen on port {port} "
            f"({error.strerror}); give another port to all processes"
        ) from error


def check_arguments(
    mode: str,
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
) -> None:
    """Raise ValueError for arguments of `initialize` that contradict each other."""
    manual = (coordinator, num_processes, process_id)
    if mode not in MODES:
        raise ValueError(f"--distributed={mode}: choose one of {', '.join(MODES)}")
    names = ("--coordinator", "--num-processes", "--process-id")
    missing = [n for n, value in zip(names, manual, strict=True) if value is None]
    if mode == "manual" and missing:
        raise ValueError(
            "--distributed=manual needs --coordinator=HOST:PORT, --num-processes=N "
            f"and --process-id=I; missing: {', '.join(missing)}"
        )
    if mode != "manual" and manual != (None, None, None):
        raise ValueError(
            f"--distributed={mode} finds its own coordinator; --coordinator, "
            "--num-processes and --process-id go with --distributed=manual"
        )
    if mode == "manual":
        if not (coordinator.rpartition(":")[2].isdecimal() and ":" in coordinator):
            raise ValueError(f"--coordinator={coordinator}: must be HOST:PORT")
        if not 0 <= process_id < num_processes:
            raise ValueError(
                f"--process-id={process_id}: must be from 0 and below "
                f"--num-processes={num_processes}"
            )


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
        ValueError: an unknown mode; missing, wrong or unexpected values; or a
            loopback coordinator of several hosts.
        TimeoutError: process 0 does not listen in time.
        OSError: process 0 cannot listen.
    """
    check_arguments(mode, coordinator, num_processes, process_id)
    if mode == "off" or (mode == "auto" and not (in_slurm() or on_tpu())):
        return
    refuse_loopback(coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS"))
    if mode == "manual":
        if process_id:
            await_coordinator(coordinator, timeout_s=timeout_s)
        else:
            check_port(coordinator)
    # When another process does not come, jax ends this one with a stack trace that
    # cannot be caught. The line above it then says why.
    print(
        f"waiting up to {timeout_s} s (config.distributed.timeout_s) for all "
        "processes of this run at "
        f"{coordinator or 'the coordinator that the launcher names'}; "
        "DEADLINE_EXCEEDED below would mean that one was not started or not reached",
        file=sys.stderr,
        flush=True,
    )
    # Only the CPU backend reads this; without it, its processes cannot communicate.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        coordinator,
        num_processes,
        process_id,
        initialization_timeout=timeout_s,
        heartbeat_timeout_seconds=HEARTBEAT_S,
        cluster_detection_method="deactivate" if mode == "manual" else None,
    )
